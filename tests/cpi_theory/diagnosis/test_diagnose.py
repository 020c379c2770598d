"""Diagnoses against worlds worked by hand: every number, and how it is drawn."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.algorithms.advantages import group_advantages
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.plans import compare_plans, imperfect_oracle_plan, random_reset_plan
from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose, standard_methods
from cpi_theory.diagnosis.meters import (
    ExactMeter,
    Measured,
    SampledMeter,
    all_steps,
    promising_threshold,
)
from cpi_theory.diagnosis.samples import Named, Remembering, draw_samples, spread_out
from cpi_theory.diagnosis.signals import group_signals, order_methods
from cpi_theory.randomness import Key
from cpi_theory.seam import Collection, Ending, Group, Reason, Rollout
from cpi_theory.statistics.by_prompt import Counts, Labelled, Resampling, product
from cpi_theory.statistics.intervals import Interval, difference
from cpi_theory.statistics.rank_agreement import rank_agreement, rank_correlation
from tests.cpi_theory.chain import Blind, Chain

WORLD = Chain(right=(0.9, 0.4, 0.9, 0.6), actions=2)
FAST = DiagnosisSettings(resamples=50)


def starts(count):
    return [(0, 0)] * count


def by_name(found):
    return {(section, name): interval for section, name, interval in found.estimates()}


def covered(world, truth, seeds=100, prompts=24, settings=FAST):
    """How often the interval of each named number holds its truth."""
    hits = Counter()
    for seed in range(seeds):
        found = by_name(diagnose(world, starts(prompts), seed, settings))
        hits.update(name for name, value in truth.items() if value in found[name])
    return {name: hits[name] / seeds for name in truth}


# --- intervals ----------------------------------------------------------------------------------


def test_intervals_of_a_worked_world_cover_the_truth():
    tau, right = 0.2, np.array(WORLD.right)
    reach = np.concatenate([[1.0], np.cumprod(right)])
    ahead = np.append(np.cumprod(right[::-1])[::-1], 1.0)  # P(success | on the path before h)
    improvable = (1 - right) * ahead[1:] >= tau
    assert improvable.tolist() == [False, True, False, True]
    success = reach[-1]
    wrong_at = reach[:-1] * (1 - right)
    named = wrong_at / wrong_at.sum()  # recovery is 0: the first error of a failure is the only
    truth = {
        ("rollouts", "success"): success,
        ("states", "coverage"): reach[:-1] @ improvable / 4,
        ("first improvable step", "at most 0"): 0.0,
        ("first improvable step", "at most 3"): 0.9,
        ("localiser", "precision"): named @ improvable,
        ("localiser", "recall"): wrong_at @ improvable / (reach[:-1] @ improvable),
        ("localiser", "selected"): (1 - success) / 4,
        ("localiser", "remaining"): named @ [3, 2, 1, 0],
        ("random", "remaining"): 1.5,
        ("correction", "all all, own"): named @ ahead[:-1],
        ("methods", "GRPO, informative"): 1 - success**8 - (1 - success) ** 8,
        ("theory", "localiser, samples"): (named @ improvable / (reach[:-1] @ improvable / 4)) ** 2,
    }
    rates = covered(WORLD, truth, settings=DiagnosisSettings(tau=tau, resamples=50))
    assert min(rates.values()) > 0.89, rates


@pytest.mark.parametrize("success", [0.05, 0.5])
def test_the_rate_of_informative_groups_is_that_of_independent_coins(success):
    world = Chain(right=(success,), actions=2)
    truth = {("methods", "GRPO, informative"): 1 - success**8 - (1 - success) ** 8}
    assert min(covered(world, truth).values()) > 0.9


def test_prompts_and_not_rollouts_are_the_trials():
    """Two kinds of prompts: what a rollout does says nearly all of its prompt."""

    class Mixed(Chain):
        def rollout(self, states, keys):
            return [Rollout((s,), (0,), float(s[0]), not s[0], Ending.TERMINAL) for s in states]

        def locate_first_error(self, rollouts, keys):
            return Chain().locate_first_error(rollouts, keys)

        def best_advantages(self, rollouts):
            return [np.zeros(1) for _ in rollouts]

    found = diagnose(Mixed(), [(i % 2, 0, i) for i in range(20)], 0, FAST)
    assert found.success.estimate == 0.5
    assert found.success.upper - found.success.lower > 0.35  # 20 trials, not 160
    assert found.coverage.estimate == 0


# --- localisers -----------------------------------------------------------------------------------


def test_a_perfect_localiser_has_precision_one():
    world = Chain(right=(0.5, 0.5, 0.5), actions=2)  # every state on the path is improvable
    found = diagnose(
        world, starts(32), 1, DiagnosisSettings(tau=0.1, resamples=50), reference=world
    )
    assert found.localizer.precision.estimate == 1
    assert found.localizer.precision.lower > 0.85
    assert found.random.precision.upper < 0.8
    assert {c.label for c in found.corrections if c.kind == "deviation"} == {"0"}
    gain = next(p for p in found.theory if p.resets == "localiser")
    assert gain.samples.estimate == pytest.approx(1 / found.coverage.estimate**2)


def test_refusals_are_counted_by_reason_and_never_become_steps():
    world = Chain(right=(0.6, 0.5, 0.6), actions=2, blind=0.5)
    found = diagnose(world, starts(64), 3, FAST)
    assert set(found.refusals) == {Reason.UNPARSABLE}
    refused = found.refusals[Reason.UNPARSABLE]
    assert 0.5 in refused
    assert refused.estimate == pytest.approx(1 - found.answered.estimate)


def test_a_localiser_that_never_answers_leaves_its_numbers_unknown():
    world = Chain(right=(0.6, 0.5, 0.6), actions=2, blind=1.0)
    found = diagnose(world, starts(16), 3, FAST)
    assert found.answered.estimate == 0
    assert math.isnan(found.localizer.precision.estimate)
    assert (found.localizer.precision.lower, found.localizer.precision.upper) == (0, 1)
    assert [c.resets for c in found.corrections] == [0]
    assert all(math.isnan(p.samples.estimate) for p in found.theory if p.resets == "localiser")


# --- what is drawn --------------------------------------------------------------------------------


def drawn(world, prompts=24, seed=0, **changes):
    settings = {"rollouts": 8, "parents": 2, "suffixes": 4} | changes
    memory = Remembering(world)
    samples = draw_samples(memory, starts(prompts), Key.of(seed), standard_methods(), **settings)
    return samples, memory


def test_the_control_is_another_failure_of_the_prompt_at_the_same_step():
    samples, _ = drawn(WORLD)
    paired = [t for t in samples.trials if t.partner is not None]
    assert len(paired) > 20
    own = {id(r): prompt for prompt, r in samples.base}
    for trial in paired:
        assert trial.partner is not trial.named.rollout
        assert own[id(trial.partner)] == trial.named.prompt
        assert trial.partner.failed
        assert trial.partner.states[trial.named.step][0] == trial.named.step


def test_own_and_control_suffixes_start_at_the_same_layers():
    class Recording(Chain):
        def rollout(self, states, keys):
            batches.append([s[0] for s in states])
            return super().rollout(states, keys)

    batches = []
    samples, _ = drawn(Recording(right=WORLD.right, actions=2))
    assert all(t.partner is not None for t in samples.trials)
    half = len(batches[-1]) // 2
    assert batches[-1][:half] == batches[-1][half:]


def test_a_lone_failure_has_no_control():
    samples, _ = drawn(Chain(right=(0.9,), actions=2), prompts=200)
    failures = Counter(p for p, r in samples.base if r.failed)
    lone = [t for t in samples.trials if failures[t.named.prompt] == 1]
    assert lone
    assert all((t.partner is None) == (failures[t.named.prompt] == 1) for t in samples.trials)


def test_methods_share_their_base_rollouts():
    samples, memory = drawn(WORLD, prompts=10, parents=1, suffixes=2)
    trials = 2 * (len(samples.trials) + sum(t.partner is not None for t in samples.trials))
    fresh = 10 * 8  # GRPO's, of which RRPO and SRPO take the first 4
    suffixes = sum(
        len(g.rollouts) for n in ("RRPO", "SRPO") for g in samples.collections[n] if g.parent
    )
    assert fresh + suffixes // 2 <= memory.rollouts - trials <= fresh + suffixes
    bases = [
        {g.prompt: g.rollouts[:4] for g in samples.collections[n] if g.parent is None}
        for n in ("GRPO", "RRPO", "SRPO")
    ]
    for prompt in range(10):
        assert all(a is b for a, b in zip(bases[0][prompt], bases[1][prompt], strict=True))
        assert all(a is b for a, b in zip(bases[0][prompt], bases[2][prompt], strict=True))


def test_what_stands_for_others_is_weighted_by_them():
    rollout = Rollout(((0, 0),), (0,), 0.0, True, Ending.HORIZON)
    named = [Named(p, rollout, 0) for p in [0] * 5 + [1] + [2] * 3]
    few = spread_out(named, 2, Key.of(0))
    assert Counter(one.prompt for one in few) == {0: 2, 1: 1, 2: 2}
    for prompt, count in ((0, 5), (1, 1), (2, 3)):
        assert sum(o.weight for o in few if o.prompt == prompt) == pytest.approx(count)


def test_a_diagnosis_depends_on_its_key_alone():
    once, again = (by_name(diagnose(WORLD, starts(12), 5, FAST)) for _ in range(2))
    assert {k: str(v) for k, v in once.items()} == {k: str(v) for k, v in again.items()}
    other = by_name(diagnose(WORLD, starts(12), 6, FAST))
    assert once["rollouts", "success"] != other["rollouts", "success"]


def test_early_ends_and_empty_worlds_are_diagnosed():
    found = diagnose(Chain(right=(0.5, 0.5, 0.5), abort=True), starts(24), 0, FAST)
    assert found.coverage.estimate > 0.3
    never = diagnose(Chain(right=(1.0, 1.0), actions=2), starts(12), 0, FAST)
    assert never.success.estimate == 1
    assert never.coverage.estimate == 0
    assert never.corrections[0].resets == 0


def test_too_few_prompts_are_refused():
    with pytest.raises(InvalidInput, match="prompts = 3"):
        diagnose(WORLD, starts(3), 0)
    with pytest.raises(InvalidInput, match="tau"):
        DiagnosisSettings(tau=0.0)
    with pytest.raises(InvalidInput, match=r"^tau = 2.5: above the reward bound 2"):
        DiagnosisSettings(tau=2.5, reward_bound=2.0)
    assert DiagnosisSettings(tau=2.0, reward_bound=2.0).tau == 2.0


# --- levels and meters ----------------------------------------------------------------------------


def test_the_level_promises_the_oracle_most_among_those_visited_enough():
    # p_t t^2: 0.01 * 1 would win over 0.1 * 0.25 = 0.025 over 1 * 0.0001, but 0.01 is too rare.
    best = np.array([1.0] + [0.5] * 9 + [0.01] * 90)
    assert promising_threshold(best, least=0.02) == 0.25
    assert promising_threshold(best * [1, *[0.1] * 9, *[1] * 90], least=0.01) == 0.5
    assert promising_threshold(np.zeros(10)) is None


def test_the_level_is_chosen_on_prompts_that_are_then_left_out():
    free, fixed = (diagnose(WORLD, starts(32), 2, s) for s in (FAST, DiagnosisSettings(tau=0.1)))
    assert (free.tau_chosen, fixed.tau_chosen) == (True, False)
    assert fixed.tau == 0.1
    assert 0 < free.tau < max(WORLD.best().ravel())


def test_a_sampled_meter_tells_clear_cases_apart():
    world = Blind(Chain(right=(0.99, 0.4, 0.99), actions=2))
    rollouts = world.rollout(starts(6), Key.of(1).integers(6))
    picks = all_steps(rollouts)
    measured = SampledMeter(most=100).measure(Remembering(world), picks, Key.of(2), 0.3)
    exact = ExactMeter().measure(world.chain, picks, Key.of(2))
    certain, likely, possible = measured.labels(0.3)
    assert np.array_equal(likely, exact.estimate >= 0.3)
    assert (certain <= likely).all()
    assert (likely <= possible).all()
    with pytest.raises(InvalidInput, match="does not know its advantages"):
        ExactMeter().measure(world, picks, Key.of(0))


def test_only_doubtful_states_get_more_completions():
    world = Blind(Chain(right=(0.5,), actions=2))  # the best advantage is 1/2
    picks = [(r, 0) for r in world.rollout(starts(20), Key.of(1).integers(20))]
    meter = SampledMeter(branches=4, screening=0, completions=16, most=256)
    clear, doubtful = Remembering(world), Remembering(world)
    meter.measure(clear, picks, Key.of(0), tau=0.1)
    measured = meter.measure(doubtful, picks, Key.of(0), tau=0.5)
    # An action here ends the rollout: what follows it is known, fresh rollouts give the value.
    assert 20 * (4 + 16) <= clear.rollouts < 1.5 * 20 * (4 + 16)
    assert 4 * clear.rollouts < doubtful.rollouts <= 20 * (4 + 256)
    undecided = (measured.lower < 0.5) & (measured.upper >= 0.5)
    assert (measured.upper - measured.lower)[undecided].max() < 0.2


def test_a_blind_world_is_covered_with_its_doubt():
    world = Chain(right=(0.99, 0.4, 0.99), actions=2)
    settings = DiagnosisSettings(tau=0.25, audited=16, traced=2, resamples=20)
    truth = {("states", "coverage"): 0.33, ("localiser", "precision"): 0.594 / 0.604}
    rates = covered(Blind(world), truth, seeds=25, prompts=12, settings=settings)
    assert min(rates.values()) > 0.85
    found = diagnose(Blind(world), starts(12), 0, settings)
    assert not found.exact
    assert found.cost.measuring > 0


# --- building blocks ------------------------------------------------------------------------------


def test_doubtful_labels_widen_the_interval_to_both_sides():
    trials = np.full(10, 4.0)
    low, middle, high = (Counts(np.full(10, hits), trials) for hits in (1.0, 2.0, 3.0))
    share = Labelled(low, middle, high).share(0.95)
    assert share.estimate == 0.5
    assert share.lower == low.share(0.95).lower
    assert share.upper == high.share(0.95).upper


@given(st.floats(0.1, 0.9), st.floats(0.01, 0.05), st.sampled_from([-2, -1, 1, 2]))
def test_a_power_has_the_powers_of_the_ends(middle, width, power):
    one = Interval(middle, middle - width, middle + width)
    found = product((one, power))
    ends = sorted([one.lower**power, one.upper**power])
    assert [found.lower, found.upper] == pytest.approx(ends)
    assert found.estimate == pytest.approx(middle**power)


def test_a_product_with_an_estimate_of_zero_keeps_an_upper_end():
    zero, half = Interval(0.0, 0.0, 0.2), Interval(0.5, 0.4, 0.6)
    found = product((zero, 2), (half, -2))
    assert (found.estimate, found.lower) == (0, 0)
    assert found.upper == pytest.approx(0.04 / 0.16)
    beneath = product((half, 1), (zero, -1))
    assert beneath.estimate == math.inf
    assert beneath.lower == pytest.approx(2)


def test_newcombe_s_difference():
    # Newcombe (1998), method 10, example (a): 56/70 - 48/80 = .2000 [.0524, .3339].
    first, second = Interval(0.8, 0.6919, 0.8766), Interval(0.6, 0.4904, 0.7004)
    gap = difference(first, second)
    assert [gap.estimate, gap.lower, gap.upper] == pytest.approx([0.2, 0.0524, 0.3339], abs=5e-4)


def test_the_theory_is_that_of_the_plans():
    found = diagnose(WORLD, starts(64), 0, DiagnosisSettings(tau=0.2, resamples=20))
    p, q = found.coverage.estimate, found.localizer.precision.estimate
    policies = PolicyClass(2, 0.05, policies=8)
    plan = imperfect_oracle_plan(
        q, found.localizer.recall.estimate, p, 0.2, 4, policies,
        remaining=found.localizer.remaining.estimate,
    )  # fmt: skip
    ratios = compare_plans(plan, random_reset_plan(p, 0.2, 4, policies))
    predicted = next(row for row in found.theory if row.resets == "localiser")
    assert predicted.samples.estimate == pytest.approx(ratios.leading_samples)
    assert predicted.gain.estimate == pytest.approx(ratios.gain)


def group(rewards, steps, prompt=0):
    rollouts = [
        Rollout(((0, 0),) * steps, (0,) * steps, float(r), not r, Ending.HORIZON) for r in rewards
    ]
    return Group.of(tuple(rollouts), group_advantages(rewards), prompt)


def test_the_signal_is_the_mass_of_advantages_over_trained_steps():
    groups = (group([1, 0, 0, 0], 10), group([1, 1, 0, 0], 5), group([0, 0, 0, 0], 7))
    signals = group_signals(Collection(groups, 12, 88), 2)
    # k std: 4 sqrt(3)/4 over 10 steps, 4/2 over 5 steps, nothing.
    assert signals.signal.tolist() == pytest.approx([10 * math.sqrt(3) + 5 * 2, 0])
    assert signals.rollouts.tolist() == [12, 0]


def test_methods_are_ordered_by_signal_with_their_certainty():
    prompts = 30
    strong = [group([1, 0, 0, 0], 4, p) for p in range(prompts)]
    weak = [group([1, 0, 0, 0] if p % 3 else [0] * 4, 4, p) for p in range(prompts)]
    signals = {n: group_signals(Collection(tuple(g), 0, 0), prompts) for n, g in
               (("weak", weak), ("strong", strong), ("same", strong))}  # fmt: skip
    order = order_methods(signals, Resampling.of(prompts, 200, Key.of(0)))
    assert order.methods[-1] == "weak"
    assert order.certainty("strong", "weak") > 0.95
    assert order.certainty("weak", "strong") < 0.05
    assert order.certainty("strong", "same") == 0.5


# --- agreement ------------------------------------------------------------------------------------


def test_agreement_tells_knowledge_of_settings_from_a_fixed_order():
    rng = np.random.default_rng(0)
    truth = rng.random((12, 3))
    knowing = rank_agreement(2 * truth + 1, truth, 499)
    assert knowing.kendall == 1
    assert (knowing.chance, knowing.between) == (0.002, 0.002)
    steady = np.array([[3.0, 1.0, 2.0]] * 9 + [[3.0, 2.0, 1.0]] * 3)
    fixed = rank_agreement([[3.0, 1.0, 2.0]] * 12, steady, 499)
    assert fixed.kendall == fixed.fixed == pytest.approx((9 + 3 / 3) / 12)
    assert fixed.chance < 0.01
    assert fixed.between == 1
    assert rank_agreement(-truth, truth, 499).kendall == -1


def test_agreement_of_noise_is_not_beyond_chance():
    rng = np.random.default_rng(1)
    values = [rank_agreement(*rng.random((2, 10, 3)), 99, k).chance for k in range(100)]
    assert 0.3 < np.mean(values) < 0.7


def test_spearman_s_correlation_by_hand():
    # Ranks 1, 2, 3, 4 and 2, 1, 4, 3: 1 - 6 * 4 / (4 * 15) = 0.6.
    rho, p = rank_correlation([1.0, 2.0, 30.0, 40.0], [20.0, 10.0, 40.0, 30.0])
    assert rho == pytest.approx(0.6)
    assert p == pytest.approx(5 / 24, abs=0.015)  # five of the 24 orders do as well
    with pytest.raises(InvalidInput, match="constant"):
        rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])


def test_agreement_refuses_tables_that_do_not_match():
    with pytest.raises(InvalidInput, match="predicted"):
        rank_agreement([[1.0, 2.0]], [[1.0, 2.0]])


def test_measured_labels_are_nested():
    measured = Measured(np.array([0.1, 0.3]), np.array([0.2, 0.4]), np.array([0.3, 0.5]))
    assert [m.tolist() for m in measured.labels(0.3)] == [
        [False, True],
        [False, True],
        [True, True],
    ]
