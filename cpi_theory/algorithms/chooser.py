"""The policy chooser: the empirical maximiser over every map from observations to actions."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.trials import Candidate, Trials
from cpi_theory.randomness import Key

Array = NDArray[np.float64]

# Trials' worth of the global mean in the baseline of each observation.
_PRIOR = 8.0


class Baseline(enum.Enum):
    """What a chooser subtracts from returns; every one leaves the expected differences alone."""

    SHRUNK = "shrunk"
    """The mean return at the observation, shrunk to the global mean by 8 trials' worth of it."""
    MEAN = "mean"
    """The mean return of all trials: ten times worse than none where a sparse and a rich
    observation meet, kept to be compared with."""
    HALF = "half"
    """R_max / 2, which T4s is stated for."""
    NONE = "none"
    """Nothing: better than R_max / 2 where successes are rare."""


def baselines(
    sums: Array, counts: Array, kind: Baseline = Baseline.SHRUNK, reward_bound: float = 1.0
) -> Array:
    r"""Return the baseline b(o) of each observation.

    Formula (shrunk):  :math:`b(o) = (\sum_o G + 8 \bar G) / (N_o + 8)`, the mean return at the
    observation where it has many trials and the mean of all where it has few.

    Args:
        sums: sums of returns, shape (..., O, A).
        counts: numbers of trials, the same shape.
        kind: which baseline.
        reward_bound: R_max.

    Returns: shape (..., O), in [0, R_max]; 0 where there are no trials at all.
    Source: docs/theory.md, T4s.
    """
    if kind is Baseline.NONE or kind is Baseline.HALF:
        constant = reward_bound / 2 if kind is Baseline.HALF else 0.0
        return np.full(sums.shape[:-1], constant)
    total, trials = sums.sum(axis=(-2, -1)), counts.sum(axis=(-2, -1))
    mean = (total / np.maximum(trials, 1))[..., None]
    if kind is Baseline.MEAN:
        return np.broadcast_to(mean, sums.shape[:-1])
    shrunk = (sums.sum(axis=-1) + _PRIOR * mean) / (counts.sum(axis=-1) + _PRIOR)
    return np.asarray(shrunk, np.float64)


def tables(trials: Trials, actions: int, observations: int) -> tuple[Array, Array]:
    """Return sums of returns and numbers of trials of every (observation, action), (O, A) each."""
    cells = trials.observations * actions + trials.actions
    shape, size = (observations, actions), observations * actions
    sums = np.bincount(cells, weights=trials.returns, minlength=size).reshape(shape)
    counts = np.bincount(cells, minlength=size).reshape(shape)
    return sums.astype(np.float64), counts.astype(np.float64)


def best_actions(scores: Array, lottery: Array) -> NDArray[np.int64]:
    """Return the action of the largest score per observation, (..., O); ties are drawn.

    Args:
        scores: shape (..., O, A).
        lottery: numbers in [0, 1), the same shape.
    """
    # Centred sums that are equal may differ by rounding.
    slack = _ROUNDING * np.maximum(1.0, np.abs(scores).max(axis=-1, keepdims=True))
    ties = scores >= scores.max(axis=-1, keepdims=True) - slack
    return np.asarray(np.argmax(np.where(ties, lottery, -1.0), axis=-1), np.int64)


_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class EmpiricalChooser:
    """The empirical maximiser of the centred mean over every map from observations to actions.

    Statement (T4s): with n trials, b = R_max / 2 and probability >= 1 - delta the chosen
    candidate's reset advantage is less than `chooser_error(n, ...)` below the best of the class, of
    |A|^O policies. The shrunk baseline depends on the trials that it centres, and there is no such
    statement with that constant; it is measured to need at most a few percent more trials than
    the better of R_max / 2 and no baseline, and up to 50 times fewer than the other.

    Attributes:
        baseline: what is subtracted from returns.

    Source: docs/theory.md, T4s; the chooser of Kakade and Langford, ICML 2002.
    """

    baseline: Baseline = Baseline.SHRUNK

    def log_policies(self, actions: int, observations: int) -> float:
        """Return ln |Pi| = O ln |A|."""
        return observations * math.log(actions)

    def choose(
        self,
        trials: Trials,
        actions: int,
        observations: int,
        key: Key,
        reward_bound: float = 1.0,
    ) -> Candidate:
        """Choose per observation the action with the largest sum of G - b; `key` breaks ties.

        That maximises the mean of |A| 1[a = pi'(o)] (G - b) over the class. An observation without
        trials is a tie of all actions, and always the first action would favour some worlds.
        """
        sums, counts = tables(trials, actions, observations)
        centres = baselines(sums, counts, self.baseline, reward_bound)
        # Drawn for every cell, so that how many numbers are drawn does not depend on the data.
        lottery = key.generator().random(sums.shape)
        return best_actions(sums - centres[:, None] * counts, lottery)
