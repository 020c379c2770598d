"""Families of worlds with dials: random, extremal, aliased, and chains of decisions."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpi_theory.checks import (
    Exact,
    InvalidInput,
    check_count,
    check_in_range,
    check_positive,
    check_probability,
)
from cpi_theory.randomness import Key
from tabular.calibration import calibrated_tree
from tabular.dials import clear_of_rounding, same_kind, zeros
from tabular.mdp import (
    DiscountedMDP,
    FiniteHorizonMDP,
    as_policy,
    deterministic_policy,
    uniform_policy,
)
from tabular.trees import Problem, ReasoningTree, reasoning_tree
from tabular.validation import Array

__all__ = [
    "Problem",
    "ReasoningTree",
    "Trap",
    "aliased",
    "calibrated_tree",
    "combination_lock",
    "discounted_garnet",
    "discounted_trap",
    "garnet",
    "reasoning_tree",
    "two_state_trap",
]


class Trap(NamedTuple):
    """An extremal world with its base policy and the candidate that makes the bound tight."""

    mdp: FiniteHorizonMDP | DiscountedMDP
    policy: Array
    candidate: Array


def two_state_trap(horizon: int, gain: Exact, loss: Exact) -> Trap:
    """The world that attains T1s for every horizon and step size.

    The policy always takes action 0. In state 0 that stays; action 1 pays `gain` and leads to
    state 1 for good, where action 1 pays `loss` and action 0 nothing. The candidate always takes
    action 1. Every reward is shifted by -loss, so that returns are not negative; advantages and
    gains do not feel it. With loss = 0 and the improvable set as reset weight the same world
    attains T3.

    Args:
        horizon: H.
        gain: M >= 0, in reward units.
        loss: m <= 0, in reward units.

    Returns:
        (mdp, policy, candidate), exact if `gain` or `loss` is a fraction.

    Raises:
        InvalidInput: if a sign is wrong.

    Source: theory, T1s (extremal instance).
    """
    check_count("horizon", horizon)
    gain, loss = same_kind(gain, loss)
    bound = gain - horizon * loss
    mdp = FiniteHorizonMDP(
        *_trap_tables(gain, loss), horizon, reward_bound=bound if bound > 0 else 1, name="trap"
    )
    return _with_candidate(mdp)


def discounted_trap(discount: Exact, gain: Exact, loss: Exact) -> Trap:
    """The discounted twin of :func:`two_state_trap`, which attains the sharp form of T8.

    Raises:
        InvalidInput: if a sign is wrong or `discount` is outside [0, 1).
    """
    check_in_range("discount", discount, 0, 1)
    gain, loss, discount = same_kind(gain, loss, discount)
    bound = gain - loss / (1 - discount) if discount < 1 else gain
    tables = _trap_tables(gain, loss)
    return _with_candidate(DiscountedMDP(*tables, discount, bound if bound > 0 else 1, "trap"))


def _trap_tables(gain: Exact, loss: Exact) -> tuple[Array, Array, Array]:
    check_in_range("gain", gain, 0, float("inf"))
    check_in_range("loss", loss, float("-inf"), 0)
    moves, rewards, start = zeros((2, 2, 2), gain), zeros((2, 2), gain), zeros(2, gain)
    moves[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1]] = 1
    rewards[:] = -loss
    rewards[0, 1] += gain
    rewards[1, 1] += loss
    start[0] = 1
    return moves, rewards, start


def _with_candidate(mdp: FiniteHorizonMDP | DiscountedMDP) -> Trap:
    return Trap(mdp, deterministic_policy(mdp, [0, 0]), deterministic_policy(mdp, [1, 1]))


def aliased(
    coverage: Exact,
    tau: Exact,
    *,
    reward_bound: Exact = 1.0,
    better: int = 0,
    statewise: bool = False,
) -> Problem:
    """Two actions whose merit shows in few states, with one parameter for all of them.

    At step 0 a context is drawn: an improvable one (state 0) or a plain one (state 1). Action
    `better` reaches the paying state 2 with probability 1/2 + tau / R_max in the improvable
    context, the other action with 1/2 - tau / R_max, either with 1/2 in a plain one; otherwise
    the losing state 3 is reached. At step 1 state 2 pays R_max. So outcomes are R_max or 0, and
    a reset to step 1 tells nothing about the actions. The base policy draws both alike. The
    improvable set at level `tau` is the improvable context at step 0.

    Args:
        coverage: p in (0, 1/2]; half of all visits are at step 1, where nothing is left to do.
        tau: level in (0, R_max / 2].
        reward_bound: R_max.
        better: the better action, 0 or 1: the two worlds that T7 tells apart.
        statewise: whether each (step, state) has an action choice of its own. If not, one
            observation hides them all: the aliased class of T7.

    Returns:
        The problem; exact if a dial is a fraction.

    Raises:
        InvalidInput: if a dial is out of range.

    Source: theory, T7.
    """
    check_positive("coverage", coverage)
    check_in_range("coverage", coverage, 0, 0.5)
    check_positive("reward_bound", reward_bound)
    check_positive("tau", tau)
    check_in_range("tau", tau, 0, reward_bound / 2)
    check_in_range("better", better, 0, 1)
    share, level, bound = same_kind(2 * coverage, tau, reward_bound)
    half = level * 0 + Fraction(1, 2)
    moves, wins, rewards = zeros((4, 2, 4), level), zeros((2, 2), level), zeros((4, 2), level)
    edge = min(clear_of_rounding(level / bound), half)
    wins[:] = half
    wins[0, better] += edge
    wins[0, 1 - better] -= edge
    moves[:2, :, 2], moves[:2, :, 3] = wins, 1 - wins
    moves[2:, :, 3] = 1
    rewards[2] = bound
    start = zeros(4, level)
    start[:2] = share, 1 - share
    hidden = None if statewise else np.zeros(4, dtype=np.int64)
    name = "statewise" if statewise else "aliased"
    mdp = FiniteHorizonMDP(
        moves, rewards, start, 2, reward_bound=bound, observations=hidden, name=name
    )
    return Problem(mdp, uniform_policy(mdp))


def combination_lock(
    length: int,
    actions: int = 2,
    horizon: int | None = None,
    *,
    wrong: str = "dead",
    right_probability: float | None = None,
    seed: int | Key = 0,
) -> Problem:
    """A lock that opens after `length` right actions in a row.

    States 0..length-1 are positions, state `length` is open, state `length + 1` dead; the last
    two are terminal. Each position has one right action. The last of them pays 1.

    Args:
        length: right actions needed.
        actions: actions per position, at least 2.
        horizon: steps per rollout, by default `length`.
        wrong: where a wrong action leads: "dead", "start" or "back" (one position).
        right_probability: base policy's chance of the right action; None draws all alike.
        seed: of the code.

    Raises:
        InvalidInput: if a dial is out of range.
    """
    check_count("length", length)
    check_count("actions", actions, 2)
    horizon = length if horizon is None else horizon
    check_count("horizon", horizon)
    chance = 1 / actions if right_probability is None else right_probability
    check_probability("right_probability", chance)
    code = Key.of(seed).child("combination lock").generator().integers(actions, size=length)
    place = np.arange(length)
    moves = np.zeros((length + 2, actions, length + 2))
    moves[place, :, _after_mistake(wrong, length)] = 1.0
    moves[place, code] = np.eye(length + 2)[place + 1]
    moves[[length, length + 1], :, [length, length + 1]] = 1.0
    rewards = np.zeros((length + 2, actions))
    rewards[length - 1, code[-1]] = 1.0
    mdp = FiniteHorizonMDP(
        moves,
        rewards,
        np.eye(length + 2)[0],
        horizon,
        terminal=np.arange(length + 2) >= length,
        name=f"combination lock {length}",
    )
    policy = np.full((length + 2, actions), 1 / actions)
    policy[:length] = (1 - chance) / (actions - 1)
    policy[place, code] = chance
    return Problem(mdp, as_policy(mdp, policy))


def _after_mistake(wrong: str, length: int) -> NDArray[np.int64]:
    """The state that a mistake at each position leads to."""
    places = np.arange(length)
    choices = {"dead": places * 0 + length + 1, "start": places * 0, "back": places - 1}
    if wrong not in choices:
        raise InvalidInput("wrong", wrong, "unknown", f"choose one of {', '.join(choices)}")
    return np.maximum(choices[wrong], 0)


def garnet(
    states: int,
    actions: int,
    branching: int,
    horizon: int,
    *,
    layered: bool = False,
    as_sparse: bool | None = None,
    seed: int | Key = 0,
) -> Problem:
    """A random MDP: each (state, action) leads to `branching` random states.

    Next states are drawn without repetition, their probabilities are uniform on the simplex,
    rewards uniform in [0, 1 / horizon], so that returns lie in [0, 1]. Start distribution and
    base policy are uniform on their simplices too.

    Args:
        states, actions, branching, horizon: sizes; branching at most `states`.
        layered: whether each layer has tables of its own.
        as_sparse: whether transitions are sparse; None decides by size.
        seed: a seed or key.

    Raises:
        InvalidInput: if a size is out of range.
    """
    check_count("horizon", horizon)
    rng = _garnet_generator(states, actions, branching, seed)
    sparsely = _prefers_sparse(states, branching) if as_sparse is None else as_sparse
    layers = [
        _garnet_kernel(rng, states, actions, branching, sparsely)
        for _ in range(horizon if layered else 1)
    ]
    rewards = rng.random((horizon, states, actions) if layered else (states, actions)) / horizon
    transitions = layers[0] if not layered else layers if sparsely else np.stack(layers)
    start = rng.dirichlet(np.ones(states))
    mdp = FiniteHorizonMDP(transitions, rewards, start, horizon, name="garnet")
    shape = (horizon, states) if layered else (states,)
    return Problem(mdp, as_policy(mdp, rng.dirichlet(np.ones(actions), size=shape)))


def discounted_garnet(
    states: int,
    actions: int,
    branching: int,
    discount: float,
    *,
    as_sparse: bool | None = None,
    seed: int | Key = 0,
) -> tuple[DiscountedMDP, Array]:
    """The discounted twin of :func:`garnet` with values in [0, 1]: (mdp, base policy (S, A))."""
    rng = _garnet_generator(states, actions, branching, seed)
    sparsely = _prefers_sparse(states, branching) if as_sparse is None else as_sparse
    kernel = _garnet_kernel(rng, states, actions, branching, sparsely)
    rewards = (1 - discount) * rng.random((states, actions))
    start = rng.dirichlet(np.ones(states))
    mdp = DiscountedMDP(kernel, rewards, start, discount, reward_bound=1.0, name="garnet")
    return mdp, as_policy(mdp, rng.dirichlet(np.ones(actions), size=states))


def _garnet_generator(
    states: int, actions: int, branching: int, seed: int | Key
) -> np.random.Generator:
    check_count("states", states)
    check_count("actions", actions)
    check_count("branching", branching)
    check_in_range("branching", branching, 1, states)
    return Key.of(seed).child("garnet").generator()


def _prefers_sparse(states: int, branching: int) -> bool:
    return states > 256 and branching * 8 <= states


def _garnet_kernel(
    rng: np.random.Generator, states: int, actions: int, branching: int, sparsely: bool
) -> Array | sparse.csr_array:
    rows = states * actions
    successors = _distinct(rng, rows, states, branching)
    cuts = np.sort(rng.random((rows, branching - 1)), axis=1)
    shares = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    if sparsely:
        starts = np.arange(rows + 1) * branching
        parts = (shares.reshape(-1), successors.reshape(-1), starts)
        return sparse.csr_array(parts, shape=(rows, states))
    kernel = np.zeros((rows, states))
    np.put_along_axis(kernel, successors, shares, axis=1)
    return kernel.reshape(states, actions, states)


def _distinct(
    rng: np.random.Generator, rows: int, states: int, branching: int
) -> NDArray[np.int64]:
    """Distinct successors per row, sorted, shape (rows, branching)."""
    if branching * 4 >= states:
        order = rng.random((rows, states)).argpartition(branching - 1, axis=1)
        return np.sort(order[:, :branching], axis=1)
    drawn = np.sort(rng.integers(states, size=(rows, branching)), axis=1)
    while (clash := (np.diff(drawn, axis=1) == 0).any(axis=1)).any():
        drawn[clash] = np.sort(rng.integers(states, size=(int(clash.sum()), branching)), axis=1)
    return drawn
