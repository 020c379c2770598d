"""How many trials the policy chooser needs: the smallest n at which it is right often enough.

Where outcomes are 0 or R_max, all that the chooser of T4s sees of n trials is how many successes
and failures each (observation, action) had. These counts are multinomial with probabilities that
exact evaluation gives, so whole experiments of any size are drawn from their exact law in
microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from cpi_theory.algorithms.chooser import Baseline, baselines, best_actions
from cpi_theory.checks import InvalidInput, check_count, check_in_range
from cpi_theory.randomness import Key

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrialLaw:
    """Law of one trial (s, h) ~ nu_w, a ~ Unif(A), G in {0, R_max}, as the chooser of T4s sees it.

    Attributes:
        success: shape (O, A), P(observation, action, G = R_max).
        advantage: shape (O, A), E_nu_w[1[observation] A_h(s, a)], reward units; the reset
            advantage of a deterministic candidate is the sum of its entries.
        masses: shape (O,), nu_w of each observation.
    """

    success: Array
    advantage: Array
    masses: Array

    def __post_init__(self) -> None:
        if self.success.shape != self.advantage.shape or self.success.ndim != 2:
            raise InvalidInput("success", self.success.shape, "not (O, A)", "give both tables")
        if self.masses.shape != self.success.shape[:1]:
            raise InvalidInput("masses", self.masses.shape, "not (O,)", "give one per observation")
        if self.success.min() < -1e-12 or self.success.sum() > 1 + 1e-9:
            raise InvalidInput(
                "success", float(self.success.sum()), "not probabilities", "check outcomes are 0/1"
            )

    @classmethod
    def of(
        cls,
        visits: Array,
        weight: Array,
        q_values: Array,
        advantages: Array,
        observations: NDArray[np.int64],
        reward_bound: float = 1.0,
    ) -> TrialLaw:
        """The law from exact evaluation.

        Args:
            visits: shape (H, S), P(s_h = s) under the policy.
            weight: shape (H, S), the reset weight.
            q_values: shape (H, S, A); outcomes must be 0 or `reward_bound` for the law to hold.
            advantages: shape (H, S, A).
            observations: shape (H, S), what the candidate class can condition on.
            reward_bound: R_max.

        Raises:
            InvalidInput: if the reset policy never selects anything.
        """
        selected = visits * weight
        if not selected.sum() > 0:
            raise InvalidInput("weight", 0.0, "selects nothing", "lower the level tau")
        nu = (selected / selected.sum()).ravel()
        count, actions = int(observations.max()) + 1, q_values.shape[-1]
        mean_outcome = q_values.reshape(-1, actions) / (reward_bound * actions)
        return cls(
            masses=_sum_by(observations.ravel(), nu[:, None], count)[:, 0],
            success=_sum_by(observations.ravel(), nu[:, None] * mean_outcome, count),
            advantage=_sum_by(
                observations.ravel(), nu[:, None] * advantages.reshape(-1, actions), count
            ),
        )

    @property
    def best_advantage(self) -> float:
        """The largest reset advantage in the class, max Abar_w."""
        return float(self.advantage.max(axis=1).sum())

    @property
    def best_candidate(self) -> NDArray[np.int64]:
        """The class' best choice of actions, shape (O,)."""
        return np.asarray(self.advantage.argmax(axis=1))

    def share_right(
        self,
        trials: int,
        replications: int,
        key: Key,
        share: float = 0.5,
        baseline: Baseline = Baseline.SHRUNK,
    ) -> float:
        """Share of experiments of `trials` trials whose empirical choice is good enough.

        Args:
            trials: n.
            replications: independent experiments.
            key: their randomness.
            share: a choice is right if its Abar_w is at least this share of the best (T5's
                target: one half).
            baseline: what the chooser subtracts from returns.
        """
        rng = key.generator()
        won = np.clip(self.success, 0.0, None)
        lost = np.clip(self.masses[:, None] / won.shape[1] - won, 0.0, None)
        law = np.stack([won, lost])
        counts = rng.multinomial(trials, law.ravel() / law.sum(), size=replications)
        wins, losses = np.moveaxis(counts.reshape(-1, *law.shape), 1, 0).astype(np.float64)
        tried = wins + losses
        centres = baselines(wins, tried, baseline)
        # Ties are broken by a fair draw.
        chosen = best_actions(wins - centres[..., None] * tried, rng.random(wins.shape))
        return float(np.mean(self.is_right(chosen, share)))

    def is_right(self, chosen: NDArray[np.int64], share: float = 0.5) -> NDArray[np.bool_]:
        """Whether candidates, shape (..., O), reach a share of the best reset advantage."""
        achieved = self.advantage[np.arange(len(self.advantage)), chosen].sum(axis=-1)
        return np.asarray(achieved >= share * self.best_advantage - 1e-12)


def _sum_by(index: NDArray[np.int64], rows: Array, count: int) -> Array:
    total = np.zeros((count, rows.shape[1]))
    np.add.at(total, index, rows)
    return total


@dataclass(frozen=True, eq=False)
class SamplesToReach:
    """The smallest n at which an experiment succeeds with the wanted probability.

    Attributes:
        samples: the estimate; infinite if not reached within the limit.
        lower, upper: 95 % bootstrap interval.
        draws: shape (bootstraps,), its bootstrap replicates, for intervals of whatever is
            fitted to several estimates.
        grid: shape (k,), the n at which success was measured.
        shares: shape (k,), the shares of successes there.
    """

    samples: float
    lower: float
    upper: float
    draws: Array
    grid: NDArray[np.int64]
    shares: Array


