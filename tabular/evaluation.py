"""Exact evaluation of a given stochastic policy: values, advantages and occupancies."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike

from cpi_theory.checks import Exact
from tabular.mdp import DiscountedMDP, FiniteHorizonMDP, as_policies, as_policy
from tabular.validation import Array


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a policy is worth and where it goes; exact fractions on an exact MDP.

    Of a batch of K policies every array has a leading axis K. For a discounted MDP there is no
    axis H, and `visits` is the discounted occupancy (1 - gamma) sum_t gamma^t P(s_t = s).

    Attributes:
        value: J, the expected return from the start distribution, in reward units; () or (K,).
        values: V_h(s), shape (H, S).
        q_values: Q_h(s, a), shape (H, S, A).
        advantages: A_h(s, a) = Q_h(s, a) - V_h(s), shape (H, S, A).
        visits: P(s_h = s), shape (H, S); every layer sums to one.
        policy: the policy that was evaluated, shape (H, S, A).
        discount: gamma, or None with a finite horizon.
        error_bound: largest error of `values` beyond rounding; positive only for iterative solves.
    """

    value: Any
    values: Array
    q_values: Array
    advantages: Array
    visits: Array
    policy: Array
    discount: Exact | None = None
    error_bound: float = 0.0

    def __post_init__(self) -> None:
        for table in (self.values, self.q_values, self.advantages, self.visits):
            table.setflags(write=False)

    @property
    def horizon(self) -> int | None:
        """Number of layers H; None in a discounted MDP."""
        return None if self.discount is not None else int(self.values.shape[-2])

    @cached_property
    def occupancy(self) -> Array:
        """d(s, h), shape as `visits`: a distribution over (s, h), or over s when discounted."""
        if self.horizon is None:
            return self.visits
        exact = self.visits.dtype.hasobject
        return self.visits * (Fraction(1, self.horizon) if exact else 1 / self.horizon)

    @cached_property
    def best_advantages(self) -> Array:
        """max_a A_h(s, a), shape (H, S); never negative."""
        return self.advantages.max(axis=-1)


def evaluate(mdp: FiniteHorizonMDP | DiscountedMDP, policy: ArrayLike) -> Evaluation:
    """Values, advantages and visits of a stochastic policy.

    Args:
        mdp: dense, sparse or exact; finite-horizon or discounted.
        policy: pi_h(a | s), shape (H, S, A), or (S, A) for all layers.

    Raises:
        InvalidInput: if `policy` does not fit the MDP.
    """
    table = as_policy(mdp, policy)
    if isinstance(mdp, DiscountedMDP):
        from tabular.discounted import evaluate_discounted

        return evaluate_discounted(mdp, table)
    if mdp.exact:
        return _evaluate_exact(mdp, table)
    return _evaluate_floats(mdp, table)


def evaluate_many(mdp: FiniteHorizonMDP | DiscountedMDP, policies: ArrayLike) -> Evaluation:
    """Values, advantages and visits of K policies at once, all with a leading axis K.

    A layer's transitions are read once for all policies (a matrix product instead of K products
    with a vector), which is what makes this several times faster than K calls of `evaluate`.

    Args:
        mdp: dense, sparse or exact; finite-horizon or discounted.
        policies: shape (K, H, S, A), or (K, S, A) for policies that are the same in all layers.

    Raises:
        InvalidInput: if `policies` do not fit the MDP.
    """
    tables = as_policies(mdp, policies)
    if isinstance(mdp, DiscountedMDP):
        return _stacked([evaluate(mdp, table) for table in tables])
    values = np.zeros(tables.shape[:-1], dtype=tables.dtype)
    q_values, visits = np.empty_like(tables), values.copy()
    ahead = values[:, 0]
    for h in reversed(range(mdp.horizon)):
        q_values[:, h] = mdp.reward(h) + pull(mdp, h, ahead)
        ahead = values[:, h] = (tables[:, h] * q_values[:, h]).sum(axis=2)
    visits[:, 0] = mdp.start
    for h in range(mdp.horizon - 1):
        visits[:, h + 1] = push(mdp, h, visits[:, h, :, None] * tables[:, h])
    advantages = q_values - values[..., None]
    return Evaluation(values[:, 0] @ mdp.start, values, q_values, advantages, visits, tables)


def _stacked(singles: list[Evaluation]) -> Evaluation:
    names = ("value", "values", "q_values", "advantages", "visits", "policy")
    tables = {name: np.stack([getattr(one, name) for one in singles]) for name in names}
    worst = max(one.error_bound for one in singles)
    return Evaluation(**tables, discount=singles[0].discount, error_bound=worst)


