"""Shares whose trials come in clusters, one cluster per prompt, and quantities made of them.

Attempts at one prompt are alike, so no count over rollouts has as many independent trials as it has
rollouts. Every count here is kept per prompt; intervals see prompts alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Interval, clustered_proportion

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """Hits among trials per prompt; neither need be whole numbers.

    Attributes:
        hits: shape (prompts,), in [0, trials].
        trials: shape (prompts,), >= 0.
    """

    hits: Array
    trials: Array

    @classmethod
    def of(cls, records: Iterable[tuple[int, float, float]], prompts: int) -> Counts:
        """Add up (prompt, hits, trials) records."""
        rows = np.array(list(records), dtype=np.float64).reshape(-1, 3)
        where = rows[:, 0].astype(np.int64)
        hits, trials = (np.bincount(where, rows[:, c], prompts).astype(np.float64) for c in (1, 2))
        # Sums of weighted hits may exceed the trials by rounding, which the intervals refuse.
        return cls(np.minimum(hits, trials), trials)

    def at(self, prompts: NDArray[np.int64]) -> Counts:
        """Return the counts of some prompts."""
        return Counts(self.hits[prompts], self.trials[prompts])

    def share(self, level: float) -> Interval:
        """Estimate hits per trial over all prompts; [0, 1] around NaN for fewer than two."""
        # A variance over clusters takes two of them.
        if np.count_nonzero(self.trials) < 2:
            return Interval(math.nan, 0.0, 1.0)
        return clustered_proportion(self.hits, self.trials, level)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Counts of a label that is known within limits: certain hits, likely hits, possible hits.

    Where labels are exact the three are the same. The interval reaches from the lower end for the
    certain to the upper end for the possible ones, so it covers both kinds of doubt.
    """

    certain: Counts
    likely: Counts
    possible: Counts

    def share(self, level: float) -> Interval:
        """Estimate the share of likely hits; the interval also allows for doubtful labels."""
        low, middle, high = (c.share(level) for c in (self.certain, self.likely, self.possible))
        return Interval(middle.estimate, low.lower, high.upper)


def product(*factors: tuple[Interval, float]) -> Interval:
    """Multiply powers of non-negative quantities from their intervals, square-and-add on logs.

    As conservative as :func:`~cpi_theory.statistics.intervals.difference`. Where an estimate is 0
    or unknown the interval is the product of the ends, or [0, inf) if that is not known either.

    Args:
        factors: (interval, power) pairs.
    """
    logs = np.array([_log_ends(interval, power) for interval, power in factors])
    # inf - inf, from an unknown factor, gives the NaN that `_exp` knows.
    with np.errstate(invalid="ignore"):
        middle, low, high = logs.sum(axis=0)
        if math.isfinite(middle):
            low, high = middle - np.array(
                [math.hypot(*gap) for gap in abs(logs[:, 1:] - logs[:, :1]).T]
            ) * (1, -1)
    return Interval(_exp(middle, math.nan), _exp(low, 0.0), _exp(high, math.inf))


def _log_ends(interval: Interval, power: float) -> tuple[float, float, float]:
    """Logarithms of estimate, lower and upper end of a power."""
    with np.errstate(divide="ignore"):
        ends = [interval.estimate, interval.lower, interval.upper]
        middle, low, high = (float(x) for x in power * np.log(ends))
    # A negative power exchanges the ends.
    return (middle, low, high) if power > 0 else (middle, high, low)


def _exp(value: float, unknown: float) -> float:
    return (
        unknown
        if math.isnan(value)
        else float(np.exp(min(value, 700.0)))  # exp(710) is no longer a float
        if value < math.inf
        else math.inf
    )


@dataclass(frozen=True, eq=False)
class Resampling:
    """Bootstrap over prompts, the same draws for every quantity: what depends on several shares.

    Attributes:
        weights: how often each prompt was drawn, shape (resamples + 1, prompts); row 0 is all
            ones, the sample itself.
    """

    weights: Array

    @classmethod
    def of(cls, prompts: int, resamples: int, key: Key) -> Resampling:
        """Draw `resamples` bootstrap samples of `prompts` prompts."""
        rng = key.child("resampling").generator()
        # How often each prompt is drawn is all that ratios need: one matrix product resamples them.
        drawn = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
        return cls(np.vstack([np.ones(prompts), drawn]).astype(np.float64))

    def ratio(self, hits: Array, trials: Array) -> Array:
        """Return sum(hits) / sum(trials), shape (resamples + 1,); NaN without trials."""
        total = self.weights @ trials
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total > 0, self.weights @ hits / total, np.nan)
