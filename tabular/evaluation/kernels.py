"""Loops of exact evaluation, compiled by numba; `tabular.evaluation` checks and allocates.

numba does not notice when a helper in another file changes, so every kernel of one call graph
lives here. Sums may be reassociated (that is what lets them run in vector registers), so a kernel
and its Python source agree to rounding, and bit for bit where all sums are exact.

The backward kernels also return how many rows of the policy are no distributions: the policy is
in cache then, and a separate check would cost as much as a tenth of the evaluation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tabular.prefetching import prefetch

# Not "nnan" nor "ninf": a NaN in a policy must fail the comparison that counts bad rows.
_FAST = {"reassoc", "contract", "nsz"}
# That of `tabular.mdp.validation`, written out: numba's cache would not notice a change there.
_TOLERANCE = 1e-9
_16, _32, _48, _LOW_16 = np.uint64(16), np.uint64(32), np.uint64(48), np.uint64(0xFFFF)
_CACHED = 1 << 24
"""Bytes of transitions that a processor's caches hold: there BLAS multiplies at its full speed."""
_SHORT_ROW = 128
"""Columns up to which four rows and their successors are in the innermost cache together."""


@njit(cache=True, fastmath=_FAST)
def _settle_four(policy: Any, q_values: Any, values: Any, advantages: Any) -> Any:
    """Do `_settle` for four actions, the usual number: written out it takes half the time."""
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    # Flat views and unsigned cursors: an index of two signed numbers costs more than the sums.
    chances, q, rest = policy.reshape(-1), q_values.reshape(-1), advantages.reshape(-1)
    bad, k = 0, np.uint64(0)
    for s in range(values.size):
        c0, c1, c2, c3 = chances[k], chances[k + one], chances[k + two], chances[k + three]
        q0, q1, q2, q3 = q[k], q[k + one], q[k + two], q[k + three]
        value = (c0 * q0 + c1 * q1) + (c2 * q2 + c3 * q3)
        off = abs((c0 + c1) + (c2 + c3) - 1.0)
        # Any comparison with NaN is false.
        fine = (off <= _TOLERANCE) & (c0 >= 0.0) & (c1 >= 0.0) & (c2 >= 0.0) & (c3 >= 0.0)
        bad += not fine
        values[s] = value
        rest[k], rest[k + one] = q0 - value, q1 - value
        rest[k + two], rest[k + three] = q2 - value, q3 - value
        k += four
    return bad


@njit(cache=True, fastmath=_FAST)
def _settle(policy: Any, q_values: Any, values: Any, advantages: Any) -> Any:
    """V and A of one layer from its Q, arrays (S, A) and (S,); the number of bad policy rows."""
    if policy.shape[1] == 4:
        return _settle_four(policy, q_values, values, advantages)
    bad = 0
    for s in range(values.size):
        chances, q, rest = policy[s], q_values[s], advantages[s]
        value, total, wrong = 0.0, 0.0, 0.0
        for a in range(chances.size):
            value += chances[a] * q[a]
            total += chances[a]
            # Counted in floats, in the same registers; any comparison with NaN is false.
            wrong += 0.0 if chances[a] >= 0.0 else 1.0
        bad += not ((abs(total - 1.0) <= _TOLERANCE) & (wrong == 0.0))
        values[s] = value
        for a in range(chances.size):
            rest[a] = q[a] - value
    return bad


@njit(cache=True, fastmath=_FAST)
def dense_backward(
    transitions: Any, rewards: Any, policy: Any, values: Any, q_values: Any, advantages: Any
) -> Any:
    """Compute Q, V and A by backward induction; returns the number of bad policy rows.

    transitions (L, S, A, S) and rewards (L', S, A) with L and L' either 1 or H; policy, q_values,
    advantages (H, S, A); values (H + 1, S) whose last row is zero on entry.
    """
    horizon, states, actions = policy.shape
    bad = 0
    for h in range(horizon - 1, -1, -1):
        kernel = transitions[h if transitions.shape[0] > 1 else 0]
        reward = rewards[h if rewards.shape[0] > 1 else 0]
        ahead = values[h + 1]
        for s in range(states):
            for a in range(actions):
                # The innermost loop runs along a row, which is contiguous in memory.
                row = kernel[s, a]
                expected = 0.0
                for i in range(states):
                    expected += row[i] * ahead[i]
                q_values[h, s, a] = expected + reward[s, a]
        bad += _settle(policy[h], q_values[h], values[h], advantages[h])
    return bad


