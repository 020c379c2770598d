"""Conservative policy iteration: failure probabilities, unbiased trials, monotone improvement."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.algorithms.chooser import Baseline, EmpiricalChooser, baselines, tables
from cpi_theory.algorithms.conservative import (
    ConservativePolicyIteration,
    Decision,
    iteration_delta,
)
from cpi_theory.algorithms.measurement import measure
from cpi_theory.algorithms.trials import ConservativeWorld, Trials
from cpi_theory.bounds.chooser import samples_for
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.finite_horizon import ResetStep, best_step, improvement_lower_bound
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.oracle import ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.statistics.intervals import bernstein_interval, chernoff_interval
from tests.cpi_theory.small_world import SmallWorld, trap

RESETS = [UniformReset(), StartReset(), ImprovableReset(0.02)]


def make_trials(observations, actions, returns):
    n = len(actions)
    return Trials(
        states=[(0, 0)] * n,
        observations=np.array(observations),
        actions=np.array(actions),
        returns=np.array(returns, dtype=float),
        probabilities=np.full(n, 0.5),
        remaining=np.zeros(n, dtype=int),
        coverage_hits=n,
        coverage_draws=n,
        rollouts=n,
    )


def bandit(policy=(0.5, 0.5), rewards=(0.2, 0.8)):
    """One state, one step, `rewards` per action."""
    shape = (1, 1, len(policy))
    return SmallWorld(
        np.ones((*shape, 1)), np.reshape(rewards, shape), np.reshape(policy, shape).astype(float)
    )


# --- pieces -----------------------------------------------------


def test_the_deltas_of_all_iterations_sum_to_the_whole():
    shares = [iteration_delta(0.05, t) for t in range(200_000)]
    assert shares[0] == pytest.approx(0.05 * 6 / math.pi**2)
    assert shares[1] == pytest.approx(shares[0] / 4)
    assert sum(shares) < 0.05
    assert sum(shares) == pytest.approx(0.05, rel=1e-5)


def plain(baseline=Baseline.NONE):
    return EmpiricalChooser(baseline)


def test_the_chooser_takes_the_largest_sum_per_observation():
    # Observation 0: action 0 sums .9, action 1 sums 1.0. Observation 1: only action 2 was tried.
    trials = make_trials([0, 0, 0, 1], [0, 1, 1, 2], [0.9, 0.5, 0.5, 0.1])
    assert plain().choose(trials, 3, 2, Key.of(0)).tolist() == [1, 2]
    # Centred at 1/2 it is .4 against 0, and at observation 1 the tried action is worse than none.
    half = plain(Baseline.HALF).choose(trials, 3, 2, Key.of(0))
    assert half[0] == 0
    assert half[1] != 2


def test_baselines_worked_by_hand():
    trials = make_trials([0, 0, 0, 1], [0, 1, 1, 2], [0.9, 0.5, 0.5, 0.1])
    of = tables(trials, 3, 3)
    assert [t.tolist() for t in of] == [
        [[0.9, 1.0, 0], [0, 0, 0.1], [0, 0, 0]],
        [[1, 2, 0], [0, 0, 1], [0, 0, 0]],
    ]
    # The mean of all is .5: (1.9 + 4) / 11, (.1 + 4) / 9 and, without trials, .5.
    assert baselines(*of) == pytest.approx([5.9 / 11, 4.1 / 9, 0.5])
    assert baselines(*of, Baseline.MEAN) == pytest.approx([0.5] * 3)
    assert baselines(*of, Baseline.HALF, 3.0) == pytest.approx([1.5] * 3)
    assert baselines(*of, Baseline.NONE) == pytest.approx([0] * 3)
    nothing = np.zeros((2, 3))
    assert baselines(nothing, nothing) == pytest.approx([0, 0])


@pytest.mark.parametrize("baseline", Baseline)
def test_ties_are_drawn_and_do_not_favour_the_first_action(baseline):
    trials = make_trials([0], [0], [0.0])
    picks = [plain(baseline).choose(trials, 4, 3, Key.of(k))[1:] for k in range(400)]
    assert np.bincount(np.ravel(picks), minlength=4).min() > 800 / 4 * 0.8
    again = plain(baseline).choose(trials, 4, 3, Key.of(7))
    assert again[1:].tolist() == picks[7].tolist()


def test_equal_sums_stay_ties_when_they_are_centred():
    # Two trials of .1 and .7 for either action: equal but for the rounding of what is subtracted.
    trials = make_trials([0] * 4, [0, 1, 0, 1], [0.1, 0.7, 0.7, 0.1])
    picks = [EmpiricalChooser().choose(trials, 2, 1, Key.of(k))[0] for k in range(200)]
    assert 60 < sum(picks) < 140


@pytest.mark.parametrize("baseline", Baseline)
def test_the_chooser_maximises_the_importance_weighted_mean(baseline):
    """Against enumeration of the whole class."""
    rng = np.random.default_rng(0)
    trials = make_trials(rng.integers(3, size=40), rng.integers(3, size=40), rng.random(40))
    chosen = plain(baseline).choose(trials, 3, 3, Key.of(0))
    centres = baselines(*tables(trials, 3, 3), baseline)[trials.observations]

    def score(policy):
        taken = trials.actions == np.array(policy)[trials.observations]
        return np.mean(3 * taken * (trials.returns - centres))

    scores = {p: score(p) for p in itertools.product(range(3), repeat=3)}
    assert score(chosen) == max(scores.values())


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_a_baseline_per_observation_keeps_the_estimate_unbiased(scale):
    world = SmallWorld.random(3, actions=3)
    candidate = np.arange(world.observation_count) % 3
    _, exact = world.exact_step(UniformReset(), candidate)
    trials = world.draw_trials(UniformReset(), 20_000, Key.of(5))
    centres = scale * np.linspace(0, 1, world.observation_count)
    measured = measure(trials, candidate, world, centres, 0.05)
    assert measured.advantage.estimate == pytest.approx(exact.advantage, abs=0.04)
    assert exact.advantage in measured.advantage


def test_class_size_is_all_maps_from_observations_to_actions():
    assert EmpiricalChooser().log_policies(3, 5) == pytest.approx(math.log(3**5))


def test_default_samples_are_those_of_t4s():
    world = SmallWorld.random(0)
    cpi = ConservativePolicyIteration(UniformReset(), target=0.2, delta=0.1)
    share = iteration_delta(0.1, 2) / 2
    assert cpi.sample_size(world, 2) == samples_for(0.1, PolicyClass(2, share, policies=2**9))
    assert ConservativePolicyIteration(UniformReset(), 0.2, samples=70).sample_size(world) == 70
    small = ConservativePolicyIteration(UniformReset(), 0.2, log_policies=0.0)
    assert small.sample_size(world) == 2  # a class of one; an interval needs two trials


@pytest.mark.parametrize("reset", RESETS, ids=str)
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_the_fresh_estimate_is_unbiased_for_every_baseline(reset, baseline):
    """The mean of X, the coverage and the mean remaining horizon against exact values."""
    world = SmallWorld.random(3, actions=3)
    candidate = np.arange(world.observation_count) % 3
    _, exact = world.exact_step(reset, candidate)
    trials = world.draw_trials(reset, 20_000, Key.of(5))
    measured = measure(trials, candidate, world, baseline, 0.05)
    error = 3 * math.sqrt(3 / 20_000)
    assert measured.advantage.estimate == pytest.approx(exact.advantage, abs=error)
    assert measured.coverage.estimate == pytest.approx(exact.coverage, abs=0.02)
    assert measured.remaining.estimate == pytest.approx(exact.remaining, abs=0.03)
    for interval, truth in (
        (measured.advantage, exact.advantage),
        (measured.coverage, exact.coverage),
        (measured.remaining, exact.remaining),
    ):
        assert truth in interval


def test_the_intervals_hold_at_least_as_often_as_promised():
    world = SmallWorld.random(4)
    candidate = np.zeros(world.observation_count, dtype=int)
    _, exact = world.exact_step(UniformReset(), candidate)
    missed = 0
    for seed in range(300):
        trials = world.draw_trials(UniformReset(), 40, Key.of(seed))
        measured = measure(trials, candidate, world, 0.3, 0.2)
        missed += not (
            exact.advantage in measured.advantage
            and exact.coverage in measured.coverage
            and exact.remaining in measured.remaining
        )
    assert missed / 300 <= 0.2


def test_a_good_baseline_narrows_the_interval():
    world = bandit(rewards=(0.80, 0.85))
    trials = world.draw_trials(UniformReset(), 2000, Key.of(1))
    widths = [
        interval.upper - interval.lower
        for c in (0.0, 0.825)
        for interval in [measure(trials, np.array([1]), world, c, 0.05).advantage]
    ]
    assert widths[1] < widths[0] / 2


# --- one iteration ----------------------------------------------


def test_a_sure_gain_is_stepped_with_t2_at_the_unfavourable_ends():
    world = SmallWorld.random(1, states=2, actions=2)
    cpi = ConservativePolicyIteration(UniformReset(), target=0.01, samples=4000)
    step = cpi.improve(world, Key.of(3))
    assert step.decision is Decision.STEPPED
    low = step.advantage.lower
    alpha = low / (2 * 2 * step.remaining.upper)
    assert step.alpha == pytest.approx(alpha)
    gain = 3 * step.coverage.lower * low**2 / (4 * 2 * step.remaining.upper)
    assert step.guaranteed_gain == pytest.approx(gain)
    _, exact = world.exact_step(UniformReset(), step.candidate)
    assert step.guaranteed_gain <= improvement_lower_bound(exact, step.alpha)
    assert step.world.value() - world.value() >= step.guaranteed_gain
    assert step.rollouts == 8000
    assert step.delta == iteration_delta(0.05, 0)


def test_half_of_the_iterations_delta_goes_into_the_fresh_intervals():
    world = SmallWorld.random(1, states=2, actions=2)
    cpi = ConservativePolicyIteration(UniformReset(), target=0.01, delta=0.1, samples=500)
    step = cpi.improve(world, Key.of(3), 2)
    address = Key.of(3).child(2)
    first = world.draw_trials(cpi.reset, 500, address.child("choose"))
    fresh = world.draw_trials(cpi.reset, 500, address.child("estimate"))
    share = iteration_delta(0.1, 2) / 2
    centres = baselines(*tables(first, world.action_count, world.observation_count))
    measured = measure(fresh, step.candidate, world, centres, share)
    assert (step.advantage, step.coverage, step.remaining) == (
        measured.advantage,
        measured.coverage,
        measured.remaining,
    )


def test_a_measurement_splits_its_delta_in_a_half_and_two_quarters():
    world = SmallWorld.random(1, states=2, actions=2)
    candidate = np.zeros(world.observation_count, dtype=int)
    trials = world.draw_trials(ImprovableReset(0.02), 500, Key.of(1))
    measured = measure(trials, candidate, world, 0.25, 0.08)
    weights = 2 * ((trials.actions == 0) - trials.probabilities)
    assert measured.advantage == bernstein_interval(
        weights * (trials.returns - 0.25), -1.5, 1.5, 0.04
    )
    assert measured.remaining == bernstein_interval(trials.remaining, 0, 2, 0.02)
    assert measured.coverage == chernoff_interval(trials.coverage_hits, trials.coverage_draws, 0.02)


def test_an_advantage_at_the_target_is_worth_a_step_but_no_coverage_is_not():
    world = bandit(rewards=(0.25, 0.75))
    cpi = ConservativePolicyIteration(UniformReset(), target=0.25, exact=True)
    assert cpi.improve(world, 0).decision is Decision.STEPPED

    class Nowhere(SmallWorld):
        def exact_step(self, reset, candidate=None):
            return np.array([1]), ResetStep(1, 0, 0.5, 1, 0)

    nowhere = Nowhere(world.transitions, world.rewards, world.policy)
    stopped = cpi.improve(nowhere, 0)
    assert stopped.decision is Decision.STOPPED
    assert (stopped.alpha, stopped.guaranteed_gain, stopped.world) == (0, 0, nowhere)


def test_coverage_without_draws_is_anything():
    trials = replace(make_trials([0, 0], [0, 1], [0.5, 0.5]), coverage_hits=0, coverage_draws=0)
    coverage = measure(trials, np.array([0]), bandit(), 0.0, 0.1).coverage
    assert (coverage.lower, coverage.upper) == (0, 1)
    assert math.isnan(coverage.estimate)
    one = replace(trials, coverage_hits=1, coverage_draws=1)
    assert measure(one, np.array([0]), bandit(), 0.0, 0.1).coverage.lower > 0


def test_nothing_to_gain_stops():
    world = bandit(policy=(0.0, 1.0))
    step = ConservativePolicyIteration(UniformReset(), target=0.3, samples=4000).improve(world, 0)
    assert step.decision is Decision.STOPPED
    assert step.world is world
    assert (step.alpha, step.guaranteed_gain) == (0, 0)


def test_too_few_trials_change_nothing():
    least = ConservativePolicyIteration(UniformReset(), target=0.2, samples=2)
    assert least.improve(bandit(), 0).decision is Decision.UNDECIDED
    step = ConservativePolicyIteration(UniformReset(), target=0.2, samples=4).improve(bandit(), 0)
    assert step.decision is Decision.UNDECIDED
    assert step.alpha == 0
    assert step.advantage.lower <= 0 < 0.2 <= step.advantage.upper


def test_a_reset_policy_that_selects_nothing_stops():
    for exact in (False, True):
        cpi = ConservativePolicyIteration(ImprovableReset(0.9), 0.1, samples=10, exact=exact)
        step = cpi.improve(SmallWorld.random(0), 0)
        assert step.decision is Decision.STOPPED


def test_the_chooser_finds_the_best_candidate_within_its_error():
    """With T4's own sample size the chosen one lacks at most target / 2."""
    world = SmallWorld.random(8, horizon=2, states=2, actions=2)
    cpi = ConservativePolicyIteration(UniformReset(), target=0.5, delta=0.1)
    _, best = world.exact_step(UniformReset())
    for seed in range(5):
        step = cpi.improve(world, seed)
        _, got = world.exact_step(UniformReset(), step.candidate)
        assert got.advantage >= best.advantage - 0.25


