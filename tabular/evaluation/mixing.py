"""Evaluation in a large discounted MDP whose chain mixes soon, by sweeps over its own tables.

A sweep V <- r_pi + gamma P_pi V shrinks the error by gamma only in its constant part, which is
known from the residual. The rest shrinks as fast as the chain mixes: on a random graph thirty
sweeps do what would take a linear solver with its matrix, transpose and vectors several times as
long. A chain that mixes slowly shows within twenty sweeps, and is left to the solvers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tabular.evaluation.linear import largest, proven_error, rounding, total
from tabular.mdp.mdp import DiscountedMDP
from tabular.mdp.operators import csr_tables
from tabular.mdp.validation import Array

_MANY = 10_000
"""States above which a chain is swept; for fewer, solvers take less time than loading numba."""
_SLOW = 0.05
"""Share of the difference that ten sweeps may leave, for all of them to cost less than a solver."""
_SHIFTS = 3
"""Most corrections of the constant part; one is usual."""


@dataclass(frozen=True, eq=False, slots=True)
class Swept:
    """Values and visits with what proves them.

    Attributes:
        values: V, shape (S,).
        q_values: r + gamma P V, shape (S, A), of just these values.
        visits: d, shape (S,).
        error_bound: proven bound of the largest error of `values`.
        visits_error_bound: proven bound of the summed error of `visits`.
    """

    values: Array
    q_values: Array
    visits: Array
    error_bound: float
    visits_error_bound: float


def sweep_policy(mdp: DiscountedMDP, policy: Array) -> Swept | None:
    """Evaluate a checked policy (S, A) by sweeps, or find that other ways are better for it."""
    if not mdp.sparse or mdp.states <= _MANY:
        return None
    from tabular.evaluation.optimal_kernels import averaged_rows, sparse_pushes, sparse_sweeps

    data, indices, bounds = csr_tables(mdp)
    chances, ends, row_sum = averaged_rows(data, bounds, policy)
    discount, modulus = float(mdp.discount), float(mdp.discount) * row_sum
    rewards, values = (policy * mdp.rewards).sum(axis=1), np.zeros(mdp.states)
    # What rounding may hide of a residual, as `ChainSystem` has it.
    hidden = rounding(int(np.diff(ends).max())) * (largest(rewards) + 2 * _size(mdp, rewards))
    if not sparse_sweeps(chances, indices, ends, rewards, discount, values, hidden, _SLOW):
        return None
    found = _shifted(mdp, policy, values, hidden)
    if found is None:
        return None
    values, q_values, residual = found
    first, visits = (1 - discount) * mdp.start, np.array(mdp.start)
    slack = rounding(int(np.bincount(indices, minlength=1).max()))
    magnitude = total(first) + 2 * total(mdp.start)
    left = sparse_pushes(chances, indices, ends, first, discount, visits, slack * magnitude, _SLOW)
    if left > slack * magnitude:
        return None
    longest = int(np.diff(bounds).max())
    # Two sums are behind each entry: over next states for Q, over actions for its mean.
    sums = rounding(longest) + rounding(mdp.actions)
    reach = largest(mdp.rewards) + 2 * largest(values)
    return Swept(
        values,
        q_values,
        visits,
        proven_error(residual, reach, sums, modulus),
        proven_error(left, total(first) + 2 * total(visits), slack, modulus),
    )


def _size(mdp: DiscountedMDP, rewards: Array) -> float:
    """About the largest value, which is not known yet: that of the mean reward."""
    return abs(float(rewards.mean())) / (1 - float(mdp.discount))


def _shifted(
    mdp: DiscountedMDP, policy: Array, values: Array, hidden: float
) -> tuple[Array, Array, float] | None:
    """Values with their constant part, their Q and residual; None if the residual stays large."""
    discount = float(mdp.discount)
    for _ in range(_SHIFTS):
        ahead = (mdp.transitions @ values).reshape(mdp.states, mdp.actions)
        q_values = mdp.rewards + discount * ahead
        residual = (policy * q_values).sum(axis=1) - values
        if largest(residual) <= hidden:
            return values, q_values, largest(residual)
        # All values are as much too low as the residual, about constant, says.
        values = values + (residual.min() + residual.max()) / (2 * (1 - discount))
    return None
