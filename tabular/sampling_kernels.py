"""Compiled loops beneath the simulator: counter-based draws, alias tables, rollouts.

All kernels of one call graph live in this file on purpose: numba does not notice changes of a
helper in another file when it caches to disk. Kernels only loop; `tabular.sampling` checks,
allocates and explains. Run through ``.py_func`` they give the same bits.

**One step, one random cache line.** From a state the pair (action, next state) is drawn at once
from the alias table of their joint law. A column of it is one record of 32 bytes:

    word 0   threshold of the coin in the top 52 bits; then 6 + 6 bits: log2 of the number of
             columns of the alias's and of the own next state
    word 1   first column of the next state's table: own in the low, alias's in the high half
    word 2   reward of the own outcome (float64)
    word 3   reward of the alias (float64)

Column 0 starts the sink, in which every ended rollout rests without reward.

**Counter-based draws.** Draw t of a rollout is a hash of its key and t, so a rollout depends on
its key and its start alone, not on who runs it, when, or beside what.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Words = NDArray[np.uint64]

U = np.uint64
GOLDEN = U(0x9E3779B97F4A7C15)
_MIX_1 = U(0xBF58476D1CE4E5B9)
_MIX_2 = U(0x94D049BB133111EB)
_30, _27, _31, _11, _64 = U(30), U(27), U(31), U(11), U(64)
_0, _2, _5, _6, _12, _32 = U(0), U(2), U(5), U(6), U(12), U(32)
_LOW_6, _LOW_32 = U(63), U(0xFFFFFFFF)
_TWO_52 = 4503599627370496.0
_TWO_M53 = 1.0 / 9007199254740992.0

LANES = 64
"""Rollouts in flight: enough to hide the latency of memory, few enough to stay in L1."""


@njit(inline="always")
def mix(z: Any) -> Any:
    """Finaliser of splitmix64: a bijection of 64-bit words that passes BigCrush on counters."""
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@njit(cache=True, nogil=True)
def uniforms(keys: Words, purpose: Any, out: NDArray[np.float64]) -> None:
    """One uniform number in [0, 1) per key; draws of different purposes are independent."""
    salt = mix(purpose + GOLDEN)
    for i in range(keys.size):
        out[i] = (mix(mix(keys[i] ^ salt) + GOLDEN) >> _11) * _TWO_M53


@njit(cache=True, nogil=True)
def number_keys(seed: Any, first: Any, out: Words) -> None:
    """Keys number `first`, `first` + 1, ... of a seed."""
    salt = mix(seed + GOLDEN)
    for i in range(out.size):
        out[i] = mix(salt + (first + U(i)) * GOLDEN)


@njit(cache=True)
def first_below(bounds: Any, values: Any, limit: float, out: NDArray[np.int64]) -> None:
    """Index within each segment bounds[i] .. bounds[i + 1] of the first value <= limit, or -1."""
    for i in range(out.size):
        out[i] = -1
        for p in range(bounds[i], bounds[i + 1]):
            if values[p] <= limit:
                out[i] = p - bounds[i]
                break


@njit(cache=True)
def count_arcs(transitions: Any, indptr: NDArray[np.int64]) -> None:
    """Row ends of the compressed form of dense transitions, shape (rows, states)."""
    total = indptr[0] = 0
    for r in range(transitions.shape[0]):
        for s in range(transitions.shape[1]):
            total += transitions[r, s] > 0
        indptr[r + 1] = total


@njit(cache=True)
def fill_arcs(transitions: Any, indices: NDArray[np.int32], chances: Any) -> None:
    """Next states and probabilities of the compressed form of dense transitions."""
    p = 0
    for r in range(transitions.shape[0]):
        for s in range(transitions.shape[1]):
            if transitions[r, s] > 0:
                indices[p], chances[p] = s, transitions[r, s]
                p += 1


@njit(cache=True)
def own_arcs(indptr: Any, actions: int, owner: NDArray[np.int32]) -> None:
    """The action of every arc."""
    for row in range(indptr.size - 1):
        owner[indptr[row] : indptr[row + 1]] = row % actions


@njit(cache=True)
def lay_out(
    indptr: Any, terminal: Any, layers: int, actions: int, bits: NDArray[np.uint8]
) -> tuple[int, int]:
    """log2 of the columns that each node (layer, state) needs; none for a terminal state.

    Returns:
        the largest of them and the number of columns of all nodes together.
    """
    states = terminal.size
    kernels = (indptr.size - 1) // (states * actions)
    widest, total = 1, 0
    for node in range(layers * states):
        row = (node if kernels > 1 else node % states) * actions
        arcs = indptr[row + actions] - indptr[row]
        width = 1
        while (1 << width) < arcs:
            width += 1
        if terminal[node % states]:
            width = 0
        bits[node] = width
        widest = max(widest, width)
        total += 1 << width if width > 0 else 0
    return widest, total


@njit(cache=True)
def place(uniform: int, bits: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
    """First column of each node; `uniform` > 0 gives every node that width, the sink included."""
    ahead = 1 << max(uniform, 1)
    for node in range(bits.size):
        width = bits[node]
        if width == 0:
            offsets[node] = 0
            bits[node] = max(uniform, 1)
            continue
        if uniform > 0:
            width = bits[node] = uniform
        offsets[node] = ahead
        ahead += 1 << width


@njit(inline="always")
def _own_column(table: Words, gains: Any, q: Any, code: Any, width: Any, reward: Any) -> None:
    """A column whose both sides are one outcome."""
    table[q, 0] = (U(width) << _6) | U(width)
    table[q, 1] = (U(code) << _32) | U(code)
    gains[q, 2] = reward
    gains[q, 3] = reward


@njit(inline="always")
def _share_column(table: Words, gains: Any, arcs: Any, q: Any, donor: Any, share: Any) -> None:
    """Leave column q the lower part `share` of its coin; the rest is the donor's own outcome."""
    threshold = U(share * _TWO_52)
    donor_width, donor_code = table[donor, 0] & _LOW_6, table[donor, 1] & _LOW_32
    if threshold == _0:  # an outcome of probability zero must not even be possible
        _own_column(table, gains, q, donor_code, donor_width, gains[donor, 2])
        arcs[q, 0] = arcs[donor, 0]
    else:
        table[q, 0] = (threshold << _12) | (donor_width << _6) | (table[q, 0] & _LOW_6)
        table[q, 1] = (donor_code << _32) | (table[q, 1] & _LOW_32)
        gains[q, 3] = gains[donor, 2]
    arcs[q, 1] = arcs[donor, 0]


