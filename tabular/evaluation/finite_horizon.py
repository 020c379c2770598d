"""Exact evaluation over a finite horizon: floats by kernels, fractions and batches by layers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike

from tabular.evaluation import small
from tabular.evaluation.result import Evaluation
from tabular.evaluation.small import PATIENCE
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.operators import columns_by_layer, csr_tables, packed_tables, pull, push
from tabular.mdp.policies import as_policies, as_policy
from tabular.mdp.validation import Array, as_numbers

_MANY = 1 << 15
"""Cells of transitions from which memory decides: fewer are summed in order, by numba or numpy."""

_AVERAGED = 1 << 17
"""Cells from which it pays to average them while they are read: beyond the second cache."""


def evaluate_layers(mdp: FiniteHorizonMDP, policies: Array) -> Evaluation:
    """Evaluate policies (K, H, S, A) layer by layer; takes tables of any kind."""
    values = np.zeros(policies.shape[:-1], dtype=policies.dtype)
    q_values, visits = np.empty_like(policies), values.copy()
    ahead = values[:, 0]  # zeros: nothing is earned after the last layer
    # Backward sweep: Q_h = r_h + P_h V_{h+1}, then V_h = sum_a pi_h Q_h.
    for h in reversed(range(mdp.horizon)):
        q_values[:, h] = mdp.reward(h) + pull(mdp, h, ahead)
        ahead = values[:, h] = (policies[:, h] * q_values[:, h]).sum(axis=2)
    visits[:, 0] = mdp.start
    # Forward sweep: P(s_{h+1} = .) from P(s_h = .), the policy and P_h.
    for h in range(mdp.horizon - 1):
        visits[:, h + 1] = push(mdp, h, visits[:, h, :, None] * policies[:, h])
    advantages = q_values - values[..., None]
    return Evaluation(values[:, 0] @ mdp.start, values, q_values, advantages, visits, policies)


def evaluate_dense_many(mdp: FiniteHorizonMDP, given: ArrayLike) -> Evaluation:
    """Evaluate policies (K, H, S, A) on dense float tables by a compiled kernel."""
    from tabular.evaluation.kernels import dense_many

    policies = as_numbers("policy", given, exact=False)
    shape = (mdp.horizon, mdp.states, mdp.actions)
    if policies.shape[1:] != shape:
        policies = as_policies(mdp, policies)
    values, visits = np.empty(policies.shape[:-1]), np.empty(policies.shape[:-1])
    q_values, advantages = np.empty(policies.shape), np.empty(policies.shape)
    visits[:, 0] = mdp.start
    # A first axis of length 1 tells the kernel that one table serves all layers.
    rewards = mdp.rewards.reshape(-1, *shape[1:])
    tables = mdp.transitions.reshape(-1, *shape[1:], mdp.states)
    # The kernel counts bad rows as it reads them; only if there are any are they looked for.
    if dense_many(tables, rewards, policies, values, q_values, advantages, visits):
        as_policies(mdp, policies)  # names the row that is no distribution
    return Evaluation(values[:, 0] @ mdp.start, values, q_values, advantages, visits, policies)


def evaluate_exact(mdp: FiniteHorizonMDP, policy: Array) -> Evaluation:
    """Evaluate a checked policy (H, S, A) on tables of fractions."""
    values = np.full((mdp.horizon, mdp.states), Fraction(0), dtype=object)
    visits, q_values = values.copy(), np.empty(policy.shape, dtype=object)
    ahead = values[0]
    # Backward sweep as above; numpy's products of objects keep the fractions.
    for h in reversed(range(mdp.horizon)):
        q_values[h] = mdp.reward(h) + mdp.kernel(h) @ ahead
        ahead = values[h] = (policy[h] * q_values[h]).sum(axis=1)
    visits[0] = mdp.start
    # Forward sweep on state-action mass, flattened to the rows of P_h.
    for h in range(mdp.horizon - 1):
        chosen = (visits[h][:, None] * policy[h]).reshape(-1)
        visits[h + 1] = chosen @ mdp.kernel(h).reshape(-1, mdp.states)
    advantages = q_values - values[:, :, None]
    return Evaluation(mdp.start @ values[0], values, q_values, advantages, visits, policy)


def evaluate_floats(mdp: FiniteHorizonMDP, given: ArrayLike) -> Evaluation:
    """Evaluate a policy (H, S, A) by compiled kernels, which check it as they read it."""
    policy = as_numbers("policy", given, exact=False)
    shape = (mdp.horizon, mdp.states, mdp.actions)
    if policy.shape != shape:
        policy = as_policy(mdp, policy)
    # A row V_H = 0 more than there are layers: the last layer is then no special case.
    values = np.empty((mdp.horizon + 1, mdp.states))
    values[mdp.horizon] = 0.0
    visits = np.empty((mdp.horizon, mdp.states))
    visits[0] = mdp.start
    # One piece of memory: what is freed together is given again, without new pages.
    q_values, advantages = np.empty((2, *shape))
    rewards = mdp.rewards.reshape(-1, *shape[1:])
    tables = values, q_values, advantages
    if _sweeps(mdp, rewards, policy, tables, visits):
        as_policy(mdp, policy)  # names the row that is no distribution
    value = float(mdp.start @ values[0])
    return Evaluation(value, values[:-1], q_values, advantages, visits, policy)


def _sweeps(
    mdp: FiniteHorizonMDP, rewards: Array, policy: Array, tables: tuple[Array, ...], visits: Array
) -> Any:
    """Run both sweeps by what suits this MDP's tables; the number of bad policy rows."""
    if not mdp.sparse and mdp.transitions.size < _MANY and PATIENCE.allows(mdp.horizon):
        bad = small.backward(columns_by_layer(mdp), rewards, policy, *tables)
        small.forward(_layers(mdp), policy, visits)
        return bad
    return (_sparse_sweeps if mdp.sparse else _dense_sweeps)(mdp, rewards, policy, tables, visits)


