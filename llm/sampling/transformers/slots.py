"""Continuous batching for transformers: a finished row leaves its slot, and a new request enters.

Each row has its own columns of keys and values, from 0 on, and writes its next token where it has
got to; a mask hides what is behind that. So rows of any age share a forward pass, and no cache is
copied for a token. What was read of rows that have left is held for a while: a request that goes on
from the middle of one of them enters without reading anything but its last token.

Source: Yu et al. (2022), Orca, OSDI 2022 (batching by iteration).
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llm.models.attention import decoding
from llm.models.caches import cache_argument
from llm.models.law import evaluating
from llm.sampling.base import Completion, Request, Sampling, Work, check_requests
from llm.sampling.drawing import Row, begin_row, check_finite, draw
from llm.sampling.noise import uniforms
from llm.sampling.transformers.pasts import KeysAndValues, Pasts, cut, in_common
from llm.sampling.transformers.reading import CachedReader
from llm.text.rollouts import Tokens
from llm.text.vocabulary import Vocabulary

_COLUMNS = 64
"""Columns that are added at least when rows outgrow their slots: each time the cache is copied."""

_WORTH = 32
"""Tokens that a prompt has to share with a known text to be read by itself from there on. A forward
pass of one row costs a pass over the weights, about as much as some ten tokens more in a batch."""


class _Engine(Protocol):
    """What a stream needs of its sampler."""

    model: Any
    vocabulary: Vocabulary
    eos: frozenset[int]
    context: int
    work: Work


def keeps_slots(model: Any) -> bool:
    """Whether all that a model remembers of its past is keys and values of every token.

    A sliding window would count columns for positions, and a recurrent state has none.
    """
    if cache_argument(model) != "past_key_values":
        return False
    # Layers with a window or a state have classes of their own.
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


class _SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of a layer: (slots, heads, columns, size of a head)."""

    keys: Tensor
    values: Tensor

    def __init__(self, places: _Places) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places = places

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Write one token per live row; keys and values of all of its columns."""
        del args, options
        at, live = self._places, slice(0, len(self._places.rows))
        self.keys[at.rows, :, at.columns] = key_states[:, :, 0]
        self.values[at.rows, :, at.columns] = value_states[:, :, 0]
        return self.keys[live, :, : at.width], self.values[live, :, : at.width]

    @property
    def size(self) -> int:
        """Tokens that there is room for, in all slots together."""
        return self.keys.shape[0] * self.keys.shape[2]

    def get_seq_length(self) -> int:
        """Columns before the one that is written, in the row that has got furthest."""
        return self._places.width - 1

    def take(self, row: int, keys: Tensor, values: Tensor, slots: int, columns: int) -> None:
        """Put what was read of a prompt, shape (heads, length, size), into a row."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            self.keys = keys.new_zeros(slots, keys.shape[0], columns, keys.shape[2])
            self.values = values.new_zeros(slots, values.shape[0], columns, values.shape[2])
        self.keys, self.values = (
            _at_least(held, slots, columns) for held in (self.keys, self.values)
        )
        length = keys.shape[1]
        self.keys[row, :, :length] = keys
        self.values[row, :, :length] = values

    def widen(self, columns: int, most: int) -> None:
        """Make room for rows that have got to so many columns."""
        if self.keys.shape[2] < columns:
            # Half as many again: over a long completion each is copied twice.
            grown = min(max(columns + _COLUMNS, columns * 3 // 2), most)
            slots = self.keys.shape[0]
            self.keys = _at_least(self.keys, slots, grown)
            self.values = _at_least(self.values, slots, grown)

    def copied(self, row: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a row's first tokens, shape (heads, length, size) each."""
        return self.keys[row, :, :length].clone(), self.values[row, :, :length].clone()

    def move(self, source: int, target: int, length: int) -> None:
        """Put a row into another slot."""
        for held in (self.keys, self.values):
            held[target, :, :length] = held[source, :, :length]


def _at_least(held: Tensor, slots: int, columns: int) -> Tensor:
    """The tensor, with as many slots and columns at least."""
    had, heads, width, size = held.shape
    if had >= slots and width >= columns:
        return held
    grown = held.new_zeros(max(had, slots), heads, max(width, columns), size)
    grown[:had, :, :width] = held
    return grown


@dataclass(slots=True)
class _Places:
    """Where the live rows write: `columns`, shape (n,), of slots `rows`, which are 0 to n - 1."""

    rows: Tensor
    columns: Tensor
    width: int = 1


@dataclass(slots=True)
class _Read:
    """A prompt that was read: logits (V,) of what comes next, and keys and values per layer."""

    logits: Tensor
    kept: KeysAndValues


class SlotStream:
    """Requests that share a model's forward passes, each in a slot of its own.

    Source: Yu et al. (2022), OSDI 2022 (iteration-level scheduling); Zheng et al. (2024), arXiv
    2312.07104 (reuse of what rows before have read).
    """

    def __init__(self, engine: _Engine, slots: int) -> None:
        """Set up empty slots; see :class:`~llm.sampling.streaming.CompletionStream`."""
        self._engine, self._slots = engine, slots
        self._device = engine.model.device
        self._name = cache_argument(engine.model)
        empty = torch.zeros(0, dtype=torch.int64, device=self._device)
        self._places = _Places(empty, empty)
        count = len(DynamicCache(config=engine.model.config).layers)
        self._cache: Any = DynamicCache(config=engine.model.config)
        self._cache.layers = [_SlotLayer(self._places) for _ in range(count)]
        self._queue: deque[tuple[int, Request, Sampling]] = deque()
        self._prompts: Counter[Tokens] = Counter()
        self._read: dict[Tokens, _Read] = {}
        # Of rows that have left.
        self._pasts = Pasts()
        # Of the live rows, by slot.
        self._live: list[tuple[int, Row, Sampling]] = []
        self._submitted = 0

    def submit(self, request: Request, sampling: Sampling) -> int:
        """Take a request; see :class:`~llm.sampling.streaming.CompletionStream`."""
        check_requests([request], self._engine.context)
        self._submitted += 1
        self._queue.append((self._submitted, request, sampling))
        self._prompts[request.tokens] += 1
        return self._submitted

    def close(self) -> None:
        """Drop what is not done."""
        self._queue.clear()
        self._live.clear()
        self._read.clear()
        self._pasts = Pasts()
        self._cache.layers = []

    def finished(self) -> list[tuple[int, Completion]]:
        """Work until a request is done; see :class:`~llm.sampling.streaming.CompletionStream`."""
        done: list[tuple[int, Completion]] = []
        if not self._queue and not self._live:
            return done
        self._engine.work.calls += 1
        model = self._engine.model
        with evaluating(model), decoding(model), torch.inference_mode():
            while not done:
                entered = self._enter()
                if len(entered) < len(self._live):
                    logits = torch.cat([self._add(len(self._live) - len(entered)), *entered])
                else:
                    logits = torch.cat(entered)
                done = self._push(logits)
        return done

    def _enter(self) -> list[Tensor]:
        """Let requests into free slots; logits of first tokens, each (1, V), of the last of them.

        Those that enter before go on from a row that has left: all but their last token is known,
        which is read with the newest ones of the rows under way.
        """
        free = self._slots - len(self._live)
        entering = [self._queue.popleft() for _ in range(min(free, len(self._queue)))]
        forked = {id(entry): self._forked(entry[1].tokens) for entry in entering}
        forks = [entry for entry in entering if forked[id(entry)]]
        for entry in forks:
            self._put(entry, forked[id(entry)])
        others = [entry for entry in entering if not forked[id(entry)]]
        self._prefill({request.tokens for _, request, _ in others})
        logits = []
        for entry in others:
            known = self._read[entry[1].tokens]
            self._put(entry, known.kept)
            logits.append(known.logits[None])
        for _, request, _ in entering:
            # Kept while others wait that have the same prompt.
            self._prompts[request.tokens] -= 1
            if not self._prompts[request.tokens]:
                del self._prompts[request.tokens]
                self._read.pop(request.tokens, None)
        return logits

    def _forked(self, prompt: Tokens) -> KeysAndValues:
        """Keys and values of all but a prompt's last token, if they are known; else nothing."""
        if prompt in self._read:
            return []
        length, kept = self._pasts.longest(prompt)
        return kept if length == len(prompt) - 1 else []

    def _prefill(self, prompts: set[Tokens]) -> None:
        new = sorted((p for p in prompts if p not in self._read), key=lambda p: (len(p), p))
        whole: list[Tokens] = []
        rest: list[Tokens] = []
        for prompt in new:
            shared = max([self._known(prompt)[0], *(in_common(prompt, other) for other in whole)])
            (rest if shared >= _WORTH else whole).append(prompt)
        if whole:
            reader = self._reader()
            logits = reader.begin(whole)
            self._engine.work.prefilled += sum(map(len, whole))
            for i, prompt in enumerate(whole):
                self._read[prompt] = _Read(logits[i], reader.row(i, len(prompt)))
        for prompt in rest:
            length, kept = self._known(prompt)
            reader = self._reader()
            logits = reader.go_on(kept, prompt[length:])
            self._engine.work.prefilled += len(prompt) - length
            self._read[prompt] = _Read(logits[0], reader.row(0, len(prompt)))

    def _reader(self) -> CachedReader:
        return CachedReader(self._engine.model, self._engine.vocabulary.pad)

    def _known(self, prompt: Tokens) -> tuple[int, KeysAndValues]:
        """How much of a prompt is known from rows that have left or prompts that wait, and that."""
        best = self._pasts.longest(prompt)
        for other, read in self._read.items():
            length = min(in_common(prompt, other), len(prompt) - 1)
            if length > best[0]:
                best = length, cut(read.kept, length)
        return best

    def _put(self, entry: tuple[int, Request, Sampling], kept: KeysAndValues) -> None:
        """Give a request the next slot, and what is known of its prompt."""
        ticket, request, sampling = entry
        slot = len(self._live)
        longest = max([len(request.tokens), *(self._length(row) for _, row, _ in self._live)])
        columns = min(longest + _COLUMNS, self._engine.context)
        for layer, (keys, values) in zip(self._cache.layers, kept, strict=True):
            layer.take(slot, keys, values, self._slots_for(slot), columns)
        row = begin_row(request, self._engine.context, self._engine.vocabulary)
        self._live.append((ticket, row, sampling))

    def _slots_for(self, slot: int) -> int:
        # All at once where many come together: each growth copies the cache.
        return min(self._slots, max(slot + 1, len(self._live) + len(self._queue), 8))

    def _length(self, row: Row) -> int:
        return len(row.request.tokens) + len(row.tokens)

    def _add(self, count: int) -> Tensor:
        """Read the last token of the first `count` rows, n of them; logits (n, V)."""
        rows = [row for _, row, _ in self._live[:count]]
        newest = [(row.tokens or row.request.tokens)[-1] for row in rows]
        # Of those that have gone on from another row, a token of the prompt.
        self._engine.work.prefilled += sum(not row.tokens for row in rows)
        tokens = torch.tensor(newest, device=self._device)
        columns = torch.tensor([self._length(row) - 1 for row in rows], device=self._device)
        at = self._places
        at.rows = torch.arange(count, device=self._device)
        at.columns, at.width = columns, int(columns.max()) + 1
        for layer in self._cache.layers:
            layer.widen(at.width, self._engine.context)
        mask = torch.arange(at.width, device=self._device)[None] <= columns[:, None]
        logits: Tensor = self._engine.model(
            input_ids=tokens[:, None],
            attention_mask=mask.long(),
            position_ids=columns[:, None],
            use_cache=True,
            logits_to_keep=1,
            **{self._name: self._cache},
        ).logits
        return logits[:, -1]

    def _push(self, logits: Tensor) -> list[tuple[int, Completion]]:
        """Draw a token for every row; those that end leave."""
        tokens, logprobs = self._draw(logits)
        done: list[tuple[int, Completion]] = []
        ended = []
        for slot, (ticket, row, _) in enumerate(self._live):
            check_finite(self._engine.model, logprobs[slot])
            self._engine.work.decoded += 1
            if not row.push(tokens[slot], logprobs[slot], self._engine.eos):
                ended.append(slot)
                done.append((ticket, row.completion()))
        for slot in reversed(ended):
            self._leave(slot)
        return done

    def _draw(self, logits: Tensor) -> tuple[list[int], list[float]]:
        keys = np.array([row.request.key for _, row, _ in self._live], np.uint64)
        places = np.array([len(row.tokens) for _, row, _ in self._live])
        tokens, logprobs = [0] * len(self._live), [0.0] * len(self._live)
        kinds = [sampling for _, _, sampling in self._live]
        # Localisations are drawn at another temperature than the rollouts beside them.
        for sampling in dict.fromkeys(kinds):
            some = [i for i, kind in enumerate(kinds) if kind == sampling]
            part = logits if len(some) == len(kinds) else logits[some]
            drawn = draw(part, sampling, uniforms(keys[some], places[some]))
            for i, token, logprob in zip(some, *(t.tolist() for t in drawn), strict=True):
                tokens[i], logprobs[i] = token, logprob
        return tokens, logprobs

    def _leave(self, slot: int) -> None:
        """The last row takes the place of the one that leaves, so that slots have no holes."""
        self._remember(slot)
        last = self._live.pop()
        if slot == len(self._live):
            return
        self._live[slot] = last
        # Its newest token is read, and written, in the next step.
        length = self._length(last[1]) - 1
        for layer in self._cache.layers:
            layer.move(len(self._live), slot, length)

    def _remember(self, slot: int) -> None:
        """Hold what was read of a row, for requests that go on from it."""
        row = self._live[slot][1]
        # Its newest token was never read.
        read = (*row.request.tokens, *row.tokens)[:-1]
        kept = [layer.copied(slot, len(read)) for layer in self._cache.layers]
        # As much again as the slots themselves take.
        self._pasts.keep(read, kept, self._cache.layers[0].size)
