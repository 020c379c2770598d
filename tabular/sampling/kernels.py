"""Compiled loops beneath the simulator: counter-based draws, alias tables, rollouts.

All kernels of one call graph live in this file: numba's disk cache does not notice changes of a
helper elsewhere. Kernels only loop; `tabular.sampling` checks and allocates.

**One step, one random cache line.** From a state the pair (action, next state) is drawn at once
from the alias table of their joint law. A column of it is one record of 32 bytes:

    word 0   threshold of the coin in the top 52 bits; then 6 + 6 bits: log2 of the number of
             columns of the alias's and of the own next state
    word 1   first column of the next state's table: own in the low, alias's in the high half
    word 2   reward of the own outcome (float64)
    word 3   reward of the alias (float64)

No table starts at column 0: as the next state's it says that the rollout has ended.

**Counter-based draws.** Draw t of a rollout is a hash of its key and t, so a rollout depends on
its key and its start alone, not on who runs it, when, or beside what.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tabular.prefetching import prefetch, prefetch_far

Words = NDArray[np.uint64]

# numba would turn an unsigned word and a Python integer into a float, so every constant is a word.
# The golden ratio and the two multipliers are those of splitmix64.
U = np.uint64
GOLDEN = U(0x9E3779B97F4A7C15)
_MIX_1 = U(0xBF58476D1CE4E5B9)
_MIX_2 = U(0x94D049BB133111EB)
_30, _27, _31, _11, _64 = U(30), U(27), U(31), U(11), U(64)
_0, _2, _5, _6, _12, _32 = U(0), U(2), U(5), U(6), U(12), U(32)
_LOW_6, _LOW_32 = U(63), U(0xFFFFFFFF)
# A coin's threshold has 52 bits, as its word holds 12 bits of widths too; a float in [0, 1) has 53.
_TWO_52, _TWO_M53 = 2.0**52, 2.0**-53
_NEVER = 1 << 62  # later than any step of any rollout

LANES, FAR_LANES = 256, 1024
"""Rollouts in flight: enough to hide the latency of memory, few enough to stay in L1 or L2."""
AHEAD, FAR_AHEAD = 16, 96
"""How many lanes before its turn the record of a lane is fetched."""


@njit(inline="always")
def mix(z: Any) -> Any:
    """Apply the finaliser of splitmix64: a bijection of words that passes BigCrush on counters.

    Source: Steele, Lea and Flood, OOPSLA 2014, https://doi.org/10.1145/2660193.2660195.
    """
    z = (z ^ (z >> _30)) * _MIX_1
    z = (z ^ (z >> _27)) * _MIX_2
    return z ^ (z >> _31)


@njit(cache=True, nogil=True)
def uniforms(keys: Words, purpose: Any, out: NDArray[np.float64]) -> None:
    """Draw one uniform number in [0, 1) per key; draws of different purposes are independent."""
    salt = mix(purpose + GOLDEN)
    for i in range(keys.size):
        # The top 53 bits, as many as a float holds: none rounds up to 1.
        out[i] = (mix(mix(keys[i] ^ salt) + GOLDEN) >> _11) * _TWO_M53


@njit(cache=True, nogil=True)
def number_keys(seed: Any, first: Any, out: Words) -> None:
    """Write keys number `first`, `first` + 1, ... of a seed."""
    salt = mix(seed + GOLDEN)
    for i in range(out.size):
        out[i] = mix(salt + (first + U(i)) * GOLDEN)


@njit(inline="always")
def bits_for(count: int) -> int:
    """Count the bits that number `count` things."""
    bits = 0
    while (1 << bits) < count:
        bits += 1
    return bits


@njit(cache=True)
def widths(
    indptr: Any, terminal: Any, layers: int, actions: int, bits: NDArray[np.uint8]
) -> tuple[int, int, int]:
    """Write log2 of the columns of each node (layer, state), at least 1; 0 if terminal.

    Returns the largest of them, how many nodes need columns, and how many columns in all.
    """
    states = terminal.size
    layered = indptr.size - 1 > states * actions
    widest, nodes, columns = 1, 0, 0
    for node in range(layers * states):
        bits[node] = 0
        if terminal[node % states]:
            continue
        row = (node if layered else node % states) * actions
        # At least one bit: `roll` shifts by 64 - width, and a shift by 64 is undefined.
        width = max(1, bits_for(indptr[row + actions] - indptr[row]))
        bits[node] = width
        widest, nodes, columns = max(widest, width), nodes + 1, columns + (1 << width)
    return widest, nodes, columns


@njit(cache=True)
def assign_columns(uniform: int, bits: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
    """Write the first column of each node, 0 if terminal; `uniform` > 0 widens all others."""
    ahead = 1  # column 0 is nobody's: a next state that begins there has ended
    for node in range(bits.size):
        if bits[node] == 0:
            offsets[node] = 0
            continue
        if uniform > 0:
            bits[node] = uniform
        offsets[node] = ahead
        ahead += 1 << int(bits[node])


@njit(inline="always")
def _own_column(table: Words, gains: Any, q: Any, code: Any, width: Any, reward: Any) -> None:
    """A column whose both sides are one outcome."""
    table[q, 0] = (U(width) << _6) | U(width)
    table[q, 1] = (U(code) << _32) | U(code)
    gains[q, 2] = reward
    gains[q, 3] = reward


@njit(inline="always")
def _share_column(table: Words, gains: Any, labels: Any, q: Any, donor: Any, share: Any) -> None:
    """Leave column q the lower part `share` of its coin; the rest is the donor's own outcome."""
    threshold = U(share * _TWO_52)  # of 64 bits the low 12 hold widths: see the module's record
    donor_width, donor_code = table[donor, 0] & _LOW_6, table[donor, 1] & _LOW_32
    if threshold == _0:  # an outcome of probability zero must not even be possible
        _own_column(table, gains, q, donor_code, donor_width, gains[donor, 2])
        labels[q, 0] = labels[donor, 0]
    else:
        table[q, 0] = (threshold << _12) | (donor_width << _6) | (table[q, 0] & _LOW_6)
        table[q, 1] = (donor_code << _32) | (table[q, 1] & _LOW_32)
        gains[q, 3] = gains[donor, 2]
    labels[q, 1] = labels[donor, 0]


