"""Rollouts that start from prefixes of solutions, shown or found: R3, AdaBack and their kin."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from cpi_theory.algorithms.advantages import Normalization, check_normalization
from cpi_theory.algorithms.pieces import draw_index, from_start, relative_group
from cpi_theory.algorithms.step_credit import mean_reward
from cpi_theory.checks import check_choice, check_count, check_in_range, check_probability
from cpi_theory.randomness import Key
from cpi_theory.seam import Demonstrate, Draw, Plan, Prompt, Reason, Refusal, Rollout


@dataclass(frozen=True, slots=True)
class Stages:
    r"""Prefixes that shrink in equal stages.

    Formula: of L steps stage m of M, 0-based, keeps :math:`L - \lceil L (m + 1) / M \rceil`: all
    but the last M-th at first, nothing in the last stage.

    Attributes:
        count: M.
        order: "sliding": one after the other as training goes on; "mixed": each alike at any time,
            which R3 found to be better than the staged curriculum that it begins with.

    Source: Xi et al. (2024), arXiv 2402.05808.
    """

    count: int = 6
    order: Literal["sliding", "mixed"] = "sliding"

    def __post_init__(self) -> None:
        check_count("count", self.count)
        check_choice("order", self.order, ("sliding", "mixed"))

    def kept(self, length: int, stage: int) -> int:
        """Return how many steps of `length` a stage keeps."""
        return length - math.ceil(length * (stage + 1) / self.count)

    def keep(self, solution: Rollout, progress: float, key: Key) -> Generator[list[Draw], Any, int]:
        """Return how many steps of a solution are kept; draws nothing."""
        yield []  # nothing to draw: the schedule alone decides
        stage = min(int(progress * self.count), self.count - 1)
        if self.order == "mixed":
            stage = draw_index(np.ones(self.count), key.child("stage"))
        return self.kept(len(solution), stage)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """The shortest prefix from which this problem is solved often enough, found by bisection.

    AdaBack keeps an interval per problem over all of training and moves it by the success rate of
    each batch. A plan knows its prompt and nothing of earlier updates, so that here the interval is
    halved `rounds` times within one, each time by fresh probes, which nobody learns from.

    Attributes:
        success: mean reward from which on a prefix is made shorter.
        rounds: halvings; as many as it takes for a solution of 2^rounds steps.
        probes: rollouts of each.

    Source: after Amani et al. (2025), arXiv 2506.18110.
    """

    success: float = 0.5
    rounds: int = 3
    probes: int = 4

    def __post_init__(self) -> None:
        check_probability("success", self.success)
        for name in ("rounds", "probes"):
            check_count(name, getattr(self, name))

    def keep(self, solution: Rollout, progress: float, key: Key) -> Generator[Draw, Any, int]:
        """Return how many steps of a solution are kept; wishes for the probes."""
        del progress  # it is the problem that decides
        shortest, longest = 0, len(solution) - 1
        for number in range(self.rounds):
            if shortest == longest:
                break
            kept = (shortest + longest) // 2
            keys = key.child("probe", number).integers(self.probes)
            probes = yield Draw(solution.states[kept], keys)
            if mean_reward(probes) >= self.success:
                longest = kept
            else:
                shortest = kept + 1
        return longest


Source = Literal["demonstration", "own"]


@dataclass(frozen=True, slots=True)
class PrefixStarts:
    """A group of rollouts that start from a prefix of a solution, which shrinks by a schedule.

    The solution is a demonstration, or a success among `search` rollouts of the policy itself,
    which are a group of their own; where there is none, all of the prompt's rollouts are plain
    ones. The prefix is in the prompt: nothing is learned from its steps.

    Estimates what GRPO estimates, from other states: the gradient of a mixture over start states,
    not of J, until the prefix is empty. Cost: `rollouts`, with `search` and the probes of the
    schedule. Needs a world that can show how it is done for demonstrations
    (:class:`~cpi_theory.seam.DemonstratingSimulator`), and nothing for the policy's own successes.

    Attributes:
        rollouts: from the prefix, at least 2.
        schedule: `Stages` (R3) or `Adaptive` (AdaBack).
        source: "demonstration" or "own" (as in PrefixRL and POPE, which start from what was found).
        search: rollouts in which successes of its own are looked for.
        normalization: see :data:`cpi_theory.algorithms.advantages.Normalization`.
        progress: updates done of all updates, in [0, 1]; see :func:`cpi_theory.seam.scheduled`.

    Source: arXiv 2402.05808 (R3), arXiv 2506.18110 (AdaBack), arXiv 2601.18795 (PrefixRL), arXiv
    2601.18779 (POPE).
    """

    rollouts: int = 8
    schedule: Stages | Adaptive = field(default_factory=Stages)
    source: Source = "demonstration"
    search: int = 4
    normalization: Normalization = "std"
    progress: float = 0.0

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts, minimum=2)
        check_choice("source", self.source, get_args(Source))
        check_count("search", self.search, minimum=2)
        check_normalization(self.normalization)
        check_in_range("progress", self.progress, 0, 1)

    @property
    def rows_per_prompt(self) -> int:
        """The group from the prefix, and the one that it was looked for in."""
        return self.rollouts + (self.search if self.source == "own" else 0)

    def at(self, progress: float) -> PrefixStarts:
        """Return the same when a share `progress` of all updates is done."""
        return replace(self, progress=progress)

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """The group from a prefix; see :class:`~cpi_theory.seam.Algorithm`."""
        searched: Sequence[Rollout] = []
        if self.source == "own":
            searched = yield from_start(prompt, key, "base", self.search)
            shown = [r for r in searched if not r.failed]
        else:
            shown = yield Demonstrate(prompt.start, key.child("demonstration").integers(1))
        shown = [r for r in shown if len(r)]
        if not shown:
            yield Refusal(Reason.NO_SUCCESS)
            rest = yield from_start(prompt, key, "fresh", self.rollouts)
            return [relative_group([*searched, *rest], prompt, self.normalization)]
        solution = shown[draw_index(np.ones(len(shown)), key.child("solution"))]
        kept = yield from self.schedule.keep(solution, self.progress, key.child("schedule"))
        keys = key.child("prefix").integers(self.rollouts)
        rollouts = yield Draw(solution.states[kept], keys)
        groups = [relative_group(searched, prompt, self.normalization)] if searched else []
        return [*groups, relative_group(rollouts, prompt, self.normalization, solution, kept)]
