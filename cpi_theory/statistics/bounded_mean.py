"""How sure a few values make one of the sign of a bounded mean, whatever their distribution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput, check_count, check_positive
from cpi_theory.randomness import Key

_CHUNK = 1 << 22
"""Random numbers that are held at a time: 32 MiB."""


def positive_mean_confidence(
    values: ArrayLike, bound: float, key: Key | int = 0, draws: int = 4000
) -> float:
    """Return how sure independent values make one that their expectation is above 0.

    Statement: c = P(sum_i G_i x_i > G_0 bound), where all G are independent standard exponentials
    and x the values. If the expectation is at most 0, then c is at least 1 - a with probability at
    most a, at any number of values.

    That is a Bayesian bootstrap with one more value in the sample, as adverse as any can be. A
    bootstrap without it knows nothing of values that were not drawn: from one value above 0 among
    many that are 0 it is 82 % sure, and from two 93 %. Here m values above 0 and none below give at
    most 1 - 2^-m. No test can exceed that, for values may be bound and -bound with equal chance.

    Assumptions: A1 values are independent and equally distributed. A2 they lie in [-bound, inf).

    Args:
        values: shape (n,), each at least -bound.
        bound: > 0; how far below 0 a value may lie.
        key: of the random weights; the result depends on it by less than 1 / sqrt(draws).
        draws: of the weights.

    Raises:
        InvalidInput: if a value is below -bound or not finite.

    Source: the test of N. Gaffke, Mathematical Methods of Statistics 14 (2005), in the form of
        E. Learned-Miller and P. Thomas, arXiv 1905.06208. For values of two kinds it is the exact
        binomial test (C. Clopper and E. Pearson, Biometrika 26 (1934)); for others its level is
        conjectured there and has been found to hold in all their simulations and ours.
    """
    x = np.asarray(values, dtype=np.float64)
    check_positive("bound", bound)
    check_count("draws", draws)
    # Values at the bound may have been rounded beyond it.
    if x.ndim != 1 or not np.isfinite(x).all() or (x < -bound * (1 + 1e-9)).any():
        raise InvalidInput("values", values, f"not all at least -{bound}", "give the true bound")
    x = x[x != 0] / bound
    # The weight of the adverse value is averaged over in closed form: P(G_0 < s) = 1 - exp(-s).
    sums = np.concatenate([weights @ x for weights in _weights(len(x), draws, Key.of(key))])
    return float(-np.expm1(-np.maximum(sums, 0.0)).mean())


def _weights(count: int, draws: int, key: Key) -> Iterator[NDArray[np.float64]]:
    """Standard exponentials, shape (draws, count), a part of the rows at a time."""
    rng = key.child("exponentials").generator()
    rows = max(1, _CHUNK // max(count, 1))
    for first in range(0, draws, rows):
        yield rng.standard_exponential((min(rows, draws - first), count))