@njit(inline="always")
def _balance(mass: Any, columns: int, small: Any, large: Any, base: Any, records: Any) -> None:
    """Vose: every column below its share 1 borrows the rest from one that is above."""
    table, gains, arcs = records
    smalls, larges = 0, 0
    for i in range(columns):
        if mass[i] < 1.0:
            small[smalls] = i
            smalls += 1
        else:
            large[larges] = i
            larges += 1
    while smalls > 0 and larges > 0:
        smalls -= 1
        i, donor = small[smalls], large[larges - 1]
        _share_column(table, gains, arcs, base + i, base + donor, mass[i])
        mass[donor] = (mass[donor] + mass[i]) - 1.0
        if mass[donor] < 1.0:
            larges -= 1
            small[smalls] = donor
            smalls += 1


@njit(cache=True, nogil=True)
def build(
    first: int,
    last: int,
    indptr: Any,
    indices: Any,
    chances: Any,
    policy: Any,
    rewards: Any,
    offsets: Any,
    bits: Any,
    table: Words,
    gains: NDArray[np.float64],
    arcs: NDArray[np.int32],
) -> None:
    """Alias tables of the nodes `first` to `last` - 1.

    Args:
        first, last: range of nodes; node = layer * S + state.
        indptr, indices, chances: arcs (row, next state) in compressed rows; row = node * A + a,
            or state * A + a when one kernel serves all layers.
        policy, rewards: shape (L, S, A); L = 1 serves all layers.
        offsets, bits: first column and log2 of the columns of each node; offset 0 is the sink.
        table, gains: the records, shape (columns, 4), one memory seen as words and as floats.
        arcs: shape (columns, 2): position in `indices` of the own outcome and of the alias.
    """
    states, actions = policy.shape[1], policy.shape[2]
    layers = offsets.size // states
    room = 1 << int(bits[first:last].max())
    mass, small, large = np.empty(room), np.empty(room, np.int64), np.empty(room, np.int64)
    for node in range(first, last):
        base, layer, s = offsets[node], node // states, node % states
        if base == 0:
            continue
        columns = 1 << int(bits[node])
        row = (node if indptr.size - 1 > states * actions else s) * actions
        after = ((layer + 1) % layers) * states
        n, total = 0, 0.0
        for a in range(actions):
            chance = policy[layer if policy.shape[0] > 1 else 0, s, a]
            reward = rewards[layer if rewards.shape[0] > 1 else 0, s, a]
            for p in range(indptr[row + a], indptr[row + a + 1]):
                mass[n] = chance * chances[p]
                total += mass[n]
                to = after + indices[p]
                _own_column(table, gains, base + n, offsets[to], bits[to], reward)
                arcs[base + n, 0] = arcs[base + n, 1] = p
                n += 1
        for i in range(n):
            mass[i] *= columns / total
        for i in range(n, columns):
            mass[i] = 0.0
        _balance(mass, columns, small, large, base, (table, gains, arcs))


