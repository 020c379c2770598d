"""From groups of rollouts to rows of tokens with advantages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Group
from llm.rollouts import TextRollout, Tokens


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRow:
    """One rollout to learn from.

    Attributes:
        prompt: ids that were given: the problem's prompt and the kept thoughts. No loss falls on
            them.
        completion: ids that were sampled, at least one.
        logprobs: of the completion when it was sampled, float32 (len(completion),).
        advantage: of the rollout in its group.
        group: number of the group in its collection.
        prompt_id: id of the problem in its collection.
    """

    prompt: Tokens
    completion: Tokens
    logprobs: NDArray[np.float32]
    advantage: float
    group: int
    prompt_id: int


def training_rows(groups: Iterable[Group]) -> list[TrainingRow]:
    """Every rollout of every group as a row, in order.

    Raises:
        InvalidInput: if a rollout is not one of a language model, or an advantage is missing or
            not finite: a row without one would silently be trained on something else.
    """
    return [row for number, group in enumerate(groups) for row in _rows(number, group)]


def _rows(number: int, group: Group) -> list[TrainingRow]:
    if len(group.advantages) != len(group.rollouts):
        raise InvalidInput(
            f"groups[{number}].advantages",
            len(group.advantages),
            f"not one for each of {len(group.rollouts)} rollouts",
            "give every rollout its advantage",
        )
    rows = []
    for rollout, advantage in zip(group.rollouts, group.advantages.tolist(), strict=True):
        if not isinstance(rollout, TextRollout):
            raise InvalidInput(
                f"groups[{number}].rollouts", type(rollout).__name__, "not texts", "roll out texts"
            )
        if not math.isfinite(advantage):
            raise InvalidInput(
                f"groups[{number}].advantages", advantage, "not finite", "repair the rewards"
            )
        rows.append(
            TrainingRow(
                rollout.start.tokens,
                rollout.tokens,
                rollout.logprobs,
                advantage,
                number,
                group.prompt,
            )
        )
    return rows
