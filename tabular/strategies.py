"""Hypothesis strategies for MDPs, policies and reset weights.

For property tests of anything that takes an MDP::

    from hypothesis import given, strategies as st
    from tabular import evaluate
    from tabular.strategies import finite_horizon_mdps, policies

    @given(finite_horizon_mdps(), st.data())
    def test_values_stay_in_bounds(mdp, data):
        evaluation = evaluate(mdp, data.draw(policies(mdp)))
        assert 0 <= evaluation.value <= mdp.reward_bound

Every number is a small integer over a small integer, so examples shrink to tables that can be
read, and ``exact=True`` gives the same tables as fractions. What goes wrong at the edges is drawn
often: one layer, one state, one action, absorbing and terminal states, no reward at all, states
that nothing leads to, deterministic rows, dense and sparse, stationary and layered. Random worlds
alone let most wrong constants through, so :func:`localised_instances` mixes in traps: chains on
which the bounds are attained, alone and as a part of larger worlds.

Importing this module compiles the loops of :func:`tabular.evaluate`, so that no example pays for
it: 3 s the first time, .5 s from numba's cache on disk. :func:`warm_up` does the same for batches,
optimal policies and simulation.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import sparse

from cpi_theory.randomness import Key
from tabular.evaluation.evaluate import evaluate, evaluate_many
from tabular.evaluation.optimal import solve
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_policy, uniform_policy
from tabular.mdp.text import describe, pretty_lines
from tabular.mdp.validation import Array
from tabular.resets.updates import greedy_on
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.aliased import aliased
from tabular.worlds.calibration import calibrated_tree
from tabular.worlds.locks import combination_lock
from tabular.worlds.problem import Problem
from tabular.worlds.traps import Trap, two_state_trap
from tabular.worlds.trees import reasoning_tree

_FINEST = 6
"""Weights are integers 0.._FINEST: fine enough to differ, coarse enough to read and to collide."""


_STAKES = ((2, 0), (2, -1), (2, 1), (4, -8), (4, 3), (-1, -1), (-2, -3), (0, -1))
"""(gain, loss) of traps. Without a loss T3 is an equality, with a gain and a loss T1s and T2 are;
where they hardly differ the step of T2 is capped, where both are losses its slope is negative."""


class Instance(NamedTuple):
    """All that a localised conservative update needs: (mdp, policy, candidate, weight).

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

    def __repr__(self) -> str:
        chances = {"pi": self.policy, "pi'": self.candidate}
        return describe(self.mdp, "Instance", {"w": self.weight}, chances)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        pretty_lines(self, printer, cycle)


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
    """Draw finite-horizon MDPs with returns in [0, 1].

    Args:
        draw: given by hypothesis.
        max_states: largest number of states; the smallest is 1.
        max_actions: largest number of actions.
        max_horizon: largest horizon; the smallest is 1.
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
    layers = horizon if _either(draw, None if stationary is None else not stationary) else 1
    ends = draw(arrays(bool, states, elements=st.booleans())) if terminals else None
    ends = ends if ends is not None and draw(st.booleans()) else np.zeros(states, dtype=bool)
    weights = _absorb(draw(_weights((layers, states, actions, states))), ends)
    kernels = _normalised(weights, exact)
    # What is terminal must not pay.
    counts = draw(_rewards(horizon, states, actions)) * ~ends[:, None]
    rewards = _quotients(counts, _FINEST * horizon, exact)
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
    """Draw discounted MDPs with values in [0, 1]; gamma is 0, 1/4, 1/2, 3/4 or 9/10.

    Args:
        draw: given by hypothesis.
        max_states: largest number of states; the smallest is 1.
        max_actions: largest number of actions.
        exact: tables of fractions (then never sparse) instead of floats.
        as_sparse: csr transitions; None draws either, dense if `exact`.
        min_actions: fewest actions.
    """
    states = draw(st.integers(1, max_states))
    actions = draw(st.integers(min_actions, max_actions))
    discount = draw(_discounts())
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
    """Draw stochastic policies of `mdp`, rows with zeros and one-hot rows among them.

    Args:
        draw: given by hypothesis.
        mdp: the MDP they are for; an exact one gets fractions.
        deterministic: one-hot rows only.
    """
    shape = _drawn_shape(draw, mdp)
    if deterministic:
        chosen = draw(arrays(np.int64, shape, elements=st.integers(0, mdp.actions - 1)))
        table = np.eye(mdp.actions, dtype=np.int64)[chosen]
    else:
        table = _normalised(draw(_weights((*shape, mdp.actions))), mdp.exact)
    return as_policy(mdp, np.broadcast_to(table, (*_decision_shape(mdp), mdp.actions)))


@st.composite
def reset_weights(draw: st.DrawFn, mdp: FiniteHorizonMDP | DiscountedMDP) -> Array:
    """Draw reset weights in [0, 1], (H, S) or (S,): everywhere, sets of states, and gradual."""
    kind = draw(st.sampled_from(["everywhere", "set", "gradual"]))
    top = 1 if kind == "set" else 4
    counts = draw(arrays(np.int64, _drawn_shape(draw, mdp), elements=st.integers(0, top)))
    counts = np.broadcast_to(counts, _decision_shape(mdp))
    return _quotients(counts * 0 + top if kind == "everywhere" else counts, top, mdp.exact)


def localised_instances(
    mdps: st.SearchStrategy[Any] | None = None,
    *,
    exact: bool = False,
    deterministic: bool = False,
    discounted: bool = False,
) -> st.SearchStrategy[Instance]:
    """Draw an MDP with policy, candidate and reset weight: (mdp, policy, candidate, weight).

    A third of them are random worlds, where candidates are random or greedy. The others hold a
    trap, on which the bounds are attained: `policy` stays in state 0, the candidate leaves it for
    state 1, gains there and then loses, or loses everywhere. Half of these are the trap alone, half
    have further states around it, so that a rollout meets it with some probability only. Rewards
    of traps come on two scales, for claims that ignore the unit of the reward.

    Args:
        mdps: strategy for the MDP, whose instances are then all random; by default
            :func:`finite_horizon_mdps` or :func:`discounted_mdps`, mixed with traps.
        exact: for the default strategy: fractions.
        deterministic: whether candidates are one-hot.
        discounted: for the default strategy: discounted MDPs.
    """
    if mdps is not None:
        return _random_instances(mdps, deterministic)
    random = discounted_mdps if discounted else finite_horizon_mdps
    return st.one_of(
        _trapped_instances(exact, discounted, deterministic, extra=0),
        _trapped_instances(exact, discounted, deterministic, extra=2),
        _random_instances(random(exact=exact), deterministic),
    )


def step_sizes(exact: bool = False) -> st.SearchStrategy[Any]:
    """Draw step sizes alpha: 1, quarters, and a small one, where second-order terms show."""
    sizes = [Fraction(1), Fraction(1, 2), Fraction(1, 4), Fraction(3, 4), Fraction(1, 32)]
    return st.sampled_from(sizes if exact else [float(size) for size in sizes])


@st.composite
def _random_instances(
    draw: st.DrawFn, mdps: st.SearchStrategy[Any], deterministic: bool
) -> Instance:
    mdp = draw(mdps)
    policy = draw(policies(mdp))
    if draw(st.booleans()):
        candidate = greedy_on(evaluate(mdp, policy))
    else:
        candidate = draw(policies(mdp, deterministic=deterministic))
    return Instance(mdp, policy, candidate, draw(reset_weights(mdp)))


@st.composite
def _trapped_instances(
    draw: st.DrawFn, exact: bool, discounted: bool, deterministic: bool, extra: int
) -> Instance:
    """A trap in states 0 and 1 with up to `extra` further states, w constant on the trap."""
    states = 2 + (draw(st.integers(1, extra)) if extra else 0)
    horizon = None if discounted else draw(st.integers(2, 5))
    mdp = draw(_worlds_with_trap(states, horizon, exact))
    trap = np.arange(states) < 2
    own, other = (
        np.where(trap[:, None], np.eye(2, dtype=np.int64)[action], table[-states:])
        for action, table in enumerate((draw(_rows(mdp, False)), draw(_rows(mdp, deterministic))))
    )
    quarters = np.where(trap, draw(st.sampled_from([4, 2, 1])), 0)
    if draw(st.booleans()):  # otherwise nothing but the trap is updated, and the bound is tight
        quarters[2:] = draw(arrays(np.int64, states - 2, elements=st.integers(0, 4)))
    weight = np.broadcast_to(_quotients(quarters, 4, exact), _decision_shape(mdp))
    return Instance(mdp, as_policy(mdp, own), as_policy(mdp, other), weight)


def _rows(mdp: FiniteHorizonMDP | DiscountedMDP, deterministic: bool) -> st.SearchStrategy[Array]:
    """Action probabilities (S, A), the same for every layer."""
    if deterministic:
        chosen = arrays(np.int64, mdp.states, elements=st.integers(0, mdp.actions - 1))
        return chosen.map(lambda actions: np.eye(mdp.actions, dtype=np.int64)[actions])
    return _weights((mdp.states, mdp.actions)).map(lambda t: _normalised(t, mdp.exact))


@st.composite
def _worlds_with_trap(
    draw: st.DrawFn, states: int, horizon: int | None, exact: bool
) -> FiniteHorizonMDP | DiscountedMDP:
    """Two actions; in state 0 the second one pays more by `gain` and leads to state 1 for good.

    In state 1 it pays more by `loss` <= `gain`; either may be negative. Rewards are shifted until
    none is. Further states lead anywhere, but to state 1 through state 0 alone.
    """
    gain, loss = draw(st.sampled_from(_STAKES))
    lift = -min(loss, gain, 0)
    counts = draw(arrays(np.int64, (states, 2), elements=st.integers(0, lift + max(gain, 0))))
    counts[:2] = [[lift, lift + gain], [lift, lift + loss]]
    moves, first = draw(_weights((states, 2, states))), draw(_weights((1, states)))
    moves[:2] = moves[2:, :, 1] = first[:, 1] = 0
    moves[[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1]] = 1
    start = _normalised(first, exact)[0]
    if horizon is None:
        discount = draw(_discounts())
        rewards = _quotients(counts, 8, exact)
        return DiscountedMDP(
            _normalised(moves, exact), rewards, start, discount if exact else float(discount)
        )
    rewards = _quotients(counts * draw(st.sampled_from([1, 10])), 8, exact)
    largest = rewards.max() * horizon
    return FiniteHorizonMDP(
        _normalised(moves, exact), rewards, start, horizon, largest if largest > 0 else 1
    )


def traps(max_horizon: int = 6, exact: bool = False) -> st.SearchStrategy[Trap]:
    """Draw two-state traps, on which T1s is an equality."""
    sizes = st.integers(0, 4).map(lambda k: Fraction(k, 8) if exact else k / 8)
    return st.builds(
        lambda horizon, gain, loss: two_state_trap(horizon, gain, -loss),
        st.integers(1, max_horizon),
        sizes,
        sizes,
    )


def problems(max_horizon: int = 4) -> st.SearchStrategy[Problem]:
    """Draw small members of the families: trees, locks, contextual problems."""
    shares = st.integers(1, 9).map(lambda k: k / 10)
    seeds = st.integers(0, 1000)
    horizons = st.integers(1, max_horizon)
    trees = st.builds(
        lambda horizon, **parameters: reasoning_tree(
            horizon, hard_steps=(horizon + 1) // 2, **parameters
        ),
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
    contextual = st.builds(
        aliased,
        shares.map(lambda p: p / 2),
        shares.map(lambda t: t / 2),
        better=st.integers(0, 1),
        statewise=st.booleans(),
    )
    return st.one_of(trees, calibrated, locks, contextual)


def warm_up() -> None:
    """Compile what importing this module leaves out: batches, optimal policies, simulation.

    Call it at the top of a test file that uses them, so that no example takes longer than
    hypothesis allows: 12 s the first time, .1 s from numba's cache on disk.
    """
    for mdp in _smallest_worlds():
        policy = uniform_policy(mdp)
        evaluate_many(mdp, policy[None])
        solve(mdp)
        if isinstance(mdp, FiniteHorizonMDP):
            simulator = TabularSimulator(mdp, policy)
            keys = Key.of(0).integers(2)
            rollouts = simulator.rollout(simulator.start_states(2, key=0), keys)
            simulator.locate_first_error(rollouts, keys)


def _warm_up_evaluation() -> None:
    for mdp in _smallest_worlds():
        evaluate(mdp, uniform_policy(mdp))


def _smallest_worlds() -> Iterator[FiniteHorizonMDP | DiscountedMDP]:
    """Dense and sparse, with a horizon and discounted; what is best takes more than one sweep."""
    moves = np.zeros((2, 2, 2))
    moves[:, 0, 0] = moves[:, 1, 1] = 1.0
    rewards, start = np.array([[0.25, 0.0], [0.0, 0.5]]), np.array([0.5, 0.5])
    for tables in (moves, sparse.csr_array(moves.reshape(4, 2))):
        yield FiniteHorizonMDP(tables, rewards, start, 2)
        yield DiscountedMDP(tables, rewards, start, 0.5)


def _either(draw: st.DrawFn, wanted: bool | None) -> bool:
    return draw(st.booleans()) if wanted is None else wanted


def _decision_shape(mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[int, ...]:
    return (mdp.states,) if isinstance(mdp, DiscountedMDP) else (mdp.horizon, mdp.states)


def _drawn_shape(draw: st.DrawFn, mdp: FiniteHorizonMDP | DiscountedMDP) -> tuple[int, ...]:
    """The decision shape with one layer for all of them, the simplest, or with each its own."""
    shape = _decision_shape(mdp)
    if isinstance(mdp, DiscountedMDP) or draw(st.booleans()):
        return shape
    return (1, *shape[1:])


def _discounts() -> st.SearchStrategy[Fraction]:
    gammas = ["1/2", "0", "1/4", "3/4", "9/10"]
    return st.sampled_from([Fraction(text) for text in gammas])


def _weights(shape: tuple[int, ...]) -> st.SearchStrategy[NDArray[np.int64]]:
    """Integer weights; most entries share one value, so that drawing is quick and rows sparse."""
    return arrays(np.int64, shape, elements=st.integers(0, _FINEST), fill=st.sampled_from([0, 1]))


def _rewards(horizon: int, states: int, actions: int) -> st.SearchStrategy[NDArray[np.int64]]:
    """Reward counts (H, S, A): in every step alike or not, an outcome at the end, none at all."""
    size = (horizon, states, actions)
    one, each = (
        arrays(np.int64, shape, elements=st.integers(0, _FINEST), fill=st.just(0))
        for shape in ((1, states, actions), size)
    )
    last = np.arange(horizon)[:, None, None] == horizon - 1
    return st.one_of(
        one.map(lambda given: np.broadcast_to(given, size)),
        each,
        one.map(lambda given: given * last * horizon),
        st.just(np.zeros(size, dtype=np.int64)),
    )


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


_warm_up_evaluation()