# Two calls each: one kernel around both loops compiles to slower code than the two.
def _sparse_sweeps(
    mdp: FiniteHorizonMDP, rewards: Array, policy: Array, tables: tuple[Array, ...], visits: Array
) -> Any:
    from tabular.evaluation import kernels

    packed = packed_tables(mdp)
    if packed is not None:
        bad = kernels.packed_backward(*packed, rewards, policy, *tables)
        kernels.packed_forward(*packed, policy, visits)
    else:
        rows = csr_tables(mdp)
        bad = kernels.sparse_backward(*rows, rewards, policy, *tables)
        kernels.sparse_forward(*rows, policy, visits)
    return bad


def _dense_sweeps(
    mdp: FiniteHorizonMDP, rewards: Array, policy: Array, tables: tuple[Array, ...], visits: Array
) -> Any:
    from tabular.evaluation import kernels

    transitions, chain_size = _layers(mdp), mdp.horizon * mdp.states**2
    if transitions.size < _MANY:
        bad = kernels.small_backward(columns_by_layer(mdp), rewards, policy, *tables)
        kernels.small_forward(transitions, policy, visits)
    elif transitions.size >= _AVERAGED and 4 * chain_size <= transitions.size:
        # P_pi of all layers is a quarter of the transitions at most. Its room is taken out while
        # in use: another thread that evaluates on this MDP makes its own.
        chain = _CHAINS.pop(mdp, None)
        if chain is None:
            chain = np.empty((mdp.horizon, mdp.states, mdp.states))
        average: Any = kernels.dense_backward_averaging
        bad = average(transitions, rewards, policy, *tables, chain)
        kernels.chain_forward(chain, visits)
        _CHAINS[mdp] = chain
    else:
        bad = kernels.dense_backward(transitions, rewards, policy, *tables)
        kernels.dense_forward(transitions, policy, visits)
    return bad


def _layers(mdp: FiniteHorizonMDP) -> Array:
    """Dense transitions, shape (L, S, A, S), where L = 1 serves all layers."""
    return np.asarray(mdp.transitions.reshape(-1, mdp.states, mdp.actions, mdp.states))


# Room for P_pi of each layer: fresh memory would cost as much as what it saves.
_CHAINS: WeakKeyDictionary[FiniteHorizonMDP, Array] = WeakKeyDictionary()