@njit(inline="always")
def _balance(mass: Any, columns: int, small: Any, large: Any, base: Any, records: Any) -> None:
    """Vose: every column below its share 1 borrows the rest from one that is above.

    Source: M. D. Vose, IEEE Trans. Software Eng. 17 (1991), https://doi.org/10.1109/32.92917.
    """
    table, gains, labels = records
    smalls, larges = 0, 0
    for i in range(columns):  # no branches here and below: they would be mispredicted
        below = mass[i] < 1.0
        small[smalls] = large[larges] = i
        smalls += below
        larges += not below
    while smalls > 0 and larges > 0:
        smalls -= 1
        i, donor = small[smalls], large[larges - 1]
        _share_column(table, gains, labels, base + i, base + donor, mass[i])
        mass[donor] = (mass[donor] + mass[i]) - 1.0  # in this order less is lost to rounding
        below = mass[donor] < 1.0
        small[smalls] = donor
        smalls += below
        larges -= below


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
    labels: NDArray[np.int32],
) -> None:
    """Build the alias tables of the nodes `first` to `last` - 1.

    Args:
        first: first node of the range; node = layer * S + state.
        last: where the range ends.
        indptr: arcs in compressed rows: ends of the rows; row = node * A + a, or state * A + a when
            one kernel serves all layers.
        indices: next state of each arc.
        chances: probability of each arc.
        policy: pi_h(a | s), shape (L, S, A); L = 1 serves all layers.
        rewards: shape (L, S, A); L = 1 serves all layers.
        offsets: first column of each node; 0 marks a terminal state.
        bits: log2 of the columns of each node.
        table: the records, shape (columns, 4), as words.
        gains: the same memory as floats.
        labels: shape (columns, 2): next state and action of the own outcome and of the alias, as
            next state << `bits_for(A)` | action.
    """
    states, actions = policy.shape[1], policy.shape[2]
    shift = bits_for(actions)
    layers = offsets.size // states
    room = (1 << int(bits[first:last].max())) + 1
    mass, small, large = np.empty(room), np.empty(room, np.int64), np.empty(room, np.int64)
    for node in range(first, last):
        base, layer, s = offsets[node], node // states, node % states
        if base == 0:
            continue
        columns = 1 << int(bits[node])
        row = (node if indptr.size - 1 > states * actions else s) * actions
        # After the last layer this wraps to the first, but there the horizon has ended everything.
        after = ((layer + 1) % layers) * states
        # The joint law of (action, next state) at this node: pi(a | s) P(s' | s, a).
        n, total = 0, 0.0
        for a in range(actions):
            chance = policy[layer if policy.shape[0] > 1 else 0, s, a]
            reward = rewards[layer if rewards.shape[0] > 1 else 0, s, a]
            for p in range(indptr[row + a], indptr[row + a + 1]):
                mass[n] = chance * chances[p]
                total += mass[n]
                to = after + indices[p]
                _own_column(table, gains, base + n, offsets[to], bits[to], reward)
                labels[base + n, 0] = labels[base + n, 1] = indices[p] << shift | a
                n += 1
        for i in range(n):
            mass[i] *= columns / total  # a column's share is 1, whatever the rounding of chances
        # Columns without an outcome of their own borrow all of their share.
        for i in range(n, columns):
            mass[i] = 0.0
        _balance(mass, columns, small, large, base, (table, gains, labels))