# --- whole runs -------------------------------------------------


@pytest.mark.parametrize("reset", RESETS, ids=str)
@given(seed=st.integers(0, 10_000), horizon=st.integers(1, 4), actions=st.integers(2, 3))
def test_exact_runs_improve_by_the_guaranteed_gain_at_every_step(reset, seed, horizon, actions):
    world = SmallWorld.random(seed, horizon, 3, actions)
    cpi = ConservativePolicyIteration(reset, target=0.01, exact=True)
    value = world.value()
    for step in cpi.run(world, 0, 6):
        if step.decision is Decision.STEPPED:
            assert step.guaranteed_gain > 0
            assert step.world.value() >= value + step.guaranteed_gain - 1e-12
        value = step.world.value()


@pytest.mark.parametrize("reset", RESETS, ids=str)
def test_sampled_runs_never_fall(reset):
    """Each run may fail with probability .05 at most, and its bounds are far from tight."""
    falls = stepped = 0
    for seed in range(20):
        world = SmallWorld.random(seed, states=2)
        cpi = ConservativePolicyIteration(reset, target=0.01, samples=6000)
        value = world.value()
        for step in cpi.run(world, seed, 3):
            stepped += step.decision is Decision.STEPPED
            falls += step.world.value() < value - 1e-12
            value = step.world.value()
    assert stepped > 10
    assert falls == 0


