"""Exact evaluation in a discounted MDP: values and visits, certified by their residuals."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from tabular.evaluation.linear import ChainSystem, largest, proven_error, rounding, total
from tabular.evaluation.mixing import sweep_policy
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import DiscountedMDP
from tabular.mdp.validation import Array


def evaluate_discounted(mdp: DiscountedMDP, policy: Array) -> Evaluation:
    """Compute values and discounted occupancy of a checked policy of shape (S, A).

    V solves (I - gamma P_pi) V = r_pi and d solves (I - gamma P_pi)^T d = (1 - gamma) start, by
    sweeps where the chain mixes soon and by solvers elsewhere. The error bounds are the sup-norm
    residual of V and the sum-norm residual of d, divided by 1 - gamma; zero on an exact MDP.
    """
    swept = None if mdp.exact else sweep_policy(mdp, policy)
    if swept is not None:
        return Evaluation(
            value=float(mdp.start @ swept.values),
            values=swept.values,
            q_values=swept.q_values,
            advantages=swept.q_values - swept.values[:, None],
            visits=swept.visits,
            policy=policy,
            discount=mdp.discount,
            error_bound=swept.error_bound,
            visits_error_bound=swept.visits_error_bound,
        )
    system = discounted_system(mdp, policy)
    first = (1 - mdp.discount) * mdp.start
    values = system.solve((policy * mdp.rewards).sum(axis=1))
    visits = system.solve_transposed(first, guess=mdp.start)
    if not mdp.exact:
        visits = np.maximum(visits, 0.0)  # no further from the truth, which is not negative
    # As (S * A, S), so that one product averages V over the next states of all pairs.
    flat = mdp.transitions if mdp.sparse else mdp.transitions.reshape(-1, mdp.states)
    ahead = (flat @ values).reshape(mdp.states, mdp.actions)
    q_values = mdp.rewards + mdp.discount * ahead
    # r_pi + gamma P_pi V - V, from Q: no second product with the chain.
    residual = (policy * q_values).sum(axis=1) - values
    return Evaluation(
        value=mdp.start @ values if mdp.exact else float(mdp.start @ values),
        values=values,
        q_values=q_values,
        advantages=q_values - values[:, None],
        visits=visits,
        policy=policy,
        discount=mdp.discount,
        error_bound=0.0 if mdp.exact else _values_error(mdp, system, values, residual),
        visits_error_bound=0.0 if mdp.exact else _visits_error(system, visits, first),
    )


def discounted_system(mdp: DiscountedMDP, policy: Array) -> ChainSystem:
    """Return the system I - gamma P_pi of a policy (S, A); rows may sum to less than one."""
    return ChainSystem(mdp.discount * _average(mdp, policy))


def _average(mdp: DiscountedMDP, policy: Array) -> Any:
    """P_pi, shape (S, S): the transitions averaged over the actions of each state."""
    if not mdp.sparse:
        return (policy[:, None, :] @ mdp.transitions)[:, 0, :]
    columns = np.arange(mdp.states * mdp.actions)
    bounds = np.arange(mdp.states + 1) * mdp.actions
    shape = (mdp.states, columns.size)
    chooser = sparse.csr_array((policy.reshape(-1), columns, bounds), shape, copy=True)
    chooser.eliminate_zeros()  # or actions never taken would fill the chain
    return chooser @ mdp.transitions


def _values_error(mdp: DiscountedMDP, system: ChainSystem, values: Array, residual: Array) -> float:
    """Sup-norm bound of the error of `values`, from r_pi + gamma P_pi V - V as computed."""
    longest = int(np.diff(mdp.transitions.indptr).max()) if mdp.sparse else mdp.states
    # Two sums are behind each entry: over next states for Q, over actions for its mean.
    slack = rounding(longest, sequential=mdp.sparse) + rounding(mdp.actions)
    magnitude = largest(mdp.rewards) + 2 * largest(values)
    return proven_error(largest(residual), magnitude, slack, system.modulus)


def _visits_error(system: ChainSystem, visits: Array, first: Array) -> float:
    """Sum-norm bound of the error of `visits`, whose system begins with `first`."""
    residual = first - visits + visits @ system.chain
    magnitude = total(first) + 2 * total(visits)
    return proven_error(total(residual), magnitude, system.slack, system.modulus)