@njit(cache=True, fastmath=_FAST)
def dense_forward(transitions: Any, policy: Any, visits: Any) -> None:
    """Compute P(s_h = s) under a policy; visits (H, S) holds the start in row 0 on entry.

    Rows that are never entered or never chosen are not read.
    """
    horizon, states, actions = policy.shape
    for h in range(horizon - 1):
        kernel = transitions[h if transitions.shape[0] > 1 else 0]
        after = visits[h + 1]
        after[:] = 0.0
        for s in range(states):
            for a in range(actions):
                chance = visits[h, s] * policy[h, s, a]
                if chance != 0.0:  # reading the row costs more than this test
                    row = kernel[s, a]
                    for i in range(states):
                        after[i] += chance * row[i]


@njit(cache=True)
def small_backward(
    columns: Any,
    rewards: Any,
    policy: Any,
    values: Any,
    q_values: Any,
    advantages: Any,
) -> Any:
    """Do `dense_backward` with sums in the order of their terms; columns (L, S, S * A).

    The transitions stand by next state: all rows gain one term at a time, so that vector
    registers need no other order. `tabular.evaluation.small` has the same sums without numba.
    """
    horizon, states, actions = policy.shape
    bad = 0
    for h in range(horizon - 1, -1, -1):
        table = columns[h if columns.shape[0] > 1 else 0]
        reward = rewards[h if rewards.shape[0] > 1 else 0]
        ahead, q = values[h + 1], q_values[h].reshape(-1)
        for row in range(q.size):
            q[row] = table[0, row] * ahead[0]
        for i in range(1, states):
            column, value = table[i], ahead[i]
            for row in range(q.size):
                q[row] += column[row] * value
        for s in range(states):
            value, total, wrong = 0.0, 0.0, 0
            for a in range(actions):
                q_values[h, s, a] += reward[s, a]
                chance = policy[h, s, a]
                value += chance * q_values[h, s, a]
                total += chance
                wrong += not chance >= 0.0  # NaN is wrong, too
            bad += not (abs(total - 1.0) <= _TOLERANCE and wrong == 0)
            values[h, s] = value
            for a in range(actions):
                advantages[h, s, a] = q_values[h, s, a] - value
    return bad


@njit(cache=True)
def small_forward(transitions: Any, policy: Any, visits: Any) -> None:
    """Do `dense_forward` with sums in the order of their terms."""
    horizon, states, actions = policy.shape
    for h in range(horizon - 1):
        kernel = transitions[h if transitions.shape[0] > 1 else 0]
        after = visits[h + 1]
        after[:] = 0.0
        for s in range(states):
            for a in range(actions):
                row, chance = kernel[s, a], visits[h, s] * policy[h, s, a]
                for i in range(states):
                    after[i] += chance * row[i]


@njit(cache=True, fastmath=_FAST)
def dense_backward_averaging(
    transitions: Any,
    rewards: Any,
    policy: Any,
    values: Any,
    q_values: Any,
    advantages: Any,
    chain: Any,
) -> Any:
    """Do `dense_backward`, and write P_pi of each layer to `chain`, shape (H, S, S).

    A row is averaged while it is there, so that the forward pass need not read the transitions
    again: it has `chain`, a number of actions smaller. Of short rows four are taken at a time. They
    are four streams, which the processor does not foresee, so that their successors are asked for;
    long rows are faster one by one.
    """
    horizon, states, actions = policy.shape
    together = actions // 4 * 4 if states <= _SHORT_ROW else 0
    bad = 0
    for h in range(horizon - 1, -1, -1):
        kernel = transitions[h if transitions.shape[0] > 1 else 0]
        reward = rewards[h if rewards.shape[0] > 1 else 0]
        cells = kernel.reshape(-1)
        ahead, last = values[h + 1], cells.size - 1
        for s in range(states):
            mean = chain[h, s]
            mean[:] = 0.0
            for a in range(0, together, 4):
                r0, r1, r2, r3 = kernel[s, a], kernel[s, a + 1], kernel[s, a + 2], kernel[s, a + 3]
                chances = policy[h, s, a : a + 4]
                c0, c1, c2, c3 = chances[0], chances[1], chances[2], chances[3]
                following = (s * actions + a + 4) * states
                for j in range(0, states * 4, 8):
                    prefetch(cells, min(following + j, last))
                e0, e1, e2, e3 = 0.0, 0.0, 0.0, 0.0
                for i in range(states):
                    x0, x1, x2, x3, v = r0[i], r1[i], r2[i], r3[i], ahead[i]
                    e0 += x0 * v
                    e1 += x1 * v
                    e2 += x2 * v
                    e3 += x3 * v
                    mean[i] += (c0 * x0 + c1 * x1) + (c2 * x2 + c3 * x3)
                q_values[h, s, a], q_values[h, s, a + 1] = e0 + reward[s, a], e1 + reward[s, a + 1]
                q_values[h, s, a + 2] = e2 + reward[s, a + 2]
                q_values[h, s, a + 3] = e3 + reward[s, a + 3]
            for a in range(together, actions):
                row, chance, expected = kernel[s, a], policy[h, s, a], 0.0
                for i in range(states):
                    x = row[i]
                    expected += x * ahead[i]
                    mean[i] += chance * x
                q_values[h, s, a] = expected + reward[s, a]
        bad += _settle(policy[h], q_values[h], values[h], advantages[h])
    return bad