def test_exact_mode_attains_t1_on_the_trap_with_two_layers():
    """T1 is attained at H = 2: the realised gain is the guaranteed one."""
    world = trap(horizon=2)
    step = ConservativePolicyIteration(UniformReset(), target=0.01, exact=True).improve(
        SmallWorld(
            world.transitions, world.rewards, world.policy, world.reward_bound, aliased=True
        ),
        0,
    )
    # Abar: .2 in state 0 at both layers, so Abar_w = .2, Delta = .5, L_w = .5, alpha = .4.
    assert step.alpha == pytest.approx(0.4)
    assert step.guaranteed_gain == pytest.approx(0.08)
    assert step.world.value() - world.value() == pytest.approx(0.08)


def test_resets_alone_make_cpi_rr_and_cpi_caro():
    """The oracle's guaranteed gain is the larger one: 1/p in the order of T5."""
    gains = {}
    for reset in (UniformReset(), ImprovableReset(0.3)):
        cpi = ConservativePolicyIteration(reset, target=0.01, exact=True)
        gains[type(reset)] = cpi.improve(rare_choice(), 0).guaranteed_gain
    assert gains[ImprovableReset] > 3 * gains[UniformReset]


def rare_choice(horizon=6):
    """Only the choice in the middle matters; resets elsewhere see nothing."""
    transitions = np.zeros((horizon, 2, 2, 2))
    transitions[:, :, :, 0] = 1
    rewards = np.zeros((horizon, 2, 2))
    rewards[3, 0, 1] = 0.9
    return SmallWorld(transitions, rewards, np.full((horizon, 2, 2), 0.5))


