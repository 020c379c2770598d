"""Log-probabilities and gradients of rows that have beginnings in common, each read once.

A prefix is read with a cache, and what the cache holds is cut off the graph: copies of its keys and
values, without a past, collect the gradients of all that is read after it. When that is done, one
backward pass goes through the prefix with what they have collected. So the graph of a prefix is
gone through once, and beside it only that of one micro-batch is held at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from llm.models.law import logprobs_of_tokens, token_logprobs
from llm.text.rollouts import Tokens
from llm.training.prefix_tree import Prefix, common_prefixes
from llm.training.rows import PaddedRows, TrainingRow, pad_rows

WORTH = 64
"""Tokens that sharing a prefix has to spare. With 0.1 B parameters on a CPU a pass over few tokens
costs as much as 20 to 40 more: all weights are read, and their gradients added up."""

Visit = Callable[[PaddedRows, Tensor], Tensor]
"""Takes n rows, padded, and their log-probabilities, shape (n, W), 0 where there is no completion
token; returns their part of a loss."""


def tree_of(rows: Sequence[TrainingRow], worth: int = WORTH) -> Prefix:
    """Return the prefixes that rows share: prompts, kept thoughts, and what rows themselves wrote.

    Args:
        rows: any number.
        worth: tokens that sharing has to spare, see
            :func:`llm.training.prefix_tree.common_prefixes`.
    """
    return common_prefixes([_inputs(row) for row in rows], worth)


def read_along(
    model: Any,
    rows: Sequence[TrainingRow],
    tree: Prefix,
    micro_batch: int,
    temperature: float,
    visit: Visit,
) -> int:
    """Work out the log-probabilities of all completion tokens, and the gradient of their loss.

    Losses that `visit` returns must add up to that of all rows; their gradients are added to those
    of the parameters.

    Args:
        model: a causal language model, of which :func:`llm.training.probe.obstacle` knows none.
        rows: any number.
        tree: of these rows, see :func:`tree_of`.
        micro_batch: rows per pass behind a prefix.
        temperature: of the law.
        visit: called with at most so many rows at a time, until each has come once.

    Returns:
        Tokens that went through the model.
    """
    reader = _Reader(model, rows, micro_batch, temperature, visit)
    reader.follow(tree, [])
    return reader.tokens


@dataclass(slots=True)
class _Read:
    """A prefix that was read, cut off its graph.

    Attributes:
        cache: what reading on begins with: keys and values without a past.
        graphs, leaves: log-probabilities, keys and values with their graph, and without.
        known: log-probabilities of the tokens that members learn here, without graph, shape (m,).
        place: of each of those: by the place that it is predicted from, and the token.
    """

    cache: Any
    graphs: list[Tensor]
    leaves: list[Tensor]
    known: Tensor
    place: dict[tuple[int, int], int]

    def close(self) -> None:
        """Go backward through the prefix with the gradients that the leaves have collected."""
        pairs = [
            (graph, leaf.grad)
            for graph, leaf in zip(self.graphs, self.leaves, strict=True)
            # Keys below the first adapter have no graph, and what no row looks at no gradient.
            if graph.requires_grad and leaf.grad is not None
        ]
        # What is left of the leaves must not keep what nobody needs any more.
        for leaf in self.leaves:
            leaf.grad = None
        self.graphs = []
        if pairs:
            backward(*map(list, zip(*pairs, strict=True)))

    def cache_of(self, rows: int) -> Any:
        """Return a cache for so many rows, which may grow without changing this one."""
        new = copy.copy(self.cache)
        new.layers = [copy.copy(layer) for layer in self.cache.layers]
        for layer in new.layers:
            if layer.is_initialized:
                # No copy: the gradient of a repeated view is the sum over its rows.
                layer.keys = layer.keys.expand(rows, -1, -1, -1)
                layer.values = layer.values.expand(rows, -1, -1, -1)
        return new


def backward(tensors: list[Tensor], gradients: list[Tensor] | None = None) -> None:
    """Go backward without autocast, which is meant for forward passes alone.

    Inside of it, so that weights that were cast once stay so for the rest of an update.
    """
    with torch.autocast(tensors[0].device.type, enabled=False):
        torch.autograd.backward(tensors, gradients)


@dataclass(slots=True)
class _Reader:
    """Goes through a tree, depth first: the graphs that are held are those of one path."""

    model: Any
    rows: Sequence[TrainingRow]
    micro_batch: int
    temperature: float
    visit: Visit
    tokens: int = 0
    inputs: list[Tokens] = field(init=False)

    def __post_init__(self) -> None:
        self.inputs = [_inputs(row) for row in self.rows]

    def follow(self, prefix: Prefix, path: list[_Read]) -> None:
        """Read a prefix and all that begins with it."""
        read = None
        if prefix.end > prefix.begin:
            read = self._read(prefix, path[-1] if path else None)
            path = [*path, read]
        for child in prefix.children:
            self.follow(child, path)
        for part in self._micro_batches(prefix):
            self._tails(part, prefix.end, path)
        if read is not None:
            read.close()

    def _micro_batches(self, prefix: Prefix) -> Iterator[tuple[int, ...]]:
        # Of like length together; those without a tail, of which nothing is read, by themselves.
        order = sorted(prefix.tails, key=lambda i: len(self.inputs[i]))
        ended = sum(len(self.inputs[i]) == prefix.end for i in order)
        for part in (order[:ended], order[ended:]):
            for first in range(0, len(part), self.micro_batch):
                yield tuple(part[first : first + self.micro_batch])

    def _read(self, prefix: Prefix, above: _Read | None) -> _Read:
        begin, end = prefix.begin, prefix.end
        wanted: dict[tuple[int, int], int] = {}
        for i in prefix.members:
            row = self.rows[i]
            whole = row.prompt + row.completion
            for place in range(max(begin, len(row.prompt) - 1), end):
                wanted.setdefault((place, whole[place + 1]), len(wanted))
        ids = torch.tensor([self.inputs[prefix.members[0]][begin:end]], device=self.model.device)
        # By the configuration, so that sliding windows get layers of their kind.
        empty: Any = DynamicCache(config=self.model.config)
        cache = empty if above is None else above.cache_of(1)
        first = min((place for place, _ in wanted), default=end - 1)
        logits = self._forward(ids, torch.ones_like(ids), begin, cache, end - first)[0]
        pairs = torch.tensor(list(wanted) or [(first, 0)], device=self.model.device)
        logprobs = logprobs_of_tokens(logits[pairs[:, 0] - first], pairs[:, 1], self.temperature)
        graphs, leaves = [logprobs], [_cut(logprobs)]
        for layer in cache.layers:
            if layer.is_initialized:
                for name in ("keys", "values"):
                    graphs.append(getattr(layer, name))
                    leaves.append(_cut(graphs[-1]))
                    setattr(layer, name, leaves[-1])
        return _Read(cache, graphs, leaves, leaves[0], wanted)

    def _tails(self, part: tuple[int, ...], begin: int, path: list[_Read]) -> None:
        """Log-probabilities of some rows, what stands before `begin` being read already."""
        batch = pad_rows([self.rows[i] for i in part], device=self.model.device)
        if path:
            known = self._continued(part, begin, path)
            logprobs = known.new_zeros(batch.input_ids.shape)
            logprobs = logprobs.masked_scatter(batch.completion_mask, known)
        else:
            self.tokens += sum(len(self.rows[i]) for i in part)
            logprobs = token_logprobs(
                self.model,
                batch.input_ids,
                batch.attention_mask,
                batch.completion_mask,
                self.temperature,
            )
        backward([self.visit(batch, logprobs)])

    def _continued(self, part: tuple[int, ...], begin: int, path: list[_Read]) -> Tensor:
        """Of all completion tokens of some rows, one row after the other."""
        sources = [read.known for read in path]
        offsets = [0]
        for source in sources:
            offsets.append(offsets[-1] + len(source))
        places: list[int] = []
        own: list[tuple[int, int, int]] = []
        for line, i in enumerate(part):
            row = self.rows[i]
            whole = row.prompt + row.completion
            for place in range(len(row.prompt) - 1, len(whole) - 1):
                token = whole[place + 1]
                if place >= begin:
                    places.append(offsets[-1] + len(own))
                    own.append((line, place - begin, token))
                    continue
                # Each place stands in one of them alone.
                number = next(k for k, r in enumerate(path) if (place, token) in r.place)
                places.append(offsets[number] + path[number].place[place, token])
        if own:
            sources.append(self._behind(part, begin, path[-1], torch.tensor(own)))
        pool = torch.cat(sources)
        return pool[torch.tensor(places, device=pool.device)]

    def _behind(self, part: tuple[int, ...], begin: int, read: _Read, own: Tensor) -> Tensor:
        """Of tokens that are predicted behind a prefix, given by row, place and id."""
        tails = [self.inputs[i][begin:] for i in part]
        width = max(map(len, tails))
        ids, real = torch.zeros(len(part), width, dtype=torch.int64), torch.zeros(len(part), width)
        for line, tail in enumerate(tails):
            ids[line, : len(tail)] = torch.tensor(tail)
            real[line, : len(tail)] = 1
        own = own.to(self.model.device)
        first = int(own[:, 1].min())
        logits = self._forward(
            ids.to(self.model.device),
            real.to(self.model.device, torch.int64),
            begin,
            read.cache_of(len(part)),
            width - first,
        )
        chosen = logits[own[:, 0], own[:, 1] - first]
        return logprobs_of_tokens(chosen, own[:, 2], self.temperature)

    def _forward(self, ids: Tensor, real: Tensor, begin: int, cache: Any, kept: int) -> Tensor:
        """Logits of the last `kept` places, (n, kept, V); what is read goes into the cache."""
        self.tokens += int(real.sum())
        # The mask is of all that a row sees, the prefix included.
        mask = torch.cat([real.new_ones(len(ids), begin), real], dim=1)
        places = torch.arange(begin, begin + ids.shape[1], device=ids.device)
        logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places.expand_as(ids),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept,
        ).logits
        return logits[:, -kept:]  # some models know no `logits_to_keep`


def _inputs(row: TrainingRow) -> Tokens:
    """What a model has to read of a row: nothing is predicted from its last token."""
    return (row.prompt + row.completion)[:-1]


def _cut(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.requires_grad)