@njit(cache=True, fastmath=_FAST)
def chain_forward(chain: Any, visits: Any) -> None:
    """Do `dense_forward` from P_pi of each layer, shape (H, S, S), eight rows at a time."""
    horizon, states = visits.shape
    whole = states // 8 * 8
    for h in range(horizon - 1):
        rows, mass, after = chain[h], visits[h], visits[h + 1]
        after[:] = 0.0
        for s in range(0, whole, 8):
            m = mass[s : s + 8]
            m0, m1, m2, m3, m4, m5, m6, m7 = m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7]
            r0, r1, r2, r3 = rows[s], rows[s + 1], rows[s + 2], rows[s + 3]
            r4, r5, r6, r7 = rows[s + 4], rows[s + 5], rows[s + 6], rows[s + 7]
            for i in range(states):
                one = (m0 * r0[i] + m1 * r1[i]) + (m2 * r2[i] + m3 * r3[i])
                after[i] += one + ((m4 * r4[i] + m5 * r5[i]) + (m6 * r6[i] + m7 * r7[i]))
        for s in range(whole, states):
            row, chance = rows[s], mass[s]
            for i in range(states):
                after[i] += chance * row[i]


@njit(cache=True, fastmath=_FAST)
def packed_backward(
    chances: Any,
    targets: Any,
    rewards: Any,
    policy: Any,
    values: Any,
    q_values: Any,
    advantages: Any,
) -> Any:
    """Do `dense_backward` for sparse rows of four entries, the usual Garnet.

    chances (L * S * A * 4,); targets (L * S * A,): the four next states of a row in the 16-bit
    parts of one word, from the lowest on. A row then takes one read of indices instead of four, and
    there are no row ends to read or to mispredict.
    """
    horizon, states, actions = policy.shape
    rows = states * actions
    layered = targets.size > rows
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    bad = 0
    for h in range(horizon - 1, -1, -1):
        reward = rewards[h if rewards.shape[0] > 1 else 0].reshape(rows)
        # A view: what is written to it is Q of this layer.
        expected = q_values[h].reshape(rows)
        ahead = values[h + 1]
        row = np.uint64(h * rows if layered else 0)
        i = row * four
        for k in range(rows):
            word = targets[row]
            left = chances[i] * ahead[word & _LOW_16]
            left += chances[i + one] * ahead[(word >> _16) & _LOW_16]
            right = chances[i + two] * ahead[(word >> _32) & _LOW_16]
            right += chances[i + three] * ahead[word >> _48]
            expected[k] = reward[k] + (left + right)
            row += one
            i += four
        bad += _settle(policy[h], q_values[h], values[h], advantages[h])
    return bad


@njit(cache=True, fastmath=_FAST)
def packed_forward(chances: Any, targets: Any, policy: Any, visits: Any) -> None:
    """Do `dense_forward` for rows of four entries, as `packed_backward` has them."""
    horizon, states, actions = policy.shape
    rows = states * actions
    layered = targets.size > rows
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for h in range(horizon - 1):
        after = visits[h + 1]
        after[:] = 0.0
        row = np.uint64(h * rows if layered else 0)
        i = row * four
        for s in range(states):
            for a in range(actions):
                chance = visits[h, s] * policy[h, s, a]
                if chance != 0.0:
                    word = targets[row]
                    after[word & _LOW_16] += chance * chances[i]
                    after[(word >> _16) & _LOW_16] += chance * chances[i + one]
                    after[(word >> _32) & _LOW_16] += chance * chances[i + two]
                    after[word >> _48] += chance * chances[i + three]
                row += one
                i += four


