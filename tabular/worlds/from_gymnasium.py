"""Finite-horizon MDPs from the transition tables of Gymnasium's toy-text environments."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, check_count
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.scaling import rescale
from tabular.mdp.validation import Array

_DENSE_STATES = 256
# Gymnasium's own errors, and what environments raise on arguments that they do not take.
_BAD_ARGUMENTS = (gymnasium.error.Error, TypeError, KeyError, ValueError, AttributeError)


class _Edges(NamedTuple):
    """A transition table as parallel arrays, one entry per (state, action, outcome)."""

    state: NDArray[np.int64]
    action: NDArray[np.int64]
    probability: Array
    next_state: NDArray[np.int64]
    reward: Array
    done: NDArray[np.bool_]


def from_gymnasium(
    env_id: str, horizon: int, *, reward_bound: float = 1.0, **kwargs: Any
) -> FiniteHorizonMDP:
    """Convert a Gymnasium environment that publishes its transition table ``P`` into an MDP.

    States 0..n-1 are the environment's own. State n is the absorbing end that finished episodes
    go to. Where a final reward depends on the outcome of the last action (slippery FrozenLake),
    each such reward gets a state n+1, n+2, ... that pays it on leaving, and the MDP one layer
    more than `horizon`; so rewards are a function of (state, action) and the return of a
    simulated rollout is a return of the environment. A reward before the end that depends on the
    outcome (slippery CliffWalking) is replaced by its mean.

    Rewards that break the standing assumption of the bounds (Taxi, CliffWalking) are shifted and
    scaled; ``mdp.scaling.original(value)`` maps a value back. A shift is paid after the end too,
    so only without it the end is marked terminal.

    Args:
        env_id: e.g. "FrozenLake", "Taxi", "CliffWalking"; without a version the newest is taken.
        horizon: actions per episode; the environment's own time limit does not apply.
        reward_bound: R_max.
        kwargs: for ``gymnasium.make``, e.g. ``map_name="8x8", is_slippery=False``.

    Raises:
        InvalidInput: if Gymnasium knows no such environment, it rejects an argument, or the
            table does not describe the environment.

    Source: Towers et al., Gymnasium, arXiv 2407.17032.
    """
    check_count("horizon", horizon)
    table, start = _table_of(env_id, kwargs)
    edges = _edges(table)
    states, actions = len(table), len(table[0])
    payouts = _outcome_rewards(edges, actions)
    edges = _with_end(edges, states, actions, payouts)
    total = states + 1 + len(payouts)
    rewards = _expected_rewards(edges, total, actions)
    layers = horizon
    if len(payouts):
        layers += 1
        rewards = _payout_layer_last(rewards, states, layers)
    return rescale(
        _kernel(edges, total, actions),
        rewards,
        np.concatenate([start, np.zeros(total - states)]),
        layers,
        reward_bound=reward_bound,
        terminal=np.arange(total) == states,
        name=_describe(env_id, horizon, kwargs),
    )


def _describe(env_id: str, horizon: int, kwargs: dict[str, Any]) -> str:
    arguments = "".join(f", {name}={value!r}" for name, value in kwargs.items())
    return f"{env_id}(horizon={horizon}{arguments})"


def _table_of(env_id: str, kwargs: dict[str, Any]) -> tuple[Any, Array]:
    """The environment's table P and its start distribution."""
    if kwargs.get("fickle_passenger"):
        raise InvalidInput(
            "fickle_passenger", True, "is hidden state outside the table P", "leave it out"
        )
    try:
        env = gymnasium.make(_with_version(env_id), **kwargs).unwrapped
    except _BAD_ARGUMENTS as error:
        raise InvalidInput(
            "env_id", env_id, f"Gymnasium refuses it ({error})", "check the name and arguments"
        ) from error
    table = getattr(env, "P", None)
    start = getattr(env, "initial_state_distrib", None)
    env.close()
    if table is None or start is None:
        raise InvalidInput(
            "env_id", env_id, "publishes no transition table", "take a toy-text environment"
        )
    start = np.asarray(start, dtype=np.float64)
    return table, start / start.sum()


