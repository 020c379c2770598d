"""Policy-gradient losses as pure functions: one for every method and both training engines.

How a token's term is formed is kept apart from how terms are averaged, and both from the method,
so that methods can be compared at equal loss and normalisation. Averages are over all rows of an
update, whatever the micro-batches it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llm.training.settings import LossSettings


@dataclass(frozen=True, slots=True)
class Totals:
    """What averages are over: all rows of an update, those of advantage 0 included.

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
        advantages: of each token, (n, T).
        mask: which places hold completion tokens, bool (n, T).
        totals: of the whole update, so that parts add up to the same loss however it is split.
        settings: which loss.

    Source: arXiv 2605.25507 (unclipped, sequence-mean); Schulman et al. 2017 (clipped).
    """
    if settings.kind == "unclipped":
        terms = -advantages * logprobs
    else:
        ratio = torch.exp(torch.where(mask, logprobs - old_logprobs, 0.0))
        clipped = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
        terms = -torch.minimum(advantages * ratio, advantages * clipped)
    # A product with 0 would let a padding place that is not finite through.
    weighted = torch.where(mask, terms, 0.0) * token_weights(mask, totals, settings)
    return weighted.sum()
