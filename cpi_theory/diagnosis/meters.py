"""Measuring how improvable visited states are: exactly where a world knows it, else by sampling.

A *meter* gives limits for the best advantage max_a A(s, a) of each state; a threshold tau then
sorts states into certainly, likely and possibly improvable ones. Where a meter is exact the three
agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.diagnosis.branching import Pick, best_advantage_lower_bounds
from cpi_theory.randomness import Key
from cpi_theory.seam import Rollout, Simulator, knows_advantages

Array = NDArray[np.float64]

LEAST_COVERAGE = 0.02
"""Share of visits that must reach a threshold to be chosen: rarer states are too few to count."""

UNKNOWN_THRESHOLD = 0.2
"""Threshold tau, in units of the reward bound, where advantages are sampled: what the fewest
completions of a :class:`SampledMeter` can tell from nothing."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Best advantages of n states in reward units.

    Attributes:
        lower, estimate, upper: shape (n,); equal where the meter is exact.
    """

    lower: Array
    estimate: Array
    upper: Array

    def labels(self, tau: float) -> tuple[NDArray[np.bool_], ...]:
        """Tell whether max_a A >= tau: certainly, likely and possibly, each of shape (n,)."""
        return tuple(limit >= tau for limit in (self.lower, self.estimate, self.upper))


class Meter(Protocol):
    """Measures best advantages."""

    @property
    def exact(self) -> bool:
        """Whether limits and estimates agree, without any rollouts being drawn."""
        ...

    def measure(
        self, simulator: Simulator, picks: Sequence[Pick], key: Key, tau: float = 0.0
    ) -> Measured:
        """Measure the best advantage at each picked state, well enough to compare with `tau`."""
        ...


@dataclass(frozen=True, slots=True)
class ExactMeter:
    """Asks a world that knows its advantages."""

    exact: bool = True

    def measure(
        self, simulator: Simulator, picks: Sequence[Pick], key: Key, tau: float = 0.0
    ) -> Measured:
        """Return exact values.

        Raises:
            InvalidInput: if the simulator does not know its advantages.
        """
        if not knows_advantages(simulator):
            name = type(simulator).__name__
            raise InvalidInput(
                "meter", self, f"{name} does not know its advantages", "use SampledMeter()"
            )
        # Each rollout once, by identity: comparing them by content would look at every step.
        rollouts = list({id(r): r for r, _ in picks}.values())
        known = dict(zip(map(id, rollouts), simulator.best_advantages(rollouts), strict=True))
        best = np.array([known[id(r)][i] for r, i in picks], dtype=np.float64)
        return Measured(best, best, best)


@dataclass(frozen=True, slots=True)
class SampledMeter:
    """Estimates by sample splitting; see :func:`~cpi_theory.best_advantage_lower_bounds`.

    A state whose limits do not decide whether it reaches tau gets twice as many completions, again
    and again, up to `most`. What is measured is the advantage of the best of a few tried actions:
    an action that no branch tries, or that the screening misses, is not found.

    Attributes:
        branches, screening, by_action: see :func:`~cpi_theory.best_advantage_lower_bounds`.
        completions: fewest fresh completions of the chosen action, and fresh rollouts of the state.
        most: most of them.
        level: probability with which the limits of a state cover.
        reward_bound: R_max, in reward units.
    """

    branches: int = 8
    screening: int = 2
    completions: int = 16
    most: int = 64
    by_action: bool = False
    level: float = 0.95
    reward_bound: float = 1.0
    exact: bool = False

    def __post_init__(self) -> None:
        check_count("branches", self.branches)
        check_count("screening", self.screening, minimum=0)
        check_count("completions", self.completions)
        check_count("most", self.most, minimum=self.completions)

    def measure(
        self, simulator: Simulator, picks: Sequence[Pick], key: Key, tau: float = 0.0
    ) -> Measured:
        """Return Newcombe intervals around the advantage of the best action of a screening.

        A simulator that remembers its rollouts draws none of them twice.
        """
        table = np.zeros((len(picks), 3))
        open_ones, completions = np.arange(len(picks)), self.completions
        while open_ones.size:
            table[open_ones] = self._limits(simulator, picks, open_ones, key, completions)
            lower, upper = table[open_ones, 0], table[open_ones, 2]
            # Only states whose limits leave the question open are measured again.
            open_ones = open_ones[(lower < tau) & (tau <= upper)]
            if completions == self.most:
                break
            completions = min(2 * completions, self.most)
        return Measured(*table.T)

    def _limits(
        self,
        simulator: Simulator,
        picks: Sequence[Pick],
        chosen: NDArray[np.int64],
        key: Key,
        completions: int,
    ) -> Array:
        """Lower, estimate and upper of the chosen picks, shape (len(chosen), 3)."""
        bounds = best_advantage_lower_bounds(
            simulator,
            [picks[i][0].states[picks[i][1]] for i in chosen],
            key,
            branches=self.branches,
            screening=self.screening,
            completions=completions,
            by_action=self.by_action,
            level=self.level,
            reward_bound=self.reward_bound,
            # A state keeps its number, so that more completions extend what was drawn for it.
            numbers=chosen.tolist(),
        )
        return np.array([(b.lower, b.estimate, b.upper) for b in bounds], dtype=np.float64)


def meter_for(simulator: Simulator, reward_bound: float) -> Meter:
    """Return an exact meter where the world knows its advantages, else a sampled one."""
    if knows_advantages(simulator):
        return ExactMeter()
    return SampledMeter(reward_bound=reward_bound)


def promising_threshold(best: Array, least: float = LEAST_COVERAGE) -> float | None:
    """Return half of the threshold at which T5 promises most; None if nothing is improvable.

    T5 guarantees an oracle step a gain in proportion to p_t t^2. The threshold t that maximises it
    among those reached by at least a share `least` of the visits is halved, as T5 halves the
    chooser's target, so that states which differ from t by little count with it.

    Args:
        best: best advantages at visited states, shape (n,), in reward units.
        least: share of the visits that must reach a threshold for it to be chosen.
    """
    values = np.sort(best)[::-1]
    # With values in falling order, entry i is p_t at t = values[i].
    covered = np.arange(1, len(values) + 1) / max(len(values), 1)
    eligible = (covered >= least) & (values > 1e-9)  # zero advantages may be rounded up
    if not eligible.any():
        return None
    return float(values[np.argmax(np.where(eligible, covered * values**2, 0.0))]) / 2


def all_steps(rollouts: Sequence[Rollout]) -> list[Pick]:
    """Return every step of every rollout."""
    return [(rollout, i) for rollout in rollouts for i in range(len(rollout))]
