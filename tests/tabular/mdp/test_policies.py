"""Policies: shapes, batches, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_policies, as_policy, deterministic_policy, uniform_policy
from tabular.strategies import discounted_mdps, finite_horizon_mdps

H, S, A = 3, 2, 2
START = [1.0, 0.0]
TABLES = (np.full((H, S, A, S), 0.5), np.zeros((H, S, A)))


def refusal(make, *args):
    with pytest.raises(InvalidInput) as caught:
        make(*args)
    return str(caught.value)


def test_one_table_serves_every_layer():
    mdp = FiniteHorizonMDP(*TABLES, START, H)
    policy = as_policy(mdp, [[0.25, 0.75], [1, 0]])
    assert policy.shape == (H, S, A)
    np.testing.assert_array_equal(policy[2], [[0.25, 0.75], [1, 0]])
    with pytest.raises(ValueError, match="read-only"):
        policy[0, 0] = 0


def test_batches():
    mdp = FiniteHorizonMDP(*TABLES, START, H)
    one = np.full((4, S, A), 0.5)
    assert as_policies(mdp, one).shape == (4, H, S, A)
    assert as_policies(mdp, np.full((4, H, S, A), 0.5)).shape == (4, H, S, A)
    bad = np.full((4, H, S, A), 0.5)
    bad[3, 1, 0] = [0.5, 0.25]
    assert "policy[k=3, h=1, s=0] = 0.75" in refusal(as_policies, mdp, bad)


def test_refusals():
    mdp = FiniteHorizonMDP(*TABLES, START, H)
    assert refusal(as_policy, mdp, np.ones((S, A))) == (
        "policy[s=0] = 2.0: probabilities sum to 2.0, 1.0 too much; divide the row by its sum"
    )
    assert "policy shape = (2, 3): does not fit; give (2, 2)" in refusal(
        as_policy, mdp, np.ones((2, 3)) / 3
    )
    assert "policy shape = (4, 2, 2): does not fit; give (3, 2, 2)" in refusal(
        as_policy, mdp, np.full((4, 2, 2), 0.5)
    )
    assert "negative probability" in refusal(as_policy, mdp, [[1.5, -0.5], [1, 0]])


def test_discounted_policies_have_no_layers():
    mdp = DiscountedMDP([[[1.0], [1.0]]], [[0.5, 0.25]], [1.0], 0.5)
    assert as_policy(mdp, [[0.5, 0.5]]).shape == (1, 2)
    assert "give (1, 2)" in refusal(as_policy, mdp, [[[0.5, 0.5]]])


def test_deterministic():
    mdp = FiniteHorizonMDP(*TABLES, START, H)
    policy = deterministic_policy(mdp, [1, 0])
    np.testing.assert_array_equal(policy, [[[0, 1], [1, 0]]] * H)
    assert refusal(deterministic_policy, mdp, [0, 2]) == (
        "actions = 2: no such action; choose 0..1"
    )
    assert "no such action" in refusal(deterministic_policy, mdp, [0, -1])
    assert "not action indices" in refusal(deterministic_policy, mdp, [0.0, 1.0])


@given(st.one_of(finite_horizon_mdps(), discounted_mdps(), finite_horizon_mdps(exact=True)))
@settings(max_examples=40)
def test_uniform(mdp):
    policy = uniform_policy(mdp)
    assert (policy == policy.flat[0]).all()
    assert (policy.sum(axis=-1) == 1).all() or not mdp.exact
