"""Sampling with a transformers model: one prefill per distinct prompt, then decoding in a batch.

``model.generate`` draws all rows of a batch from one random stream, so that a row depends on its
neighbours, and computes a prompt anew for every row that shares it. This loop gives each row its
own stream, lets rows that share a prompt share what was read of it, and drops finished rows. Not
every architecture stands that: the way in which a model is read
(:mod:`llm.sampling.transformers.reading`) is the fastest of those whose log-probabilities are those
of a plain forward pass.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput, check_count
from llm.models.attention import decoding
from llm.models.law import Difference, evaluating, other_law, probe_rows
from llm.models.load import context_of
from llm.sampling.base import Completion, Request, Sampling, Work, check_requests
from llm.sampling.drawing import Row, begin_row, check_finite, draw
from llm.sampling.noise import uniforms
from llm.sampling.streaming import CompletionStream, WholeBatches
from llm.sampling.transformers.reading import PADDED, REREAD, Way, possible_ways
from llm.sampling.transformers.slots import SlotStream, keeps_slots
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
        # Found out by the first stream.
        self._slots: bool | None = None

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
        with evaluating(self.model), decoding(self.model), torch.inference_mode():
            for part in self._parts(order, requests):
                batch = _Batch(self, [requests[i] for i in part], sampling)
                done.update(zip(part, batch.run(), strict=True))
        return [done[i] for i in range(len(requests))]

    def stream(self, slots: int | None = None) -> CompletionStream:
        """Begin a stream of requests in which finished rows make room for new ones.

        A model of another kind than plain attention has batches that nothing can enter; there a
        stream waits for each batch to end.

        Args:
            slots: most completions decoded at a time, by default `max_batch`.
        """
        slots = self.max_batch if slots is None else slots
        check_count("slots", slots)
        if self._slots is None:
            self._slots = self._keeps_slots()
        return SlotStream(self, slots) if self._slots else WholeBatches(self)

    def _keeps_slots(self) -> bool:
        """Whether rows that enter a batch under way, or go on from one that left, are right."""
        if self.way != PADDED or not keeps_slots(self.model):
            return False
        asked, work = self._probes(), self.work
        try:
            self.work = Work()  # probes do not count as work
            stream = SlotStream(self, 2)
            done = _drain(stream, asked)
            # From before the last token of each, and not all of them are one token on.
            again = [
                Request(r.tokens + c.tokens[:-1], 1 + i, i)
                for i, (r, c) in enumerate(zip(asked, done, strict=True))
            ]
            asked, done = [*asked, *again], [*done, *_drain(stream, again)]
        finally:
            self.work = work
        found = self._compared(asked, done)
        if not found.is_rounding:
            kind = self.model.config.model_type
            _log.warning("%s is sampled batch by batch; streams are slower so", kind)
        return found.is_rounding

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
        asked = self._probes()
        try:
            self.work = Work()  # probes do not count as work
            done = self.generate(asked, Sampling())
        finally:
            self.work = work
        return self._compared(asked, done)

    def _probes(self) -> list[Request]:
        rows = probe_rows(self.model, self.context)
        return [Request(prompt, len(end), i) for i, (prompt, end) in enumerate(rows)]

    def _compared(self, asked: Sequence[Request], done: Sequence[Completion]) -> Difference:
        sampled = [(r.tokens, c.tokens) for r, c in zip(asked, done, strict=True)]
        return Difference.of(self.model, sampled, [torch.from_numpy(c.logprobs) for c in done])


def _drain(stream: SlotStream, asked: Sequence[Request]) -> list[Completion]:
    """Completions of requests, in their order."""
    tickets = [stream.submit(request, Sampling()) for request in asked]
    done: dict[int, Completion] = {}
    while len(done) < len(asked):
        done.update(stream.finished())
    return [done[ticket] for ticket in tickets]


class _Batch:
    """Requests that are decoded together."""

    def __init__(
        self, sampler: TransformersSampler, requests: Sequence[Request], sampling: Sampling
    ) -> None:
        self.sampler, self.sampling = sampler, sampling
        self.device = sampler.model.device
        self.reader = sampler.way.reader(sampler.model, sampler.vocabulary.pad)
        self.rows = [begin_row(r, sampler.context, sampler.vocabulary) for r in requests]

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

    def _push(self, live: Sequence[Row], tokens: Tensor, logprobs: Tensor) -> list[bool]:
        eos, going = self.sampler.eos, []
        for row, token, logprob in zip(live, tokens.tolist(), logprobs.tolist(), strict=True):
            check_finite(self.sampler.model, logprob)
            if row.ended is None:
                self.sampler.work.decoded += 1
                going.append(row.push(token, logprob, eos))
            else:
                # It has ended but still stands in the batch; what is drawn for it is thrown away.
                going.append(False)
        return going
