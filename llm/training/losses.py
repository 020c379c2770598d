"""Policy-gradient losses as pure functions: one for every method and both training engines.

How a token's term is formed is kept apart from how terms are averaged, and both from the method,
so that methods can be compared at equal loss and normalisation. Averages are over all rows of an
update, whatever the micro-batches it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput, check_in_range, check_positive

Kind = Literal["unclipped", "clipped"]
Aggregation = Literal["sequence-mean", "token-mean", "constant"]


@dataclass(frozen=True, slots=True)
class LossSettings:
    """Which loss.

    Attributes:
        kind: "unclipped": -A log pi, as published for SRPO, right only for the first update from
            a batch; "clipped": PPO's, on the ratio to the policy that sampled.
        aggregation: "sequence-mean": mean over rows of each row's mean over its tokens, as
            published for SRPO: a token of a short suffix then weighs more than one of a long
            rollout; "token-mean": mean over all tokens, as published for GRPO; "constant": sum
            over all tokens, divided by `constant`, so that a row weighs by its length and nothing
            depends on the others.
        clip_low, clip_high: the ratio's range is [1 - clip_low, 1 + clip_high].
        constant: of the aggregation "constant", in tokens.
        temperature: of the sampling whose log-probabilities are learned from.
    """

    kind: Kind = "unclipped"
    aggregation: Aggregation = "token-mean"
    clip_low: float = 0.2
    clip_high: float = 0.2
    constant: float = 1000.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, ("unclipped", "clipped"))
        _check_choice("aggregation", self.aggregation, ("sequence-mean", "token-mean", "constant"))
        check_in_range("clip_low", self.clip_low, 0, 1)
        check_in_range("clip_high", self.clip_high, 0, 100)
        check_positive("constant", self.constant)
        check_positive("temperature", self.temperature)


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise InvalidInput(field, value, "unknown", f"choose one of {known}")


@dataclass(frozen=True, slots=True)
class Totals:
    """What averages are over: all rows of an update, those that teach nothing included.

    Attributes:
        rows: number of rows.
        tokens: number of completion tokens.
    """

    rows: int
    tokens: int


def token_weights(mask: Tensor, totals: Totals, settings: LossSettings) -> Tensor:
    """What each token's term weighs in the loss, shape (n, T); 0 outside `mask`.

    Args:
        mask: which places hold completion tokens, bool (n, T).
        totals: of the whole update.
        settings: which aggregation.
    """
    kept = mask.to(torch.float32)
    if settings.aggregation == "sequence-mean":
        return kept / kept.sum(dim=1, keepdim=True).clamp(min=1) / totals.rows
    if settings.aggregation == "token-mean":
        return kept / totals.tokens
    return kept / settings.constant


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    totals: Totals,
    settings: LossSettings,
) -> Tensor:
    """The part of an update's loss that these rows contribute, a scalar.

    Args:
        logprobs: of completion tokens under the policy that learns, (n, T).
        old_logprobs: under the policy that sampled them, (n, T).
        advantages: one per row, (n,).
        mask: which places hold completion tokens, bool (n, T).
        totals: of the whole update, so that parts add up to the same loss however it is split.
        settings: which loss.

    Source: arXiv 2605.25507 (unclipped, sequence-mean); Schulman et al. 2017 (clipped).
    """
    gain = advantages[:, None]
    if settings.kind == "unclipped":
        terms = -gain * logprobs
    else:
        ratio = torch.exp(torch.where(mask, logprobs - old_logprobs, 0.0))
        clipped = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
        terms = -torch.minimum(gain * ratio, gain * clipped)
    # A product with 0 would let a padding place that is not finite through.
    weighted = torch.where(mask, terms, 0.0) * token_weights(mask, totals, settings)
    return weighted.sum()