def test_the_oracle_decides_where_random_resets_with_the_same_trials_cannot():
    sure = ConservativePolicyIteration(ImprovableReset(0.3), target=0.3, samples=400)
    random = ConservativePolicyIteration(UniformReset(), target=0.3 / 6, samples=400)
    decisions = [
        (sure.improve(rare_choice(), k).decision, random.improve(rare_choice(), k).decision)
        for k in range(10)
    ]
    assert sum(a is Decision.STEPPED for a, _ in decisions) == 10
    assert sum(b is Decision.STEPPED for _, b in decisions) == 0


def test_runs_repeat_and_their_iterations_are_addressed():
    world = SmallWorld.random(2)
    cpi = ConservativePolicyIteration(UniformReset(), target=0.01, samples=200)
    first, second = (list(cpi.run(world, 9, 3)) for _ in range(2))
    assert [s.advantage for s in first] == [s.advantage for s in second]
    alone = cpi.improve(first[1].world, 9, 2)
    assert alone.advantage == first[2].advantage
    assert [s.iteration for s in first] == [0, 1, 2]


def test_a_run_ends_when_it_stops():
    steps = list(
        ConservativePolicyIteration(UniformReset(), 0.05, exact=True).run(bandit((0.5, 0.5)), 0, 50)
    )
    assert steps[-1].decision is Decision.STOPPED
    assert len(steps) == 2  # one layer: alpha = 1 reaches the optimum at once
    assert steps[-1].world.value() == pytest.approx(0.8)
    assert list(ConservativePolicyIteration(UniformReset(), 0.05).run(bandit(), 0, 0)) == []