@njit(cache=True, nogil=True)
def _look_ahead(words: Words, column: Any, far: Any) -> None:
    """Have a column read from memory before it is needed; `far` as in `roll`."""
    if far is None:
        prefetch(words, column << _2)
    else:
        prefetch_far(words, column << _2)


@njit(cache=True, nogil=True)
def roll(
    table: Words,
    gains: Any,
    uniform: Any,
    far: Any,
    ends: bool,
    offsets: Any,
    nodes: Any,
    horizon: int,
    steps: Any,
    states: Any,
    keys: Words,
    returns: NDArray[np.float64],
    lengths: NDArray[np.int32],
    cut: NDArray[np.bool_],
    path: Any,
) -> None:
    """Roll out through alias tables, many in flight; a lane that ends takes the next one.

    Args:
        table: as from `build`.
        gains: as from `build`.
        uniform: log2 of the columns of every node, or None where nodes differ.
        far: None if the table is in the caches, True if not; a type, so that each is compiled.
        ends: whether the MDP has terminal states.
        offsets: first column of each node, shape (L, S).
        nodes: log2 of the columns of each node, shape (L, S).
        horizon: number of layers.
        steps: layer of each start, shape (n,).
        states: state of each start, shape (n,).
        keys: key of each rollout, shape (n,).
        returns: written; return of each rollout, shape (n,).
        lengths: written; its number of actions, shape (n,).
        cut: written; whether it used up its steps, shape (n,).
        path: written; 2 * column + side of every step, shape (n * steps,), or None.
    """
    n = keys.size
    wide = 0 if path is None else path.size // max(n, 1)
    words = table.reshape(-1)
    if far is None:
        most, foresight = LANES, AHEAD
    else:
        most, foresight = FAR_LANES, FAR_AHEAD
    cell = np.empty(most, np.int64)
    who, due, gone = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    base, bits, state = np.empty(most, U), np.empty(most, U), np.empty(most, U)
    coin, column, gain = np.empty(most, U), np.empty(most + foresight, U), np.empty(most)
    lanes, queue, clock, counter = 0, 0, 0, _0
    ended: Any = 0
    next_due = _NEVER
    while True:
        while ended > 0 or (lanes < most and queue < n):  # seat the next rollouts
            if ended > 0:
                ended -= 1
                j = gone[ended]
                i = who[j]
                returns[i], cut[i] = gain[j], base[j] != _0
                lengths[i] = horizon - steps[i] - (due[j] - clock)
            else:
                j = lanes
                lanes += 1
            start: Any = 0
            while queue < n:
                i = queue
                queue += 1
                layer: Any = steps[i] if offsets.shape[0] > 1 else 0
                start = offsets[layer, states[i]]
                if start != 0:
                    break
                returns[i], lengths[i], cut[i] = 0.0, 0, False  # it starts where rollouts end
            if start != 0:
                who[j], due[j], gain[j] = i, clock + horizon - steps[i], 0.0
                # Clock and counter are common to all lanes, so each is taken off here: step t of
                # rollout i is path[i * wide + t], its draw a hash of its key and t alone.
                cell[j] = i * wide - clock
                base[j], bits[j] = start, nodes[layer, states[i]]
                state[j] = mix(keys[i] + GOLDEN) - counter
                next_due = min(next_due, due[j])
            else:  # close the gap; `gone` falls, so the last lane is not itself about to leave
                lanes -= 1
                who[j], due[j], gain[j] = who[lanes], due[lanes], gain[lanes]
                cell[j] = cell[lanes]
                base[j], bits[j], state[j] = base[lanes], bits[lanes], state[lanes]
        if lanes == 0:
            return
        counter += GOLDEN
        for j in range(lanes):
            # One hash: its top bits choose the column, the others are the coin.
            draw = mix(state[j] + counter)
            k = bits[j] if uniform is None else U(uniform)
            column[j] = base[j] + (draw >> (_64 - k))
            coin[j] = draw << k
        # Columns past the last lane are looked at ahead of time too; any valid one will do.
        for j in range(foresight):
            column[lanes + j] = column[0]
        for j in range(foresight):
            _look_ahead(words, column[j], far)
        for j in range(lanes):
            _look_ahead(words, column[j + foresight], far)
            q = column[j]
            word = table[q, 0]
            side = U(coin[j] >= word)
            if path is not None:
                # Column and side in one number; `decode` looks up what they stand for.
                path[cell[j] + clock] = q + q + side
            gain[j] += gains[q, _2 + side]
            base[j] = (table[q, 1] >> (side << _5)) & _LOW_32
            if uniform is None:
                bits[j] = (word >> (side * _6)) & _LOW_6
        clock += 1
        # Without terminal states nothing can end before the first rollout is due.
        if ends or clock == next_due:
            next_due = _NEVER
            found = _0  # unsigned, so that `gone[found]` needs no test for a negative index
            for j in range(lanes):
                gone[found] = j
                found += U(base[j] == _0) | U(due[j] == clock)
            ended = np.int64(found)
            if not ends:
                for j in range(lanes):
                    if due[j] > clock:
                        next_due = min(next_due, due[j])


