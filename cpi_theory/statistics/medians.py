"""Medians of few values, some of which may be known to be large and no more."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.intervals import Interval
from cpi_theory.statistics.quantiles import tail_probability


def median_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Estimate the median of a distribution of which nothing is assumed.

    Statement: the median lies between the k-th smallest and the k-th largest of n independent
    values with probability at least `level`, k being the largest number for which fewer than k of n
    tosses of a coin show heads with probability (1 - level) / 2 at most.

    Values may be infinite, as times are at which something has not happened. Fewer than six say
    nothing at 95 %: the interval is then the whole line.

    Args:
        values: shape (n,), n >= 1, none of them NaN.
        level: probability with which the interval covers at least.

    Raises:
        InvalidInput: there are no such values.

    Source: W. R. Thompson, Annals of Mathematical Statistics 7 (1936),
        https://doi.org/10.1214/aoms/1177732502.
    """
    from scipy.special import bdtr  # imported late: `import cpi_theory` stays quick

    x = np.sort(np.asarray(values, np.float64))
    if x.ndim != 1 or not len(x) or np.isnan(x).any():
        raise InvalidInput("values", values, "not one number or more", "give one per seed")
    n, middle = len(x), len(x) // 2
    # Not numpy's median, which makes NaN of two infinities of one sign.
    estimate = (
        x[middle] if n % 2 or x[middle - 1] == x[middle] else x[middle - 1 : middle + 1].mean()
    )
    k = int((bdtr(np.arange(n), n, 0.5) <= tail_probability(level)).sum())
    if k == 0:
        return Interval(float(estimate), -np.inf, np.inf)
    return Interval(float(estimate), float(x[k - 1]), float(x[n - k]))