def test_the_best_step_of_the_record_is_the_bounds():
    world = SmallWorld.random(6)
    step = ConservativePolicyIteration(UniformReset(), 0.01, exact=True).improve(world, 0)
    candidate, exact = world.exact_step(UniformReset())
    assert step.candidate.tolist() == candidate.tolist()
    assert (step.alpha, step.guaranteed_gain) == pytest.approx(best_step(exact))


def test_the_small_world_meets_the_protocol():
    assert isinstance(SmallWorld.random(0), ConservativeWorld)


# --- bad input --------------------------------------------------


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: ConservativePolicyIteration(UniformReset(), 0.0), "target"),
        (lambda: ConservativePolicyIteration(UniformReset(), 0.1, delta=0), "delta"),
        (lambda: ConservativePolicyIteration(UniformReset(), 0.1, delta=0.95), "delta"),
        (lambda: ConservativePolicyIteration(UniformReset(), 0.1, samples=1), "samples"),
        (lambda: ConservativePolicyIteration("oracle", 0.1), "reset"),
        (lambda: make_trials([0], [0, 1], [0, 1]), "observations"),
        (lambda: make_trials([0, 0], [0, 1], [0]), "returns"),
    ],
)
def test_impossible_options_are_refused_by_name(make, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        make()


def test_returns_outside_the_reward_bound_are_refused():
    world = bandit()
    trials = make_trials([0, 0], [0, 1], [0.5, 3.0])
    with pytest.raises(InvalidInput, match="outside"):
        measure(trials, np.array([0]), world, 0.0, 0.1)
