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
from tabular.validation import Array, as_numbers


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
    if isinstance(mdp, DiscountedMDP):
        from tabular.discounted import evaluate_discounted

        return evaluate_discounted(mdp, as_policy(mdp, policy))
    if mdp.exact:
        return _evaluate_exact(mdp, as_policy(mdp, policy))
    return _evaluate_floats(mdp, policy)


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
    if isinstance(mdp, DiscountedMDP):
        return _stacked([evaluate(mdp, table) for table in as_policies(mdp, policies)])
    if mdp.exact or mdp.sparse:
        return _evaluate_layers(mdp, as_policies(mdp, policies))
    return _evaluate_dense_many(mdp, policies)


def _evaluate_layers(mdp: FiniteHorizonMDP, policies: Array) -> Evaluation:
    """Any tables at all, layer by layer; policies (K, H, S, A)."""
    values = np.zeros(policies.shape[:-1], dtype=policies.dtype)
    q_values, visits = np.empty_like(policies), values.copy()
    ahead = values[:, 0]
    for h in reversed(range(mdp.horizon)):
        q_values[:, h] = mdp.reward(h) + pull(mdp, h, ahead)
        ahead = values[:, h] = (policies[:, h] * q_values[:, h]).sum(axis=2)
    visits[:, 0] = mdp.start
    for h in range(mdp.horizon - 1):
        visits[:, h + 1] = push(mdp, h, visits[:, h, :, None] * policies[:, h])
    advantages = q_values - values[..., None]
    return Evaluation(values[:, 0] @ mdp.start, values, q_values, advantages, visits, policies)


def _evaluate_dense_many(mdp: FiniteHorizonMDP, given: ArrayLike) -> Evaluation:
    from tabular.evaluation_kernels import dense_many

    policies = as_numbers("policy", given, exact=False)
    shape = (mdp.horizon, mdp.states, mdp.actions)
    if policies.shape[1:] != shape:
        policies = as_policies(mdp, policies)
    values, visits = np.empty(policies.shape[:-1]), np.empty(policies.shape[:-1])
    q_values, advantages = np.empty(policies.shape), np.empty(policies.shape)
    visits[:, 0] = mdp.start
    rewards = mdp.rewards.reshape(-1, *shape[1:])
    tables = mdp.transitions.reshape(-1, *shape[1:], mdp.states)
    if dense_many(tables, rewards, policies, values, q_values, advantages, visits):
        as_policies(mdp, policies)  # names the row that is no distribution
    return Evaluation(values[:, 0] @ mdp.start, values, q_values, advantages, visits, policies)


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


def _evaluate_floats(mdp: FiniteHorizonMDP, given: ArrayLike) -> Evaluation:
    policy = as_numbers("policy", given, exact=False)
    shape = (mdp.horizon, mdp.states, mdp.actions)
    if policy.shape != shape:
        policy = as_policy(mdp, policy)
    values = np.empty((mdp.horizon + 1, mdp.states))
    values[mdp.horizon] = 0.0
    visits = np.empty((mdp.horizon, mdp.states))
    visits[0] = mdp.start
    q_values, advantages = np.empty(shape), np.empty(shape)
    rewards = mdp.rewards.reshape(-1, *shape[1:])
    backward, forward, tables = _kernels(mdp)
    if backward(*tables, rewards, policy, values, q_values, advantages):
        as_policy(mdp, policy)  # names the row that is no distribution
    forward(*tables, policy, visits)
    value = float(mdp.start @ values[0])
    return Evaluation(value, values[:-1], q_values, advantages, visits, policy)


def _kernels(mdp: FiniteHorizonMDP) -> tuple[Any, Any, tuple[Array, ...]]:
    """The backward and the forward loop for this MDP's tables, and the tables.

    Two calls: one kernel around both loops compiles to slower code than the two.
    """
    from tabular import evaluation_kernels as kernels

    if mdp.sparse:
        return kernels.sparse_backward, kernels.sparse_forward, csr_tables(mdp)
    tables = mdp.transitions.reshape(-1, mdp.states, mdp.actions, mdp.states)
    return kernels.dense_backward, kernels.dense_forward, (tables,)


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


_TABLES: WeakKeyDictionary[Any, tuple[Array, Array, Array]] = WeakKeyDictionary()


def csr_tables(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[Array, Array, Array]:
    """csr data, indices and row bounds of a sparse MDP as the kernels take them, made once.

    Layers stand one below another, so that one kernel call serves them all. Indices are unsigned
    and, below 65,537 states, two bytes wide: large tables are bound by the bytes they read.
    """
    tables = _TABLES.get(mdp)
    if tables is None:
        from scipy import sparse

        layered = isinstance(mdp.transitions, tuple)
        table = sparse.vstack(mdp.transitions, format="csr") if layered else mdp.transitions
        indices = table.indices.astype(np.uint16 if mdp.states <= 1 << 16 else np.uint32)
        wide = np.uint32 if table.nnz < 1 << 32 else np.uint64
        tables = (table.data, indices, table.indptr.astype(wide))
        for part in tables:
            part.setflags(write=False)
        _TABLES[mdp] = tables
    return tables