@njit(cache=True, nogil=True)
def roll(
    table: Words,
    gains: Any,
    uniform: Any,
    start: Any,
    width: Any,
    left: Any,
    keys: Words,
    returns: NDArray[np.float64],
    lengths: NDArray[np.int32],
    cut: NDArray[np.bool_],
    path: Any,
) -> None:
    """Rollouts through alias tables, `LANES` in flight; a lane that ends takes the next one.

    Args:
        table, gains: as from `build`.
        uniform: log2 of the columns of every node, or None where nodes differ.
        start, width: first column and log2 of the columns of each start, shape (n,); 0 has ended.
        left: most steps of each rollout, at least 1, shape (n,).
        keys: shape (n,).
        returns, lengths: filled; shape (n,).
        cut: filled; whether the rollout used up its steps, shape (n,).
        path: filled with 2 * column + side of every step, shape (n, steps), or None.
    """
    n = keys.size
    lanes = min(LANES, n)
    who, todo, gain = np.arange(lanes), np.empty(lanes, np.int64), np.zeros(lanes)
    base, bits, state = np.empty(lanes, U), np.empty(lanes, U), np.empty(lanes, U)
    draw, column, word = np.empty(lanes, U), np.empty(lanes, U), np.empty(lanes, U)
    for j in range(lanes):
        base[j], bits[j], state[j] = start[j], width[j], mix(keys[j] + GOLDEN)
        todo[j] = left[j] - (base[j] != _0)
    queue, ended = lanes, lanes
    while lanes > 0:
        j = 0 if ended * 8 >= lanes else lanes
        while j < lanes:  # retire the lanes that rest in the sink
            if base[j] != _0:
                j += 1
                continue
            i = who[j]
            returns[i], lengths[i], cut[i] = gain[j], left[i] - max(todo[j], 0), todo[j] < 0
            if queue < n:
                i = queue
                queue += 1
                base[j], bits[j], state[j] = start[i], width[i], mix(keys[i] + GOLDEN)
                who[j], gain[j], todo[j] = i, 0.0, left[i] - (base[j] != _0)
            else:
                lanes -= 1
                base[j], bits[j], state[j] = base[lanes], bits[lanes], state[lanes]
                who[j], gain[j], todo[j] = who[lanes], gain[lanes], todo[lanes]
        for j in range(lanes):
            state[j] += GOLDEN
            draw[j] = mix(state[j])
            column[j] = base[j] + (draw[j] >> (_64 - (bits[j] if uniform is None else U(uniform))))
        for j in range(lanes):  # one load a lane and nothing else, so that the misses overlap
            word[j] = table[column[j], 0]
        for j in range(lanes):
            q = column[j]
            coin = draw[j] << (bits[j] if uniform is None else U(uniform))
            side = U(coin >= word[j])
            if path is not None and base[j] != _0:
                path[who[j], left[who[j]] - 1 - todo[j]] = q + q + side
            gain[j] += gains[q, _2 + side]
            base[j] = (table[q, 1] >> (side << _5)) & _LOW_32
            if uniform is None:
                bits[j] = (word[j] >> (side * _6)) & _LOW_6
        ended = 0
        for j in range(lanes):
            live = base[j] != _0
            base[j] = base[j] if todo[j] > 0 else _0
            todo[j] -= live
            ended += base[j] == _0


