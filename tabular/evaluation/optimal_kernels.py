"""Loops of dynamic programming on sparse tables, compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# As in `tabular.evaluation.kernels`, and rows of four entries are written out for the same reason.
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=_FAST)
def sparse_greedy(
    data: Any,
    indices: Any,
    bounds: Any,
    rewards: Any,
    discount: float,
    values: Any,
    improved: Any,
    choice: Any,
) -> Any:
    """Apply T and note greedy actions; returns least and greatest change, new actions.

    csr rows (s, a) with unsigned indices and bounds; rewards (S, A); values, improved (S,) float;
    choice (S,) int, the previous greedy actions on entry.
    """
    states, actions = rewards.shape
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    row, i = np.uint64(0), np.uint64(0)
    least, greatest, switched = np.inf, -np.inf, 0
    for s in range(states):
        best, chosen = -np.inf, 0
        for a in range(actions):
            row += one
            end = np.uint64(bounds[row])
            ahead = 0.0
            if end - i == four:
                ahead += data[i] * values[indices[i]] + data[i + one] * values[indices[i + one]]
                ahead += data[i + two] * values[indices[i + two]]
                ahead += data[i + three] * values[indices[i + three]]
                i = end
            while i < end:
                ahead += data[i] * values[indices[i]]
                i += one
            worth = rewards[s, a] + discount * ahead
            # Strictly greater: the first of equals, as argmax has it.
            chosen = a if worth > best else chosen
            best = max(best, worth)
        switched += chosen != choice[s]
        improved[s], choice[s] = best, chosen
        change = best - values[s]
        least, greatest = min(least, change), max(greatest, change)
    return least, greatest, switched


@njit(cache=True, fastmath=_FAST)
def sparse_sweeps(
    data: Any,
    indices: Any,
    bounds: Any,
    rewards: Any,
    discount: float,
    values: Any,
    enough: Any,
    slow: float = 0.5,
) -> Any:
    """Apply V <- r + gamma P V of one deterministic policy again and again, in place.

    They stop once a sweep changes all states alike but for `enough`, or when ten sweeps leave more
    than `slow` of the difference: then the chain mixes slowly and a linear solve is cheaper.

    csr rows (s,) with unsigned indices and bounds; rewards and values (S,).

    Returns: whether `enough` was reached.
    """
    states = values.size
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    old, new = values.copy(), np.empty_like(values)
    marked, sweep = np.inf, 0
    while True:
        sweep += 1
        row, i = np.uint64(0), np.uint64(0)
        least, greatest = np.inf, -np.inf
        for s in range(states):
            row += one
            end = np.uint64(bounds[row])
            ahead = 0.0
            if end - i == four:
                ahead += data[i] * old[indices[i]] + data[i + one] * old[indices[i + one]]
                ahead += data[i + two] * old[indices[i + two]]
                ahead += data[i + three] * old[indices[i + three]]
                i = end
            while i < end:
                ahead += data[i] * old[indices[i]]
                i += one
            worth = rewards[s] + discount * ahead
            change = worth - old[s]
            least, greatest = min(least, change), max(greatest, change)
            new[s] = worth
        # Two buffers, so that a sweep sees the last one's values only and its change is T V - V.
        old, new = new, old
        spread = greatest - least
        stalled = False
        if sweep % 10 == 0:
            stalled = spread > slow * marked
            marked = spread
        if spread <= enough or stalled:
            values[:] = old
            return not stalled


@njit(cache=True, fastmath=_FAST)
def sparse_pushes(
    data: Any,
    indices: Any,
    bounds: Any,
    first: Any,
    discount: float,
    mass: Any,
    enough: Any,
    slow: float,
) -> Any:
    """Apply d <- first + gamma d P of one policy again and again, in place.

    They stop once a push moves no more than `enough` in all, or when ten pushes leave more than
    `slow` of what they move.

    csr rows (s,) with unsigned indices and bounds; first and mass (S,).

    Returns: sum_s |first + gamma d P - d| of the d that `mass` then holds.
    """
    one = np.uint64(1)
    old, new = mass.copy(), np.empty_like(mass)
    marked, push = np.inf, 0
    while True:
        push += 1
        new[:] = first
        row, i = np.uint64(0), np.uint64(0)
        for s in range(mass.size):
            row += one
            end = np.uint64(bounds[row])
            leaving = discount * old[s]
            while i < end:
                new[indices[i]] += leaving * data[i]
                i += one
        moved = 0.0
        for s in range(mass.size):
            moved += abs(new[s] - old[s])
        stalled = False
        if push % 10 == 0:
            stalled = moved > slow * marked
            marked = moved
        if moved <= enough or stalled:
            mass[:] = old
            return moved
        old, new = new, old


@njit(cache=True, fastmath=_FAST)
def averaged_rows(data: Any, bounds: Any, policy: Any) -> Any:
    """Return csr data and bounds of P_pi, its rows (s,), and the largest of their sums.

    A next state that several actions of a state lead to stands in its row once for each.
    """
    states, actions = policy.shape
    chances, ends = np.empty_like(data), np.empty(states + 1, bounds.dtype)
    largest, row, i = 0.0, np.uint64(0), np.uint64(0)
    one = np.uint64(1)
    ends[0] = 0
    for s in range(states):
        total = 0.0
        for a in range(actions):
            row += one
            chance, end = policy[s, a], np.uint64(bounds[row])
            while i < end:
                chances[i] = chance * data[i]
                total += chances[i]
                i += one
        ends[s + 1] = bounds[row]
        largest = max(largest, total)
    return chances, ends, largest


@njit(cache=True, fastmath=_FAST)
def chosen_rows(data: Any, indices: Any, bounds: Any, actions: int, choice: Any) -> Any:
    """Return csr data, indices and bounds of the rows (s, choice[s])."""
    rows = np.empty(choice.size, np.int64)
    ends = np.zeros(choice.size + 1, bounds.dtype)
    total = np.uint64(0)
    # First the sizes, then the rows: arrays cannot grow.
    for s in range(choice.size):
        rows[s] = s * actions + choice[s]
        total += np.uint64(bounds[rows[s] + 1]) - np.uint64(bounds[rows[s]])
        ends[s + 1] = total
    chances, targets = np.empty(total, data.dtype), np.empty(total, indices.dtype)
    k = np.uint64(0)
    for s in range(choice.size):
        i = np.uint64(bounds[rows[s]])
        while k < np.uint64(ends[s + 1]):
            chances[k], targets[k] = data[i], indices[i]
            k += np.uint64(1)
            i += np.uint64(1)
    return chances, targets, ends
