"""Which beginnings rows have in common: a tree in which each of them stands once.

The rollouts of a prompt share it, those from a reset state share the kept thoughts as well, and the
rollout that was reset wrote these itself. A model that reads along the tree reads each once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm.text.rollouts import Tokens


@dataclass(frozen=True, slots=True)
class Prefix:
    """What some sequences have in common from one place to another.

    Attributes:
        begin, end: places, 0-based; `end` is behind the last one.
        members: numbers of the sequences that hold it.
        children: longer prefixes that begin at `end`; no two have a member in common.
        tails: members of no child: what they hold from `end` on is read for each of them alone.
    """

    begin: int
    end: int
    members: tuple[int, ...]
    children: tuple[Prefix, ...]
    tails: tuple[int, ...]

    def __iter__(self) -> Iterator[Prefix]:
        """Go through this and all longer ones, each before its children."""
        yield self
        for child in self.children:
            yield from child

    def cost(self, lengths: Sequence[int]) -> int:
        """Return how many places are read: each prefix once, and each tail.

        Args:
            lengths: of all sequences.
        """
        own = self.end - self.begin + sum(lengths[i] - self.end for i in self.tails)
        return own + sum(child.cost(lengths) for child in self.children)


def common_prefixes(sequences: Sequence[Tokens], worth: int) -> Prefix:
    """Return the tree of prefixes whose sharing pays.

    A prefix ends where its members part. It is shared if that spares at least `worth` tokens: each
    has to be read in a pass of its own, which costs about as much as so many tokens more.

    Args:
        sequences: any ids.
        worth: tokens, at least 1.

    Returns:
        The root, which begins and ends at 0 and has all sequences as members.
    """
    return _prefix(sequences, tuple(range(len(sequences))), 0, 0, worth)


def _prefix(
    sequences: Sequence[Tokens], members: tuple[int, ...], begin: int, end: int, worth: int
) -> Prefix:
    children: list[Prefix] = []
    tails: list[int] = []
    # Groups that agree up to a place; those too small to share may hold some that go on together.
    waiting = [(members, end)]
    while waiting:
        group, place = waiting.pop()
        for part in _parted(sequences, group, place):
            reach = _agreement(sequences, part, place)
            if len(part) > 1 and (len(part) - 1) * (reach - end) >= worth:
                children.append(_prefix(sequences, part, end, reach, worth))
            elif len(part) > 1 and reach > place:
                waiting.append((part, reach))
            else:
                tails.extend(part)
    return Prefix(begin, end, members, tuple(children), tuple(sorted(tails)))


def _parted(sequences: Sequence[Tokens], group: Sequence[int], place: int) -> list[tuple[int, ...]]:
    """The group by the token at a place; those that end before it are a part as well."""
    parts: dict[int | None, list[int]] = {}
    for i in group:
        token = sequences[i][place] if place < len(sequences[i]) else None
        parts.setdefault(token, []).append(i)
    return [tuple(part) for part in parts.values()]


def _agreement(sequences: Sequence[Tokens], group: Sequence[int], place: int) -> int:
    """The first place at which not all of a group have the same token, from one on."""
    # In order, the first and the last differ no later than any other two.
    low, high = min(sequences[i] for i in group), max(sequences[i] for i in group)
    limit = min(len(low), len(high))
    while place < limit and low[place] == high[place]:
        place += 1
    return place
