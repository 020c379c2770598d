"""How a transformers model reads a batch that grows by a token per row: three ways.

With a cache each token is read once. Prompts of unequal length then stand in one batch, padded on
the left; where an architecture does not stand padding, only rows of equal length share a batch; and
where its cache is one that rows cannot leave or share, every token is read anew for each next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from llm.models.caches import cache_argument, takes_dynamic_cache
from llm.text.rollouts import Tokens

_ROOM = 64
"""Columns of a cache that are free when it is made anew: it is copied once in so many tokens."""


class Reader(Protocol):
    """What is read of the rows of a batch.

    Attributes:
        again: tokens that went through the model a second time or more.
    """

    again: int

    def begin(self, prompts: Sequence[Tokens]) -> Tensor:
        """Read n prompts, one per row.

        Args:
            prompts: ids, each at least one.

        Returns:
            Logits of what comes next, shape (n, V).
        """
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with some rows.

        Args:
            rows: their indices, shape (m,); one may come more than once.
        """
        ...

    def add(self, tokens: Tensor) -> Tensor:
        """Read one more token per row.

        Args:
            tokens: ids, shape (m,).

        Returns:
            Logits of what comes next, shape (m, V).
        """
        ...


class _RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of a layer, with room for more: a new token does not copy the others.

    `keys` and `values` are views of what was written, (n, heads, length, size of a head).
    """

    keys: Tensor
    values: Tensor
    _room: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **options: Any
    ) -> tuple[Tensor, Tensor]:
        """Write tokens behind those that were; keys and values of all."""
        del args, options
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        length = self.get_seq_length()
        self._hold(length + key_states.shape[2], key_states, value_states)
        self.keys[:, :, length:] = key_states
        self.values[:, :, length:] = value_states
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Go on with some rows."""
        super().reorder_cache(beam_idx)  # type: ignore[arg-type]
        # Copies of just the length.
        self._room = None

    def _hold(self, length: int, *like: Tensor) -> None:
        """Make `keys` and `values` so long; what is new in them is not set."""
        if self._room is None or self._room[0].shape[2] < length:
            room = [new.new_empty(*new.shape[:2], length + _ROOM, new.shape[3]) for new in like]
            had = self.get_seq_length()
            if had:
                room[0][:, :, :had], room[1][:, :, :had] = self.keys, self.values
            self._room = (room[0], room[1])
        self.keys, self.values = (held[:, :, :length] for held in self._room)


