"""Bootstrap intervals, paired differences and fitted exponents over runs, seeds or prompts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Array, Interval
from cpi_theory.statistics.quantiles import (
    student_p_value,
    student_quantile,
    tail_probability,
)

Statistic = Callable[..., Any]
"""A statistic of an array along `axis`, such as numpy.mean or :func:`interquartile_mean`."""

# Resampled numbers in memory at a time: 32 MB. Larger data are resampled in several rounds.
_BATCH = 4_000_000

MOST_RESAMPLES = 1_000_000
"""Most resamples that may be asked for: of normal resamples the 2.5 % quantile then errs by
.3 % of their standard deviation, and memory still holds those of a few dozen runs."""

LEAST_RUNS = 5
"""Fewest runs that are resampled for an interval. Means of n resampled runs lie within these, and
the lowest and the highest of n hold the median with probability 1 - 2^(1 - n): 50 % of two, which
may even be equal, and 94 % of five."""


def check_resamples(field: str, value: int) -> None:
    """Refuse a number of resamples that is not an integer from 1 to :data:`MOST_RESAMPLES`."""
    check_count(field, value)
    if value > MOST_RESAMPLES:
        problem = f"more than {MOST_RESAMPLES:,}, which no interval needs"
        raise InvalidInput(field, value, problem, "choose some thousands")


def interquartile_mean(values: ArrayLike, axis: int = 0) -> Any:
    """Average the middle half: the lowest and highest floor(n / 4) values are left out.

    Less noisy than the median and less swayed by one lucky seed than the mean.

    Source: Agarwal et al., arXiv 2108.13264.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=axis)
    n = ordered.shape[axis]
    return np.take(ordered, range(n // 4, n - n // 4), axis=axis).mean(axis=axis)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Statistic = np.mean,
    level: float = 0.95,
    resamples: int = 2000,
    key: Key | int = 0,
) -> Interval:
    """Resample the first axis (independent runs, seeds or prompts) for a percentile interval.

    Args:
        values: shape (n, ...), n >= 2; the trailing axes are kept, so that learning curves of
            shape (seeds, points) give a pointwise band.
        statistic: called as ``statistic(array, axis=...)``.
        level: probability with which the interval covers.
        resamples: number of resamples.
        key: of the resampling; the same key gives the same interval.

    Raises:
        InvalidInput: naming the argument outside its range.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim == 0 or len(data) < 2:
        raise InvalidInput("values", data.shape, "fewer than two to resample", "run more seeds")
    check_resamples("resamples", resamples)
    rng = Key.of(key).child("bootstrap").generator()
    chunk = max(1, _BATCH // data.size)
    drawn = []
    for done in range(0, resamples, chunk):
        picks = rng.integers(len(data), size=(min(chunk, resamples - done), len(data)))
        drawn.append(statistic(data[picks], axis=1))
    return _percentiles(statistic(data, axis=0), np.concatenate(drawn), level)


def stratified_interquartile_mean(
    values: ArrayLike, level: float = 0.95, resamples: int = 2000, key: Key | int = 0
) -> Interval:
    """Average the middle half of all scores, with seeds resampled within each benchmark.

    Args:
        values: scores, shape (seeds, benchmarks), two seeds at least.
        level: probability with which the interval covers, for other seeds on these benchmarks.
        resamples: number of resamples.
        key: of the resampling; the same key gives the same interval.

    Raises:
        InvalidInput: naming the argument outside its range.

    Source: Agarwal et al. (2021), arXiv 2108.13264.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 2 or len(data) < 2 or not data.shape[1]:
        problem = "not (seeds, benchmarks) with two seeds or more"
        raise InvalidInput("values", data.shape, problem, "run more seeds")
    check_resamples("resamples", resamples)
    rng = Key.of(key).child("stratified bootstrap").generator()
    picks = rng.integers(len(data), size=(resamples, *data.shape))
    drawn = np.take_along_axis(data[None], picks, axis=1).reshape(resamples, -1)
    return _percentiles(interquartile_mean(data.ravel()), interquartile_mean(drawn, axis=1), level)


def paired_difference(
    first: ArrayLike, second: ArrayLike, level: float = 0.95, limit: float = math.inf
) -> Interval:
    """Estimate the mean of first - second over pairs, with a Student interval.

    Args:
        first: shape (n,), n >= 2.
        second: shape (n,), entry i paired with entry i of `first`.
        level: probability with which the interval covers.
        limit: no difference can be larger than this in magnitude (1 for two shares), so the
            interval, which of few pairs can be very wide, does not reach beyond it.

    Raises:
        InvalidInput: if the arrays do not pair up.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise InvalidInput(
            "second", b.shape, f"does not pair with {a.shape}", "give two (n,) arrays"
        )
    difference = a - b
    half = difference.std(ddof=1) / np.sqrt(len(a)) * student_quantile(level, len(a) - 1)
    mean = float(difference.mean())
    return Interval(mean, max(mean - float(half), -limit), min(mean + float(half), limit))


def paired_p_value(first: ArrayLike, second: ArrayLike) -> float:
    """Return the two-sided p-value of Student's test that belongs to :func:`paired_difference`.

    Pairs that all differ by the same have no spread to test by, though it may be luck that they do:
    they give 2 / 2^n, as where n signs are tossed, or 1 where the difference is nothing.

    Raises:
        InvalidInput: if the arrays do not pair up.
    """
    gap = paired_difference(first, second, 0.95)
    half, freedom = float(gap.upper - gap.estimate), len(np.asarray(first)) - 1
    if half == 0:
        return 1.0 if gap.estimate == 0 else 2.0**-freedom
    return student_p_value(gap.estimate / half * student_quantile(0.95, freedom), freedom)


def log_log_slope(
    x: ArrayLike,
    y: ArrayLike,
    level: float = 0.95,
    resamples: int = 2000,
    key: Key | int = 0,
    *,
    statistic: Statistic = np.mean,
    paired: bool = False,
) -> Interval:
    """Fit b of y ~ x^b by least squares through the logarithms, with a bootstrap interval.

    Args:
        x: shape (k,), positive, k >= 2 different ones.
        y: shape (k, r), r >= 2 independent replicates at each x.
        level: probability with which the interval covers.
        resamples: number of resamples.
        key: of the resampling; the same key gives the same interval.
        statistic: turns the replicates at one x into the positive number that is fitted.
        paired: resample the replicates alike at every x (they share seeds).

    Raises:
        InvalidInput: if a logarithm does not exist, in the data or in a resample.
    """
    data, logs = np.asarray(y, dtype=np.float64), _positive_logs("x", np.asarray(x))
    if data.ndim != 2 or len(data) != len(logs) or data.shape[1] < 2:
        raise InvalidInput("y", data.shape, f"not ({len(logs)}, r >= 2)", "give replicates per x")
    check_resamples("resamples", resamples)
    centred = logs - logs.mean()
    if not (centred**2).sum() > 0:
        raise InvalidInput("x", x, "has no two different values", "measure at more points")
    # The least-squares slope is this weighted sum of the logarithms of y.
    slopes = centred / (centred**2).sum()
    estimate = slopes @ _positive_logs("y", statistic(data, axis=1))
    k, r = data.shape
    rng = Key.of(key).child("log-log slope").generator()
    # Paired: one set of picks for all x, so that replicates of one seed stay together.
    picks = rng.integers(r, size=(resamples, 1 if paired else k, r))
    drawn = np.take_along_axis(data[None], np.broadcast_to(picks, (resamples, k, r)), axis=2)
    return _percentiles(estimate, _positive_logs("y", statistic(drawn, axis=2)) @ slopes, level)


def _positive_logs(name: str, values: Array) -> Array:
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise InvalidInput(name, values, "not all positive", "measure longer or drop those points")
    return np.log(values)


def _percentiles(estimate: Any, drawn: Array, level: float) -> Interval:
    tail = tail_probability(level)
    return Interval(estimate, *np.quantile(drawn, [tail, 1 - tail], axis=0))