def _evaluate_exact(mdp: FiniteHorizonMDP, policy: Array) -> Evaluation:
    values = np.full((mdp.horizon, mdp.states), Fraction(0), dtype=object)
    visits, q_values = values.copy(), np.empty(policy.shape, dtype=object)
    ahead = values[0]
    for h in reversed(range(mdp.horizon)):
        q_values[h] = mdp.reward(h) + mdp.kernel(h) @ ahead
        ahead = values[h] = (policy[h] * q_values[h]).sum(axis=1)
    visits[0] = mdp.start
    for h in range(mdp.horizon - 1):
        chosen = (visits[h][:, None] * policy[h]).reshape(-1)
        visits[h + 1] = chosen @ mdp.kernel(h).reshape(-1, mdp.states)
    advantages = q_values - values[:, :, None]
    return Evaluation(mdp.start @ values[0], values, q_values, advantages, visits, policy)


def _evaluate_floats(mdp: FiniteHorizonMDP, policy: Array) -> Evaluation:
    horizon, states, actions = policy.shape
    values = np.empty((horizon + 1, states))
    values[horizon] = 0.0
    q_values, advantages = np.empty(policy.shape), np.empty(policy.shape)
    visits = np.empty((horizon, states))
    visits[0] = mdp.start
    rewards = mdp.rewards.reshape(-1, states, actions)
    _passes(mdp)(mdp, rewards, policy, values, q_values, advantages, visits)
    value = float(mdp.start @ values[0])
    return Evaluation(value, values[:horizon], q_values, advantages, visits, policy)


def _passes(mdp: FiniteHorizonMDP) -> Any:
    return _sparse_passes if mdp.sparse else _dense_passes


def _dense_passes(
    mdp: FiniteHorizonMDP, rewards: Array, policy: Array, values: Array, *rest: Array
) -> None:
    from tabular.evaluation_kernels import dense_backward, dense_forward

    q_values, advantages, visits = rest
    tables = mdp.transitions.reshape(-1, *policy.shape[1:], mdp.states)
    dense_backward(tables, rewards, policy, values, q_values, advantages)
    dense_forward(tables, policy, visits)


def _sparse_passes(
    mdp: FiniteHorizonMDP, rewards: Array, policy: Array, values: Array, *rest: Array
) -> None:
    from tabular.evaluation_kernels import sparse_backward, sparse_forward

    q_values, advantages, visits = rest
    tables = csr_tables(mdp)
    sparse_backward(*tables, rewards, policy, values, q_values, advantages)
    sparse_forward(*tables, policy, visits)


def push(mdp: FiniteHorizonMDP, step: int, mass: Array) -> Array:
    """Next-state mass, shape (..., S), of state-action mass (..., S, A) at layer `step`."""
    rows = mass.reshape(-1, mdp.states * mdp.actions)
    kernel = mdp.kernel(step)
    flat = kernel if mdp.sparse else kernel.reshape(rows.shape[1], mdp.states)
    return np.asarray(rows @ flat).reshape(*mass.shape[:-2], mdp.states)


def pull(mdp: FiniteHorizonMDP, step: int, values: Array) -> Array:
    """Expected next value, shape (..., S, A), of values (..., S) after layer `step`."""
    kernel = mdp.kernel(step)
    flat = kernel if mdp.sparse else kernel.reshape(-1, mdp.states)
    columns = np.ascontiguousarray(values.reshape(-1, mdp.states).T)
    return np.asarray(flat @ columns).T.reshape(*values.shape[:-1], mdp.states, mdp.actions)


_STACKED: WeakKeyDictionary[FiniteHorizonMDP, tuple[Array, Array, Array]] = WeakKeyDictionary()


def csr_tables(mdp: FiniteHorizonMDP) -> tuple[Array, Array, Array]:
    """csr data, indices and row bounds of a sparse MDP, its layers one below another.

    A layered MDP is stacked once and the result kept as long as the MDP lives: a kernel that
    takes all layers at once is several times faster than one call per layer.
    """
    if mdp.stationary:
        table = mdp.transitions
        return table.data, table.indices, table.indptr
    if mdp not in _STACKED:
        _STACKED[mdp] = _stack(mdp.transitions)
    return _STACKED[mdp]


def _stack(layers: Any) -> tuple[Array, Array, Array]:
    counts = np.concatenate([np.diff(layer.indptr) for layer in layers])
    bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    narrow = np.int32 if bounds[-1] < 2**31 else np.int64
    tables = (
        np.concatenate([layer.data for layer in layers]),
        np.concatenate([layer.indices for layer in layers]),
        bounds.astype(narrow),
    )
    for table in tables:
        table.setflags(write=False)
    return tables
