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

_FAST = {"reassoc", "contract", "nsz"}
_TOLERANCE = 1e-9


@njit(cache=True, fastmath=_FAST)
def _settle(policy: Any, q_values: Any, values: Any, advantages: Any) -> Any:
    """V and A of one layer from its Q, arrays (S, A) and (S,); the number of bad policy rows."""
    bad = 0
    for s in range(values.size):
        value, total, least = 0.0, 0.0, 0.0
        for a in range(policy.shape[1]):
            chance = policy[s, a]
            value += chance * q_values[s, a]
            total += chance
            least = min(least, chance)
        if not (abs(total - 1.0) <= _TOLERANCE and least >= 0.0):
            bad += 1
        values[s] = value
        for a in range(policy.shape[1]):
            advantages[s, a] = q_values[s, a] - value
    return bad


@njit(cache=True, fastmath=_FAST)
def dense_backward(
    transitions: Any, rewards: Any, policy: Any, values: Any, q_values: Any, advantages: Any
) -> Any:
    """Q, V and A of a policy by backward induction; returns the number of bad policy rows.

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
                row = kernel[s, a]
                expected = 0.0
                for i in range(states):
                    expected += row[i] * ahead[i]
                q_values[h, s, a] = expected + reward[s, a]
        bad += _settle(policy[h], q_values[h], values[h], advantages[h])
    return bad


@njit(cache=True, fastmath=_FAST)
def dense_forward(transitions: Any, policy: Any, visits: Any) -> None:
    """P(s_h = s) under a policy; visits (H, S) holds the start distribution in row 0 on entry.

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
                if chance != 0.0:
                    row = kernel[s, a]
                    for i in range(states):
                        after[i] += chance * row[i]


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
    """As `dense_backward`, for csr rows (l, s, a) of one table or of H tables one below another.

    `indices` and `bounds` are unsigned: a signed index costs a test for negative ones at every
    access, which doubles the time. Rows of four entries, the usual Garnet, are written out.
    """
    horizon, states, actions = policy.shape
    layered = bounds.size > states * actions + 1
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    bad = 0
    for h in range(horizon - 1, -1, -1):
        reward = rewards[h if rewards.shape[0] > 1 else 0].reshape(states * actions)
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
    """As `dense_forward`, for csr rows (l, s, a) of one table or of H tables; unsigned indices."""
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
                    i = end
                while i < end:
                    after[indices[i]] += chance * data[i]
                    i += one