@njit(cache=True, fastmath=_FAST)
def sparse_backward(
    data: Any,
    indices: Any,
    bounds: Any,
    rewards: Any,
    policy: Any,
    values: Any,
    q_values: Any,
    advantages: Any,
) -> Any:
    """Do `dense_backward` for csr rows (l, s, a) of one table or of H tables one below another.

    `indices` and `bounds` are unsigned: a signed index costs a test for negative ones at every
    access, which doubles the time. Rows of four entries, the usual Garnet, are written out.
    """
    horizon, states, actions = policy.shape
    # H tables have H * S * A row ends, a stationary one has S * A.
    layered = bounds.size > states * actions + 1
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    bad = 0
    for h in range(horizon - 1, -1, -1):
        reward = rewards[h if rewards.shape[0] > 1 else 0].reshape(states * actions)
        # A view: what is written to it is Q of this layer.
        expected = q_values[h].reshape(states * actions)
        ahead = values[h + 1]
        row = np.uint64(h * states * actions if layered else 0)
        i = np.uint64(bounds[row])
        for k in range(states * actions):
            row += one
            end = np.uint64(bounds[row])
            total = reward[k]
            if end - i == four:
                total += data[i] * ahead[indices[i]] + data[i + one] * ahead[indices[i + one]]
                total += data[i + two] * ahead[indices[i + two]]
                total += data[i + three] * ahead[indices[i + three]]
                i = end
            while i < end:
                total += data[i] * ahead[indices[i]]
                i += one
            expected[k] = total
        bad += _settle(policy[h], q_values[h], values[h], advantages[h])
    return bad


@njit(cache=True, fastmath=_FAST)
def sparse_forward(data: Any, indices: Any, bounds: Any, policy: Any, visits: Any) -> None:
    """Do `dense_forward` for csr rows (l, s, a) of one table or of H tables; unsigned indices."""
    horizon, states, actions = policy.shape
    layered = bounds.size > states * actions + 1
    one = np.uint64(1)
    for h in range(horizon - 1):
        after = visits[h + 1]
        after[:] = 0.0
        row = np.uint64(h * states * actions if layered else 0)
        i = np.uint64(bounds[row])
        for s in range(states):
            for a in range(actions):
                row += one
                end = np.uint64(bounds[row])
                chance = visits[h, s] * policy[h, s, a]
                if chance == 0.0:
                    # The row is skipped, but the cursor has to pass it all the same.
                    i = end
                while i < end:
                    after[indices[i]] += chance * data[i]
                    i += one


@njit(cache=True, fastmath=_FAST)
def _rows_times_columns(rows: Any, columns: Any, products: Any) -> None:
    """products (n', K) = rows (n, m) @ columns (K, m)^T, four rows by four columns at a time.

    Sixteen sums in registers. On tables beyond the cache this is twice as fast as BLAS, which
    packs the table first to multiply it by so few columns. K is a multiple of four, n' is n
    rounded up to one; what stands in the added rows means nothing.
    """
    last = rows.shape[0] - 1
    for i in range(0, last + 1, 4):
        r0, r1 = rows[i], rows[min(i + 1, last)]
        r2, r3 = rows[min(i + 2, last)], rows[min(i + 3, last)]
        for k in range(0, columns.shape[0], 4):
            c0, c1, c2, c3 = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            p00, p01, p02, p03, p10, p11, p12, p13 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            p20, p21, p22, p23, p30, p31, p32, p33 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for j in range(columns.shape[1]):
                x0, x1, x2, x3 = r0[j], r1[j], r2[j], r3[j]
                y0, y1, y2, y3 = c0[j], c1[j], c2[j], c3[j]
                p00 += x0 * y0
                p01 += x0 * y1
                p02 += x0 * y2
                p03 += x0 * y3
                p10 += x1 * y0
                p11 += x1 * y1
                p12 += x1 * y2
                p13 += x1 * y3
                p20 += x2 * y0
                p21 += x2 * y1
                p22 += x2 * y2
                p23 += x2 * y3
                p30 += x3 * y0
                p31 += x3 * y1
                p32 += x3 * y2
                p33 += x3 * y3
            q0, q1, q2, q3 = products[i], products[i + 1], products[i + 2], products[i + 3]
            q0[k], q0[k + 1], q0[k + 2], q0[k + 3] = p00, p01, p02, p03
            q1[k], q1[k + 1], q1[k + 2], q1[k + 3] = p10, p11, p12, p13
            q2[k], q2[k + 1], q2[k + 2], q2[k + 3] = p20, p21, p22, p23
            q3[k], q3[k + 1], q3[k + 2], q3[k + 3] = p30, p31, p32, p33