@njit(cache=True, nogil=True)
def decode(
    first: Any,
    lengths: Any,
    arcs: Any,
    indices: Any,
    owner: Any,
    states: NDArray[np.int32],
    actions: NDArray[np.int32],
) -> None:
    """Turn the columns and sides that `roll` wrote into states and actions.

    Args:
        first: first state of each rollout, shape (n,).
        lengths: shape (n,).
        arcs, indices: as in `build`.
        owner: action of every arc.
        states: holds the path of `roll`, shape (n, steps); becomes the states, -1 after the end.
        actions: filled likewise.
    """
    for i in range(first.size):
        s = first[i]
        for t in range(lengths[i]):
            code = states[i, t]
            arc = arcs[code >> 1, code & 1]
            states[i, t], actions[i, t], s = s, owner[arc], indices[arc]
        states[i, lengths[i] :] = -1
        actions[i, lengths[i] :] = -1


@njit(inline="always")
def _pick(chances: Any, first: Any, last: Any, u: Any) -> Any:
    """Index in [first, last) drawn by its chance; never one of chance zero."""
    choice = first
    for p in range(first, last):
        if chances[p] > 0:
            choice = p
            u -= chances[p]
            if u < 0:
                break
    return choice


@njit(cache=True, nogil=True)
def successors(
    indptr: Any, indices: Any, chances: Any, rows: Any, u: Any, out: NDArray[np.int64]
) -> None:
    """Next state of each transition row for one uniform number each."""
    for i in range(rows.size):
        out[i] = indices[_pick(chances, indptr[rows[i]], indptr[rows[i] + 1], u[i])]


@njit(cache=True, nogil=True)
def scan(
    indptr: Any,
    indices: Any,
    chances: Any,
    policy: Any,
    rewards: Any,
    terminal: Any,
    steps: Any,
    start: Any,
    left: Any,
    keys: Words,
    returns: NDArray[np.float64],
    lengths: NDArray[np.int32],
    cut: NDArray[np.bool_],
    states: Any,
    actions: Any,
) -> None:
    """Rollouts without tables of their own: for MDPs whose alias tables would not fit.

    Args:
        indptr, indices, chances, policy, rewards: as in `build`.
        terminal: shape (S,).
        steps, start, left: first layer, first state and most steps of each rollout, shape (n,).
        keys, returns, lengths, cut: as in `roll`.
        states, actions: filled, -1 after the end, shape (n, steps); or None both.
    """
    wide = policy.shape[1] * policy.shape[2]
    for i in range(keys.size):
        s, gain, t, state = start[i], 0.0, 0, mix(keys[i] + GOLDEN)
        while t < left[i] and not terminal[s]:
            h = steps[i] + t
            pi = policy[h if policy.shape[0] > 1 else 0, s]
            state += GOLDEN
            a = _pick(pi, 0, pi.size, (mix(state) >> _11) * _TWO_M53)
            gain += rewards[h if rewards.shape[0] > 1 else 0, s, a]
            if states is not None:
                states[i, t], actions[i, t] = s, a
            row = (h * wide if indptr.size - 1 > wide else 0) + s * pi.size + a
            state += GOLDEN
            u = (mix(state) >> _11) * _TWO_M53
            s = indices[_pick(chances, indptr[row], indptr[row + 1], u)]
            t += 1
        returns[i], lengths[i], cut[i] = gain, t, not terminal[s]
        if states is not None:
            states[i, t:] = -1
            actions[i, t:] = -1
