"""Shifting and scaling rewards: least shift, tight scale, the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.policies import uniform_policy
from tabular.mdp.scaling import rescale, rescale_discounted
from tabular.mdp.validation import return_range
from tabular.strategies import discounted_mdps, finite_horizon_mdps, policies

LOOP = [[[1.0], [1.0]]]


def raw_value(mdp, rewards, policy):
    """Value under other rewards: occupancies times rewards."""
    visits = evaluate(mdp, policy).visits
    layered = np.broadcast_to(rewards, (mdp.horizon, mdp.states, mdp.actions))
    return (visits[:, :, None] * policy * layered).sum()


@given(finite_horizon_mdps(), st.integers(-5, 5), st.integers(1, 40), st.data())
@settings(max_examples=60)
def test_every_policy_keeps_its_value_under_the_way_back(mdp, offset, factor, data):
    rewards = factor * (mdp.rewards + offset / 3)
    policy = data.draw(policies(mdp))
    scaled = rescale(mdp.transitions, rewards, mdp.start, mdp.horizon, reward_bound=2.0)
    found = scaled.scaling.original(evaluate(scaled, policy).value)
    assert found == pytest.approx(raw_value(mdp, rewards, policy), abs=1e-9 * factor)


@given(finite_horizon_mdps(terminals=False), st.integers(-5, 5), st.integers(1, 40))
@settings(max_examples=60)
def test_shift_and_scale_are_the_least_that_suffice(mdp, offset, factor):
    rewards = factor * (mdp.rewards + offset / 3)
    scaled = rescale(mdp.transitions, rewards, mdp.start, mdp.horizon)
    shift, scale = scaled.scaling.shift, scaled.scaling.scale
    lowest, highest = return_range(scaled.transitions, scaled.rewards, scaled.horizon)
    assert lowest.min() >= -1e-9
    assert highest.max() <= 1 + 1e-9
    if shift > 0:
        assert lowest.min() == pytest.approx(0, abs=1e-9)
    if scale < 1:
        assert highest.max() == pytest.approx(1)


def test_rewards_inside_stay_as_they_are():
    rewards = [[0.25, 0.5]]
    mdp = rescale(LOOP, rewards, [1.0], 2)
    np.testing.assert_array_equal(mdp.rewards, rewards)
    assert (mdp.scaling.shift, mdp.scaling.scale) == (0.0, 1.0)


def test_worked_by_hand():
    """Rewards -3 and 1 over 2 steps: 3 is added to each, then 8 is brought down to 1."""
    mdp = rescale(LOOP, [[-3.0, 1.0]], [1.0], 2)
    assert (mdp.scaling.shift, mdp.scaling.scale, mdp.scaling.horizon) == (3.0, 0.125, 2)
    np.testing.assert_array_equal(mdp.rewards, [[0.0, 0.5]])
    assert mdp.scaling.original(evaluate(mdp, uniform_policy(mdp)).value) == -2.0
    assert mdp.scaling.original(0.5, step=1) == 1.0


def test_shift_may_be_smaller_than_the_worst_reward():
    """-1 is always followed by +1, so that no return from the start is negative."""
    moves = [[[0.0, 1.0]], [[1.0, 0.0]]]
    rewards = np.array([[[-1.0], [0.0]], [[0.0], [1.0]]])
    assert rescale(moves, rewards, [1.0, 0.0], 2).scaling.shift == 0.0


def test_terminal_flag_survives_only_without_a_shift():
    moves = [[[0.0, 1.0]], [[0.0, 1.0]]]
    ends = [False, True]
    kept = rescale(moves, [[3.0], [0.0]], [1.0, 0.0], 2, terminal=ends)
    np.testing.assert_array_equal(kept.terminal, ends)
    assert kept.scaling.scale == pytest.approx(1 / 3)
    for loss in (-3.0, -0.25):
        shifted = rescale(moves, [[loss], [0.0]], [1.0, 0.0], 2, terminal=ends)
        assert not shifted.terminal.any()
        assert shifted.rewards[1, 0] > 0


@given(discounted_mdps(), st.integers(-5, 5), st.integers(1, 9), st.data())
@settings(max_examples=60)
def test_discounted_values_map_back(mdp, offset, factor, data):
    rewards = factor * (mdp.rewards + offset / 3)
    policy = data.draw(policies(mdp))
    scaled = rescale_discounted(mdp.transitions, rewards, mdp.start, mdp.discount)
    assert scaled.reward_bound == 1
    occupancy = evaluate(mdp, policy).visits
    expected = (occupancy[:, None] * policy * rewards).sum() / (1 - mdp.discount)
    found = scaled.scaling.original(evaluate(scaled, policy).value)
    assert found == pytest.approx(expected, abs=1e-6 * factor)


def test_discounted_worked_by_hand():
    """Rewards -3 and 1 at gamma 1/2: 3 is added, then a value of 8 is brought down to 1."""
    mdp = rescale_discounted(LOOP, [[-3.0, 1.0]], [1.0], 0.5)
    assert (mdp.scaling.shift, mdp.scaling.scale, mdp.scaling.horizon) == (3.0, 0.125, 2)
    np.testing.assert_array_equal(mdp.rewards, [[0.0, 0.5]])
    # Action 0 for ever: -3 in each of the 2 discounted steps.
    assert mdp.scaling.original(evaluate(mdp, [[1.0, 0.0]]).value) == -6.0
    kept = rescale_discounted(LOOP, [[0.25, 0.375]], [1.0], 0.5)
    np.testing.assert_array_equal(kept.rewards, [[0.25, 0.375]])
    assert (kept.scaling.shift, kept.scaling.scale) == (0.0, 1.0)


def test_refusals_name_the_field():
    with pytest.raises(InvalidInput, match=r"rewards\[s=0, a=1\] = nan: not finite"):
        rescale(LOOP, [[0.0, np.nan]], [1.0], 2)
    with pytest.raises(InvalidInput, match="horizon = 0"):
        rescale(LOOP, [[0.0, 1.0]], [1.0], 0)
    with pytest.raises(InvalidInput, match="reward_bound = -1"):
        rescale(LOOP, [[0.0, 1.0]], [1.0], 1, reward_bound=-1)
    with pytest.raises(InvalidInput, match="discount = 1: values may diverge"):
        rescale_discounted(LOOP, [[0.0, 1.0]], [1.0], 1)
    with pytest.raises(InvalidInput, match=r"transitions\[s=0, a=1\]"):
        rescale([[[1.0], [0.5]]], [[0.0, 1.0]], [1.0], 2)


def test_the_remedy_that_the_refusal_names_works():
    rewards = [[-1.0, 2.0]]
    with pytest.raises(InvalidInput, match=r"tabular\.rescale"):
        FiniteHorizonMDP(LOOP, rewards, [1.0], 3)
    assert rescale(LOOP, rewards, [1.0], 3).reward_bound == 1.0
