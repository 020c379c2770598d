"""T4 to T7: exact inverses, coverage by exact binomial laws, ratios, values worked by hand."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom

from cpi_theory.bounds.chooser import (
    aliased_lower_bound,
    chooser_error,
    samples_for,
    uniform_accuracy,
)
from cpi_theory.bounds.finite_horizon import ResetStep, best_step
from cpi_theory.bounds.plans import (
    compare_plans,
    imperfect_oracle_plan,
    oracle_reset_plan,
    random_reset_plan,
)
from cpi_theory.checks import InvalidInput

CLASSES = st.tuples(
    st.integers(1, 50),
    st.integers(1, 10**6),
    st.floats(1e-9, 0.5),
    st.floats(1e-3, 1e3),
)


@given(st.integers(1, 10**9), CLASSES)
def test_samples_for_inverts_the_chooser_error_exactly(samples, case):
    assert samples_for(chooser_error(samples, *case), *case) == samples


@given(st.floats(1e-5, 10), CLASSES)
def test_samples_for_is_the_least_number_that_is_accurate_enough(share, case):
    accuracy = share * case[3]
    samples = samples_for(accuracy, *case)
    assert chooser_error(samples, *case) <= accuracy
    assert samples == 1 or chooser_error(samples - 1, *case) > accuracy


def test_chooser_worked_by_hand():
    # ln(2 |Pi| / delta) = ln 640: sqrt(2 * 4 * ln 640 / 100) + 4 * ln 640 / 300.
    log_terms = math.log(640)
    error = math.sqrt(0.08 * log_terms) + log_terms / 75
    assert uniform_accuracy(100, 4, 16, 0.05) == pytest.approx(error, rel=1e-14)
    assert chooser_error(100, 4, 16, 0.05) == pytest.approx(2 * error, rel=1e-14)
    assert chooser_error(100, 4, 16, 0.05, 7.0) == pytest.approx(14 * error, rel=1e-14)
    # 2 (sqrt(8 l / n) + 4 l / (3 n)) is 0.1000022 at 21019 and 0.0999998 at 21020.
    assert samples_for(0.1, 4, 16, 0.05) == 21020
    assert samples_for(0.7, 4, 16, 0.05, 7.0) == 21020


def test_one_sample_may_be_enough():
    assert samples_for(1e6, 4, 16, 0.05) == 1


@given(CLASSES)
def test_samples_grow_like_the_leading_term(case):
    actions, policies, delta, reward_bound = case
    log_terms = math.log(2 * policies / delta)
    accuracy = 1e-6 * reward_bound
    leading = 8 * actions * reward_bound**2 * log_terms / accuracy**2
    assert samples_for(accuracy, *case) == pytest.approx(leading, rel=1e-4)


def test_classes_too_large_to_count():
    huge = samples_for(0.1, 4, 4**3000, 0.05)
    assert samples_for(0.1, 4, None, 0.05, log_policies=3000 * math.log(4)) == huge
    assert chooser_error(huge, 4, None, 0.05, log_policies=3000 * math.log(4)) <= 0.1
    assert 8 * 4 * 3000 * math.log(4) / 0.01 < huge < 9 * 4 * 3000 * math.log(4) / 0.01


def test_counts_beyond_floats_stay_accurate_enough():
    samples = samples_for(1e-20, 4, 16, 0.05)
    assert chooser_error(samples, 4, 16, 0.05) <= 1e-20
    assert samples == pytest.approx(32 * math.log(640) * 1e40, rel=1e-9)


@pytest.mark.parametrize("actions", [1, 2, 20, 200])
@pytest.mark.parametrize("samples", [1, 10, 300, 20_000])
@pytest.mark.parametrize("delta", [0.5, 0.05, 1e-6])
def test_the_accuracy_fails_no_more_often_than_it_says(actions, samples, delta):
    """Exact tails of the roughest estimate: X is |A| R with probability q / |A|, else 0."""
    radius = uniform_accuracy(samples, actions, 1, delta, 2.0) / (2.0 * actions)
    for success in np.linspace(0, 1, 41) / actions:
        low = math.ceil(samples * (success - radius)) - 1
        high = math.floor(samples * (success + radius))
        tails = binom.cdf(low, samples, success) + binom.sf(high, samples, success)
        assert tails <= delta


def test_with_rare_actions_and_small_delta_the_accuracy_is_nearly_tight():
    """Halving the error, or dropping its second term, would make the statement false."""
    samples, actions, delta = 40_000, 200, 1e-4
    radius = uniform_accuracy(samples, actions, 1, delta) / actions
    success = 1 / actions
    claimed = binom.sf(math.floor(samples * (success + radius)), samples, success)
    assert 0 < claimed <= delta
    halved = binom.sf(math.floor(samples * (success + radius / 2)), samples, success)
    assert halved > delta
    slow = math.sqrt(2 * math.log(2 / delta) / (actions * 300))
    assert binom.sf(math.floor(300 * (success + slow)), 300, success) > delta


WORLDS = st.fixed_dictionaries(
    {
        "coverage": st.floats(1e-3, 1),
        "tau": st.floats(1e-3, 1),
        "horizon": st.integers(2, 100),
        "actions": st.integers(1, 50),
        "policies": st.integers(1, 10**6),
        "delta": st.floats(1e-9, 0.5),
    }
)


@given(WORLDS, st.floats(0.2, 5))
def test_t5_gains_and_ratios(world, reward_bound):
    p, horizon = world["coverage"], world["horizon"]
    world["tau"] *= reward_bound
    tau = world["tau"]
    random = random_reset_plan(**world, reward_bound=reward_bound)
    oracle = oracle_reset_plan(**world, reward_bound=reward_bound)
    middle = oracle_reset_plan(**world, reward_bound=reward_bound, remaining=(horizon - 1) / 2)
    assert random.guaranteed_gain == pytest.approx(
        horizon * (p * tau) ** 2 / (16 * reward_bound * (horizon - 1))
    )
    assert middle.guaranteed_gain == pytest.approx(
        horizon * p * tau**2 / (16 * reward_bound * (horizon - 1))
    )
    ratios = compare_plans(oracle, random)
    assert ratios.leading_samples == pytest.approx(1 / p**2)
    assert ratios.gain == pytest.approx(1 / (2 * p))
    assert compare_plans(middle, random).gain == pytest.approx(1 / p)
    assert ratios.total == pytest.approx(ratios.samples * ratios.gain)


@given(WORLDS, st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.3, 1))
def test_t6_gains_ratios_and_its_two_ends(world, precision, recall, share):
    p, tau, horizon = world["coverage"], world["tau"], world["horizon"]
    assume(recall * p * (1 - precision) <= precision * (1 - p))
    remaining = share * (horizon - 1)
    assume(precision * tau / 2 < 4 * remaining)  # alpha < 1
    plan = imperfect_oracle_plan(precision, recall, **world, remaining=remaining)
    assert plan.step.coverage == pytest.approx(recall * p / precision)
    assert plan.guaranteed_gain == pytest.approx(
        horizon * recall * precision * p * tau**2 / (32 * remaining)
    )
    ratios = compare_plans(plan, random_reset_plan(**world))
    assert ratios.leading_samples == pytest.approx((precision / p) ** 2)
    assert ratios.gain == pytest.approx(recall * precision / p * (horizon - 1) / (2 * remaining))
    blind = imperfect_oracle_plan(p, 1.0, **world, remaining=(horizon - 1) / 2)
    assert blind == random_reset_plan(**world)
    assert imperfect_oracle_plan(1.0, 1.0, **world) == oracle_reset_plan(**world)


@given(WORLDS, st.floats(0.01, 1))
def test_a_plan_is_made_of_t4_and_t2(world, precision):
    assume(world["coverage"] * (1 - precision) <= precision * (1 - world["coverage"]))
    plan = imperfect_oracle_plan(precision, 1.0, **world, reward_bound=3.0)
    classes = (world["actions"], world["policies"], world["delta"], 3.0)
    assert plan.samples == samples_for(precision * world["tau"] / 2, *classes)
    assert plan.accuracy + plan.step.advantage == pytest.approx(precision * world["tau"])
    assert (plan.alpha, plan.guaranteed_gain) == best_step(plan.step)
    assert plan.step.spread == 6
    assert plan.worst_case_samples == pytest.approx(plan.samples * 3 / plan.guaranteed_gain)


def test_plans_worked_by_hand():
    world = {"horizon": 5, "actions": 4, "policies": 16, "delta": 0.05}
    random = random_reset_plan(0.5, 0.4, **world)
    oracle = oracle_reset_plan(0.5, 0.4, **world)
    assert random.step == ResetStep(5, 1.0, 0.1, 2.0, 2.0)
    assert random.alpha == pytest.approx(0.0125)
    assert random.guaranteed_gain == pytest.approx(0.003125)
    assert oracle.step == ResetStep(5, 0.5, 0.2, 2.0, 4)
    assert oracle.guaranteed_gain == pytest.approx(0.00312500)
    assert random.samples == 21020
    assert random.leading_samples == pytest.approx(3200 * math.log(640))
    assert compare_plans(oracle, random).gain == pytest.approx(1.0)


def test_fractional_parameters_give_exact_guarantees():
    world = {"horizon": 5, "actions": 4, "policies": 16, "delta": 0.05}
    exact = {**world, "reward_bound": Fraction(1)}
    plan = imperfect_oracle_plan(
        Fraction(2, 3), Fraction(1, 2), Fraction(1, 4), Fraction(1, 5), **exact, remaining=2
    )
    # H rho q p tau^2 / (32 R L) = 5/2 * 2/3 * 1/4 * 1/25 / 64.
    assert plan.guaranteed_gain == Fraction(1, 3840)
    assert plan.alpha == Fraction(1, 120)
    random = random_reset_plan(Fraction(1, 4), Fraction(1, 5), **exact)
    assert random.step.coverage == 1
    assert random.guaranteed_gain == Fraction(5, 400) / 64
    assert isinstance(random.guaranteed_gain, Fraction)


def in_64ths(least, most):
    return st.integers(least, most).map(lambda k: Fraction(k, 64))


@st.composite
def exact_plans(draw):
    """(q, rho, p, tau, H, R, L, plan): in about half of them the step is capped."""
    precision, recall, p = (draw(in_64ths(1, 64)) for _ in range(3))
    assume(recall * p * (1 - precision) <= precision * (1 - p))
    bound = draw(st.sampled_from([Fraction(1), Fraction(5)]))
    tau, horizon = draw(in_64ths(1, 64)) * bound, draw(st.integers(1, 12))
    cap = precision * tau / (8 * bound)
    remaining = min(draw(st.sampled_from([0, 1, 4, 7, 8, 9, 40, 1000])) * cap / 8, horizon - 1)
    parameters = (precision, recall, p, tau, horizon, 4, 16, 0.05, bound)
    plan = imperfect_oracle_plan(*parameters, remaining=remaining)
    return precision, recall, p, tau, horizon, bound, remaining, plan


@given(exact_plans())
def test_gains_of_plans_are_what_the_docstrings_say_cap_included(case):
    q, rho, p, tau, horizon, bound, remaining, plan = case
    capped = remaining <= q * tau / (8 * bound)
    if capped:
        expected = horizon * rho * p * tau / 2 * (1 - 4 * bound * remaining / (q * tau))
    else:
        expected = horizon * rho * q * p * tau**2 / (32 * bound * remaining)
    assert plan.guaranteed_gain == expected
    assert (plan.alpha == 1) == capped
    share = q * tau / (32 * bound * remaining) if remaining else Fraction(1, 4)
    assert plan.guaranteed_gain >= horizon * rho * p * tau * min(Fraction(1, 4), share)


@given(in_64ths(1, 64), in_64ths(1, 64), st.integers(1, 9))
def test_random_resets_reach_the_cap_with_one_layer_only(p, tau, horizon):
    plan = random_reset_plan(p, tau, horizon, 4, 16, 0.05, Fraction(1))
    if horizon == 1:
        assert (plan.alpha, plan.guaranteed_gain) == (1, p * tau / 2)
    else:
        assert plan.alpha < 1
        assert plan.guaranteed_gain == horizon * (p * tau) ** 2 / (16 * (horizon - 1))


def test_a_capped_plan_worked_by_hand():
    # c = 2 * .01 = .02 is below half of Abar = .2: 10 * .1 * .2 * (1 - .1), not .16 / .32.
    plan = oracle_reset_plan(0.1, 0.4, 10, 2, 4, 0.05, remaining=0.01)
    assert plan.alpha == 1
    assert plan.guaranteed_gain == pytest.approx(0.18)


def test_one_layer_takes_the_whole_step():
    plan = random_reset_plan(0.5, 0.4, 1, 4, 16, 0.05)
    assert (plan.alpha, plan.guaranteed_gain) == (1, pytest.approx(0.1))


def test_huge_classes_can_be_planned_for():
    plan = oracle_reset_plan(0.5, 0.4, 5, 4, None, 0.05, log_policies=1e4)
    assert plan.samples == samples_for(0.2, 4, None, 0.05, log_policies=1e4)
    assert random_reset_plan(0.5, 0.4, 5, 4, None, 0.05, log_policies=1e4).samples > plan.samples


def test_t7_worked_by_hand():
    # ln(1 / (4 delta)) = 1 at delta = 1 / (4 e), and 3 / (32 * (1/4)^2) = 3/2.
    assert aliased_lower_bound(0.5, 0.5, 1 / (4 * math.e)) == pytest.approx(1.5)
    assert aliased_lower_bound(0.5, 1.0, 1 / (4 * math.e), 2.0) == pytest.approx(1.5)
    assert aliased_lower_bound(0.25, 0.5, 1 / (4 * math.e**2)) == pytest.approx(12.0)
    assert aliased_lower_bound(0.5, 0.5, 0.25) == 0
    assert aliased_lower_bound(0.5, 0.5, 0.4) == 0


@pytest.mark.parametrize("coverage", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("tau", [0.5, 0.1])
@pytest.mark.parametrize("delta", [0.2, 0.05, 1e-3])
def test_even_the_best_test_needs_as_many_samples_as_t7_says(coverage, tau, delta):
    """Counting successes is the best test of 1/2 + x against 1/2 - x; its error is binomial."""

    def error(count):
        half = count / 2
        below = binom.cdf(math.ceil(half) - 1, count, 0.5 + coverage * tau)
        tie = binom.pmf(count // 2, count, 0.5 + coverage * tau) if count % 2 == 0 else 0.0
        return below + tie / 2

    bound = aliased_lower_bound(coverage, tau, delta)
    fewer = math.ceil(bound) - 1
    if fewer >= 1:
        assert error(fewer) > delta
    assert error(math.ceil(20 * bound) + 1) < delta


GOOD = {
    "precision": 0.5,
    "recall": 0.5,
    "coverage": 0.2,
    "tau": 0.3,
    "horizon": 5,
    "actions": 4,
    "policies": 16,
    "delta": 0.05,
    "reward_bound": 1.0,
    "remaining": 2.0,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("precision", 0),
        ("precision", 1.1),
        ("recall", 0.0),
        ("recall", 1.1),
        ("coverage", 0.0),
        ("coverage", 1.5),
        ("tau", 0.0),
        ("tau", 1.1),
        ("tau", math.nan),
        ("horizon", 0),
        ("actions", 0),
        ("policies", 0),
        ("policies", None),
        ("delta", 0),
        ("delta", 0.95),
        ("delta", math.nan),
        ("reward_bound", math.inf),
        ("remaining", 4.5),
    ],
)
def test_bad_plans_are_refused_by_name(field, value):
    imperfect_oracle_plan(**GOOD)
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        imperfect_oracle_plan(**GOOD | {field: value})


def test_a_precision_that_no_weight_has_is_refused_with_the_least_that_one_has():
    with pytest.raises(InvalidInput, match=r"^precision = 0.05: .* at least 0.111111"):
        imperfect_oracle_plan(**GOOD | {"precision": 0.05})
    assert imperfect_oracle_plan(**GOOD | {"precision": 1 / 9}).step.coverage == pytest.approx(0.9)


def test_a_delta_that_means_its_opposite_is_explained():
    with pytest.raises(InvalidInput, match=r"give delta, e\.g\. 0\.05"):
        chooser_error(100, 4, 16, 0.95)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: uniform_accuracy(0, 4, 16, 0.05), "samples"),
        (lambda: uniform_accuracy(1, 4, 16, 0.05, 0.0), "reward_bound"),
        (lambda: uniform_accuracy(1, 4, 16, 0.05, log_policies=1.0), "policies"),
        (lambda: uniform_accuracy(1, 4, None, 0.05, log_policies=-1.0), "log_policies"),
        (lambda: uniform_accuracy(1, 4, None, 0.05, log_policies=math.inf), "log_policies"),
        (lambda: samples_for(0.0, 4, 16, 0.05), "accuracy"),
        (lambda: samples_for(math.nan, 4, 16, 0.05), "accuracy"),
        (lambda: samples_for(1e-200, 4, 16, 0.05), "accuracy"),
        (lambda: aliased_lower_bound(0.0, 0.1, 0.05), "coverage"),
        (lambda: aliased_lower_bound(1.1, 0.1, 0.05), "coverage"),
        (lambda: aliased_lower_bound(0.5, 0.0, 0.05), "tau"),
        (lambda: aliased_lower_bound(0.1, 0.6, 0.05), "tau"),
        (lambda: aliased_lower_bound(0.5, 0.1, 0.0), "delta"),
        (lambda: aliased_lower_bound(0.5, 0.1, 0.9), "delta"),
        (lambda: aliased_lower_bound(0.5, 0.1, 0.05, 0.0), "reward_bound"),
        (lambda: aliased_lower_bound(0.51, 0.5, 0.05), r"coverage \* tau"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, field):
    with pytest.raises(InvalidInput, match=f"^{field}.* = "):
        call()


def test_plans_are_values():
    plan = oracle_reset_plan(0.5, 0.4, 5, 4, 16, 0.05)
    assert replace(plan) == plan
    assert hash(plan) == hash(oracle_reset_plan(0.5, 0.4, 5, 4, 16, 0.05))
