"""Sampling with a transformers model: one prefill per distinct prompt, then decoding in a batch.

``model.generate`` draws all rows of a batch from one random stream, so that a row depends on its
neighbours, and computes a prompt anew for every row that shares it. This loop gives each row its
own stream, lets rows that share a prompt share its keys and values, and drops finished rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput, check_count
from llm.sampling.base import Completion, Ended, Follower, Request, Sampling, Work, check_requests
from llm.sampling.noise import uniforms
from llm.text.rollouts import Tokens
from llm.text.vocabulary import Vocabulary

_COMPACT_AT = 0.75


class TransformersSampler:
    """Samples from a causal language model of transformers that is used and trained in place.

    Attributes:
        model: the model; what it learns is seen by the next call.
        vocabulary: its tokenizer.
        eos, context, work: see :class:`llm.sampling.base.Sampler`.
        max_batch: most completions decoded at a time.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        max_batch: int = 256,
        context: int | None = None,
    ) -> None:
        """Set up the sampler.

        Args:
            model, vocabulary, max_batch: see the class.
            context: longest sequence in tokens, by default what the model was made for.

        Raises:
            InvalidInput: if a number is out of range.
        """
        check_count("max_batch", max_batch)
        self.model, self.vocabulary, self.max_batch = model, vocabulary, max_batch
        self.context = int(context or model.config.max_position_embeddings)
        check_count("context", self.context, minimum=2)
        self.eos = vocabulary.eos
        self.work = Work()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """One completion per request; see :class:`llm.sampling.base.Sampler`."""
        check_requests(requests, self.context)
        self.work.calls += bool(requests)
        # Rows of like length decode together: little padding, and they end at about one time.
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].tokens), i))
        done: dict[int, Completion] = {}
        with _evaluating(self.model), torch.inference_mode():
            for first in range(0, len(order), self.max_batch):
                part = order[first : first + self.max_batch]
                batch = _Batch(self, [requests[i] for i in part], sampling)
                done.update(zip(part, batch.run(), strict=True))
        return [done[i] for i in range(len(requests))]

    def sync(self, model: Any) -> None:
        """Nothing is copied: the model is sampled in place.

        Raises:
            InvalidInput: if it is another one.
        """
        if model is not self.model:
            raise InvalidInput(
                "model", type(model).__name__, "not the one sampled from", "make a new sampler"
            )


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@dataclass(slots=True)
class _Row:
    """A completion in the making."""

    request: Request
    follow: Follower
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: Ended | None = None

    def push(self, token: int, logprob: float, eos: frozenset[int]) -> bool:
        """Take a token; whether the completion goes on."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        over = self.follow(token)
        if token in eos:
            self.ended = "eos"
        elif over:
            self.ended = "stop"
        elif len(self.tokens) >= self.request.max_tokens:
            self.ended = "length"
        return self.ended is None

    def completion(self) -> Completion:
        assert self.ended is not None
        return Completion(tuple(self.tokens), np.array(self.logprobs, np.float32), self.ended)


class _Batch:
    """Requests that are decoded together."""

    def __init__(
        self, sampler: TransformersSampler, requests: Sequence[Request], sampling: Sampling
    ) -> None:
        self.sampler, self.sampling = sampler, sampling
        self.device = sampler.model.device
        limit = sampler.context
        self.rows = [
            _Row(
                Request(r.tokens, min(r.max_tokens, limit - len(r.tokens)), r.key),
                r.follow() if r.follow else _never,
            )
            for r in requests
        ]

    def run(self) -> list[Completion]:
        """Decode until every row has ended."""
        logits, cache, mask = self._prefill()
        live = list(self.rows)
        keys = np.array([row.request.key for row in live], np.uint64)
        lengths = mask.sum(dim=1, keepdim=True)
        position = 0
        while True:
            tokens, logprobs = draw(logits, self.sampling, uniforms(keys, position))
            position += 1
            going = self._push(live, tokens, logprobs)
            if not any(going):
                return [row.completion() for row in self.rows]
            if sum(going) <= _COMPACT_AT * len(live):
                keep = [i for i, goes in enumerate(going) if goes]
                live, keys = [live[i] for i in keep], keys[keep]
                index = torch.tensor(keep, device=self.device)
                tokens, mask, lengths = tokens[index], mask[index], lengths[index]
                cache.batch_select_indices(index)
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
            logits = self._forward(tokens[:, None], mask, lengths + position - 1, cache)

    def _push(self, live: Sequence[_Row], tokens: Tensor, logprobs: Tensor) -> list[bool]:
        eos, going = self.sampler.eos, []
        for row, token, logprob in zip(live, tokens.tolist(), logprobs.tolist(), strict=True):
            if row.ended is None:
                self.sampler.work.decoded += 1
                going.append(row.push(token, logprob, eos))
            else:
                going.append(False)
        return going

    def _prefill(self) -> tuple[Tensor, Any, Tensor]:
        """Logits of the first token, keys and values, and mask, one row per request."""
        from transformers import DynamicCache

        prompts = list(dict.fromkeys(row.request.tokens for row in self.rows))
        ids, mask = self._left_padded(prompts)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        cache = DynamicCache(config=self.sampler.model.config)
        logits = self._forward(ids, mask, positions, cache)
        self.sampler.work.prefilled += sum(map(len, prompts))
        place = {prompt: i for i, prompt in enumerate(prompts)}
        index = torch.tensor([place[r.request.tokens] for r in self.rows], device=self.device)
        if len(prompts) < len(self.rows):
            cache.batch_select_indices(index)
            logits, mask = logits[index], mask[index]
        return logits, cache, mask

    def _left_padded(self, prompts: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
        width = max(map(len, prompts))
        ids = np.full((len(prompts), width), self.sampler.vocabulary.pad, np.int64)
        mask = np.zeros((len(prompts), width), np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        output = self.sampler.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]


def draw(
    logits: Tensor, sampling: Sampling, uniform: np.ndarray[Any, np.dtype[np.float64]]
) -> tuple[Tensor, Tensor]:
    """One token per row by inverse distribution function.

    Args:
        logits: shape (n, V).
        sampling: temperature and top-p.
        uniform: in [0, 1), shape (n,).

    Returns:
        Ids (n,) and their log-probabilities (n,) as :class:`llm.sampling.base.Completion` has them.
    """
    greedy = sampling.temperature == 0
    scaled = logits.float() if greedy else logits.float() / sampling.temperature
    logprobs = torch.log_softmax(scaled, dim=-1)
    if greedy:
        tokens = logprobs.argmax(dim=-1)
    else:
        weights = _nucleus(logprobs.exp(), sampling.top_p)
        cumulative = weights.double().cumsum(dim=-1)
        total = cumulative[:, -1:].contiguous()
        u = torch.from_numpy(uniform).to(logits.device)[:, None] * total
        index = torch.searchsorted(cumulative, u, right=True)
        # A u that rounds up to the total would fall beyond the last id that can be drawn.
        last = torch.searchsorted(cumulative, total)
        tokens = torch.minimum(index, last)[:, 0]
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


def _nucleus(weights: Tensor, top_p: float) -> Tensor:
    """The weights with those outside the likeliest `top_p` set to 0, shape (n, V)."""
    if top_p >= 1:
        return weights
    ranked, order = weights.sort(dim=-1, descending=True)
    before = ranked.cumsum(dim=-1) - ranked
    return weights.masked_fill(
        torch.zeros_like(weights, dtype=torch.bool).scatter(1, order, before >= top_p * (1 - 1e-6)),
        0.0,
    )


def _never(token: int) -> bool:
    return False
