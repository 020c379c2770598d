"""Policy-gradient losses as pure functions: one for every method and both training engines.

How a token's term is formed is kept apart from how terms are averaged, and both from the method,
so that methods can be compared at equal loss and normalisation. Averages are over all rows of an
update, whatever the micro-batches it is computed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput
from llm.training.settings import LossSettings

_ROUNDING = 1e-4
"""Difference in nats between two ways to work out one log-probability, at most, in float32."""


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
    r"""Return what each token's term weighs in the loss.

    With N rows of :math:`T_i` completion tokens in the whole update, a token of row i weighs

    - "sequence-mean": :math:`1 / (N T_i)`, as in GRPO (Shao et al. 2024) and SRPO;
    - "token-mean": :math:`1 / \sum_j T_j`, as in DAPO (Yu et al. 2025);
    - "constant": 1 / `settings.constant`, as in Dr. GRPO (Liu et al. 2025) up to a factor N.

    Args:
        mask: which places hold completion tokens, bool, shape (n, T).
        totals: N and the sum of all :math:`T_j` of the whole update.
        settings: which aggregation.

    Returns:
        float32, shape (n, T), 0 outside `mask`.

    Source: arXiv 2402.03300, arXiv 2503.14476, arXiv 2503.20783, arXiv 2605.25507.
    """
    kept = mask.to(torch.float32)
    if settings.aggregation == "sequence-mean":
        # 1 / (N T_i): GRPO's 1 / G sum_i 1 / |o_i| sum_t.
        # A row without completion tokens has weights of 0, not 0 / 0.
        return kept / kept.sum(dim=1, keepdim=True).clamp(min=1) / totals.rows
    if settings.aggregation == "token-mean":
        # 1 / sum_j T_j, as in DAPO.
        return kept / totals.tokens
    return kept / settings.constant


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    totals: Totals,
    settings: LossSettings,
    reference: Tensor | None = None,
    shaping: Tensor | None = None,
    kl: Tensor | None = None,
) -> Tensor:
    r"""Return the part of an update's loss that these rows contribute.

    With the weights :math:`v_{it}` of :func:`token_weights` it is
    :math:`\sum_{i,t} v_{it} \ell_{it}`, where :math:`\ell_{it}` is

    - "unclipped": :math:`-A_{it} \log \pi(y_{it})`;
    - "corrected": :math:`-\min(\rho_{it}, c) A_{it} \log \pi(y_{it})` with `most_ratio` for
      :math:`c`, the factor before :math:`A_{it}` being a constant to the gradient;
    - "clipped": :math:`-\min(\rho_{it} A_{it}, \mathrm{clip}(\rho_{it}, 1 - c_l, 1 + c_h) A_{it})`
      with `clip_low` and `clip_high` for :math:`c_l` and :math:`c_h`,

    and the ratio is :math:`\rho_{it} = \pi(y_{it}) / \pi_{old}(y_{it})`.

    In the first update after sampling, :math:`\rho_{it} = 1`, and all have the same gradient,
    unless the sampler computed in another precision.

    With `kl` = b above 0, :math:`b \, w_{it} (e^{d_{it}} - d_{it} - 1)` is added to each term,
    where :math:`d_{it} = \log \pi_{ref}(y_{it}) - \log \pi(y_{it})`, and :math:`w_{it}` is 1, or
    :math:`\rho_{it}`, truncated by no kind of loss, if the term is weighted. A row with `kl` of its
    own has it added to b.

    In a row with `shaping` :math:`\gamma`, :math:`\ell_{it}` is
    :math:`-A_{it} \pi(y_{it}) / (\pi(y_{it}) + \gamma)` whatever the kind. Tokens that were sampled
    with a probability of `mask_above` or more have :math:`\ell_{it} = 0`.

    Args:
        logprobs: of completion tokens under the policy that learns, in nats, shape (n, T).
        old_logprobs: under the policy that sampled them, in nats, shape (n, T).
        advantages: of each token, shape (n, T).
        mask: which places hold completion tokens, bool, shape (n, T).
        totals: of the whole update, so that parts add up to the same loss however it is split.
        settings: which loss.
        reference: log-probabilities under the start model, in nats, shape (n, T), where `kl` asks
            for them.
        shaping: gamma of each row, shape (n, 1), 0 where the kind of loss says what a term is.
        kl: weight of the divergence in each row, beside that of the settings, shape (n, 1).

    Returns:
        A scalar, with the graph of `logprobs`.

    Raises:
        InvalidInput: if there is no `reference` where one is needed.

    Source: arXiv 2605.25507 (unclipped, sequence-mean); Schulman et al. (2017), arXiv 1707.06347
    (clipped); Espeholt et al. (2018), arXiv 1802.01561 (truncated ratios); Shao et al. (2024),
    arXiv 2402.03300 (with advantages relative to a group, and the KL term); arXiv 2512.02556 (its
    weight); arXiv 2506.03106 (shaped terms); arXiv 2505.23564 (the mask).
    """
    if settings.kind == "unclipped":
        # REINFORCE: without a ratio it is right only while the policy is the one that sampled.
        terms = -advantages * logprobs
    elif settings.kind == "corrected":
        with torch.no_grad():
            ratio = torch.exp(torch.where(mask, logprobs - old_logprobs, 0.0))
            # Truncated above: a token that the sampler all but ruled out would outweigh the rest.
            ratio = ratio.clamp(max=settings.most_ratio)
        terms = -ratio * advantages * logprobs
    else:
        # Masked before the exponential: infinity times 0 further down would have a NaN gradient.
        ratio = torch.exp(torch.where(mask, logprobs - old_logprobs, 0.0))
        clipped = ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high)
        # The lower of both, as in PPO: clipping takes away what a move would gain, never what it
        # would lose.
        terms = -torch.minimum(advantages * ratio, advantages * clipped)
    if shaping is not None:
        terms = torch.where(shaping > 0, _shaped_terms(logprobs, advantages, mask, shaping), terms)
    if settings.mask_above < 1:
        terms = torch.where(old_logprobs < math.log(settings.mask_above), terms, 0.0)
    if settings.kl or kl is not None:
        weight = settings.kl if kl is None else settings.kl + kl
        terms = terms + weight * _kl_terms(logprobs, old_logprobs, mask, settings, reference)
    # A product with 0 would let a padding place that is not finite through.
    weighted = torch.where(mask, terms, 0.0) * token_weights(mask, totals, settings)
    return weighted.sum()


def _shaped_terms(logprobs: Tensor, advantages: Tensor, mask: Tensor, shaping: Tensor) -> Tensor:
    """-A p / (p + gamma) of each token, (n, T)."""
    p = torch.exp(torch.where(mask, logprobs, 0.0))
    # The 1 stands in where another loss is taken, so that nothing is divided by 0.
    return -advantages * p / (p + torch.where(shaping > 0, shaping, 1.0))


def _kl_terms(
    logprobs: Tensor,
    old_logprobs: Tensor,
    mask: Tensor,
    settings: LossSettings,
    reference: Tensor | None,
) -> Tensor:
    """The estimate of KL(pi || pi_ref) at each token, (n, T); never below 0 before its weight."""
    if reference is None:
        remedy = "give the log-probabilities of the start model, or set kl = 0"
        problem = f"needed for kl = {settings.kl} of the loss, or of rows"
        raise InvalidInput("reference", None, problem, remedy)
    gap = reference - logprobs
    # Masked before the exponential, as the ratio is. Where only rounding tells the model from the
    # start model there is no gradient: Adam would scale that noise up to whole steps.
    gap = torch.where(mask & (gap.abs() > _ROUNDING), gap, 0.0)
    estimate = torch.exp(gap) - gap - 1
    if not settings.kl_weighted:
        return estimate
    # Only with the gradient of the weight is the whole that of the divergence.
    return estimate * torch.exp(torch.where(mask, logprobs - old_logprobs, 0.0))
