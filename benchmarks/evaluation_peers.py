"""The worlds that evaluation is timed on, and what users write today to evaluate a policy in them.

Each peer takes the tables of a world, prepares once, and returns a callable that gives V, Q, A
and visits. All of them compute in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

Tables = tuple[Any, np.ndarray, np.ndarray, np.ndarray]
"""Transitions, rewards (H, S, A), start (S,) and policy (H, S, A)."""

BRANCHING = 4


@dataclass(frozen=True)
class World:
    """The tables of one row, a function of its sizes alone."""

    kind: str
    horizon: int
    states: int
    actions: int

    @property
    def size(self) -> str:
        """The sizes as they stand in the table."""
        return f"H={self.horizon} S={self.states} A={self.actions}"

    def tables(self) -> Tables:
        """Dense transitions (H, S, A, S), or indices and probabilities (H, S * A, 4)."""
        rng = np.random.default_rng(0)
        shape = (self.horizon, self.states, self.actions)
        if self.kind == "dense":
            transitions: Any = rng.random((*shape, self.states))
            transitions /= transitions.sum(axis=-1, keepdims=True)
            transitions.setflags(write=False)
        else:
            rows = (self.horizon, self.states * self.actions, BRANCHING)
            indices = rng.integers(0, self.states, rows, dtype=np.int32)
            chances = rng.random(rows)
            transitions = indices, chances / chances.sum(axis=-1, keepdims=True)
        rewards = rng.random(shape) / self.horizon
        policy = rng.dirichlet(np.ones(self.actions), shape[:2])
        return transitions, rewards, np.full(self.states, 1 / self.states), policy


def einsum_peer(tables: Tables) -> Callable[[], Any]:
    """numpy, one einsum per layer and pass."""
    transitions, rewards, start, policy = tables

    def run() -> Any:
        values, q_values, visits = _empty(policy, start)
        for h in reversed(range(len(policy))):
            q_values[h] = rewards[h] + np.einsum("sat,t->sa", transitions[h], values[h + 1])
            values[h] = np.einsum("sa,sa->s", policy[h], q_values[h])
        for h in range(len(policy) - 1):
            chosen = visits[h][:, None] * policy[h]
            visits[h + 1] = np.einsum("sa,sat->t", chosen, transitions[h])
        return values[:-1], q_values, q_values - values[:-1, :, None], visits

    return run


def gemv_peer(tables: Tables) -> Callable[[], Any]:
    """numpy, one matrix-vector product per layer and pass."""
    transitions, rewards, start, policy = tables
    flat = transitions.reshape(len(policy), -1, start.size)

    def run() -> Any:
        values, q_values, visits = _empty(policy, start)
        for h in reversed(range(len(policy))):
            q_values[h] = rewards[h] + (flat[h] @ values[h + 1]).reshape(policy[h].shape)
            values[h] = np.einsum("sa,sa->s", policy[h], q_values[h])
        for h in range(len(policy) - 1):
            visits[h + 1] = (visits[h][:, None] * policy[h]).reshape(-1) @ flat[h]
        return values[:-1], q_values, q_values - values[:-1, :, None], visits

    return run


def torch_peer(tables: Tables) -> Callable[[], Any]:
    """torch on one thread."""
    import warnings

    import torch

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the transitions are read-only and nobody writes them
        transitions, rewards, start, policy = (torch.from_numpy(table) for table in tables)
    flat = transitions.reshape(len(policy), -1, start.numel())

    def run() -> Any:
        values = torch.zeros((len(policy) + 1, start.numel()), dtype=torch.float64)
        q_values, visits = torch.empty_like(policy), torch.empty_like(values[:-1])
        visits[0] = start
        for h in reversed(range(len(policy))):
            q_values[h] = rewards[h] + torch.mv(flat[h], values[h + 1]).reshape(policy[h].shape)
            values[h] = (policy[h] * q_values[h]).sum(dim=1)
        for h in range(len(policy) - 1):
            visits[h + 1] = torch.mv(flat[h].T, (visits[h][:, None] * policy[h]).reshape(-1))
        return values[:-1], q_values, q_values - values[:-1, :, None], visits

    return run


def scipy_peer(tables: Tables) -> Callable[[], Any]:
    """scipy csr products."""
    (indices, chances), rewards, start, policy = tables
    layers = [csr(*layer, start.size) for layer in zip(indices, chances, strict=True)]
    turned = [layer.T for layer in layers]

    def run() -> Any:
        values, q_values, visits = _empty(policy, start)
        for h in reversed(range(len(policy))):
            q_values[h] = rewards[h] + (layers[h] @ values[h + 1]).reshape(policy[h].shape)
            values[h] = np.einsum("sa,sa->s", policy[h], q_values[h])
        for h in range(len(policy) - 1):
            visits[h + 1] = turned[h] @ (visits[h][:, None] * policy[h]).reshape(-1)
        return values[:-1], q_values, q_values - values[:-1, :, None], visits

    return run


def gather_peer(tables: Tables) -> Callable[[], Any]:
    """numpy gathers and bincounts."""
    (indices, chances), rewards, start, policy = tables

    def run() -> Any:
        values, q_values, visits = _empty(policy, start)
        for h in reversed(range(len(policy))):
            ahead = np.einsum("rb,rb->r", chances[h], values[h + 1][indices[h]])
            q_values[h] = rewards[h] + ahead.reshape(policy[h].shape)
            values[h] = np.einsum("sa,sa->s", policy[h], q_values[h])
        for h in range(len(policy) - 1):
            mass = (visits[h][:, None] * policy[h]).reshape(-1, 1) * chances[h]
            visits[h + 1] = np.bincount(indices[h].reshape(-1), mass.reshape(-1), start.size)
        return values[:-1], q_values, q_values - values[:-1, :, None], visits

    return run


def jax_peer(tables: Tables) -> Callable[[], Any]:
    """JAX, two scans compiled into one call."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    layered = isinstance(tables[0], tuple)
    transitions, rewards, start, policy = jax.tree.map(jnp.asarray, tables)

    def ahead(layer: Any, values: Any) -> Any:
        if layered:
            return (layer[1] * values[layer[0]]).sum(axis=-1)
        return layer.reshape(-1, values.size) @ values

    def after(layer: Any, mass: Any) -> Any:
        if layered:
            return jnp.zeros(start.size).at[layer[0]].add(mass[:, None] * layer[1])
        return mass @ layer.reshape(-1, start.size)

    def back(values: Any, step: Any) -> Any:
        layer, reward, chances = step
        q_values = reward + ahead(layer, values).reshape(reward.shape)
        values = (chances * q_values).sum(axis=1)
        return values, (values, q_values, q_values - values[:, None])

    def forth(visits: Any, step: Any) -> Any:
        layer, chances = step
        return after(layer, (visits[:, None] * chances).reshape(-1)), visits

    @jax.jit
    def both(transitions: Any, rewards: Any, start: Any, policy: Any) -> Any:
        first = jnp.zeros(start.size)
        _, tables = jax.lax.scan(back, first, (transitions, rewards, policy), reverse=True)
        _, visits = jax.lax.scan(forth, start, (transitions, policy))
        return *tables, visits

    return lambda: jax.block_until_ready(both(transitions, rewards, start, policy))


