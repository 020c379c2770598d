"""Sampling with a transformers model: one prefill per distinct prompt, then decoding in a batch.

``model.generate`` draws all rows of a batch from one random stream, so that a row depends on its
neighbours, and computes a prompt anew for every row that shares it. This loop gives each row its
own stream, lets rows that share a prompt share what was read of it, and drops finished rows. Not
every architecture stands that: the way in which a model is read (:mod:`llm.sampling.reading`) is
the fastest of those whose log-probabilities are those of a plain forward pass.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput, check_count
from llm.models.law import Difference, evaluating, other_law, probe_rows
from llm.models.load import context_of
from llm.sampling.base import Completion, CompletionEnding, Request, Sampling, Work, check_requests
from llm.sampling.noise import uniforms
from llm.sampling.reading import PADDED, REREAD, Way, possible_ways
from llm.text.stop_rules import StopTracker
from llm.text.vocabulary import Vocabulary

_COMPACT_AT = 0.75
"""Share of a batch's rows still going at which finished ones are dropped: each time the cache is
copied, so not for every row that ends."""

_log = logging.getLogger(__name__)


class TransformersSampler:
    """Samples from a causal language model of transformers that is used and trained in place.

    Attributes:
        model: the model; what it learns is seen by the next call.
        vocabulary: its tokenizer.
        eos, context, work: see :class:`llm.sampling.base.Sampler`.
        max_batch: most completions decoded at a time.
        way: how the model is read.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        max_batch: int = 256,
        context: int | None = None,
    ) -> None:
        """Set up the sampler, and sample a few tokens to find out how the model can be read.

        Args:
            model: the model.
            vocabulary: its tokenizer.
            max_batch: most completions decoded at a time.
            context: longest sequence in tokens, by default what the model was made for.

        Raises:
            InvalidInput: if a number is out of range, or what is sampled has other
                log-probabilities than a forward pass, in whatever way the model is read.
        """
        check_count("max_batch", max_batch)
        self.model, self.vocabulary, self.max_batch = model, vocabulary, max_batch
        self.context = context_of(model, vocabulary) if context is None else context
        check_count("context", self.context, minimum=2)
        self.eos = vocabulary.eos
        self.work = Work()
        self.way = self._right_way()

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        """Sample one completion per request; see :class:`llm.sampling.base.Sampler`.

        Args:
            requests: any number; equal prompts are read once.
            sampling: temperature and top-p.

        Returns:
            Completions in the order of the requests.

        Raises:
            InvalidInput: a request does not fit into the context, or the model gives
                log-probabilities that are not finite.
        """
        check_requests(requests, self.context)
        self.work.calls += bool(requests)
        # Rows of like length decode together: little padding, and they end at about one time.
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].tokens), i))
        done: dict[int, Completion] = {}
        with evaluating(self.model), torch.inference_mode():
            for part in self._parts(order, requests):
                batch = _Batch(self, [requests[i] for i in part], sampling)
                done.update(zip(part, batch.run(), strict=True))
        return [done[i] for i in range(len(requests))]

    def _parts(self, order: Sequence[int], requests: Sequence[Request]) -> Iterator[Sequence[int]]:
        """Which requests share a batch."""
        groups = itertools.groupby(order, lambda i: len(requests[i].tokens))
        mixed = [order] if self.way.mixed else [list(group) for _, group in groups]
        for rows in mixed:
            for first in range(0, len(rows), self.max_batch):
                yield rows[first : first + self.max_batch]

    def sync(self, model: Any) -> None:
        """Nothing is copied: the model is sampled in place.

        Raises:
            InvalidInput: if it is another one.
        """
        if model is not self.model:
            raise InvalidInput(
                "model", type(model).__name__, "not the one sampled from", "make a new sampler"
            )

    def _right_way(self) -> Way:
        """The fastest way to read the model in which a few tokens are sampled right."""
        for way in possible_ways(self.model):
            found = self._difference(way)
            # A doubtful difference is let pass of the slowest way alone: there is no safer one
            # behind it.
            if found.is_rounding or (way == REREAD and found.may_be_rounding):
                break
        else:
            raise other_law(self.model, found, "as they are sampled", "sample with vLLM, or ")
        if way != PADDED:
            kind = self.model.config.model_type
            _log.warning("%s is sampled %s; that is slower", kind, way.name)
        return way

    def _difference(self, way: Way) -> Difference:
        """Sample in a way: unequal prompts, some of them twice, that end at different times."""
        self.way, work = way, self.work
        rows = probe_rows(self.model, self.context)
        asked = [Request(prompt, len(end), i) for i, (prompt, end) in enumerate(rows)]
        try:
            self.work = Work()  # probes do not count as work
            done = self.generate(asked, Sampling())
        finally:
            self.work = work
        sampled = [(r.tokens, c.tokens) for r, c in zip(asked, done, strict=True)]
        return Difference.of(self.model, sampled, [torch.from_numpy(c.logprobs) for c in done])