def samples_to_reach(
    success: Callable[[int, int, Key], float],
    accuracy: float,
    replications: int,
    key: Key,
    bootstraps: int = 200,
    limit: int = 1 << 40,
) -> SamplesToReach:
    """Smallest n at which ``success(n, replications, key)`` reaches `accuracy`.

    Doubling finds a bracket with a quarter of the replications; a geometric grid (ratio 2^(1/4))
    around it is measured with all of them. There the probit of the success is linear in sqrt(n)
    (what the central limit theorem makes of a difference of means), a weighted straight line is
    fitted and its crossing read off. Every bootstrap replicate redraws the shares binomially and
    repeats the fit.

    Raises:
        InvalidInput: if `accuracy` is not in (0, 1) or a count is below 1.
    """
    check_in_range("accuracy", accuracy, 0.01, 0.999)
    check_count("replications", replications, 40)
    check_count("bootstraps", bootstraps)
    first = _bracket(success, accuracy, max(replications // 4, 40), key.child("bracket"), limit)
    if first is None:
        nothing = np.full(bootstraps, np.inf)
        return SamplesToReach(np.inf, np.inf, np.inf, nothing, np.zeros(0, np.int64), np.zeros(0))
    top = float(first)
    for _ in range(_MOVES):
        measured = _measure(success, accuracy, replications, key, top, bootstraps)
        inside = measured.grid[0] < measured.samples < measured.grid[-1]
        if inside or measured.samples == 1:
            break
        top = measured.samples  # the bracket was unlucky: measure around where the fit ended
    return measured


_MOVES = 8
_POWERS = np.arange(-1.25, 0.76, 0.25)

GRID = len(_POWERS)
"""Numbers of samples at which success is measured at the most."""


def _measure(
    success: Callable[[int, int, Key], float],
    accuracy: float,
    replications: int,
    key: Key,
    top: float,
    bootstraps: int,
) -> SamplesToReach:
    """The crossing and its interval from a grid below and around `top`."""
    grid = np.unique(np.round(top * 2.0**_POWERS).astype(np.int64))
    grid = grid[grid >= 1]
    shares = np.array([success(int(n), replications, key.child("grid", int(n))) for n in grid])
    rng = key.child("bootstrap").generator()
    again = rng.binomial(replications, shares, size=(bootstraps, len(grid))) / replications
    draws = _crossing(grid, again, accuracy, replications)
    lower, upper = np.quantile(draws, [0.025, 0.975])
    found = float(_crossing(grid, shares[None], accuracy, replications)[0])
    return SamplesToReach(found, float(lower), float(upper), draws, grid, shares)


def _bracket(
    success: Callable[[int, int, Key], float],
    accuracy: float,
    replications: int,
    key: Key,
    limit: int,
) -> int | None:
    """The first power of two that reaches the accuracy."""
    trials = 1
    while trials <= limit:
        if success(trials, replications, key.child(trials)) >= accuracy:
            return trials
        trials *= 2
    return None


def _crossing(grid: NDArray[np.int64], shares: Array, accuracy: float, replications: int) -> Array:
    """Where the fitted probit line of each row of shares, shape (b, k), crosses the accuracy.

    Clipped to the grid: the fit interpolates only.
    """
    if len(grid) == 1:
        return np.full(len(shares), float(grid[0]))
    # Half a success and half a failure more keep the probit finite.
    z = ndtri((shares * replications + 0.5) / (replications + 1))
    level, x = ndtri(accuracy), np.sqrt(grid)
    line = z
    for _ in range(2):  # weights from the observed shares first, then from the fitted line
        mean, middle, slope = _weighted_line(x, z, line)
        line = mean + slope * (x - middle)
    root = np.where(slope > 0, middle + (level - mean) / np.maximum(slope, 1e-300), x[-1])
    return np.asarray(np.clip(root[:, 0], x[0], x[-1]) ** 2)


def _weighted_line(x: Array, z: Array, at: Array) -> tuple[Array, Array, Array]:
    """Mean of z, mean of x and slope, each (b, 1), weighted by the precision of a probit `at`."""
    weight = np.exp(-(at**2)) / (ndtr(at) * ndtr(-at))  # phi^2 / (P (1 - P))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = (weight * z).sum(axis=1, keepdims=True)
    middle = (weight * x).sum(axis=1, keepdims=True)
    centred = x - middle
    slope = (weight * centred * z).sum(axis=1) / (weight * centred**2).sum(axis=1)
    return mean, middle, slope[:, None]


def fit_exponent(
    factor: Array, draws: Sequence[Array], estimates: Sequence[float]
) -> tuple[float, float, float]:
    """Least-squares slope of log estimate against log factor, with its 95 % bootstrap interval.

    Args:
        factor: shape (k,), positive, at least two different values.
        draws: bootstrap replicates of each estimate, combined independently.
        estimates: one positive number per factor.

    Returns:
        (slope, lower, upper).
    """
    x = np.log(factor) - np.log(factor).mean()
    projection = x / (x @ x)
    lower, upper = np.quantile(projection @ np.log(np.array(draws)), [0.025, 0.975])
    return float(projection @ np.log(np.array(estimates))), float(lower), float(upper)
