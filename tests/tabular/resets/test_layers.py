"""What T1e, T1h and T8e need of a world, against walks over every path."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import sparse

from cpi_theory.bounds.layers import (
    layered_improvement_lower_bound,
    undeviated_discounted_improvement_lower_bound,
    undeviated_improvement_lower_bound,
)
from cpi_theory.checks import InvalidInput
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.resets.deviations import (
    deviation_probabilities,
    discounted_deviation,
    undeviated_visits,
)
from tabular.resets.layers import (
    deviated_states,
    layered_step,
    least_deviated_gains,
    undeviated_gains,
    weighted_gains,
)
from tabular.resets.updates import mix, reset_step
from tabular.strategies import localised_instances, step_sizes


def walked(mdp, policy, candidate, weight, layers):
    """T_h by walking from state to state, one possible move at a time."""
    seen = set()
    todo = [(0, int(s), False) for s in np.flatnonzero(np.asarray(mdp.start) > 0)]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        h, s, deviated = node
        if h + 1 == layers:
            continue
        at = (h, s) if policy.ndim == 3 else (s,)
        kernel = mdp.kernel(h)
        for a in range(mdp.actions):
            for t in np.flatnonzero(np.asarray(kernel[s, a]) > 0):
                if policy[at][a] > 0:
                    todo.append((h + 1, int(t), deviated))
                if weight[at] > 0 and candidate[at][a] > 0:
                    todo.append((h + 1, int(t), True))
    return {(h, s) for h, s, deviated in seen if deviated}


@given(localised_instances(exact=True))
def test_deviated_states_are_those_of_a_walk(instance):
    mdp, policy, candidate, weight = instance
    weight = np.broadcast_to(np.asarray(weight), policy.shape[:-1])
    mask = deviated_states(mdp, policy, candidate, weight)
    found = set(map(tuple, np.argwhere(mask).tolist()))
    assert found == walked(mdp, policy, candidate, weight, mdp.horizon)


@given(localised_instances(exact=True, discounted=True))
def test_discounted_deviated_states_are_those_of_a_long_walk(instance):
    mdp, policy, candidate, weight = instance
    weight = np.broadcast_to(np.asarray(weight), policy.shape[:-1])
    mask = deviated_states(mdp, policy, candidate, weight)
    # Each new (state, deviated or not) takes one step more at the latest.
    long = walked(mdp, policy, candidate, weight, 2 * mdp.states + 2 if mdp.discount > 0 else 1)
    assert set(np.flatnonzero(mask).tolist()) == {s for _, s in long}


@settings(max_examples=60)
@given(localised_instances(exact=True), step_sizes(exact=True))
def test_gains_and_spreads_fit_together(instance, alpha):
    mdp, policy, candidate, weight = instance
    evaluation = evaluate(mdp, policy)
    layers = layered_step(mdp, evaluation, candidate, weight)
    step = reset_step(evaluation, candidate, weight)
    assert sum(layers.coverages) == step.horizon * step.coverage
    assert sum(layers.gains) == step.horizon * step.coverage * step.advantage
    visits = undeviated_visits(mdp, policy, weight, alpha)
    deviations = deviation_probabilities(mdp, policy, weight, alpha).tolist()
    assert (1 - visits.sum(axis=1)).tolist() == deviations
    gain = evaluate(mdp, mix(policy, candidate, weight, alpha)).value - evaluation.value
    exact = undeviated_improvement_lower_bound(
        alpha,
        undeviated_gains(mdp, evaluation, candidate, weight, alpha),
        deviations,
        least_deviated_gains(mdp, evaluation, candidate, weight),
    )
    assert layered_improvement_lower_bound(layers, alpha, deviations) <= exact <= gain


@settings(max_examples=60)
@given(localised_instances(exact=True, discounted=True), step_sizes(exact=True))
def test_discounted_updates_gain_at_least_t8e(instance, alpha):
    mdp, policy, candidate, weight = instance
    evaluation = evaluate(mdp, policy)
    gain = evaluate(mdp, mix(policy, candidate, weight, alpha)).value - evaluation.value
    bound = undeviated_discounted_improvement_lower_bound(
        alpha,
        *undeviated_gains(mdp, evaluation, candidate, weight, alpha),
        discounted_deviation(mdp, policy, weight, alpha),
        *least_deviated_gains(mdp, evaluation, candidate, weight),
    )
    assert bound <= gain


def line_world(kind):
    """0 -> 1 -> 2 by action 1, staying by action 0; dense, sparse or layered."""
    moves = np.zeros((3, 2, 3))
    moves[:, 0] = np.eye(3)
    moves[[0, 1, 2], 1, [1, 2, 2]] = 1
    rewards, start = np.zeros((3, 2)), np.array([1.0, 0, 0])
    if kind == "sparse":
        return FiniteHorizonMDP(sparse.csr_array(moves.reshape(6, 3)), rewards, start, 4)
    return FiniteHorizonMDP(moves, rewards, start, 4)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_deviated_states_worked_by_hand(kind):
    stay, leave = (np.tile(np.eye(2)[a], (3, 1)) for a in (0, 1))
    mask = deviated_states(line_world(kind), stay, leave, [1.0, 0.5, 1.0])
    assert mask.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 1, 1]]
    # Where w = 0 the candidate's action is never taken: state 2 is out of reach.
    mask = deviated_states(line_world(kind), stay, leave, [1.0, 0.0, 1.0])
    assert mask.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert not deviated_states(line_world(kind), stay, leave, [0.0, 1.0, 1.0]).any()


def test_a_sparse_discounted_world_has_the_same_deviated_states():
    moves = line_world("dense").transitions
    stay, leave = (np.tile(np.eye(2)[a], (3, 1)) for a in (0, 1))
    for table in (moves, sparse.csr_array(moves.reshape(6, 3))):
        mdp = DiscountedMDP(table, np.zeros((3, 2)), np.array([1.0, 0, 0]), 0.5)
        assert deviated_states(mdp, stay, leave, np.ones(3)).tolist() == [False, True, True]
        assert deviated_states(mdp, stay, leave, [1.0, 0, 0]).tolist() == [False, True, False]


def test_shapes_that_do_not_fit_are_refused():
    mdp = line_world("dense")
    stay = np.tile(np.eye(2)[0], (3, 1))
    evaluation = evaluate(mdp, stay)
    with pytest.raises(InvalidInput, match=r"^candidate"):
        deviated_states(mdp, stay, np.ones((2, 2)), np.ones(3))
    with pytest.raises(InvalidInput, match=r"^candidate"):
        layered_step(mdp, evaluation, np.ones((2, 2)), np.ones(3))
    with pytest.raises(InvalidInput, match=r"^weight"):
        weighted_gains(evaluation, stay, np.full(3, 1.5))
    with pytest.raises(InvalidInput, match=r"^alpha"):
        undeviated_visits(mdp, stay, np.ones(3), 1.5)


def test_fractions_stay_fractions():
    half = Fraction(1, 2)
    kernel = np.full((1, 1, 1), Fraction(1), dtype=object)
    one = np.array([Fraction(1)], dtype=object)
    mdp = FiniteHorizonMDP(kernel, np.full((1, 1), half, dtype=object), one, 2)
    policy = np.full((1, 1), Fraction(1), dtype=object)
    step = layered_step(mdp, evaluate(mdp, policy), policy, np.array([half], dtype=object))
    numbers = (*step.coverages, *step.gains, *step.spreads)
    assert all(isinstance(n, Fraction) for n in numbers)
    assert step.coverages == (half, half)
