"""The strategies reach every edge they promise and shrink to what a person can read."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from cpi_theory.bounds.finite_horizon import improvement_lower_bound
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.resets.updates import mix, reset_step
from tabular.strategies import (
    discounted_mdps,
    finite_horizon_mdps,
    localised_instances,
    policies,
    problems,
    reset_weights,
    step_sizes,
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


def test_parameters_are_obeyed():
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


def holds_trap(instance):
    """Whether policy and candidate part in state 0, and state 1 is where that leads."""
    mdp, policy, candidate, _ = instance
    if mdp.states < 2 or mdp.actions < 2 or not mdp.stationary:
        return False
    kernel = mdp.kernel(0)
    rows = (kernel[0, 0, 0], kernel[0, 1, 1], kernel[1, 0, 1], kernel[1, 1, 1])
    return rows == (1, 1, 1, 1) and (policy[..., 0, 0] == candidate[..., 0, 1]).all()


INSTANCES = {
    "a trap alone": lambda i: holds_trap(i) and i.mdp.states == 2,
    "a trap met in the middle": lambda i: (
        holds_trap(i)
        and i.mdp.states > 2
        and 0 < evaluate(i.mdp, i.policy).visits[-1, 0] < 1
        and i.mdp.start[0] == 0
    ),
    "a trap and nothing else is updated": lambda i: (
        holds_trap(i) and i.mdp.states > 2 and not i.weight[..., 2:].any()
    ),
    "a trap and others are updated": lambda i: (
        holds_trap(i) and i.mdp.states > 2 and i.weight[..., 2:].any()
    ),
    "a trap with partial weight": lambda i: holds_trap(i) and 0 < i.weight[..., 0].max() < 1,
    "a candidate that loses at once": lambda i: (
        holds_trap(i) and i.mdp.reward(0)[0, 1] < i.mdp.reward(0)[0, 0]
    ),
    "rewards above one": lambda i: i.mdp.rewards.max() > 1,
    "a random world": lambda i: i.mdp.actions > 2,
    "a greedy candidate": lambda i: (
        i.mdp.actions > 2 and (evaluate(i.mdp, i.candidate).value > evaluate(i.mdp, i.policy).value)
    ),
}


@pytest.mark.parametrize("kind", INSTANCES)
def test_kinds_of_instances(kind):
    found = find(localised_instances(exact=True), INSTANCES[kind], settings=SEARCH)
    assert found.mdp.exact


@given(localised_instances(discounted=True), localised_instances(exact=True, discounted=True))
@settings(max_examples=30)
def test_discounted_instances(floats, exact):
    for instance in (floats, exact):
        assert isinstance(instance.mdp, DiscountedMDP)
        assert instance.policy.shape == (instance.mdp.states, instance.mdp.actions)
        assert instance.weight.shape == (instance.mdp.states,)
    assert exact.mdp.exact
    assert not floats.mdp.exact


@given(localised_instances(deterministic=True), localised_instances(exact=True))
@settings(max_examples=60)
def test_instances_fit_together(one_hot, exact):
    assert set(np.unique(one_hot.candidate)) <= {0.0, 1.0}
    for instance in (one_hot, exact):
        assert instance.policy.shape == instance.candidate.shape
        assert instance.weight.shape == instance.policy.shape[:-1]
        step = reset_step(evaluate(instance.mdp, instance.policy), *instance[2:])
        assert 0 <= step.coverage <= 1
        assert len(repr(instance).splitlines()) <= 1 + 4 * 4 * 3


def test_step_sizes():
    for exact, kind in ((True, Fraction), (False, float)):
        found = {
            find(step_sizes(exact), lambda a, low=low: low(a), settings=SEARCH)
            for low in (lambda a: a == 1, lambda a: a == 0.25, lambda a: a < 0.1)
        }
        assert len(found) == 3
        assert all(type(alpha) is kind for alpha in found)


def test_a_wrong_constant_shrinks_to_what_can_be_worked_by_hand():
    def refuted(instance):
        policy, weight = instance.policy, instance.weight
        before = evaluate(instance.mdp, policy)
        step = reset_step(before, instance.candidate, weight)
        claimed = improvement_lower_bound(replace(step, spread=step.spread / 2), 1)
        after = evaluate(instance.mdp, mix(policy, instance.candidate, weight))
        return after.value - before.value < claimed

    shrinking = settings(SEARCH, phases=[Phase.generate, Phase.shrink])
    found = find(localised_instances(exact=True), refuted, settings=shrinking)
    assert repr(found).splitlines() == [
        "Instance: 2 layers, 2 states, 2 actions, returns in [0, 1/2], start 0",
        "  s=0 a=0  w 1  pi 1  pi' 0  pays 0  to 0",
        "  s=0 a=1  w 1  pi 0  pi' 1  pays 1/4  to 1",
        "  s=1 a=0  w 1  pi 1  pi' 0  pays 0  to 1",
        "  s=1 a=1  w 1  pi 0  pi' 1  pays 0  to 1",
    ]


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
