"""Loops of exact evaluation, compiled by numba; `tabular.evaluation` checks and allocates.

numba does not notice when a helper in another file changes, so every kernel of one call graph
lives here. The sums may be reassociated (that is what lets them run in vector registers), so a
kernel and its Python source agree to rounding, and bit for bit where all sums are exact.
"""

from __future__ import annotations

from typing import Any

from numba import njit

_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=_FAST)
def dense_backward(
    transitions: Any, rewards: Any, policy: Any, values: Any, q_values: Any, advantages: Any
) -> None:
    """Q, V and A of a policy by backward induction.

    transitions (L, S, A, S) and rewards (L', S, A) with L and L' either 1 or H; policy, q_values,
    advantages (H, S, A); values (H + 1, S) whose last row is zero on entry.
    """
    horizon, states, actions = policy.shape
    for h in range(horizon - 1, -1, -1):
        kernel = transitions[h if transitions.shape[0] > 1 else 0]
        reward = rewards[h if rewards.shape[0] > 1 else 0]
        ahead = values[h + 1]
        for s in range(states):
            value = 0.0
            for a in range(actions):
                row = kernel[s, a]
                expected = 0.0
                for i in range(states):
                    expected += row[i] * ahead[i]
                expected += reward[s, a]
                q_values[h, s, a] = expected
                value += policy[h, s, a] * expected
            values[h, s] = value
            for a in range(actions):
                advantages[h, s, a] = q_values[h, s, a] - value


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
) -> None:
    """As `dense_backward`, for csr rows (l, s, a) of one table or of H tables one below another."""
    horizon, states, actions = policy.shape
    rows = states * actions
    layered = bounds.size > rows + 1
    for h in range(horizon - 1, -1, -1):
        reward = rewards[h if rewards.shape[0] > 1 else 0]
        ahead = values[h + 1]
        first = h * rows if layered else 0
        for s in range(states):
            value = 0.0
            for a in range(actions):
                row = first + s * actions + a
                expected = 0.0
                for i in range(bounds[row], bounds[row + 1]):
                    expected += data[i] * ahead[indices[i]]
                expected += reward[s, a]
                q_values[h, s, a] = expected
                value += policy[h, s, a] * expected
            values[h, s] = value
            for a in range(actions):
                advantages[h, s, a] = q_values[h, s, a] - value


@njit(cache=True, fastmath=_FAST)
def sparse_forward(data: Any, indices: Any, bounds: Any, policy: Any, visits: Any) -> None:
    """As `dense_forward`, for csr rows (l, s, a) of one table or of H tables."""
    horizon, states, actions = policy.shape
    rows = states * actions
    layered = bounds.size > rows + 1
    for h in range(horizon - 1):
        after = visits[h + 1]
        after[:] = 0.0
        first = h * rows if layered else 0
        for s in range(states):
            for a in range(actions):
                chance = visits[h, s] * policy[h, s, a]
                if chance != 0.0:
                    row = first + s * actions + a
                    for i in range(bounds[row], bounds[row + 1]):
                        after[indices[i]] += chance * data[i]