@dataclass(slots=True)
class _Row:
    """A completion in the making."""

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
        assert self.ended is not None
        return Completion(tuple(self.tokens), np.array(self.logprobs, np.float32), self.ended)


class _Batch:
    """Requests that are decoded together."""

    def __init__(
        self, sampler: TransformersSampler, requests: Sequence[Request], sampling: Sampling
    ) -> None:
        self.sampler, self.sampling = sampler, sampling
        self.device = sampler.model.device
        self.reader = sampler.way.reader(sampler.model, sampler.vocabulary.pad)
        limit = sampler.context
        self.rows = [
            # A row ends at its own limit or at the end of the context, whichever comes first.
            _Row(
                Request(r.tokens, min(r.max_tokens, limit - len(r.tokens)), r.key),
                r.track(sampler.vocabulary),
            )
            for r in requests
        ]

    def run(self) -> list[Completion]:
        """Run until every row has ended; completions in the order of the requests."""
        logits = self._begin()
        live = list(self.rows)
        keys = np.array([row.request.key for row in live], np.uint64)
        position = 0
        while True:
            # All live rows are at one position: they began together, and none ever waits.
            tokens, logprobs = draw(logits, self.sampling, uniforms(keys, position))
            position += 1
            going = self._push(live, tokens, logprobs)
            if not any(going):
                self.sampler.work.prefilled += self.reader.again
                return [row.completion() for row in self.rows]
            if sum(going) <= _COMPACT_AT * len(live):
                keep = [i for i, goes in enumerate(going) if goes]
                live, keys = [live[i] for i in keep], keys[keep]
                index = torch.tensor(keep, device=self.device)
                tokens = tokens[index]
                self.reader.keep(index)
            logits = self.reader.add(tokens)

    def _begin(self) -> Tensor:
        """Logits of the first token, one row per request; equal prompts are read once."""
        prompts = list(dict.fromkeys(row.request.tokens for row in self.rows))
        logits = self.reader.begin(prompts)
        self.sampler.work.prefilled += sum(map(len, prompts))
        if len(prompts) == len(self.rows):
            return logits
        place = {prompt: i for i, prompt in enumerate(prompts)}
        # Each row goes on with a copy of what was read of its prompt.
        index = torch.tensor([place[r.request.tokens] for r in self.rows], device=self.device)
        self.reader.keep(index)
        return logits[index]

    def _push(self, live: Sequence[_Row], tokens: Tensor, logprobs: Tensor) -> list[bool]:
        eos, going = self.sampler.eos, []
        for row, token, logprob in zip(live, tokens.tolist(), logprobs.tolist(), strict=True):
            if not math.isfinite(logprob):
                kind = self.sampler.model.config.model_type
                remedy = "take weights from before they went wrong"
                raise InvalidInput("model", kind, "its log-probabilities are not finite", remedy)
            if row.ended is None:
                self.sampler.work.decoded += 1
                going.append(row.push(token, logprob, eos))
            else:
                # It has ended but still stands in the batch; what is drawn for it is thrown away.
                going.append(False)
        return going


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
    scaled = logits.float() if greedy else logits.float() / sampling.temperature
    logprobs = torch.log_softmax(scaled, dim=-1)
    if greedy:
        tokens = logprobs.argmax(dim=-1)
    else:
        weights = _nucleus(logprobs.exp(), sampling.top_p)
        # In double: a sum of float32 over a vocabulary loses the tail's small probabilities.
        cumulative = weights.double().cumsum(dim=-1)
        total = cumulative[:, -1:].contiguous()
        u = torch.from_numpy(uniform).to(logits.device)[:, None] * total
        # From the right: at u = 0 the left would take the first id even if its weight is 0.
        index = torch.searchsorted(cumulative, u, right=True)
        # A u that rounds up to the total would fall beyond the last id that can be drawn, and one
        # that is not a number beyond them all.
        last = torch.searchsorted(cumulative, total).clamp(max=weights.shape[1] - 1)
        tokens = torch.minimum(index, last)[:, 0]
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


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