def gmres_peer(mdp: Any, policy: np.ndarray) -> Callable[[], Any]:
    """scipy's GMRES on both systems of a discounted MDP, to 1e-12.

    Its BiCGSTAB is quicker and stops short of the visits: it takes the small numbers of a
    uniform start for a breakdown (info = -10), with 1e-6 of the mass misplaced at S = 1e6.
    """
    from scipy.sparse.linalg import gmres

    def run() -> Any:
        matrix, rewards, first = _systems(mdp, policy)
        values, failed = gmres(matrix, rewards, rtol=1e-12, atol=0.0)
        visits, also_failed = gmres(matrix.T.tocsr(), first, rtol=1e-12, atol=0.0)
        if failed or also_failed:
            raise SystemExit("GMRES did not converge: not timed")
        return _discounted_tables(mdp, values, visits)

    return run


def splu_peer(mdp: Any, policy: np.ndarray) -> Callable[[], Any]:
    """scipy's sparse LU decomposition, shared by both systems of a discounted MDP."""
    from scipy.sparse.linalg import splu

    def run() -> Any:
        matrix, rewards, first = _systems(mdp, policy)
        factors = splu(matrix.tocsc())
        return _discounted_tables(mdp, factors.solve(rewards), factors.solve(first, "T"))

    return run


def _systems(mdp: Any, policy: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """I - gamma P_pi and the right sides of values and visits."""
    columns = np.arange(policy.size)
    bounds = np.arange(mdp.states + 1) * mdp.actions
    chooser = sparse.csr_array((policy.reshape(-1), columns, bounds), (mdp.states, policy.size))
    matrix = sparse.identity(mdp.states, format="csr") - mdp.discount * (chooser @ mdp.transitions)
    return matrix, (policy * mdp.rewards).sum(axis=1), (1 - mdp.discount) * mdp.start


def _discounted_tables(mdp: Any, values: np.ndarray, visits: np.ndarray) -> Any:
    ahead = (mdp.transitions @ values).reshape(mdp.states, mdp.actions)
    q_values = mdp.rewards + mdp.discount * ahead
    return values, q_values, q_values - values[:, None], visits


def _empty(policy: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, visits = np.zeros((len(policy) + 1, start.size)), np.empty((len(policy), start.size))
    visits[0] = start
    return values, np.empty_like(policy), visits


def csr(indices: np.ndarray, chances: np.ndarray, states: int) -> Any:
    """One layer as a csr table, shape (S * A, S)."""
    bounds = np.arange(0, indices.size + 1, BRANCHING, dtype=np.int32)
    return sparse.csr_array(
        (chances.reshape(-1), indices.reshape(-1), bounds), (len(indices), states)
    )