@njit(cache=True, nogil=True)
def decode(
    first: Any,
    lengths: Any,
    labels: Any,
    shift: int,
    states: NDArray[np.int32],
    actions: NDArray[np.int32],
) -> None:
    """Turn the columns and sides that `roll` wrote into states and actions.

    Args:
        first: first state of each rollout, shape (n,).
        lengths: number of actions of each rollout, shape (n,).
        labels: as in `build`.
        shift: bits of an action in a label, `bits_for(A)`.
        states: holds the path of `roll`, shape (n, steps); becomes the states, -1 after the end.
        actions: written likewise.
    """
    mask = (1 << shift) - 1
    for i in range(first.size):
        s, n = first[i], lengths[i]
        for t in range(n):
            code = states[i, t]
            label = labels[code >> 1, code & 1]
            # `states` held the path: entry t is read before the state is written over it.
            states[i, t], actions[i, t], s = s, label & mask, label >> shift
        states[i, n:] = -1
        actions[i, n:] = -1


@njit(inline="always")
def _pick(chances: Any, first: Any, last: Any, u: Any) -> Any:
    """Index in [first, last) drawn by its chance; never one of chance zero."""
    # If rounding leaves u above 0 at the end, the last index with a chance stands.
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
    """Draw the next state of each transition row by one uniform number each."""
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
    horizon: int,
    steps: Any,
    start: Any,
    keys: Words,
    returns: NDArray[np.float64],
    lengths: NDArray[np.int32],
    cut: NDArray[np.bool_],
    states: Any,
    actions: Any,
) -> None:
    """Roll out without tables of their own: for MDPs whose alias tables would not fit.

    Args:
        indptr: arcs in compressed rows: ends of the rows; row = node * A + a, or state * A + a when
            one kernel serves all layers.
        indices: next state of each arc.
        chances: probability of each arc.
        policy: pi_h(a | s), shape (L, S, A); L = 1 serves all layers.
        rewards: shape (L, S, A); L = 1 serves all layers.
        terminal: shape (S,).
        horizon: number of layers.
        steps: layer of each start, shape (n,).
        start: state of each start, shape (n,).
        keys: key of each rollout, shape (n,).
        returns: written; return of each rollout, shape (n,).
        lengths: written; its number of actions, shape (n,).
        cut: written; whether it used up its steps, shape (n,).
        states: written; states, -1 after the end, shape (n, steps); or None.
        actions: written; actions, likewise.
    """
    wide = policy.shape[1] * policy.shape[2]
    for i in range(keys.size):
        s, gain, t, state = start[i], 0.0, 0, mix(keys[i] + GOLDEN)
        while steps[i] + t < horizon and not terminal[s]:
            h = steps[i] + t
            pi = policy[h if policy.shape[0] > 1 else 0, s]
            # Two draws a step, action and next state: these rollouts are other ones than `roll`'s.
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
