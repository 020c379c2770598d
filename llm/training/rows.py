"""From groups of rollouts to rows of tokens with advantages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Group, Sample
from llm.text.rollouts import TextRollout, TextState, Tokens


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRow:
    """One sample to learn from.

    Attributes:
        prompt: ids that were given: the problem's prompt and the kept thoughts. No loss falls on
            them.
        completion: ids that were sampled, at least one.
        logprobs: of the completion when it was sampled, float32 (len(completion),).
        advantages: of each token: that of the thought it belongs to, float64 (len(completion),).
        group: number of the group in its collection.
        prompt_id: id of the problem in its collection.
        off_policy: whether the completion was sampled after another prompt; `logprobs` are then
            those of that prompt until an engine works them out anew.
        reference: log-probabilities of the completion under the start model, float32
            (len(completion),); None where no engine has needed them.
        shaping: gamma of an off-policy row, see :class:`cpi_theory.seam.Sample`; 0: none.
        kl: weight of the divergence to the start model in this row, beside that of the loss.
    """

    prompt: Tokens
    completion: Tokens
    logprobs: NDArray[np.float32]
    advantages: NDArray[np.float64]
    group: int
    prompt_id: int
    off_policy: bool = False
    reference: NDArray[np.float32] | None = None
    shaping: float = 0.0
    kl: float = 0.0

    @property
    def informative(self) -> bool:
        """Whether a token has an advantage other than 0, or the row is held near the start model.

        Others have no gradient.
        """
        return bool(np.any(self.advantages != 0)) or self.kl > 0

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
        advantages: of completion tokens, else 0, float32 (n, W).
        reference: log-probabilities of completion tokens under the start model, else 0, float32
            (n, W); None unless every row has them.
        shaping, kl: of each row, float32 (n, 1); None where all are 0.
    """

    input_ids: Tensor
    attention_mask: Tensor
    completion_mask: Tensor
    old_logprobs: Tensor
    advantages: Tensor
    reference: Tensor | None = None
    shaping: Tensor | None = None
    kl: Tensor | None = None


def pad_rows(
    rows: Sequence[TrainingRow], pad: int = 0, device: torch.device | str = "cpu"
) -> PaddedRows:
    """Stack n rows as tensors as wide as the longest, shape (n, W).

    Args:
        rows: at least one.
        pad: id that fills up.
        device: where the tensors shall be.

    Returns:
        Tensors of shape (n, W), see :class:`PaddedRows`.
    """
    # In numpy first: writing row by row into tensors on a GPU would be a transfer each time.
    shape = (len(rows), max(map(len, rows)))
    ids, real = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    sampled = np.zeros(shape, bool)
    old, advantages = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row.prompt + row.completion
        real[i, : len(row)] = 1
        sampled[i, len(row.prompt) : len(row)] = True
        old[i, len(row.prompt) : len(row)] = row.logprobs
        advantages[i, len(row.prompt) : len(row)] = row.advantages
    tensors = (torch.from_numpy(a).to(device) for a in (ids, real, sampled, old, advantages))
    return replace(
        PaddedRows(*tensors),
        reference=_padded_reference(rows, shape, device),
        shaping=_of_rows([row.shaping for row in rows], device),
        kl=_of_rows([row.kl for row in rows], device),
    )


def _of_rows(values: Sequence[float], device: torch.device | str) -> Tensor | None:
    return (
        torch.tensor(values, dtype=torch.float32, device=device)[:, None] if any(values) else None
    )


def _padded_reference(
    rows: Sequence[TrainingRow], shape: tuple[int, int], device: torch.device | str
) -> Tensor | None:
    padded = np.zeros(shape, np.float32)
    for i, row in enumerate(rows):
        if row.reference is None:
            return None
        padded[i, len(row.prompt) : len(row)] = row.reference
    return torch.from_numpy(padded).to(device)


def training_rows(groups: Iterable[Group]) -> list[TrainingRow]:
    """Return every sample of every group as a row, in order.

    A thought's advantage is given to each of its tokens, so that thoughts are the actions that
    credit is assigned to and tokens only spell them. What was kept of a parent is in the row's
    prompt, on which no loss falls.

    Args:
        groups: of rollouts of a language model.

    Raises:
        InvalidInput: if a rollout is not one of a language model or holds no token.

    Source: Shao et al. (2024), arXiv 2402.03300 (an outcome's advantage on every token); arXiv
    2605.25507 (kept prefixes, on which no loss falls).
    """
    return [
        _row(number, group.prompt, sample)
        for number, group in enumerate(groups)
        for sample in group.samples
    ]


def _row(number: int, prompt: int, sample: Sample) -> TrainingRow:
    field, rollout = f"groups[{number}].samples", sample.rollout
    if not isinstance(rollout, TextRollout):
        raise InvalidInput(field, type(rollout).__name__, "no text", "sample texts")
    context = rollout.start if sample.context is None else sample.context
    if not isinstance(context, TextState):
        raise InvalidInput(field, type(context).__name__, "no state of a text", "give a TextState")
    if not rollout.tokens or not context.tokens:
        raise InvalidInput(field, rollout, "without tokens", "leave it out")
    # The spans cover all tokens, so that there is one advantage for each.
    lengths = [end - begin for begin, end in rollout.spans]
    return TrainingRow(
        context.tokens,
        rollout.tokens,
        rollout.logprobs,
        np.repeat(sample.advantages, lengths),
        number,
        prompt,
        off_policy=sample.context is not None,
        shaping=sample.shaping,
        kl=sample.kl,
    )


def split_by_prompt(rows: Sequence[TrainingRow], minibatches: int) -> list[list[TrainingRow]]:
    """Split rows, in order, into minibatches of about as many prompts each.

    A prompt's groups stay together: their advantages are relative to one another.

    Raises:
        InvalidInput: if there are fewer prompts than minibatches.
    """
    prompts = list(dict.fromkeys(row.prompt_id for row in rows))
    if len(prompts) < minibatches:
        problem = f"rows of {len(prompts)} prompts cannot be split so"
        raise InvalidInput("minibatches", minibatches, problem, f"choose {len(prompts)} or fewer")
    # Numbers of prompts that differ by one at most.
    place = {prompt: i * minibatches // len(prompts) for i, prompt in enumerate(prompts)}
    split: list[list[TrainingRow]] = [[] for _ in range(minibatches)]
    for row in rows:
        split[place[row.prompt_id]].append(row)
    return split
