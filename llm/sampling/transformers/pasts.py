"""What a model remembers of texts that it has read: what begins alike is not read again.

A suffix goes on from the middle of a rollout that was sampled a moment ago, and prompts often share
their examples: their keys and values are there already.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from torch import Tensor

from llm.text.rollouts import Tokens

KeysAndValues = list[tuple[Tensor, Tensor]]
"""Of each layer, both of shape (heads, length, size of a head)."""


class Pasts:
    """Keys and values of texts, at most so many tokens of them: the oldest are forgotten first.

    Source: Zheng et al. (2024), SGLang, arXiv 2312.07104 (reuse of the longest common prefix).
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._held: OrderedDict[Tokens, KeysAndValues] = OrderedDict()
        self._size = 0

    def keep(self, tokens: Tokens, kept: KeysAndValues, most: int) -> None:
        """Remember a text.

        Args:
            tokens: its ids, length T.
            kept: its keys and values, of length T. They are not copied.
            most: tokens that may be held from now on.
        """
        self.forget(tokens)
        self._held[tokens] = kept
        self._size += len(tokens)
        while self._size > most:
            self.forget(next(iter(self._held)))

    def forget(self, tokens: Tokens) -> None:
        """Drop a text, if it is there."""
        if self._held.pop(tokens, None) is not None:
            self._size -= len(tokens)

    def longest(self, tokens: Tokens) -> tuple[int, KeysAndValues]:
        """Return how many ids of a text are known at most, and keys and values of those.

        The last id is never among them: what comes next is only known from reading it.
        """
        source = max(self._held, key=lambda held: in_common(held, tokens), default=())
        length = min(in_common(source, tokens), len(tokens) - 1)
        if not length:
            return 0, []
        # Texts that are gone on from are needed again, by the other suffixes.
        self._held.move_to_end(source)
        return length, cut(self._held[source], length)


def in_common(one: Tokens, other: Tokens) -> int:
    """Return the length of the longest common beginning."""
    if one[: len(other)] == other[: len(one)]:  # in one comparison, as it mostly is
        return min(len(one), len(other))
    return next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


def cut(kept: Iterable[tuple[Tensor, Tensor]], length: int) -> KeysAndValues:
    """Return the first columns of keys and values, as views."""
    return [(keys[:, :length], values[:, :length]) for keys, values in kept]