@njit(cache=True, fastmath=_FAST)
def _weighted_rows(weights: Any, rows: Any, sums: Any) -> None:
    """sums (K, m) = weights (K, n') @ rows (n, m), eight rows and four sums at a time.

    K is a multiple of four and n' is n rounded up to one of eight; the added weights are zero.
    """
    last = rows.shape[0] - 1
    sums[:] = 0.0
    for i in range(0, last + 1, 8):
        r0, r1 = rows[i], rows[min(i + 1, last)]
        r2, r3 = rows[min(i + 2, last)], rows[min(i + 3, last)]
        r4, r5 = rows[min(i + 4, last)], rows[min(i + 5, last)]
        r6, r7 = rows[min(i + 6, last)], rows[min(i + 7, last)]
        for k in range(0, sums.shape[0], 4):
            s0, s1, s2, s3 = sums[k], sums[k + 1], sums[k + 2], sums[k + 3]
            a, b = weights[k, i : i + 8], weights[k + 1, i : i + 8]
            c, d = weights[k + 2, i : i + 8], weights[k + 3, i : i + 8]
            a0, a1, a2, a3, a4, a5, a6, a7 = a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
            b0, b1, b2, b3, b4, b5, b6, b7 = b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]
            c0, c1, c2, c3, c4, c5, c6, c7 = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
            d0, d1, d2, d3, d4, d5, d6, d7 = d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]
            for j in range(sums.shape[1]):
                x0, x1, x2, x3 = r0[j], r1[j], r2[j], r3[j]
                x4, x5, x6, x7 = r4[j], r5[j], r6[j], r7[j]
                s0[j] += (
                    a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + (a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7)
                )
                s1[j] += (
                    b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 + (b4 * x4 + b5 * x5 + b6 * x6 + b7 * x7)
                )
                s2[j] += (
                    c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3 + (c4 * x4 + c5 * x5 + c6 * x6 + c7 * x7)
                )
                s3[j] += (
                    d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3 + (d4 * x4 + d5 * x5 + d6 * x6 + d7 * x7)
                )


@njit(cache=True, fastmath=_FAST)
def dense_many(
    transitions: Any,
    rewards: Any,
    policies: Any,
    values: Any,
    q_values: Any,
    advantages: Any,
    visits: Any,
) -> Any:
    """Run both passes for K policies at once; returns the number of bad policy rows.

    As the kernels above with a leading axis K: policies, q_values and advantages (K, H, S, A);
    values and visits (K, H, S), where visits[:, 0] holds the start distribution on entry. Each
    layer is read once for all policies: by BLAS where the transitions are in the caches, else by
    the loops above.
    """
    count, horizon, states, actions = policies.shape
    rows, padded = states * actions, (count + 3) // 4 * 4
    cached = transitions.nbytes <= _CACHED
    # The loops work on blocks of four policies, of four rows and of eight rows. They take V_{h+1}
    # as rows, BLAS takes it as columns; it is zero after the last layer and in the padding.
    ahead, columns = np.zeros((padded, states)), np.zeros((states, padded))
    expected, products = np.empty((rows + 3, padded)), np.empty((rows, padded))
    bad = 0
    for h in range(horizon - 1, -1, -1):
        kernel = transitions[h if transitions.shape[0] > 1 else 0].reshape(rows, states)
        reward = rewards[h if rewards.shape[0] > 1 else 0].reshape(rows)
        if cached:
            np.dot(kernel, columns, products)
        else:
            _rows_times_columns(kernel, ahead, expected)
            products = expected[:rows]
        for k in range(count):
            q = q_values[k, h].reshape(rows)
            for i in range(rows):
                q[i] = products[i, k] + reward[i]
            bad += _settle(policies[k, h], q_values[k, h], values[k, h], advantages[k, h])
            ahead[k] = values[k, h]
            columns[:, k] = values[k, h]
    mass, after = np.zeros((padded, rows + 7)), np.empty((padded, states))
    chosen = np.zeros((padded, rows))
    for h in range(horizon - 1):
        kernel = transitions[h if transitions.shape[0] > 1 else 0].reshape(rows, states)
        taken = chosen if cached else mass
        for k in range(count):
            for s in range(states):
                for a in range(actions):
                    taken[k, s * actions + a] = visits[k, h, s] * policies[k, h, s, a]
        if cached:
            np.dot(chosen, kernel, after)
        else:
            _weighted_rows(mass, kernel, after)
        visits[:, h + 1] = after[:count]
    return bad
