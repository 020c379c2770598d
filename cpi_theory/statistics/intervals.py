"""Intervals for proportions and means: Wilson, exact, over clusters, Bernstein, Chernoff."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import (
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)
from cpi_theory.statistics.quantiles import (
    normal_quantile,
    student_quantile,
    tail_probability,
)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with a two-sided interval; arrays for a band over several points."""

    estimate: Any
    lower: Any
    upper: Any

    def __contains__(self, value: float) -> bool:
        return bool(np.all(self.lower <= value) and np.all(value <= self.upper))


def wilson_interval(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> Interval:
    """Return the Wilson score interval of a proportion from independent trials.

    Formula:  (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),  p = successes /
    trials, z the normal quantile of `level`.

    Unlike the normal interval it keeps its coverage near 0 and 1. A sum of values in [0, 1] may
    stand for the successes; the interval is then conservative.

    Args:
        successes: in [0, trials]; a number, or an array of any shape.
        trials: > 0, of the same shape; they need not be whole (an effective number).
        level: probability with which the interval covers.

    Returns:
        Numbers, or arrays of that shape.

    Raises:
        InvalidInput: naming the argument outside its range.

    Source: E. B. Wilson, JASA 22 (1927), https://doi.org/10.1080/01621459.1927.10502953.
    """
    s, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    if not (n > 0).all() or not np.isfinite(n).all():
        raise InvalidInput("trials", trials, "not a positive number", "choose one above 0")
    if not ((s >= 0) & (s <= n)).all():
        raise InvalidInput(
            "successes", successes, f"not within [0, trials = {trials!r}]", "count them again"
        )
    found = wilson_ends(s / n, n, normal_quantile(level))
    if found.estimate.ndim:
        return found
    return Interval(float(found.estimate), float(found.lower), float(found.upper))


def exact_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion from independent trials.

    Statement: it covers the proportion with probability at least `level`, at any number of trials:
    each end is the proportion under which so many successes, or more (fewer), have probability
    (1 - level) / 2.

    Args:
        successes: in [0, trials].
        trials: >= 1.
        level: probability with which the interval covers at least.

    Source: C. Clopper and E. Pearson, Biometrika 26 (1934),
        https://doi.org/10.1093/biomet/26.4.404.
    """
    from scipy.special import betaincinv  # imported late: `import cpi_theory` stays quick

    check_count("trials", trials)
    check_in_range("successes", successes, 0, trials)
    tail, misses = tail_probability(level), trials - successes
    low = float(betaincinv(successes, misses + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, misses, 1 - tail)) if misses else 1.0
    return Interval(successes / trials, low, high)


def clustered_proportion(successes: ArrayLike, trials: ArrayLike, level: float = 0.95) -> Interval:
    """Estimate a proportion whose trials come in clusters, such as attempts at one prompt.

    Trials of a cluster are not independent. The variance of the ratio sum(successes) / sum(trials)
    is estimated over clusters, turned into an effective number of trials, and that goes into the
    Wilson formula with a Student quantile. It is never more than the number of trials (or clusters,
    if that is larger); where all clusters agree on 0 or 1, every cluster counts as one trial.

    Args:
        successes: shape (clusters,), each in [0, trials] (values need not be whole).
        trials: shape (clusters,), >= 0, at least two of them positive.
        level: probability with which the interval covers.

    Raises:
        InvalidInput: naming the argument that is no such array.

    Source: the linearised ratio estimator, W. G. Cochran, Sampling Techniques (1977), section 6.
    """
    s, n = _clusters(successes, trials)
    clusters, total = len(n), n.sum()
    p = float(s.sum() / total)
    # The residuals s - p n of a ratio sum to zero by construction: one degree of freedom is lost.
    variance = clusters / (clusters - 1) * float(((s - p * n) ** 2).sum()) / total**2
    spread = p * (1 - p)
    # So many independent trials as would have the estimated variance, p (1 - p) / n.
    effective = float(clusters)
    if spread > 0:
        most = max(float(total), effective)
        effective = spread / variance if variance * most > spread else most
    found = wilson_ends(p, effective, student_quantile(level, clusters - 1))
    return Interval(p, float(found.lower), float(found.upper))


def _clusters(successes: ArrayLike, trials: ArrayLike) -> tuple[Array, Array]:
    s, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    if s.ndim != 1 or s.shape != n.shape:
        raise InvalidInput("successes", s.shape, f"trials have {n.shape}", "give one per cluster")
    if not (np.isfinite(n).all() and (s >= 0).all() and (s <= n).all()):
        raise InvalidInput("successes", s, "not all in [0, trials]", "count them per cluster")
    kept = n > 0
    if kept.sum() < 2:
        raise InvalidInput("trials", n, "fewer than two clusters", "sample more clusters")
    return s[kept], n[kept]


def wilson_ends(p: Any, n: Any, z: float) -> Interval:
    """The formula of :func:`wilson_interval` for any quantile and effective number of trials.

    Args:
        p: proportions in [0, 1]; a number, or an array of any shape.
        n: effective numbers of trials, > 0, of the same shape.
        z: the quantile of a normal or Student distribution.
    """
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At p = 0 and 1 the ends are exact; rounding must not put the estimate outside.
    low, high = np.minimum(centre - half, p), np.maximum(centre + half, p)
    return Interval(p, np.maximum(low, 0.0), np.minimum(high, 1.0))


def difference(first: Interval, second: Interval) -> Interval:
    """Subtract `second` from `first`; conservative where they rise and fall together.

    Unlike a bootstrap it keeps its coverage where one of them has hardly a success.

    Source: the "square-and-add" combination of two Wilson intervals, R. G. Newcombe, Statistics in
    Medicine 17 (1998); the intervals may be clustered ones.
    """
    gap = first.estimate - second.estimate
    below = math.hypot(first.estimate - first.lower, second.upper - second.estimate)
    above = math.hypot(first.upper - first.estimate, second.estimate - second.lower)
    # Without an estimate nothing but the ends is known.
    if math.isnan(gap):
        return Interval(math.nan, first.lower - second.upper, first.upper - second.lower)
    return Interval(gap, gap - below, gap + above)


def harmonic_mean(first: Interval, second: Interval) -> Interval:
    """Return the harmonic mean of two quantities in [0, inf) from their intervals.

    Formula: 2 a b / (a + b), 0 where both are 0. It rises in both, and its ends are those of both
    lower and both upper ends: to first order they are at least as far out as those of its own
    normal interval, however the two rise and fall together, and they do not shrink to a point where
    an estimate is 0.
    """
    pairs = ((getattr(first, end), getattr(second, end)) for end in Interval.__slots__)
    return Interval(*(2 * a * b / (a + b) if a + b else 0.0 for a, b in pairs))


def scaled(interval: Interval, factor: float) -> Interval:
    """Multiply all ends by a positive number."""
    return Interval(*(factor * end for end in (interval.estimate, interval.lower, interval.upper)))


def bernstein_interval(values: ArrayLike, low: float, high: float, delta: float) -> Interval:
    r"""Bound the mean of bounded values by an interval that holds at any sample size.

    Statement: with probability >= 1 - delta the mean of n i.i.d. values in [low, high] with sample
    variance V is within sqrt(2 V ln(4 / delta) / n) + 7 (high - low) ln(4 / delta) / (3 (n - 1))
    of its expectation (both sides).

    Args:
        values: shape (n,), n >= 2, all in [low, high].
        low: known lower bound of the values; the interval is cut there.
        high: known upper bound, likewise.
        delta: probability with which the interval misses, in (0, 1].

    Raises:
        InvalidInput: if there are too few values or one lies outside.

    Source: A. Maurer and M. Pontil, COLT 2009, theorem 4, arXiv 0907.3740.
    """
    x = np.asarray(values, dtype=np.float64)
    _check_delta(delta)
    if x.ndim != 1 or len(x) < 2:
        raise InvalidInput("values", x.shape, "not two or more in a row", "draw more")
    slack = 1e-9 * (high - low)  # values at a bound may have been rounded beyond it
    if not ((x >= low - slack) & (x <= high + slack)).all():
        span = (float(x.min()), float(x.max()))
        raise InvalidInput("values", span, f"outside [{low}, {high}]", "give the true bounds")
    # The theorem is one-sided, with ln(2 / delta): each side gets half of delta. Its sample
    # variance is the unbiased one.
    mean, log = float(x.mean()), math.log(4 / delta)
    half = math.sqrt(2 * x.var(ddof=1) * log / len(x)) + 7 * (high - low) * log / (3 * len(x) - 3)
    return Interval(mean, max(low, mean - half), min(high, mean + half))


def chernoff_interval(successes: float, trials: int, delta: float) -> Interval:
    """Bound the mean of values in [0, 1] by an interval that holds at any sample size.

    Statement: with probability >= 1 - delta the expectation p obeys
    n kl(mean, p) <= ln(2 / delta), kl being the relative entropy of coins; it is narrow near 0.

    Args:
        successes: sum of the values, in [0, trials].
        trials: n >= 1.
        delta: probability with which the interval misses, in (0, 1].

    Source: W. Hoeffding, JASA 58 (1963), theorem 1,
        https://doi.org/10.1080/01621459.1963.10500830.
    """
    check_count("trials", trials)
    check_in_range("successes", successes, 0, trials)
    _check_delta(delta)
    mean, limit = successes / trials, math.log(2 / delta) / trials
    return Interval(mean, _kl_end(mean, 0.0, limit), _kl_end(mean, 1.0, limit))


def _check_delta(delta: float) -> None:
    check_positive("delta", delta)
    check_probability("delta", delta)


def _kl_end(mean: float, end: float, limit: float) -> float:
    """The point between `mean` and `end` at relative entropy `limit`, on the far side of it."""
    inside, outside = mean, end
    # 60 halvings of an interval of length 1: below the spacing of floats. What is returned lies
    # outside, so that the interval errs on the wide side.
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if _kl(mean, middle) <= limit else (inside, middle)
    return outside


def _kl(q: float, p: float) -> float:
    terms = [(q, p), (1 - q, 1 - p)]
    if any(a > 0 and b <= 0 for a, b in terms):
        return math.inf
    # 0 ln 0 is 0.
    return sum(a * math.log(a / b) for a, b in terms if a > 0)
