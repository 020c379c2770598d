"""Estimators against worlds whose coverage, advantages and localiser quality are known."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.branching import _difference, best_advantage_lower_bounds
from cpi_theory.diagnosis.localizers import (
    estimate_coverage,
    localizer_quality,
)
from cpi_theory.diagnosis.meters import ExactMeter, SampledMeter
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import UniformReset
from cpi_theory.seam import Ending, Reason, Rollout
from tests.cpi_theory.chain import Blind, Chain
from tests.cpi_theory.small_world import SmallWorld

TAU = 0.05
WORLD = Chain(right=(0.9, 0.5, 0.9, 0.6), actions=2)


def rollouts(world, count, seed=0):
    return world.rollout([(0, 0)] * count, Key.of(seed).integers(count))


def coin_world():
    """Two layers; whatever is done, the second state is a fair coin that pays 1 or 0."""
    transitions = np.full((2, 2, 2, 2), 0.5)
    rewards = np.zeros((2, 2, 2))
    rewards[1, 0, :] = 1
    return SmallWorld(transitions, rewards, np.full((2, 2, 2), 0.5))


# --- coverage ---------------------------------------------------


@pytest.mark.parametrize("horizon", [None, 4])
def test_coverage_intervals_cover_at_their_level(horizon):
    truth = WORLD.improvable_coverage(TAU)
    assert 0.2 < truth < 0.8
    held = [
        truth in estimate_coverage(WORLD, rollouts(WORLD, 120, seed), TAU, seed, horizon=horizon)
        for seed in range(400)
    ]
    assert 0.92 < np.mean(held) < 0.98


def test_all_steps_of_a_rollout_would_not_be_independent():
    """Why one step per rollout is judged: counting all as trials misses far too often."""
    world = Chain(right=(0.5, *[0.95] * 7), actions=2)
    best = world.best()
    truth, missed = world.improvable_coverage(0.02), 0
    for seed in range(200):
        labels = [best[s] >= 0.02 for r in rollouts(world, 40, seed) for s in r.states]
        p = np.mean(labels)
        missed += abs(p - truth) > 1.96 * np.sqrt(p * (1 - p) / len(labels))
    assert missed / 200 > 0.2
    held = [
        truth in estimate_coverage(world, rollouts(world, 40, seed), 0.02, seed)
        for seed in range(200)
    ]
    assert np.mean(held) > 0.9


def test_early_ends_count_as_layers_only_with_a_horizon():
    world = Chain(right=(0.9, 0.5, 0.9, 0.6), actions=2, abort=True)
    reached = np.cumprod([1, 0.9, 0.5, 0.9])
    improvable = WORLD.best()[:, 0] >= TAU
    batch = rollouts(world, 4000)
    per_layer = estimate_coverage(world, batch, TAU, 1, horizon=4)
    per_step = estimate_coverage(world, batch, TAU, 1)
    assert per_layer.estimate == pytest.approx((reached * improvable).sum() / 4, abs=0.025)
    assert per_step.estimate == pytest.approx(
        (reached * improvable).sum() / reached.sum(), abs=0.03
    )
    assert per_step.lower > per_layer.upper


def test_an_empty_rollout_has_no_step_to_judge():
    batch = [*rollouts(WORLD, 50), *[Rollout((), (), 0.0, True, Ending.HORIZON)] * 10]
    assert estimate_coverage(WORLD, batch, TAU, 1).estimate > 0
    assert estimate_coverage(WORLD, batch, TAU, 1, horizon=4).estimate < 1


# --- best advantages --------------------------------------------


def test_sample_splitting_is_unbiased_where_nothing_can_be_gained():
    """Flat world: every advantage is 0; the naive maximum over branches is not."""
    world, states = coin_world(), [(0, 0)] * 400
    bounds = best_advantage_lower_bounds(
        world, states, 3, branches=4, screening=1, completions=8, by_action=True
    )
    estimates = np.array([b.estimate for b in bounds])
    assert abs(estimates.mean()) < 4 * estimates.std() / 20
    assert np.mean([0.0 in b for b in bounds]) > 0.93
    naive = []
    for i in range(200):
        batch = world.rollout([(0, 0)] * 8, Key.of(i).integers(8))
        means = [np.mean([r.reward for r in batch if r.actions[0] == a] or [0]) for a in (0, 1)]
        naive.append(max(means) - np.mean([r.reward for r in batch]))
    assert np.mean(naive) > 0.08


def test_lucky_transitions_are_no_advantage_when_sorted_by_action():
    """Without by_action the luck of the next state would pass for a good action."""
    world, states = coin_world(), [(0, 0)] * 100
    options = {"branches": 4, "screening": 2, "completions": 8}
    lucky = best_advantage_lower_bounds(world, states, 3, **options)
    assert np.mean([b.estimate for b in lucky]) > 0.3
    sorted_ = best_advantage_lower_bounds(world, states, 3, **options, by_action=True)
    assert np.mean([b.estimate for b in sorted_]) < 0.1


@pytest.mark.parametrize("by_action", [False, True])
def test_the_estimate_finds_the_best_action_of_the_chain(by_action):
    best = WORLD.best()
    for h in range(4):
        bounds = best_advantage_lower_bounds(
            WORLD, [(h, 0)] * 20, h, screening=16, completions=100, by_action=by_action
        )
        estimate = np.mean([b.estimate for b in bounds])
        assert estimate == pytest.approx(best[h, 0], abs=0.04)
        assert np.mean([b.lower <= best[h, 0] for b in bounds]) >= 0.9


def test_the_lower_end_is_below_the_best_advantage_as_often_as_promised():
    states = [(1, 0)] * 300
    bounds = best_advantage_lower_bounds(WORLD, states, 5, branches=3, completions=30)
    truth = WORLD.best()[1, 0]
    assert np.mean([b.lower <= truth for b in bounds]) >= 0.95
    assert np.mean([b.estimate for b in bounds]) <= truth + 0.01


def test_the_draws_of_a_state_depend_on_its_place_alone():
    states = [(0, 0), (1, 0), (1, 1)]
    whole = best_advantage_lower_bounds(WORLD, states, 7)
    assert best_advantage_lower_bounds(WORLD, states[:2], 7) == whole[:2]
    assert best_advantage_lower_bounds(WORLD, states, 8) != whole


def test_few_batched_calls_for_any_number_of_states():
    world = Chain(right=WORLD.right, actions=2)
    best_advantage_lower_bounds(world, [(0, 0)] * 50, 7)
    assert world.calls == ["rollout"] * 4


def test_a_final_action_has_a_known_outcome():
    (bound,) = best_advantage_lower_bounds(WORLD, [(3, 0)], 1, completions=2000)
    assert bound.estimate == pytest.approx(0.4, abs=0.05)  # 1 - V = 1 - .6


def test_an_action_that_is_not_seen_again_leaves_everything_open():
    world = Chain(right=(0.5,), actions=1000)
    bounds = best_advantage_lower_bounds(
        world, [(0, 1)] * 30, 1, branches=1, screening=0, completions=1, by_action=True
    )
    unseen = [b for b in bounds if np.isnan(b.estimate)]
    assert unseen
    assert all((b.lower, b.upper) == (-1, 1) for b in unseen)


def test_the_interval_is_newcombes_on_his_own_example():
    """56 of 70 against 48 of 80: .0524 to .3339 (R. G. Newcombe, Stat. Med. 17 (1998), 873)."""
    interval = _difference([1.0] * 56 + [0.0] * 14, [1.0] * 48 + [0.0] * 32, 0.95, 1.0)
    assert (interval.lower, interval.estimate, interval.upper) == pytest.approx(
        (0.0524, 0.2, 0.3339), abs=5e-5
    )


def test_rewards_scale_with_their_bound():
    def run(scale):
        world = SmallWorld.random(1)
        scaled = SmallWorld(world.transitions, world.rewards * scale, world.policy, scale)
        return best_advantage_lower_bounds(scaled, [(0, 0)], 2, reward_bound=scale, by_action=True)[
            0
        ]

    one, ten = run(1.0), run(10.0)
    assert ten.estimate == pytest.approx(10 * one.estimate)
    assert (ten.lower, ten.upper) == pytest.approx((10 * one.lower, 10 * one.upper))


# --- localiser quality ------------------------------------------


def first_error_truth(world, tau):
    """Precision and recall of exact first errors: P(first error at k) by hand."""
    reached = np.cumprod([1, *world.right[:-1]])
    first = reached * (1 - np.array(world.right))
    improvable = world.best()[:, 0] >= tau
    precision = (first * improvable).sum() / first.sum()
    return precision, (first * improvable).sum() / (reached * improvable).sum()


def test_quality_of_exact_first_errors_covers_the_truth():
    precision, recall = first_error_truth(WORLD, TAU)
    assert 0.8 < precision < 1
    assert 0.2 < recall < 0.6
    held = np.array(
        [
            (precision in q.precision, recall in q.recall)
            for q in (
                localizer_quality(WORLD, rollouts(WORLD, 200, seed), TAU, seed)
                for seed in range(200)
            )
        ]
    )
    assert (held.mean(axis=0) > 0.9).all()


def test_recall_counts_visits_in_rollouts_of_any_length():
    """Aborted rollouts are short; a step of theirs must not count for more."""
    world = Chain(right=WORLD.right, actions=2, abort=True)
    precision, recall = first_error_truth(world, 0.1)
    quality = localizer_quality(world, rollouts(world, 6000), 0.1, 2)
    assert quality.precision.estimate == pytest.approx(precision, abs=0.02)
    assert quality.recall.estimate == pytest.approx(recall, abs=0.025)


@pytest.mark.parametrize(
    ("reset", "precision", "recall"),
    [
        (ImprovableReset(TAU), 1.0, 1.0),
        (ImperfectReset(0.8, 0.7, TAU), 0.8, 0.7),
        (UniformReset(), None, 1.0),
    ],
)
def test_quality_of_weights_is_the_blur_they_promise(reset, precision, recall):
    """Graded weights and several selected steps per rollout; random resets have precision p."""
    quality = localizer_quality(WORLD, rollouts(WORLD, 4000), TAU, 2, reset=reset)
    expected = WORLD.improvable_coverage(TAU) if precision is None else precision
    assert quality.precision.estimate == pytest.approx(expected, abs=0.03)
    assert quality.recall.estimate == pytest.approx(recall, abs=0.03)
    assert quality.recall.lower <= recall <= quality.recall.upper + 1e-12


def test_refusals_are_counted_and_cost_recall():
    blind = Chain(right=WORLD.right, actions=2, blind=0.5)
    sharp = localizer_quality(WORLD, rollouts(WORLD, 2000), TAU, 2)
    dull = localizer_quality(blind, rollouts(blind, 2000), TAU, 2)
    assert dull.refusals[Reason.UNPARSABLE] == pytest.approx(sharp.selected / 2, rel=0.1)
    assert dull.selected + sum(dull.refusals.values()) == 2000
    assert sharp.refusals == {Reason.NOT_FAILED: 2000 - sharp.selected}
    assert dull.recall.estimate == pytest.approx(sharp.recall.estimate / 2, rel=0.15)
    assert dull.precision.estimate == pytest.approx(sharp.precision.estimate, abs=0.04)


def test_a_sampled_judge_agrees_with_the_exact_one():
    world = Blind(WORLD)
    meter = SampledMeter(branches=6, screening=8, completions=150, most=150)
    batch = rollouts(WORLD, 150)
    level = 0.12  # far from every best advantage of the chain
    assert np.abs(WORLD.best() - level).min() > 0.05
    exact = localizer_quality(WORLD, batch, level, 4)
    sampled = localizer_quality(world, batch, level, 4, meter=meter)
    assert sampled.precision.estimate == pytest.approx(exact.precision.estimate, abs=0.08)
    assert sampled.recall.estimate == pytest.approx(exact.recall.estimate, abs=0.08)
    p = estimate_coverage(world, batch, level, 4, meter=meter).estimate
    assert p == pytest.approx(estimate_coverage(WORLD, batch, level, 4).estimate, abs=0.08)


def test_nothing_selected_leaves_the_shares_open():
    quality = localizer_quality(WORLD, rollouts(WORLD, 30), 2.0, 1, reset=ImprovableReset(2.0))
    assert np.isnan(quality.precision.estimate)
    assert (quality.recall.lower, quality.recall.upper) == (0, 1)
    assert quality.selected == 0


# --- bad input --------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate_coverage(WORLD, [], TAU, 0), "^rollouts = 0"),
        (lambda: estimate_coverage(WORLD, rollouts(WORLD, 3), TAU, 0, horizon=3), "^horizon = 3"),
        (lambda: estimate_coverage(Blind(WORLD), rollouts(WORLD, 3), TAU, 0), "SampledMeter"),
        (lambda: best_advantage_lower_bounds(WORLD, [(0, 0)], 0, branches=0), "^branches"),
        (lambda: best_advantage_lower_bounds(WORLD, [(0, 0)], 0, screening=-1), "^screening"),
        (lambda: best_advantage_lower_bounds(WORLD, [(0, 0)], 0, completions=0), "^completions"),
        (
            lambda: best_advantage_lower_bounds(WORLD, [(0, 0)], 0, reward_bound=0.5),
            r"^rewards = .*set reward_bound",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def test_the_default_localiser_is_the_first_error_and_the_default_judge_exact():
    batch = rollouts(WORLD, 50)
    assert localizer_quality(WORLD, batch, TAU, 3) == localizer_quality(
        WORLD, batch, TAU, 3, reset=FirstErrorReset(), meter=ExactMeter()
    )
