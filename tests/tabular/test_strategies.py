"""The strategies reach every edge they promise and shrink to what a person can read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.resets.updates import mix
from tabular.strategies import (
    discounted_mdps,
    finite_horizon_mdps,
    localised_instances,
    policies,
    problems,
    reset_weights,
    traps,
)

SEARCH = settings(
    max_examples=1500,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def dense(mdp):
    kernels = [mdp.kernel(h) for h in range(getattr(mdp, "horizon", 1))]
    shape = (mdp.states, mdp.actions, mdp.states)
    return np.array([k.toarray().reshape(shape) if mdp.sparse else k for k in kernels])


def unreachable(mdp):
    """States that nothing but themselves leads to and that no rollout starts in."""
    into = dense(mdp).astype(float).sum(axis=(0, 2))
    np.fill_diagonal(into, 0)
    return (into.sum(axis=0) == 0) & (mdp.start == 0)


def absorbing(mdp):
    return (dense(mdp)[:, np.arange(mdp.states), :, np.arange(mdp.states)] == 1).all(axis=(1, 2))


EDGES = {
    "one layer": lambda mdp: mdp.horizon == 1,
    "largest horizon": lambda mdp: mdp.horizon == 4,
    "one state": lambda mdp: mdp.states == 1 and mdp.horizon > 1,
    "one action": lambda mdp: mdp.actions == 1 and mdp.states > 1,
    "no reward": lambda mdp: not mdp.rewards.any() and mdp.states > 1,
    "an outcome at the end": lambda mdp: mdp.rewards[-1].max() == 1 and not mdp.rewards[0].any(),
    "a reward on the way": lambda mdp: mdp.horizon > 1 and mdp.rewards[0].any(),
    "terminal state": lambda mdp: mdp.terminal.any() and not mdp.terminal.all(),
    "absorbing state": lambda mdp: mdp.states > 1 and absorbing(mdp).any(),
    "unreachable state": lambda mdp: mdp.states > 1 and unreachable(mdp).any(),
    "sparse": lambda mdp: mdp.sparse and mdp.states > 1,
    "sparse and layered": lambda mdp: mdp.sparse and not mdp.stationary,
    "dense and stationary": lambda mdp: not mdp.sparse and mdp.stationary and mdp.horizon > 1,
    "stochastic": lambda mdp: ((dense(mdp) > 0) & (dense(mdp) < 1)).any(),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_are_reached(edge):
    assert EDGES[edge](find(finite_horizon_mdps(), EDGES[edge], settings=SEARCH))


@pytest.mark.parametrize("edge", [name for name in EDGES if "sparse" not in name])
def test_edges_are_reached_in_exact_tables(edge):
    mdps = finite_horizon_mdps(exact=True)
    found = find(mdps, lambda mdp: EDGES[edge](mdp), settings=SEARCH)
    assert found.exact


def test_dials_are_obeyed():
    @given(
        finite_horizon_mdps(
            max_states=2,
            max_actions=5,
            max_horizon=2,
            as_sparse=True,
            stationary=True,
            min_actions=4,
            terminals=False,
        )
    )
    @settings(max_examples=30)
    def check(mdp):
        assert mdp.states <= 2
        assert 4 <= mdp.actions <= 5
        assert mdp.horizon <= 2
        assert mdp.sparse
        assert mdp.stationary
        assert not mdp.terminal.any()
        assert mdp.observation_count == mdp.horizon * mdp.states

    check()


def test_aliasing_makes_states_share_observations():
    mdp = find(
        finite_horizon_mdps(aliasing=True),
        lambda mdp: mdp.observations.size > 3,
        settings=SEARCH,
    )
    assert mdp.observation_count <= 3


@given(
    st.one_of(finite_horizon_mdps(), finite_horizon_mdps(exact=True), discounted_mdps()), st.data()
)
@settings(max_examples=60)
def test_policies_and_weights_fit(mdp, data):
    cells = (mdp.states,) if isinstance(mdp, DiscountedMDP) else (mdp.horizon, mdp.states)
    policy = data.draw(policies(mdp))
    chosen = data.draw(policies(mdp, deterministic=True))
    weight = data.draw(reset_weights(mdp))
    assert policy.shape == chosen.shape == (*cells, mdp.actions)
    assert weight.shape == cells
    assert ((weight >= 0) & (weight <= 1)).all()
    assert ((chosen == 0) | (chosen == 1)).all()
    assert (chosen.sum(axis=-1) == 1).all()
    if mdp.exact:
        assert (policy.sum(axis=-1) == 1).all()
        assert policy.dtype == weight.dtype == object


@pytest.mark.parametrize(
    "wanted",
    [
        lambda w: (w == 1).all(),
        lambda w: ((w == 0) | (w == 1)).all() and 0 < w.sum() < w.size,
        lambda w: ((w > 0) & (w < 1)).any(),
        lambda w: not w.any(),
    ],
    ids=["everywhere", "a set", "gradual", "nowhere"],
)
def test_kinds_of_weights(wanted):
    instance = find(localised_instances(), lambda i: wanted(i.weight), settings=SEARCH)
    assert wanted(instance.weight)


@given(discounted_mdps(), st.data())
@settings(max_examples=40)
def test_discounted_values_stay_in_bounds(mdp, data):
    value = evaluate(mdp, data.draw(policies(mdp))).value
    assert -1e-9 <= value <= 1 + 1e-9
    assert mdp.reward_bound == 1


@given(problems())
@settings(max_examples=40)
def test_problems_are_small_and_evaluable(problem):
    assert isinstance(problem.mdp, FiniteHorizonMDP)
    assert problem.mdp.horizon <= 4
    assert 0 <= evaluate(problem.mdp, problem.policy).value <= 1


@given(traps(exact=True))
@settings(max_examples=20)
def test_traps(trap):
    assert trap.mdp.exact
    assert evaluate(trap.mdp, trap.candidate).advantages.shape == (trap.mdp.horizon, 2, 2)


def test_a_false_claim_is_caught_and_shrinks():
    """ "Every candidate helps" is wrong, and the counterexample fits on a line."""

    def hurts(instance):
        mixed = mix(instance.policy, instance.candidate, instance.weight)
        before = evaluate(instance.mdp, instance.policy).value
        return evaluate(instance.mdp, mixed).value < before

    shrinking = settings(SEARCH, phases=[Phase.generate, Phase.shrink])
    mdps = finite_horizon_mdps(exact=True, max_states=2, max_horizon=2)
    found = find(localised_instances(mdps), hurts, settings=shrinking)
    assert hurts(found)
    assert (found.mdp.horizon, found.mdp.states, found.mdp.actions) == (1, 1, 2)
