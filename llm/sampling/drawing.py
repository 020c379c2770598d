"""Drawing tokens from logits, and completions in the making."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput
from llm.sampling.base import Completion, CompletionEnding, Request, Sampling
from llm.text.stop_rules import StopTracker
from llm.text.vocabulary import Vocabulary

_BLOCK = 256
"""Ids whose weights are added up first: about the root of a vocabulary's size, so that both
searches are short."""


@dataclass(slots=True)
class Row:
    """A completion in the making.

    Attributes:
        request: what was asked for.
        tracker: of its stop rule.
        tokens, logprobs: so far.
        ended: what ended it; None: it goes on.
    """

    request: Request
    tracker: StopTracker
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: CompletionEnding | None = None

    def push(self, token: int, logprob: float, eos: frozenset[int]) -> bool:
        """Take a token; whether the completion goes on."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        over = self.tracker(token, logprob)
        if token in eos:
            self.ended = "eos"
        elif over:
            self.ended = "stop"
        elif len(self.tokens) >= self.request.max_tokens:
            self.ended = "length"
        return self.ended is None

    def completion(self) -> Completion:
        """Return it, once it has ended."""
        assert self.ended is not None
        return Completion(tuple(self.tokens), np.array(self.logprobs, np.float32), self.ended)


def begin_row(request: Request, context: int, vocabulary: Vocabulary) -> Row:
    """Begin a completion, which ends at its own limit or at the end of the context."""
    most = min(request.max_tokens, context - len(request.tokens))
    return Row(Request(request.tokens, most, request.key, request.stop), request.track(vocabulary))


def check_finite(model: Any, logprob: float) -> None:
    """Refuse what no sound model gives.

    Raises:
        InvalidInput: if a log-probability is not finite.
    """
    if not math.isfinite(logprob):
        kind = model.config.model_type
        remedy = "take weights from before they went wrong"
        raise InvalidInput("model", kind, "its log-probabilities are not finite", remedy)


def draw(
    logits: Tensor, sampling: Sampling, uniform: np.ndarray[Any, np.dtype[np.float64]]
) -> tuple[Tensor, Tensor]:
    """Draw one token per row by inverting the distribution function.

    Args:
        logits: shape (n, V).
        sampling: temperature and top-p.
        uniform: in [0, 1), shape (n,).

    Returns:
        Ids, shape (n,), and their log-probabilities, shape (n,), as
        :class:`llm.sampling.base.Completion` has them.

    Source: Holtzman et al. (2020), arXiv 1904.09751 (top-p, or nucleus, sampling).
    """
    greedy = sampling.temperature == 0
    # In float32 whatever the model computes in: bfloat16 holds two to three digits.
    scaled = logits.float()
    if sampling.temperature not in (0, 1):
        scaled = scaled / sampling.temperature
    logprobs = torch.log_softmax(scaled, dim=-1)
    if greedy:
        tokens = logprobs.argmax(dim=-1)
    else:
        weights = _nucleus(logprobs.exp(), sampling.top_p)
        tokens = _invert(weights, torch.from_numpy(uniform).to(logits.device))
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


def _invert(weights: Tensor, uniform: Tensor) -> Tensor:
    """Ids at which the running sum of weights passes a share of all; shapes (n, V), (n,), (n,).

    First the block of ids is found, then the id in it: running sums over a whole vocabulary take
    longer than the logarithms.
    """
    count = weights.shape[1]
    blocks = torch.nn.functional.pad(weights, (0, -count % _BLOCK))
    blocks = blocks.view(len(weights), -1, _BLOCK)
    # In double: a sum of float32 over a vocabulary loses the tail's small probabilities.
    ends = blocks.sum(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    target = uniform[:, None] * ends[:, -1:]
    block = _first_above(ends, target)
    begin = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0.0)
    ids = blocks.gather(1, block[:, :, None].expand(-1, 1, _BLOCK))[:, 0].double().cumsum(dim=-1)
    index = block * _BLOCK + _first_above(ids, target - begin)
    return index.clamp(max=count - 1)[:, 0]


def _first_above(cumulative: Tensor, target: Tensor) -> Tensor:
    """Where running sums of shape (n, k) first exceed a target of shape (n, 1)."""
    # From the right: at a target of 0 the left would take the first place even if its weight is 0.
    index = torch.searchsorted(cumulative, target, right=True)
    # A target that rounds up to the total would fall beyond the last place that can be drawn, and
    # one that is not a number beyond them all.
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())
    return torch.minimum(index, last).clamp(max=cumulative.shape[1] - 1)


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """The weights with those outside the likeliest `top_p` set to 0, shape (n, V)."""
    if top_p >= 1:
        return weights
    ranked, order = weights.sort(dim=-1, descending=True)
    # What likelier ids hold. An id is in while that is below top_p, so the likeliest always is; the
    # tolerance is for sums that miss top_p by rounding.
    before = ranked.cumsum(dim=-1) - ranked
    return weights.masked_fill(
        torch.zeros_like(weights, dtype=torch.bool).scatter(1, order, before >= top_p * (1 - 1e-6)),
        0.0,
    )