class CachedReader:
    """Reads each token once; shorter prompts are padded on the left."""

    again = 0

    def __init__(self, model: Any, pad: int) -> None:
        """Set up an empty batch; `pad` is the id that fills up."""
        self._model, self._pad = model, pad
        self._name = cache_argument(model)
        # By the configuration, so that sliding windows and recurrent states get layers of their
        # kind.
        self._cache: Any = DynamicCache(config=model.config)
        for i, layer in enumerate(self._cache.layers):
            # Layers with a window or a state have classes, and needs, of their own.
            if type(layer) is DynamicLayer:
                self._cache.layers[i] = _RoomyLayer()  # type: ignore[no-untyped-call]
        self._mask = torch.empty(0)
        self._position = torch.empty(0)

    def begin(self, prompts: Sequence[Tokens]) -> Tensor:
        """Read n prompts; logits of shape (n, V), see :class:`Reader`."""
        # On the left, so that the next token of every row stands in the same column. Positions
        # start at each row's first real token, as they do for a row alone.
        width = max(map(len, prompts))
        ids = torch.full((len(prompts), width), self._pad)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        self._mask = mask.to(self._model.device)
        # The position of a row's next token is the number of its real ones.
        self._position = self._mask.sum(dim=1, keepdim=True)
        # On padding this would be -1, which no table of positions has; the mask hides what is
        # there.
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        return self._read(ids.to(self._model.device), self._mask, positions)

    def go_on(self, kept: Sequence[tuple[Tensor, Tensor]], tokens: Tokens) -> Tensor:
        """Read what follows of one text whose beginning is known.

        Args:
            kept: keys and values of the beginning per layer, each (heads, length, size); see
                :meth:`row`.
            tokens: ids that follow, at least one.

        Returns:
            Logits of what comes next, shape (1, V).
        """
        for layer, (keys, values) in zip(self._cache.layers, kept, strict=True):
            layer.update(keys[None], values[None])
        device, length = self._model.device, kept[0][0].shape[1]
        self._mask = torch.ones(1, length + len(tokens), dtype=torch.int64, device=device)
        self._position = self._mask.sum(dim=1, keepdim=True)
        positions = torch.arange(length, length + len(tokens), device=device)[None]
        return self._read(torch.tensor([tokens], device=device), self._mask, positions)

    def keep(self, rows: Tensor) -> None:
        """Go on with rows of indices of shape (m,), see :class:`Reader`."""
        # Unlike `batch_select_indices`, which layers with recurrent states do not have.
        self._cache.reorder_cache(rows)
        self._mask, self._position = self._mask[rows], self._position[rows]

    def row(self, index: int, length: int) -> list[tuple[Tensor, Tensor]]:
        """Return keys and values of a row's last tokens, per layer, each (heads, length, size).

        For models all of whose layers hold keys and values of every token.
        """
        return [
            (layer.keys[index, :, -length:], layer.values[index, :, -length:])
            for layer in self._cache.layers
        ]

    def add(self, tokens: Tensor) -> Tensor:
        """Read ids of shape (m,); logits of shape (m, V), see :class:`Reader`."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        # State-space models multiply what they read by the mask, and have no use for the past's.
        mask = None if self._name == "cache_params" else self._mask
        logits = self._read(tokens[:, None], mask, self._position)
        self._position = self._position + 1
        return logits

    def _read(self, ids: Tensor, mask: Tensor | None, positions: Tensor) -> Tensor:
        # Of a prompt only the last place is needed; the logits of all would be n x W x V.
        logits: Tensor = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
            **{self._name: self._cache},
        ).logits
        # The last one still, for models that know no `logits_to_keep`.
        return logits[:, -1]


class RereadingReader:
    """Reads the whole rows, all of one length, for every next token."""

    def __init__(self, model: Any, pad: int) -> None:
        """Set up an empty batch."""
        del pad  # rows of equal length alone share a batch here
        self._model, self.again = model, 0
        self._ids = torch.empty(0)

    def begin(self, prompts: Sequence[Tokens]) -> Tensor:
        """Read n prompts; logits of shape (n, V). Torch refuses prompts of unequal length."""
        self._ids = torch.tensor(prompts, device=self._model.device)
        return self._read()

    def keep(self, rows: Tensor) -> None:
        """Go on with rows of indices of shape (m,), see :class:`Reader`."""
        self._ids = self._ids[rows]

    def add(self, tokens: Tensor) -> Tensor:
        """Read ids of shape (m,); logits of shape (m, V), see :class:`Reader`."""
        # All but the new tokens, which whoever samples counts as decoded.
        self.again += self._ids.numel()
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        return self._read()

    def _read(self) -> Tensor:
        logits: Tensor = self._model(input_ids=self._ids, use_cache=False, logits_to_keep=1).logits
        return logits[:, -1]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to read.

    Attributes:
        reader: makes the reader of a batch, from the model and the id that fills up.
        mixed: whether rows whose prompts differ in length may share a batch.
        name: in messages.
    """

    reader: type[CachedReader] | type[RereadingReader]
    mixed: bool
    name: str


PADDED = Way(CachedReader, True, "with a cache, prompts padded on the left")
EQUAL = Way(CachedReader, False, "with a cache, prompts of equal length at a time")
REREAD = Way(RereadingReader, False, "without a cache: all tokens are read again for each new one")


def possible_ways(model: Any) -> tuple[Way, ...]:
    """Return the ways that a model may be read in, fastest first; none is tested yet."""
    return (PADDED, EQUAL, REREAD) if _shares_its_cache(model) else (REREAD,)


def _shares_its_cache(model: Any) -> bool:
    """Whether the model takes a cache whose rows can be dropped and repeated."""
    if not takes_dynamic_cache(model):
        return False
    # Layers that a model brings with it hold more than the methods of the library's own move.
    layers = DynamicCache(config=model.config).layers
    return all(type(layer).__module__ == DynamicCache.__module__ for layer in layers)
