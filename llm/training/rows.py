"""From groups of rollouts to rows of tokens with advantages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Group, Rollout
from llm.text.rollouts import TextRollout, Tokens


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

    def __len__(self) -> int:
        """Tokens that the model has to read."""
        return len(self.prompt) + len(self.completion)


@dataclass(frozen=True, slots=True, eq=False)
class PaddedRows:
    """Rows as tensors, padded on the right, where no real token can see the padding.

    Everything of shape (n, W) speaks of the same tokens: what stands at [i, t] belongs to the token
    at [i, t] of `input_ids`.

    Attributes:
        input_ids: prompts and completions, int64 (n, W).
        attention_mask: 1 on tokens and 0 on padding, int64 (n, W).
        completion_mask: which tokens are completions, bool (n, W); never the first of a row.
        old_logprobs: of completion tokens when they were sampled, else 0, float32 (n, W).
        advantages: float32 (n,).
    """

    input_ids: Tensor
    attention_mask: Tensor
    completion_mask: Tensor
    old_logprobs: Tensor
    advantages: Tensor


def pad_rows(
    rows: Sequence[TrainingRow], pad: int = 0, device: torch.device | str = "cpu"
) -> PaddedRows:
    """Stack rows.

    Args:
        rows: at least one.
        pad: id that fills up.
        device: where the tensors shall be.
    """
    shape = (len(rows), max(map(len, rows)))
    ids, real = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    sampled, old = np.zeros(shape, bool), np.zeros(shape, np.float32)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row.prompt + row.completion
        real[i, : len(row)] = 1
        sampled[i, len(row.prompt) : len(row)] = True
        old[i, len(row.prompt) : len(row)] = row.logprobs
    advantages = np.array([row.advantage for row in rows], np.float32)
    return PaddedRows(
        *(torch.from_numpy(a).to(device) for a in (ids, real, sampled, old, advantages))
    )


def training_rows(groups: Iterable[Group]) -> list[TrainingRow]:
    """Every rollout of every group as a row, in order.

    Raises:
        InvalidInput: if a rollout is not one of a language model or holds no token, or an
            advantage is missing or not finite: a row without one would silently be trained on
            something else.
    """
    return [row for number, group in enumerate(groups) for row in _rows(number, group)]


def _rows(number: int, group: Group) -> list[TrainingRow]:
    advantages = np.atleast_1d(np.asarray(group.advantages, np.float64))  # None becomes NaN
    if advantages.shape != (len(group.rollouts),):
        raise InvalidInput(
            f"groups[{number}].advantages",
            advantages.shape,
            f"not one for each of {len(group.rollouts)} rollouts",
            "give every rollout its advantage",
        )
    return [
        _row(number, group.prompt, rollout, advantage)
        for rollout, advantage in zip(group.rollouts, advantages.tolist(), strict=True)
    ]


def _row(number: int, prompt: int, rollout: Rollout, advantage: float) -> TrainingRow:
    field = f"groups[{number}]"
    if not isinstance(rollout, TextRollout):
        raise InvalidInput(f"{field}.rollouts", type(rollout).__name__, "no text", "sample texts")
    if not rollout.tokens or not rollout.start.tokens:
        raise InvalidInput(f"{field}.rollouts", rollout, "without tokens", "leave it out")
    if not math.isfinite(advantage):
        raise InvalidInput(f"{field}.advantages", advantage, "not finite", "repair the rewards")
    return TrainingRow(
        rollout.start.tokens, rollout.tokens, rollout.logprobs, advantage, number, prompt
    )


def split_by_prompt(rows: Sequence[TrainingRow], parts: int) -> list[list[TrainingRow]]:
    """Rows in `parts` parts of about as many prompts, in order; a prompt's groups stay together.

    Raises:
        InvalidInput: if there are fewer prompts than parts.
    """
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    if len(prompts) < parts:
        problem = f"rows of {len(prompts)} prompts cannot be split so"
        raise InvalidInput("parts", parts, problem, f"choose {len(prompts)} or fewer")
    part_of = {prompt: i * parts // len(prompts) for i, prompt in enumerate(prompts)}
    split: list[list[TrainingRow]] = [[] for _ in range(parts)]
    for row in rows:
        split[part_of[row.prompt_id]].append(row)
    return split
