"""From an MDP and a policy to arrays of rollouts: tables, threads and the form of the result."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike, NDArray

from cpi_theory.randomness import Key, Keys
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.operators import csr_tables
from tabular.mdp.policies import as_policy
from tabular.mdp.validation import Floats, Integers, as_numbers, check_distributions, check_shape
from tabular.sampling import kernels

RECORD_BYTES = 40
"""What a column of an alias table takes: a record of 32 bytes and two labels."""

_CACHE_LINE = 64

_SMALL_TABLE = 1024
"""Columns so few that every state may have as many as the one that needs most."""

_FAR_TABLE = 1 << 22
"""Bytes from which a table is not in the caches next to the processor."""

_SMALLEST_SHARE = 4096
"""Rollouts a thread should have to be worth waking."""

_ALIKE = 1 << 16
"""Rollouts from one step that share its being written down."""

_BLOCK = 2048
"""Rollouts whose paths stay in cache between the kernels."""


@dataclass(frozen=True, eq=False)
class Paths:
    """Rollouts as arrays.

    Attributes:
        steps: first layer of each rollout, shape (n,).
        states: state before each action, shape (n, T), -1 after the end; None if not asked for.
        actions: shape (n, T), -1 after the end; None if not asked for.
        lengths: number of actions, shape (n,).
        returns: sum of rewards from the first state to the end, in reward units, shape (n,).
        cut: whether the horizon ended it rather than a terminal state, shape (n,).
    """

    steps: Int[np.ndarray, " n"]
    states: Int[np.ndarray, "n T"] | None
    actions: Int[np.ndarray, "n T"] | None
    lengths: Int[np.ndarray, " n"]
    returns: Float[np.ndarray, " n"]
    cut: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return self.returns.size

    def take(self, which: Integers) -> Paths:
        """Take some of the rollouts, by index."""
        return Paths(
            self.steps[which],
            None if self.states is None else self.states[which],
            None if self.actions is None else self.actions[which],
            self.lengths[which],
            self.returns[which],
            self.cut[which],
        )


@dataclass(frozen=True, eq=False)
class Arcs:
    """The transitions of an MDP as compressed rows of arcs (state, action) -> next state.

    Attributes:
        mdp: the MDP.
        indptr: int64, row ends; row = (layer * S + s) * A + a, layer 0 alone if stationary.
        indices: int32, next state of each arc.
        chances: float64, probability of each arc.
    """

    mdp: FiniteHorizonMDP
    indptr: Int[np.ndarray, " ends"]
    indices: Int[np.ndarray, " arcs"]
    chances: Float[np.ndarray, " arcs"]

    @classmethod
    def of(cls, mdp: FiniteHorizonMDP) -> Arcs:
        """Return the arcs of an MDP; big sparse tables are shared, not copied."""
        return cls(mdp, *(_frozen(part) for part in (_sparse if mdp.sparse else _dense)(mdp)))

    @cached_property
    def rewards(self) -> Float[np.ndarray, "L S A"]:
        """Rewards as floats, shape (L, S, A); L = 1 serves all layers."""
        rewards = np.asarray(self.mdp.rewards, np.float64)
        return _frozen(rewards[None] if rewards.ndim == 2 else rewards)

    def after(self, steps: Integers, states: Integers, actions: Integers, u: Floats) -> Integers:
        """Draw the next state of each (step, state, action) by a uniform number; shapes (n,)."""
        rows = states * self.mdp.actions + actions
        if not self.mdp.stationary:
            rows = rows + steps * (self.mdp.states * self.mdp.actions)
        out = np.empty(rows.size, np.int64)
        kernels.successors(self.indptr, self.indices, self.chances, rows, u, out)
        return out


def _dense(mdp: FiniteHorizonMDP) -> tuple[Any, Any, Any]:
    rows = np.asarray(mdp.transitions, np.float64).reshape(-1, mdp.states)
    owners, indices = np.nonzero(rows)
    counts = np.bincount(owners, minlength=len(rows))
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return indptr, indices.astype(np.int32), rows[owners, indices]


def _sparse(mdp: FiniteHorizonMDP) -> tuple[Any, Any, Any]:
    data, indices, indptr = csr_tables(mdp)
    return indptr.astype(np.int64), indices.astype(np.int32, copy=False), data


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view, so that kernels see one type whoever owns the memory."""
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


