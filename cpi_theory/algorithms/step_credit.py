"""Credit of steps from fresh continuations around them: VinePPO, and SPO's chain of segments."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.algorithms.pieces import from_start
from cpi_theory.checks import check_count, check_probability
from cpi_theory.randomness import Key
from cpi_theory.seam import Draw, Group, Plan, Prompt, Rollout, Sample, ScoreSteps

Credits = list[NDArray[np.float64]]


def credit_segments(
    rollouts: Sequence[Rollout],
    begins: Sequence[Sequence[int]],
    key: Key,
    continuations: int,
) -> Generator[list[Draw], Any, Credits]:
    """Credit each segment with the change of value from its begin to its end.

    The value of a state is the mean reward of `continuations` fresh rollouts from it; that of the
    end is the reward, so that the credits of a rollout telescope to its reward less the value of
    its start. Rewards are to be terminal.

    Args:
        rollouts: any number.
        begins: of the segments of each, ascending from 0; empty where there are no steps.
        key: of the continuations.
        continuations: per segment.

    Returns:
        The credit of each step, shape (len(rollout),) per rollout.
    """
    drawn = iter(
        (
            yield [
                Draw(rollout.states[t], key.child("value", i, t).integers(continuations))
                for i, (rollout, starts) in enumerate(zip(rollouts, begins, strict=True))
                for t in starts
            ]
        )
    )
    credits = []
    for rollout, starts in zip(rollouts, begins, strict=True):
        values = [mean_reward(next(drawn)) for _ in starts]
        lengths = np.diff([*starts, len(rollout)])
        credits.append(np.repeat(np.diff([*values, rollout.reward]), lengths))
    return credits


def mean_reward(rollouts: Sequence[Rollout]) -> float:
    """Return the mean reward of at least one rollout."""
    return float(np.mean([rollout.reward for rollout in rollouts]))


@dataclass(frozen=True, slots=True)
class VinePPO:
    r"""A group from the start whose steps are credited by fresh continuations around each.

    Formula: :math:`\hat A_t = \hat V(s_{t+1}) - \hat V(s_t)`, with :math:`\hat V` the mean reward
    of `continuations` rollouts from a state, and the reward in place of the last value. It is an
    unbiased estimate of A(s, a) whatever their number, and its variance falls with it. They are not
    learned from.

    Cost: n (1 + K T) rollouts for n of T steps. Needs terminal rewards and nothing else.

    Attributes:
        rollouts: n, from the start.
        continuations: K, from each state of them.

    Source: Kazemnejad et al. (2024), arXiv 2410.01679.
    """

    rollouts: int = 8
    continuations: int = 9

    def __post_init__(self) -> None:
        check_count("rollouts", self.rollouts)
        check_count("continuations", self.continuations)

    @property
    def rows_per_prompt(self) -> int:
        """The rollouts from the start."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group with a credit for each step; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        begins = [range(len(r)) for r in rollouts]
        credits = yield from credit_segments(rollouts, begins, key, self.continuations)
        return [Group(tuple(map(Sample, rollouts, credits)), prompt.id)]


@dataclass(frozen=True, slots=True)
class SPOChain:
    r"""VinePPO on segments that end at cut points, with a gradient at cut points alone.

    A cut point is a step whose probability was below `probability`; a segment ends with every
    `points`-th of them. The credit of a segment is :math:`\hat V(end) - \hat V(begin)`, and `mask`
    leaves it to its cut points: where the policy was sure there was nothing to decide. Where steps
    are tokens (``EveryTokens(1)``) that is the paper's method; where they are thoughts, the setting
    ``mask_above`` of the loss masks within them.

    Estimates the advantage of a segment, unbiased, for each of its steps. Cost: n (1 + K M)
    rollouts for n rollouts of M segments. Needs terminal rewards, and a world that knows how likely
    its steps were (:class:`~cpi_theory.seam.ScoringSimulator`).

    Attributes:
        rollouts: n, from the start.
        continuations: K, from the begin of each segment.
        points: cut points per segment.
        probability: below which a step is a cut point.
        mask: whether other steps go without gradient.

    Source: Guo et al. (2025), arXiv 2505.23564 (SPO-chain).
    """

    rollouts: int = 8
    continuations: int = 9
    points: int = 5
    probability: float = 0.9
    mask: bool = True

    def __post_init__(self) -> None:
        for name in ("rollouts", "continuations", "points"):
            check_count(name, getattr(self, name))
        check_probability("probability", self.probability)

    @property
    def rows_per_prompt(self) -> int:
        """The rollouts from the start."""
        return self.rollouts

    def plan(self, prompt: Prompt, key: Key) -> Plan:
        """One group with a credit for each segment; see :class:`~cpi_theory.seam.Algorithm`."""
        rollouts = yield from_start(prompt, key, "base", self.rollouts)
        unsure = unlikely(self.probability, (yield ScoreSteps(rollouts)))
        begins = [segment_begins(marks, self.points) for marks in unsure]
        credits = yield from credit_segments(rollouts, begins, key, self.continuations)
        if self.mask:
            credits = [np.where(m, c, 0.0) for m, c in zip(unsure, credits, strict=True)]
        return [Group(tuple(map(Sample, rollouts, credits)), prompt.id)]


def unlikely(
    probability: float, logprobs: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.bool_]]:
    """Mark the steps of each rollout that were less likely than `probability`.

    Args:
        probability: the level, in [0, 1].
        logprobs: of each step in nats, shape (len(rollout),) per rollout.
    """
    level = math.log(probability) if probability else -math.inf
    return [np.asarray(each) < level for each in logprobs]


def segment_begins(marks: NDArray[np.bool_], points: int) -> list[int]:
    """Return where segments begin that end with every `points`-th marked step.

    Args:
        marks: shape (steps,).
        points: marks per segment; the last segment has what is left.

    Returns:
        Ascending indices from 0; none where there are no steps.
    """
    ends = np.flatnonzero(marks)[points - 1 :: points] + 1
    return [0, *(int(e) for e in ends if e < len(marks))] if len(marks) else []
