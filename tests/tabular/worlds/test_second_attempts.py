"""Second attempts on MDPs: copies that keep the original's values, and what is learned in them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory import CritiqueGRPO, InvalidInput, Key, SCoRe, collect
from cpi_theory.testing import check_simulator
from tabular import (
    RevisingTabular,
    SoftmaxPolicy,
    TabularSimulator,
    evaluate,
    reasoning_tree,
    second_attempts,
)
from tabular.strategies import finite_horizon_mdps, policies
from tabular.worlds.from_gymnasium import from_gymnasium
from tabular.worlds.second_attempts import in_all_copies

PROBLEM = reasoning_tree(3, 2, 1, 0.5, 0.9, problems=2, seed=1)
TWICE = second_attempts(PROBLEM.mdp)


def world(policy=None):
    table = in_all_copies(PROBLEM.policy, 3) if policy is None else policy.probabilities()
    return RevisingTabular(TWICE, table)


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_each_copy_has_the_values_of_the_original(data):
    mdp = data.draw(finite_horizon_mdps())
    policy = data.draw(policies(mdp))
    values = evaluate(second_attempts(mdp), in_all_copies(policy, 3)).values
    original = evaluate(mdp, policy).values
    for copy in np.split(np.asarray(values), 3, axis=-1):
        np.testing.assert_allclose(
            copy.astype(float), np.asarray(original).astype(float), atol=1e-12
        )


def test_sparse_worlds_and_ends_are_copied():
    mdp = from_gymnasium("FrozenLake", 6, is_slippery=False)
    twice = second_attempts(mdp)
    assert (twice.sparse, twice.states) == (mdp.sparse, 3 * mdp.states)
    assert twice.terminal.sum() == 3 * mdp.terminal.sum()
    uniform = np.full((mdp.states, mdp.actions), 1 / mdp.actions)
    again = evaluate(twice, in_all_copies(uniform, 3)).value
    assert float(again) == pytest.approx(float(evaluate(mdp, uniform).value))


def test_it_keeps_the_laws_of_simulators():
    check_simulator(world, [(0, 0), (0, 2)])


def test_a_second_attempt_knows_what_became_of_the_first():
    ours, keys = world(), Key.of(0).integers(40)
    rollouts = ours.rollout([(0, 2)] * 40, keys)
    states = ours.revise(rollouts, keys)
    size = PROBLEM.mdp.states
    assert {(s, r.failed) for s, r in zip(states, rollouts, strict=True)} == {
        ((0, 2 + size), True),
        ((0, 2 + 2 * size), False),
    }
    assert ours.revise(ours.rollout(states, keys), keys)[0][1] % size == 2
    with pytest.raises(InvalidInput, match="second_attempts"):
        RevisingTabular(PROBLEM.mdp, PROBLEM.policy)


def test_second_values_are_those_of_second_attempts():
    """A policy that is right in every step after a failure, and as before after a success."""
    table = in_all_copies(np.asarray(PROBLEM.policy, float), 3)
    size = PROBLEM.mdp.states
    best = TabularSimulator(PROBLEM.mdp, PROBLEM.policy)._best.policy
    table[:, size : 2 * size] = best
    ours = RevisingTabular(TWICE, table)
    first = float(evaluate(PROBLEM.mdp, PROBLEM.policy).value)
    per_start = np.asarray(evaluate(PROBLEM.mdp, PROBLEM.policy).values[0], float)
    expected = float(PROBLEM.mdp.start @ (per_start * per_start + (1 - per_start)))
    assert ours.value() == pytest.approx(first)
    assert ours.second_value() == pytest.approx(expected)
    starts = ours.start_states(4000, 0)
    rollouts = ours.rollout(starts, Key.of(1).integers(4000))
    again = ours.rollout(ours.revise(rollouts, Key.of(2).integers(4000)), Key.of(3).integers(4000))
    assert np.mean([r.reward for r in again]) == pytest.approx(expected, abs=0.03)


def softmax(seed):
    logits = np.random.default_rng(seed).normal(size=(TWICE.observation_count, TWICE.actions))
    return SoftmaxPolicy(TWICE, logits)


@pytest.mark.parametrize(
    "algorithm", [SCoRe(4, hold=0.7), SCoRe(4).at(1.0), CritiqueGRPO(5, kept=3)]
)
def test_the_gradient_is_that_of_the_surrogate(algorithm):
    """With shaped, held and moved steps, against central differences."""
    policy, start = softmax(0), softmax(1)
    groups = collect(algorithm, world(policy), [(0, 0), (0, 2)] * 4, 3)
    samples = [s for g in groups for s in g.samples]
    assert any(s.kl or s.shaping for s in samples) == (algorithm != SCoRe(4).at(1.0))
    found, width = policy.gradient(groups, start), 1e-6
    numeric = np.empty_like(policy.logits)
    for index in np.ndindex(*numeric.shape):
        step = np.zeros_like(numeric)
        step[index] = width
        ahead, behind = (
            policy.with_logits(policy.logits + sign * step).surrogate(groups, start)
            for sign in (1, -1)
        )
        numeric[index] = (ahead - behind) / (2 * width)
    np.testing.assert_allclose(found, numeric, atol=1e-6)
    assert np.abs(found).max() > 0.1


def test_rewrites_are_learned_under_the_plain_prompt():
    """Only observations of first attempts get a gradient, though rewrites are drawn elsewhere."""
    policy = softmax(2)
    groups = collect(CritiqueGRPO(5, kept=3), world(policy), [(0, 0)] * 8, 3)
    assert any(s.context is not None and s.advantage for g in groups for s in g.samples)
    gradient = policy.gradient(groups)
    count = PROBLEM.mdp.observation_count
    assert np.abs(gradient[:count]).max() > 0.1
    assert not gradient[count:].any()


def test_what_cannot_be_learned_is_refused():
    policy = softmax(2)
    groups = collect(CritiqueGRPO(5), world(policy), [(0, 0)] * 8, 3)
    moved = [
        dataclasses.replace(s, context=(0, 3))
        for g in groups
        for s in g.samples
        if s.context is not None
    ]
    wrong = [dataclasses.replace(groups.groups[0], samples=(*groups.groups[0].samples, *moved))]
    with pytest.raises(InvalidInput, match=r"context = \(0, 3\): no copy of"):
        policy.gradient(wrong)
    held = collect(SCoRe(4), world(policy), [(0, 0)] * 4, 3)
    with pytest.raises(InvalidInput, match=r"start = None"):
        policy.gradient(held)