def checked_policy(mdp: FiniteHorizonMDP, policy: ArrayLike) -> NDArray[Any]:
    """Check a policy like `as_policy`, but leave it (S, A) if it was given so.

    Raises:
        InvalidInput: if the shape does not fit or a row is no probability distribution.
    """
    if np.ndim(policy) != 2:
        return as_policy(mdp, policy)
    one = as_numbers("policy", policy, mdp.exact)
    check_shape("policy", one.shape, [(mdp.states, mdp.actions)])
    check_distributions("policy", one, ("s",))
    return one


def layered(policy: NDArray[Any]) -> Floats:
    """Return a policy (H, S, A) or (S, A) as floats (L, S, A), where L = 1 serves all layers."""
    floats = np.asarray(policy, np.float64)
    if floats.ndim == 2:
        return _frozen(floats[None])
    # Alike in all layers: one layer of alias tables will then do.
    return _frozen(floats[:1] if (floats[1:] == floats[0]).all() else floats)


@dataclass(frozen=True, eq=False)
class AliasTables:
    """Alias tables of every (layer, state): one random cache line a step.

    Attributes:
        arcs: the arcs of the MDP.
        uniform: log2 of the columns that every node has, or None where nodes differ.
        offsets, bits: first column and log2 of the columns of each node, shape (L, S).
        table, gains, labels: see `sampling_kernels.build`.
    """

    arcs: Arcs
    uniform: int | None
    offsets: Integers
    bits: NDArray[np.uint8]
    table: NDArray[np.uint64]
    gains: Floats
    labels: NDArray[np.int32]

    def run(
        self, steps: Integers, states: Integers, keys: Keys, paths: bool, threads: int
    ) -> Paths:
        """Roll out once from each (step, state), shapes (n,); or all from one step, shape ()."""
        mdp = self.arcs.mdp
        begin = _Begin(steps, states, keys)
        result = _empty_paths(begin, mdp.horizon, paths)
        far = True if self.table.nbytes >= _FAR_TABLE else None
        tables = self.table, self.gains, self.uniform, far, bool(mdp.terminal.any())
        shift = kernels.bits_for(mdp.actions)

        def work(part: slice) -> None:
            path = None if result.states is None else result.states[part]
            lengths = result.lengths[part]
            kernels.roll(
                *tables,
                *(self.offsets, self.bits, mdp.horizon),
                *begin.of(part),
                *(result.returns[part], lengths, result.cut[part]),
                None if path is None else path.reshape(-1),
            )
            if path is not None and result.actions is not None:
                acted = result.actions[part]
                kernels.decode(states[part], lengths, self.labels, shift, path, acted)

        spread(work, len(result), threads, _SMALLEST_SHARE, _BLOCK if paths else begin.block)
        return result


@dataclass(frozen=True, eq=False)
class Scan:
    """Sampling straight from the MDP and the policy, for tables that would not fit."""

    arcs: Arcs
    policy: Floats

    def run(
        self, steps: Integers, states: Integers, keys: Keys, paths: bool, threads: int
    ) -> Paths:
        """Roll out once from each (step, state), shapes (n,); or all from one step, shape ()."""
        arcs, mdp = self.arcs, self.arcs.mdp
        begin = _Begin(steps, states, keys)
        result = _empty_paths(begin, mdp.horizon, paths)
        model = arcs.indptr, arcs.indices, arcs.chances, self.policy, arcs.rewards, mdp.terminal

        def work(part: slice) -> None:
            out = result.returns[part], result.lengths[part], result.cut[part]
            path = None if result.states is None else result.states[part]
            acted = None if result.actions is None else result.actions[part]
            kernels.scan(*model, mdp.horizon, *begin.of(part), *out, path, acted)

        spread(work, len(result), threads, _SMALLEST_SHARE, begin.block)
        return result


def make_sampler(arcs: Arcs, policy: Floats, memory: int, threads: int = 1) -> AliasTables | Scan:
    """Make alias tables if they fit into `memory` bytes, else a sampler that scans the rows.

    Args:
        arcs: of the MDP.
        policy: from `layered`.
        memory: most bytes that tables may take.
        threads: used to fill them; the result does not depend on it.
    """
    mdp = arcs.mdp
    layered = not mdp.stationary or policy.shape[0] > 1 or arcs.rewards.shape[0] > 1
    layers = mdp.horizon if layered else 1
    bits = np.empty((layers, mdp.states), np.uint8)
    shape = arcs.indptr, mdp.terminal, layers, mdp.actions
    widest, nodes, columns = kernels.widths(*shape, bits.ravel())
    same = nodes << widest
    # One width for all need not be carried along each rollout: worth up to twice the memory.
    uniform = widest if same <= max(_SMALL_TABLE, 2 * columns) else None
    columns = 1 + (columns if uniform is None else same)
    labels = mdp.states << kernels.bits_for(mdp.actions)
    # Labels and the columns in a path are 32-bit.
    if columns * RECORD_BYTES > memory or max(labels, 2 * columns) > np.iinfo(np.int32).max:
        return Scan(arcs, policy)
    return _alias_tables(arcs, policy, uniform, bits, columns, threads)


