"""T5 and T6: what plans are made of, ratios, the cap, values worked by hand."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cpi_theory.bounds.chooser import samples_for
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.finite_horizon import ResetStep, best_step
from cpi_theory.bounds.plans import (
    compare_plans,
    imperfect_oracle_plan,
    oracle_reset_plan,
    random_reset_plan,
)
from cpi_theory.bounds.statewise import statewise_bound
from cpi_theory.checks import InvalidInput

CLASSES = st.builds(
    PolicyClass,
    actions=st.integers(2, 50),
    policies=st.integers(2, 10**6),
    delta=st.floats(1e-9, 0.5),
)
WORLDS = st.fixed_dictionaries(
    {
        "coverage": st.floats(1e-3, 1),
        "tau": st.floats(1e-3, 1),
        "horizon": st.integers(2, 100),
        "policies": CLASSES,
    }
)


@given(WORLDS, st.floats(0.2, 5))
def test_t5_gains_and_ratios(world, reward_bound):
    p, horizon = world["coverage"], world["horizon"]
    world["tau"] *= reward_bound
    world["policies"] = replace(world["policies"], reward_bound=reward_bound)
    tau = world["tau"]
    random = random_reset_plan(**world)
    oracle = oracle_reset_plan(**world)
    middle = oracle_reset_plan(**world, remaining=(horizon - 1) / 2)
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
def test_a_plan_is_made_of_t4s_and_t2(world, precision):
    assume(world["coverage"] * (1 - precision) <= precision * (1 - world["coverage"]))
    world["policies"] = replace(world["policies"], reward_bound=3.0)
    plan = imperfect_oracle_plan(precision, 1.0, **world)
    assert plan.samples == samples_for(precision * world["tau"] / 2, world["policies"])
    assert plan.samples <= math.ceil(plan.leading_samples)
    assert plan.accuracy + plan.step.advantage == pytest.approx(precision * world["tau"])
    assert (plan.alpha, plan.guaranteed_gain) == best_step(plan.step)
    assert plan.step.spread == 6
    assert plan.worst_case_samples == pytest.approx(plan.samples * 3 / plan.guaranteed_gain)


def test_plans_worked_by_hand():
    world = {"horizon": 5, "policies": PolicyClass(4, 0.05, policies=16)}
    random = random_reset_plan(0.5, 0.4, **world)
    oracle = oracle_reset_plan(0.5, 0.4, **world)
    assert random.step == ResetStep(5, 1.0, 0.1, 2.0, 2.0)
    assert random.alpha == pytest.approx(0.0125)
    assert random.guaranteed_gain == pytest.approx(0.003125)
    assert oracle.step == ResetStep(5, 0.5, 0.2, 2.0, 4)
    assert oracle.guaranteed_gain == pytest.approx(0.00312500)
    # 4 ln(15 / .05) / .1^2, of which T4s' exact form saves a little: ln 300 = 5.70 over
    # -ln(1 - (1 - sqrt(.99)) / 2) = .0025094.
    assert random.leading_samples == pytest.approx(400 * math.log(300))
    assert random.samples == 2273
    assert compare_plans(oracle, random).gain == pytest.approx(1.0)


def test_fractional_parameters_give_exact_guarantees():
    policies = PolicyClass(4, 0.05, policies=16, reward_bound=Fraction(1))
    exact = {"horizon": 5, "policies": policies}
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
    policies = PolicyClass(4, 0.05, policies=16, reward_bound=bound)
    plan = imperfect_oracle_plan(precision, recall, p, tau, horizon, policies, remaining)
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
    plan = random_reset_plan(
        p, tau, horizon, PolicyClass(4, 0.05, policies=16, reward_bound=Fraction(1))
    )
    if horizon == 1:
        assert (plan.alpha, plan.guaranteed_gain) == (1, p * tau / 2)
    else:
        assert plan.alpha < 1
        assert plan.guaranteed_gain == horizon * (p * tau) ** 2 / (16 * (horizon - 1))


def test_a_capped_plan_worked_by_hand():
    # c = 2 * .01 = .02 is below half of Abar = .2: 10 * .1 * .2 * (1 - .1), not .16 / .32.
    plan = oracle_reset_plan(0.1, 0.4, 10, PolicyClass(2, 0.05, policies=4), remaining=0.01)
    assert plan.alpha == 1
    assert plan.guaranteed_gain == pytest.approx(0.18)


def test_one_layer_takes_the_whole_step():
    plan = random_reset_plan(0.5, 0.4, 1, PolicyClass(4, 0.05, policies=16))
    assert (plan.alpha, plan.guaranteed_gain) == (1, pytest.approx(0.1))


def test_huge_classes_can_be_planned_for():
    huge = PolicyClass(4, 0.05, log_policies=1e4)
    plan = oracle_reset_plan(0.5, 0.4, 5, huge)
    assert plan.samples == samples_for(0.2, huge)
    assert random_reset_plan(0.5, 0.4, 5, huge).samples > plan.samples


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.integers(2, 6), st.integers(1, 20))
def test_a_class_of_maps_is_planned_by_the_better_of_t4s_and_t4w(p, tau, actions, m):
    maps = PolicyClass(actions, 0.05, observations=m)
    plan = random_reset_plan(p, tau, 4, maps)
    bound = statewise_bound(p, tau, maps)
    assert plan.samples == min(samples_for(p * tau / 2, maps), math.ceil(bound))
    if m == 1:  # T4s alone is what a class of that size is planned by
        sized = random_reset_plan(p, tau, 4, PolicyClass(actions, 0.05, policies=actions))
        assert plan.samples <= sized.samples


def test_maps_need_samples_as_1_over_p_and_not_as_its_square():
    maps = PolicyClass(2, 0.05, observations=3)
    random, oracle = random_reset_plan(0.01, 0.2, 4, maps), oracle_reset_plan(0.01, 0.2, 4, maps)
    by_one = statewise_bound(1.0, 0.2, maps)
    assert random.leading_samples == pytest.approx(100 * by_one)
    assert oracle.leading_samples <= by_one
    assert compare_plans(oracle, random).total == pytest.approx(
        random.samples / oracle.samples * compare_plans(oracle, random).gain
    )


GOOD = {
    "precision": 0.5,
    "recall": 0.5,
    "coverage": 0.2,
    "tau": 0.3,
    "horizon": 5,
    "policies": PolicyClass(4, 0.05, policies=16),
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


def test_plans_are_values():
    plan = oracle_reset_plan(0.5, 0.4, 5, PolicyClass(4, 0.05, policies=16))
    assert replace(plan) == plan
    assert hash(plan) == hash(oracle_reset_plan(0.5, 0.4, 5, PolicyClass(4, 0.05, policies=16)))
