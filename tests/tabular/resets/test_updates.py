"""Reset weights: theorems hold with zero tolerance on rational MDPs, and are attained."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from cpi_theory.bounds.discounted import (
    DiscountedResetStep,
    discounted_improvement_lower_bound,
    sharp_discounted_improvement_lower_bound,
)
from cpi_theory.bounds.finite_horizon import (
    ResetStep,
    greedy_improvement_lower_bound,
    improvement_lower_bound,
    sharp_improvement_lower_bound,
)
from cpi_theory.checks import InvalidInput
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_weight
from tabular.resets.deviations import deviation_probabilities, discounted_deviation, visit_counts
from tabular.resets.updates import coverage, greedy_on, improvable, mix, reset_step

F = Fraction
SEEDS = range(25)


def fractions(table):
    return np.vectorize(Fraction, otypes=[object])(np.asarray(table).astype(object))


def random_rows(rng, *shape):
    counts = rng.integers(0, 4, shape)
    counts[..., 0] += counts.sum(axis=-1) == 0
    table = fractions(counts)
    return table / table.sum(axis=-1, keepdims=True)


def random_world(seed):
    """A small rational MDP with a policy, a candidate, a reset weight and a step size."""
    rng = np.random.default_rng(seed)
    horizon, states, actions = (int(n) for n in rng.integers(1, 5, 3))
    rewards = fractions(rng.integers(0, 9, (horizon, states, actions))) / (9 * horizon)
    transitions = random_rows(rng, horizon, states, actions, states)
    mdp = FiniteHorizonMDP(transitions, rewards, random_rows(rng, states), horizon)
    policy, candidate = (random_rows(rng, horizon, states, actions) for _ in range(2))
    weight = fractions(rng.integers(0, 4, (horizon, states))) / 3
    return mdp, policy, candidate, weight, F(int(rng.integers(0, 9)), 8)


def trap(horizon, gain, loss, alpha):
    """The two-state trap, all rewards raised by -loss so that they are not negative."""
    transitions = fractions([[[1, 0], [0, 1]], [[0, 1], [0, 1]]])
    rewards = fractions([[0, gain], [0, loss]]) - loss
    mdp = FiniteHorizonMDP(
        transitions, rewards, fractions([1, 0]), horizon, reward_bound=horizon * (gain - loss)
    )
    policy, candidate = (
        fractions(np.full((horizon, 2), 1)[..., None] * row) for row in np.eye(2, dtype=int)
    )
    return mdp, policy, candidate, fractions(np.ones((horizon, 2), dtype=int)), alpha


def gain(mdp, policy, candidate, weight, alpha):
    after = mix(policy, candidate, weight, alpha)
    return evaluate(mdp, after).value - evaluate(mdp, policy).value


@pytest.mark.parametrize("seed", SEEDS)
def test_the_performance_difference_is_an_identity(seed):
    mdp, policy, candidate, _, _ = random_world(seed)
    old, new = evaluate(mdp, policy), evaluate(mdp, candidate)
    difference = (new.visits[..., None] * candidate * old.advantages).sum()
    assert new.value - old.value == difference


@pytest.mark.parametrize("seed", SEEDS)
def test_deviations_are_as_rare_as_coverage_says(seed):
    mdp, policy, candidate, weight, alpha = random_world(seed)
    step = reset_step(evaluate(mdp, policy), candidate, weight)
    deviations = deviation_probabilities(mdp, policy, weight, alpha)
    assert deviations[0] == 0
    assert (np.diff(deviations) >= 0).all()
    assert deviations.sum() <= alpha * step.horizon * step.coverage * step.remaining


@pytest.mark.parametrize("seed", SEEDS)
def test_no_update_gains_less_than_its_bounds(seed):
    world = random_world(seed)
    mdp, policy, candidate, weight, alpha = world
    step = reset_step(evaluate(mdp, policy), candidate, weight)
    deviations = deviation_probabilities(mdp, policy, weight, alpha)
    sharp = sharp_improvement_lower_bound(step, alpha, deviations)
    assert isinstance(step, ResetStep)
    assert gain(*world) >= sharp >= improvement_lower_bound(step, alpha)


@pytest.mark.parametrize("horizon", [1, 2, 3, 6])
@pytest.mark.parametrize("alpha", [F(0), F(3, 10), F(1)])
@pytest.mark.parametrize(("payoff", "penalty"), [(F(1, 5), F(-3, 10)), (F(2), F(0)), (F(0), F(-1))])
def test_the_trap_attains_the_sharp_bound(horizon, alpha, payoff, penalty):
    world = trap(horizon, payoff, penalty, alpha)
    mdp, policy, candidate, weight, _ = world
    step = reset_step(evaluate(mdp, policy), candidate, weight)
    deviations = deviation_probabilities(mdp, policy, weight, alpha)
    assert gain(*world) == sharp_improvement_lower_bound(step, alpha, deviations)


def test_the_trap_by_hand():
    world = trap(3, F(1, 5), F(-3, 10), F(3, 10))
    mdp, policy, candidate, weight, alpha = world
    step = reset_step(evaluate(mdp, policy), candidate, weight)
    assert step == ResetStep(3, F(1), F(1, 5), F(1, 2), F(1))
    deviations = deviation_probabilities(mdp, policy, weight, alpha)
    assert deviations.tolist() == [0, F(3, 10), F(51, 100)]
    assert gain(*world) == F(585, 10000)
    assert improvement_lower_bound(step, alpha) == F(45, 1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_greedy_on_the_improvable_set(seed):
    mdp, policy, _, _, alpha = random_world(seed)
    evaluation = evaluate(mdp, policy)
    tau = evaluation.best_advantages.max() / 2 or F(1)
    mask = improvable(evaluation, tau)
    candidate = greedy_on(evaluation, mask)
    counts = visit_counts(mdp, policy, mask)
    assert counts.sum() == 1
    assert sum(n * p for n, p in enumerate(counts)) == mdp.horizon * coverage(evaluation, tau)
    bound = greedy_improvement_lower_bound(tau, counts, alpha)
    assert gain(mdp, policy, candidate, mask, alpha) >= bound


def discounted_world(seed):
    rng = np.random.default_rng(seed)
    states, actions = (int(n) for n in rng.integers(1, 5, 2))
    mdp = DiscountedMDP(
        random_rows(rng, states, actions, states),
        fractions(rng.integers(0, 9, (states, actions))) / 9,
        random_rows(rng, states),
        F(int(rng.integers(0, 10)), 10),
    )
    policy, candidate = random_rows(rng, states, actions), random_rows(rng, states, actions)
    return mdp, policy, candidate, fractions(rng.integers(0, 4, states)) / 3, F(1, 1 + seed % 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_discounted_updates_gain_no_less_than_their_bounds(seed):
    world = discounted_world(seed)
    mdp, policy, candidate, weight, alpha = world
    step = reset_step(evaluate(mdp, policy), candidate, weight)
    assert isinstance(step, DiscountedResetStep)
    deviation = discounted_deviation(mdp, policy, weight, alpha)
    sharp = sharp_discounted_improvement_lower_bound(step, alpha, deviation)
    assert gain(*world) >= sharp >= discounted_improvement_lower_bound(step, alpha)


def test_the_discounted_trap_attains_its_sharp_bound():
    transitions = fractions([[[1, 0], [0, 1]], [[0, 1], [0, 1]]])
    mdp = DiscountedMDP(transitions, fractions([[3, 5], [3, 0]]), fractions([1, 0]), F(3, 4))
    policy, candidate = (fractions(np.tile(row, (2, 1))) for row in np.eye(2, dtype=int))
    step = reset_step(evaluate(mdp, policy), candidate, [1, 1])
    assert step == DiscountedResetStep(F(3, 4), F(1), F(2), F(5))
    for alpha in (F(1, 7), F(1, 2), F(1)):
        deviation = discounted_deviation(mdp, policy, [1, 1], alpha)
        assert deviation == 3 * alpha / (F(1, 4) + F(3, 4) * alpha)
        bound = sharp_discounted_improvement_lower_bound(step, alpha, deviation)
        assert gain(mdp, policy, candidate, [1, 1], alpha) == bound


def test_a_state_at_the_level_itself_is_improvable():
    mdp, policy, _, _, _ = random_world(6)
    evaluation = evaluate(mdp, policy)
    best = evaluation.best_advantages
    mask = improvable(evaluation, best.max())
    assert (mask == (best == best.max())).all()
    assert coverage(evaluation, best.max()) == evaluation.occupancy[mask].sum()
    assert not improvable(evaluation, best.max() + F(1, 10**9)).any()


def test_visit_counts_by_hand():
    # From 0 the policy moves to the absorbing state 1 with probability 1/3 at each of 3 layers.
    transitions = fractions([[[2, 1]], [[0, 3]]]) / 3
    mdp = FiniteHorizonMDP(transitions, fractions([[0], [0]]), fractions([1, 0]), 3)
    policy = fractions(np.ones((2, 1), dtype=int))
    counts = visit_counts(mdp, policy, np.array([False, True]))
    assert counts.tolist() == [F(4, 9), F(2, 9), F(1, 3), 0]
    with pytest.raises(InvalidInput, match="not boolean"):
        visit_counts(mdp, policy, [0.5, 0.5])


def test_floats_agree_with_fractions():
    for seed in SEEDS:
        mdp, policy, candidate, weight, alpha = random_world(seed)
        tables = (mdp.transitions, mdp.rewards, mdp.start, policy, candidate, weight)
        p, r, start, pi, to, w = (table.astype(float) for table in tables)
        plain = FiniteHorizonMDP(p, r, start, mdp.horizon)
        exact = reset_step(evaluate(mdp, policy), candidate, weight)
        floats = reset_step(evaluate(plain, pi), to, w)
        for name in ("coverage", "advantage", "spread", "remaining"):
            value = getattr(floats, name)
            assert type(value) is float
            assert value == pytest.approx(float(getattr(exact, name)), abs=1e-12)
        np.testing.assert_allclose(
            deviation_probabilities(plain, pi, w, float(alpha)),
            deviation_probabilities(mdp, policy, weight, alpha).astype(float),
            atol=1e-12,
        )


def test_a_weight_that_covers_nothing_gives_a_step_of_zeros():
    mdp, policy, candidate, weight, _ = random_world(3)
    step = reset_step(evaluate(mdp, policy), candidate, weight * 0)
    assert (step.coverage, step.advantage, step.spread, step.remaining) == (0, 0, 0, 0)


def test_the_spread_of_gains_that_are_all_positive():
    # In both states action 1 pays more, by 1/2 and by 1/4; the policy never takes it.
    transitions = fractions(np.tile(np.eye(2, dtype=int)[:, None], (1, 2, 1)))
    mdp = FiniteHorizonMDP(transitions, fractions([[0, 2], [0, 1]]) / 4, fractions([1, 1]) / 2, 1)
    policy, candidate = (fractions(np.tile(row, (1, 2, 1))) for row in np.eye(2, dtype=int))
    step = reset_step(evaluate(mdp, policy), candidate, [1, 1])
    assert step == ResetStep(1, F(1), F(3, 8), F(1, 4), F(0))


def test_mixing_by_hand():
    policy, candidate = fractions([[[1, 0], [1, 0]]]), fractions([[0, 1], [0, 1]])
    mixed = mix(policy, candidate, [[F(1, 2), 0]], F(1, 3))
    assert mixed.tolist() == [[[F(5, 6), F(1, 6)], [1, 0]]]
    assert mix(policy, candidate, np.array([[True, False]])).tolist() == [[[0, 1], [1, 0]]]
    floats = mix(policy.astype(float), candidate.astype(float), [0.5, 0.0], 0.5)
    assert floats.dtype == np.float64
    assert floats.tolist() == [[[0.75, 0.25], [1.0, 0.0]]]


def test_the_greedy_candidate_keeps_the_policy_off_the_mask():
    mdp, policy, _, _, _ = random_world(6)
    evaluation = evaluate(mdp, policy)
    mask = np.zeros(evaluation.values.shape, dtype=bool)
    mask[0, 0] = True
    candidate = greedy_on(evaluation, mask)
    assert (candidate[~mask] == policy[~mask]).all()
    assert candidate[0, 0].argmax() == evaluation.advantages[0, 0].argmax()
    assert sorted(candidate[0, 0])[-1] == candidate.sum(axis=-1)[0, 0] == 1


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        ([[0.5, 1.5]], r"weight\[0, 1\] = 1.5: outside"),
        ([[0.5, np.nan]], "outside"),
        ([[0.5, -0.25]], r"weight\[0, 1\] = -0.25: outside"),
        ([1.0], "shape"),
    ],
)
def test_weights_outside_the_unit_interval_are_refused(weight, words):
    with pytest.raises(InvalidInput, match=words):
        as_weight(weight, (1, 2), exact=False)


@pytest.mark.parametrize("call", ["mix", "deviation_probabilities", "improvable"])
def test_steps_and_levels_out_of_range_are_refused(call):
    mdp, policy, candidate, weight, _ = random_world(3)
    calls = {
        "mix": lambda: mix(policy, candidate, weight, F(3, 2)),
        "deviation_probabilities": lambda: deviation_probabilities(mdp, policy, weight, -1),
        "improvable": lambda: improvable(evaluate(mdp, policy), 0),
    }
    with pytest.raises(InvalidInput, match="alpha" if call != "improvable" else "tau"):
        calls[call]()