def _alias_tables(
    arcs: Arcs, policy: Floats, uniform: int | None, bits: Any, columns: int, threads: int
) -> AliasTables:
    offsets = np.empty(bits.shape, np.int64)
    kernels.assign_columns(uniform or 0, bits.ravel(), offsets.ravel())
    table, labels = _aligned(columns), np.empty((columns, 2), np.int32)
    gains = table.view(np.float64)
    model = arcs.indptr, arcs.indices, arcs.chances, policy, arcs.rewards
    into = offsets.ravel(), bits.ravel(), table, gains, labels
    spread(lambda p: kernels.build(p.start, p.stop, *model, *into), bits.size, threads, 1000)
    return AliasTables(arcs, uniform, offsets, bits, table, gains, labels)


def _aligned(columns: int) -> NDArray[np.uint64]:
    """Shape (columns, 4), starting at a cache line so that no record straddles two."""
    raw = np.empty(columns * 4 + _CACHE_LINE // 8, np.uint64)
    skip = -raw.ctypes.data % _CACHE_LINE // 8
    return raw[skip : skip + columns * 4].reshape(columns, 4)


class _Begin:
    """Where rollouts begin, and their keys; one step for all is written down for a block only."""

    def __init__(self, steps: Integers, states: Integers, keys: Keys) -> None:
        self.steps = np.broadcast_to(steps, states.shape)
        self._states, self._keys = states, keys
        self._one = np.full(min(states.size, _ALIKE), steps) if steps.ndim == 0 else None

    @property
    def block(self) -> int | None:
        """Most rollouts that `of` may be asked for at once."""
        return None if self._one is None else max(self._one.size, 1)

    def of(self, part: slice) -> tuple[Integers, Integers, Keys]:
        """Step, state and key of some of the rollouts."""
        steps = self.steps[part] if self._one is None else self._one[: part.stop - part.start]
        return steps, self._states[part], self._keys[part]


def _empty_paths(begin: _Begin, horizon: int, paths: bool) -> Paths:
    """Room for the result."""
    steps, n = begin.steps, begin.steps.size
    # The rollout that starts first is the longest that there can be.
    shape = (n, horizon - int(steps.min(initial=horizon)))
    states, actions = (np.empty(shape, np.int32) if paths else None for _ in range(2))
    return Paths(steps, states, actions, np.empty(n, np.int32), np.empty(n), np.empty(n, bool))


def spread(
    work: Callable[[slice], None], n: int, threads: int, smallest: int, block: int | None = None
) -> None:
    """Run `work` on parts of range(n), one a thread, none smaller than `smallest` for nothing.

    The parts write to places of their own and each item depends on itself alone, so the result
    has the same bits for any number of threads. A thread takes its part in pieces of `block`
    items, so that what one kernel writes is still in cache when the next reads it.
    """
    parts = max(1, min(threads, n // smallest))
    edges = [n * i // parts for i in range(parts + 1)]

    def run(low: int, high: int) -> None:
        step = block or max(high - low, 1)
        for first in range(low, high, step):
            work(slice(first, min(first + step, high)))

    if parts == 1:
        run(0, n)
        return
    # This thread takes the first part itself: it already has a core, so one fewer must be found.
    with ThreadPoolExecutor(parts - 1) as pool:
        others = [pool.submit(run, *ends) for ends in itertools.pairwise(edges[1:])]
        run(edges[0], edges[1])
        for other in others:
            # Raises here what was raised in the thread.
            other.result()


def numbered_keys(key: Key, count: int) -> Keys:
    """Make `count` keys of one stream, shape (count,); a longer request extends a shorter one.

    Like `Key.integers`, but one hash each: drawing millions of keys costs less than using them.
    """
    keys = np.empty(count, np.uint64)
    kernels.number_keys(key.integers(1)[0], np.uint64(0), keys)
    return keys