def _with_version(env_id: str) -> str:
    """The id with the newest registered version, unless it names one."""
    versions = [
        spec.version
        for spec in gymnasium.registry.values()
        if spec.name == env_id and spec.version is not None
    ]
    return f"{env_id}-v{max(versions)}" if versions else env_id


def _edges(table: Any) -> _Edges:
    rows = [
        (s, a, *outcome)
        for s in range(len(table))
        for a in range(len(table[s]))
        for outcome in table[s][a]
    ]
    state, action, probability, next_state, reward, done = zip(*rows, strict=True)
    return _Edges(
        np.array(state),
        np.array(action),
        np.array(probability, dtype=np.float64),
        np.array(next_state, dtype=np.int64),
        np.array(reward, dtype=np.float64),
        np.array(done, dtype=bool),
    )


def _outcome_rewards(edges: _Edges, actions: int) -> Array:
    """Distinct final rewards, unless a pair's final reward never depends on the outcome."""
    rows = edges.state * actions + edges.action
    final = np.unique(rows[edges.done & (edges.probability > 0)])
    at_end = np.isin(rows, final) & (edges.probability > 0)
    pairs = np.unique(np.stack([rows[at_end].astype(np.float64), edges.reward[at_end]]), axis=1)
    if pairs.shape[1] == len(final):
        return np.empty(0)
    paid = np.unique(edges.reward[edges.done])
    # An outcome that pays nothing goes straight to the end.
    return np.asarray(paid[paid != 0])


def _with_end(edges: _Edges, states: int, actions: int, payouts: Array) -> _Edges:
    """The edges with finished episodes sent to the end, by way of a paying state if need be."""
    next_state, reward = edges.next_state.copy(), edges.reward.copy()
    next_state[edges.done] = states
    for k, paid in enumerate(payouts):
        chosen = edges.done & (edges.reward == paid)
        next_state[chosen], reward[chosen] = states + 1 + k, 0.0
    extra = np.repeat(np.arange(states, states + 1 + len(payouts)), actions)
    count = len(extra)
    return _Edges(
        np.concatenate([edges.state, extra]),
        np.concatenate([edges.action, np.tile(np.arange(actions), 1 + len(payouts))]),
        np.concatenate([edges.probability, np.ones(count)]),
        np.concatenate([next_state, np.full(count, states)]),
        np.concatenate([reward, np.repeat(np.concatenate([[0.0], payouts]), actions)]),
        np.concatenate([edges.done, np.ones(count, dtype=bool)]),
    )


def _expected_rewards(edges: _Edges, states: int, actions: int) -> Array:
    rewards = np.zeros((states, actions))
    # Not +=: a pair has an entry for each of its outcomes.
    np.add.at(rewards, (edges.state, edges.action), edges.probability * edges.reward)
    return rewards


def _payout_layer_last(rewards: Array, states: int, layers: int) -> Array:
    """Rewards where the extra last layer only pays out; stationary if that is so anyway."""
    if not rewards[:states].any():
        return rewards
    layered = np.repeat(rewards[None], layers, axis=0)
    layered[-1, :states] = 0.0
    return layered


def _kernel(edges: _Edges, states: int, actions: int) -> Any:
    rows = edges.state * actions + edges.action
    shape = (states * actions, states)
    # Both forms add up entries of one place: environments list an outcome more than once.
    if states <= _DENSE_STATES:
        kernel = np.zeros(shape)
        np.add.at(kernel, (rows, edges.next_state), edges.probability)
        return kernel.reshape(states, actions, states)
    from scipy import sparse

    return sparse.coo_array((edges.probability, (rows, edges.next_state)), shape=shape).tocsr()
