"""Tabular rollouts between two forms: the seam's `Rollout` objects and flat arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np
from jaxtyping import Bool, Int
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Ending, Rollout
from tabular.mdp.validation import Integers
from tabular.sampling.paths import Paths

_NO_STEPS = InvalidInput("paths", None, "hold returns only", "simulate with paths=True")

TabularState = tuple[int, int]
"""(layer h, state index s)."""

Item = TypeVar("Item", bound=int | tuple[int, int])


class _Row(Sequence[Item]):
    """A row of an integer array that reads like a tuple; items are made when asked for.

    An algorithm looks at few steps of its rollouts, so a tuple per step would be the most
    expensive part of simulating.
    """

    __slots__ = ("row",)

    def __init__(self, row: NDArray[np.int32]) -> None:
        self.row = row

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class Actions(_Row[int]):
    """Actions of a rollout; `row` holds them as an array, shape (length,)."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        picked = self.row[index]
        return tuple(picked.tolist()) if isinstance(index, slice) else int(picked)

    def __iter__(self) -> Iterator[int]:
        return iter(self.row.tolist())


class States(_Row[TabularState]):
    """States (h, s) of a rollout from layer `first` on; `row` holds the s, shape (length,)."""

    __slots__ = ("first",)

    def __init__(self, row: NDArray[np.int32], first: int) -> None:
        self.row = row
        self.first = first

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        state = int(self.row[index])
        return (self.first + (index if index >= 0 else len(self.row) + index), state)

    def __iter__(self) -> Iterator[TabularState]:
        return iter(list(enumerate(self.row.tolist(), self.first)))


def as_rollouts(paths: Paths, success: float) -> list[Rollout]:
    """Make one `Rollout` per path; it has failed if its return is below `success`.

    Raises:
        InvalidInput: if the paths were simulated without states and actions.
    """
    if paths.states is None or paths.actions is None:
        raise _NO_STEPS
    endings = (Ending.TERMINAL, Ending.HORIZON)
    rows = zip(
        paths.states,
        paths.actions,
        paths.steps.tolist(),
        paths.lengths.tolist(),
        paths.returns.tolist(),
        (paths.returns < success).tolist(),
        paths.cut.tolist(),
        strict=True,
    )
    return [
        Rollout(States(s[:n], h), Actions(a[:n]), reward, failed, endings[cut])
        for s, a, h, n, reward, failed, cut in rows
    ]


@dataclass(frozen=True, eq=False)
class FlatSteps:
    """All steps of some rollouts, one below another.

    Attributes:
        layers, states, actions: shape (m,).
        bounds: rollout i holds the steps bounds[i] to bounds[i + 1] - 1, shape (n + 1,).
    """

    layers: Int[np.ndarray, " m"]
    states: Int[np.ndarray, " m"]
    actions: Int[np.ndarray, " m"]
    bounds: Int[np.ndarray, " ends"]

    @classmethod
    def of(cls, rollouts: Sequence[Rollout]) -> FlatSteps:
        """Collect the steps of tabular rollouts; those of a simulator without a copy each."""
        lengths = np.fromiter(map(len, rollouts), np.int64, len(rollouts))
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        states = [_state_row(rollout.states) for rollout in rollouts]
        first = np.fromiter((h for h, _ in states), np.int64, len(states))
        # Step i of a rollout is in layer first + i, and i is its place less the rollout's bound.
        layers = np.arange(bounds[-1]) + np.repeat(first - bounds[:-1], lengths)
        return cls(
            layers,
            _joined([row for _, row in states]),
            _joined([_action_row(rollout.actions) for rollout in rollouts]),
            bounds,
        )

    @classmethod
    def of_paths(cls, paths: Paths) -> FlatSteps:
        """Return the steps of simulated paths that kept their states and actions."""
        if paths.states is None or paths.actions is None:
            raise _NO_STEPS
        rollout, step = np.nonzero(paths.states >= 0)
        states = paths.states[rollout, step].astype(np.int64)
        actions = paths.actions[rollout, step].astype(np.int64)
        bounds = np.concatenate([[0], np.cumsum(paths.lengths, dtype=np.int64)])
        return cls(paths.steps[rollout] + step, states, actions, bounds)

    def split(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Split `values`, shape (m,), into one array per rollout."""
        edges = self.bounds.tolist()
        return [values[low:high] for low, high in itertools.pairwise(edges)]

    def first(self, marked: Bool[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
        """Find the index of each rollout's first marked step, -1 for none; shape (n,)."""
        hits = np.flatnonzero(marked)[::-1]
        owner = np.searchsorted(self.bounds, hits, side="right") - 1
        first = np.full(self.bounds.size - 1, -1)
        first[owner] = hits - self.bounds[owner]  # of several the last one written, the first
        return first

    def owners(self) -> Int[np.ndarray, " m"]:
        """Return the rollout of each step, shape (m,)."""
        return np.repeat(np.arange(self.bounds.size - 1), np.diff(self.bounds))


def _state_row(states: Sequence[Any]) -> tuple[int, NDArray[Any]]:
    if isinstance(states, States):
        return states.first, states.row
    pairs = list(states)
    first = pairs[0][0] if pairs else 0
    if any(h != first + i for i, (h, _) in zip(range(len(pairs)), pairs, strict=True)):
        raise InvalidInput("states", pairs, "layers do not follow one another", "give (h, s) pairs")
    return first, np.fromiter((s for _, s in pairs), np.int64, len(pairs))


def _action_row(actions: Sequence[Any]) -> NDArray[Any]:
    return actions.row if isinstance(actions, Actions) else np.fromiter(actions, np.int64)


def _joined(rows: list[NDArray[Any]]) -> Integers:
    return np.concatenate([np.empty(0, np.int64), *rows]).astype(np.int64, copy=False)
