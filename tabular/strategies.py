"""Hypothesis strategies for MDPs, policies and reset weights.

For property tests of anything that takes an MDP::

    from hypothesis import given, strategies as st
    from tabular import evaluate
    from tabular.strategies import finite_horizon_mdps, policies

    @given(st.data())
    def test_values_stay_in_bounds(data):
        mdp = data.draw(finite_horizon_mdps())
        evaluation = evaluate(mdp, data.draw(policies(mdp)))
        assert 0 <= evaluation.value <= mdp.reward_bound

Every number is a small integer over a small integer, so examples shrink to tables that can be
read, and ``exact=True`` gives the same tables as fractions. What goes wrong at the edges is drawn
often: one layer, one state, one action, absorbing and terminal states, no reward at all, states
that nothing leads to, deterministic rows, dense and sparse, stationary and layered.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import sparse

from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_policy
from tabular.mdp.validation import Array
from tabular.worlds.aliased import aliased
from tabular.worlds.calibration import calibrated_tree
from tabular.worlds.locks import combination_lock
from tabular.worlds.problem import Problem
from tabular.worlds.traps import Trap, two_state_trap
from tabular.worlds.trees import reasoning_tree

_FINEST = 6
"""Weights are integers 0.._FINEST: fine enough to differ, coarse enough to read and to collide."""


class Instance(NamedTuple):
    """All that a localised conservative update needs.

    Attributes:
        mdp: the world.
        policy: pi, shape (H, S, A), or (S, A) for a discounted MDP.
        candidate: pi', like `policy`.
        weight: w in [0, 1], shape (H, S) or (S,).
    """

    mdp: FiniteHorizonMDP | DiscountedMDP
    policy: Array
    candidate: Array
    weight: Array


@st.composite
def finite_horizon_mdps(
    draw: st.DrawFn,
    *,
    max_states: int = 4,
    max_actions: int = 3,
    max_horizon: int = 4,
    exact: bool = False,
    as_sparse: bool | None = None,
    stationary: bool | None = None,
    min_actions: int = 1,
    terminals: bool = True,
    aliasing: bool = False,
) -> FiniteHorizonMDP:
    """Finite-horizon MDPs with returns in [0, 1].

    Args:
        max_states, max_actions, max_horizon: largest sizes; the smallest are 1.
        exact: tables of fractions (then never sparse) instead of floats.
        as_sparse: csr transitions; None draws either, dense if `exact`.
        stationary: one transition table for all layers; None draws either.
        min_actions: fewest actions.
        terminals: whether some states may be marked terminal.
        aliasing: whether states may share observations; otherwise each (h, s) has its own.
    """
    horizon = draw(st.integers(1, max_horizon))
    states = draw(st.integers(1, max_states))
    actions = draw(st.integers(min_actions, max_actions))
    layers = 1 if _either(draw, stationary) else horizon
    ends = draw(arrays(bool, states, elements=st.booleans())) if terminals else None
    ends = ends if ends is not None and draw(st.booleans()) else np.zeros(states, dtype=bool)
    weights = _absorb(draw(_weights((layers, states, actions, states))), ends)
    kernels = _normalised(weights, exact)
    rewards = _normalise_rewards(draw(_rewards(horizon, states, actions)), horizon, exact)
    rewards[:, ends] *= 0
    hidden = arrays(np.int64, (horizon, states), elements=st.integers(0, 2))
    return FiniteHorizonMDP(
        _kept(kernels, layers == 1, not exact and _either(draw, as_sparse)),
        rewards,
        _normalised(draw(_weights((1, states)))[0], exact),
        horizon,
        terminal=ends if ends.any() else None,
        observations=draw(hidden) if aliasing else None,
    )


@st.composite
def discounted_mdps(
    draw: st.DrawFn,
    *,
    max_states: int = 4,
    max_actions: int = 3,
    exact: bool = False,
    as_sparse: bool | None = None,
    min_actions: int = 1,
) -> DiscountedMDP:
    """Discounted MDPs with values in [0, 1]; gamma is 0, 1/4, 1/2, 3/4 or 9/10.

    Args:
        max_states, max_actions: largest sizes.
        exact: tables of fractions (then never sparse) instead of floats.
        as_sparse: csr transitions; None draws either, dense if `exact`.
        min_actions: fewest actions.
    """
    states = draw(st.integers(1, max_states))
    actions = draw(st.integers(min_actions, max_actions))
    gammas = ["0", "1/4", "1/2", "3/4", "9/10"]
    discount = draw(st.sampled_from([Fraction(text) for text in gammas]))
    kernels = _normalised(draw(_weights((1, states, actions, states))), exact)
    counts = draw(arrays(np.int64, (states, actions), elements=st.integers(0, _FINEST)))
    rewards = _quotients(counts, _FINEST, exact) * (1 - discount if exact else 1 - float(discount))
    return DiscountedMDP(
        _kept(kernels, True, not exact and _either(draw, as_sparse)),
        rewards,
        _normalised(draw(_weights((1, states)))[0], exact),
        discount if exact else float(discount),
        1,
    )


@st.composite
def policies(
    draw: st.DrawFn, mdp: FiniteHorizonMDP | DiscountedMDP, *, deterministic: bool = False
) -> Array:
    """Stochastic policies of `mdp`, rows with zeros and one-hot rows among them.

    Args:
        mdp: the MDP they are for; an exact one gets fractions.
        deterministic: one-hot rows only.
    """
    shape = (*_decision_shape(mdp), mdp.actions)
    if deterministic:
        chosen = draw(arrays(np.int64, shape[:-1], elements=st.integers(0, mdp.actions - 1)))
        return as_policy(mdp, np.eye(mdp.actions, dtype=np.int64)[chosen])
    return as_policy(mdp, _normalised(draw(_weights(shape)), mdp.exact))


@st.composite
def reset_weights(draw: st.DrawFn, mdp: FiniteHorizonMDP | DiscountedMDP) -> Array:
    """Reset weights w in [0, 1], shape (H, S) or (S,): everywhere, sets of states, and gradual."""
    shape = _decision_shape(mdp)
    kind = draw(st.sampled_from(["everywhere", "set", "gradual"]))
    top = 1 if kind == "set" else 4
    counts = draw(arrays(np.int64, shape, elements=st.integers(0, top)))
    return _quotients(counts * 0 + top if kind == "everywhere" else counts, top, mdp.exact)


@st.composite
def localised_instances(
    draw: st.DrawFn,
    mdps: st.SearchStrategy[Any] | None = None,
    *,
    exact: bool = False,
    deterministic: bool = False,
) -> Instance:
    """An MDP with policy, candidate and reset weight: (mdp, policy, candidate, weight).

    Args:
        mdps: strategy for the MDP, by default :func:`finite_horizon_mdps`.
        exact: for the default strategy.
        deterministic: whether candidates are one-hot.
    """
    mdp = draw(finite_horizon_mdps(exact=exact) if mdps is None else mdps)
    return Instance(
        mdp,
        draw(policies(mdp)),
        draw(policies(mdp, deterministic=deterministic)),
        draw(reset_weights(mdp)),
    )


def traps(max_horizon: int = 6, exact: bool = False) -> st.SearchStrategy[Trap]:
    """Two-state traps, on which T1s is an equality."""
    sizes = st.integers(0, 4).map(lambda k: Fraction(k, 8) if exact else k / 8)
    return st.builds(
        lambda horizon, gain, loss: two_state_trap(horizon, gain, -loss),
        st.integers(1, max_horizon),
        sizes,
        sizes,
    )


def problems(max_horizon: int = 4) -> st.SearchStrategy[Problem]:
    """Small members of the families: trees, locks, contextual problems."""
    shares = st.integers(1, 9).map(lambda k: k / 10)
    seeds = st.integers(0, 1000)
    horizons = st.integers(1, max_horizon)
    trees = st.builds(
        lambda horizon, **dials: reasoning_tree(horizon, hard_steps=(horizon + 1) // 2, **dials),
        horizons,
        branching=st.integers(2, 3),
        right_probability=shares,
        recoverability=shares | st.just(0.0),
        problems=st.integers(1, 3),
        seed=seeds,
    )
    calibrated = st.builds(
        calibrated_tree,
        st.integers(2, max(2, max_horizon)),
        st.integers(2, 3),
        shares.map(lambda p: p / max(2, max_horizon)),
        shares.map(lambda t: t / 2),
        seed=seeds,
    )
    locks = st.builds(
        combination_lock, horizons, st.integers(1, 3).map(lambda a: a + 1), seed=seeds
    )
    twins = st.builds(
        aliased,
        shares.map(lambda p: p / 2),
        shares.map(lambda t: t / 2),
        better=st.integers(0, 1),
        statewise=st.booleans(),
    )
    return st.one_of(trees, calibrated, locks, twins)


def _either(draw: st.DrawFn, wanted: bool | None) -> bool:
    return draw(st.booleans()) if wanted is None else wanted


def _decision_shape(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[int, ...]:
    return (mdp.states,) if isinstance(mdp, DiscountedMDP) else (mdp.horizon, mdp.states)


def _weights(shape: tuple[int, ...]) -> st.SearchStrategy[NDArray[np.int64]]:
    """Integer weights; most entries share one value, so that drawing is quick and rows sparse."""
    return arrays(np.int64, shape, elements=st.integers(0, _FINEST), fill=st.sampled_from([0, 1]))


def _rewards(horizon: int, states: int, actions: int) -> st.SearchStrategy[NDArray[np.int64]]:
    """Reward counts (H, S, A): in every step, or an outcome at the end, or none at all."""
    counts = arrays(
        np.int64, (horizon, states, actions), elements=st.integers(0, _FINEST), fill=st.just(0)
    )
    last = np.arange(horizon)[:, None, None] == horizon - 1
    return st.one_of(
        counts,
        counts.map(lambda given: given * last * horizon),
        counts.map(lambda given: given * 0),
    )


def _normalise_rewards(counts: NDArray[np.int64], horizon: int, exact: bool) -> Array:
    return _quotients(counts, _FINEST * horizon, exact)


def _absorb(weights: NDArray[np.int64], ends: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The weights with `ends` absorbing, and empty rows made self-loops."""
    states = weights.shape[-1]
    loops = np.broadcast_to(np.eye(states, dtype=np.int64)[:, None], weights.shape)
    stuck = ends[None, :, None] | (weights.sum(axis=-1) == 0)
    return np.where(stuck[..., None], loops, weights)


def _normalised(weights: NDArray[np.int64], exact: bool) -> Array:
    """Rows (last axis) divided by their sum; an empty row puts all on its first entry."""
    counts = weights.copy()
    counts[..., 0] += counts.sum(axis=-1) == 0
    return _quotients(counts, counts.sum(axis=-1, keepdims=True), exact)


def _quotients(counts: NDArray[np.int64], totals: Any, exact: bool) -> Array:
    if not exact:
        return np.asarray(counts / totals)
    ones = np.frompyfunc(lambda count, total: Fraction(int(count), int(total)), 2, 1)
    return np.asarray(ones(counts, totals), dtype=object)


def _kept(kernels: Array, stationary: bool, sparsely: bool) -> Any:
    """Kernels (layers, S, A, S) in the form the MDP is to be given."""
    if sparsely:
        flat = [sparse.csr_array(layer.reshape(-1, layer.shape[-1])) for layer in kernels]
        return flat[0] if stationary else flat
    return kernels[0] if stationary else kernels
