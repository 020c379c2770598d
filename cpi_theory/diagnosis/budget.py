"""What a diagnosis will take, and a limit that it keeps to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.checks import check_count
from cpi_theory.diagnosis.meters import SampledMeter
from cpi_theory.randomness import Keys
from cpi_theory.seam import (
    Algorithm,
    FailedLocalization,
    Localization,
    Rollout,
    Simulator,
    State,
)

BATCH = 64
"""Rollouts or localisations between two looks at the budget."""


class BudgetSpent(Exception):
    """Nothing more may be drawn; what was drawn until then counts."""


@dataclass(frozen=True)
class Budget:
    """A limit on what a diagnosis generates, exceeded by at most one batch.

    Attributes:
        limit: most tokens, or whatever `spent` counts.
        spent: how many there are by now, those of before the diagnosis included; None: steps of
            rollouts are counted, one token each.
    """

    limit: int
    spent: Callable[[], int] | None = None

    def __post_init__(self) -> None:
        check_count("limit", self.limit)


class Metered:
    """A simulator that stops when a budget is spent.

    Attributes:
        simulator: what draws.
        budget: the limit.
        steps: of the rollouts drawn.
    """

    def __init__(self, simulator: Simulator, budget: Budget) -> None:
        self.simulator, self.budget, self.steps = simulator, budget, 0

    @property
    def left(self) -> int:
        """What may still be spent."""
        count = self.steps if self.budget.spent is None else self.budget.spent()
        return self.budget.limit - count

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """Return the rollouts asked for, drawn in batches.

        Raises:
            BudgetSpent: if there is no budget left before one of them.
        """
        drawn: list[Rollout] = []
        for first in range(0, len(states), BATCH):
            self._check()
            part = slice(first, first + BATCH)
            batch = self.simulator.rollout(states[part], np.asarray(keys)[part])
            self.steps += sum(map(len, batch))
            drawn += batch
        return drawn

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Return the world's answers, asked for in batches.

        Raises:
            BudgetSpent: if there is no budget left before one of them.
        """
        answers: list[Localization | FailedLocalization] = []
        for first in range(0, len(rollouts), BATCH):
            self._check()
            part = slice(first, first + BATCH)
            answers += self.simulator.locate_first_error(rollouts[part], np.asarray(keys)[part])
        return answers

    def _check(self) -> None:
        if self.left <= 0:
            raise BudgetSpent


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of something is expected, and the most that it can be."""

    expected: float
    most: float

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.expected + other.expected, self.most + other.most)

    def times(self, expected: float, most: float) -> Amount:
        """Return so many of each."""
        return Amount(self.expected * expected, self.most * most)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a diagnosis will draw, in rollouts and localisations.

    Attributes:
        groups: rollouts of the compared methods.
        corrections: rollouts of the resets that are tried beside their controls.
        measuring: rollouts that measure best advantages.
        localizations: rollouts that the localiser is asked about.
    """

    groups: Amount
    corrections: Amount
    measuring: Amount
    localizations: Amount

    @property
    def rollouts(self) -> Amount:
        """All rollouts."""
        return self.groups + self.corrections + self.measuring


def forecast(
    prompts: int,
    rollouts: int,
    methods: Mapping[str, Algorithm],
    parents: int,
    suffixes: int,
    states: Amount,
) -> Forecast:
    """Say what a diagnosis will draw; see :class:`~cpi_theory.DiagnosisSettings` for its sizes.

    Args:
        prompts: start states.
        rollouts: plain ones from each.
        methods: compared methods.
        parents: failures per prompt on which corrections are tried.
        suffixes: from the named step of each, and from the control's.
        states: how many are measured by sampling.
    """
    groups = prompts * (rollouts + sum(_beyond_base(m, rollouts) for m in methods.values()))
    tried = 2 * prompts * parents * suffixes
    meter = SampledMeter()
    screening = meter.branches * (1 + meter.screening)
    least, most = (screening + 2 * n for n in (meter.completions, meter.most))
    return Forecast(
        groups=Amount(groups, groups),
        corrections=Amount(tried, tried),
        # How many states are in doubt, and take more, is not known before.
        measuring=states.times(math.sqrt(least * most), most),
        # Every failure once, and a parent of each method for its groups.
        localizations=Amount(prompts * (rollouts + 1), prompts * (rollouts + len(methods))),
    )


def _beyond_base(method: Algorithm, rollouts: int) -> int:
    """Rollouts that a method draws beside the plain ones that it shares with all others."""
    if isinstance(method, GRPO) and method.rows_per_prompt <= rollouts:
        return 0
    if isinstance(method, ResetGRPO):
        suffixes = method.parents * method.suffix
        if method.parent == "published":
            return method.attempts + suffixes
        return max(method.base - rollouts, 0) + suffixes
    return method.rows_per_prompt
