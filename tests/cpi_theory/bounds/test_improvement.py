"""T1, T1s, T2, T3 and T8: on random MDPs, attained on traps, and at values worked by hand.

The worlds are evaluated by listing every path, see `enumerated_world`.
"""

import math
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.bounds.discounted import (
    DiscountedResetStep,
    discounted_best_step,
    discounted_improvement_lower_bound,
    sharp_discounted_best_step,
    sharp_discounted_improvement_lower_bound,
    uniform_discounted_deviation,
)
from cpi_theory.bounds.finite_horizon import (
    ResetStep,
    best_step,
    greedy_improvement_lower_bound,
    improvement_lower_bound,
    sharp_best_step,
    sharp_improvement_lower_bound,
    uniform_deviation_probabilities,
)
from cpi_theory.checks import InvalidInput
from tests.cpi_theory.bounds.enumerated_world import World, random_world, trap

alphas = st.fractions(0, 1, max_denominator=12)
seeds = st.integers(0, 2**32)


@settings(max_examples=150)
@given(seeds, st.integers(1, 4), alphas)
def test_every_random_update_gains_at_least_the_bounds(seed, horizon, alpha):
    world = random_world(seed, horizon)
    step, gain = world.step(), world.gain(alpha)
    sharp = sharp_improvement_lower_bound(step, alpha, world.deviations(alpha))
    assert improvement_lower_bound(step, alpha) <= sharp <= gain
    uniform = uniform_deviation_probabilities(horizon, alpha)
    assert sharp_improvement_lower_bound(step, alpha, uniform) <= sharp


@settings(max_examples=60)
@given(seeds, st.integers(1, 4), alphas, st.fractions("1/8", 1, max_denominator=8))
def test_greedy_on_the_improvable_set_gains_at_least_t3(seed, horizon, alpha, tau):
    world = random_world(seed, horizon)
    best = [[max(row) for row in layer] for layer in world.advantages()]
    marked = [[int(value >= tau) for value in layer] for layer in best]
    greedy = [
        [[F(int(a == row.index(max(row)))) for a in (0, 1)] for row in layer]
        for layer in world.advantages()
    ]
    local = World(world.start, world.kernel, world.reward, world.policy, greedy, marked)
    bound = greedy_improvement_lower_bound(tau, local.visit_law(marked), alpha)
    assert bound <= local.gain(alpha)


@pytest.mark.parametrize("horizon", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("alpha", [F(0), F(1, 7), F(3, 10), F(1, 2), F(1)])
@pytest.mark.parametrize(("gain", "loss"), [(F(1, 5), F(-3, 10)), (F(2, 3), F(0)), (F(0), F(-1))])
@pytest.mark.parametrize("weight", [F(1), F(2, 5)])
def test_the_trap_attains_t1s_exactly(horizon, alpha, gain, loss, weight):
    world = trap(horizon, gain, loss, weight)
    step, deviations = world.step(), world.deviations(alpha)
    assert step == ResetStep(horizon, weight, gain, weight * (gain - loss), F(horizon - 1, 2))
    assert deviations == [1 - (1 - alpha * weight) ** h for h in range(horizon)]
    assert world.gain(alpha) == sharp_improvement_lower_bound(step, alpha, deviations)
    if horizon <= 2:
        assert world.gain(alpha) == improvement_lower_bound(step, alpha)


@settings(max_examples=40)
@given(
    st.integers(3, 5),
    alphas.filter(bool),
    st.fractions(0, 2, max_denominator=9),
    st.fractions(-2, 0, max_denominator=9),
)
def test_t1_is_strictly_below_t1s_on_longer_traps_unless_nothing_is_lost(
    horizon, alpha, gain, loss
):
    step = trap(horizon, gain, loss).step()
    sharp = sharp_improvement_lower_bound(
        step, alpha, uniform_deviation_probabilities(horizon, alpha)
    )
    assert (improvement_lower_bound(step, alpha) < sharp) == (gain > loss)


@pytest.mark.parametrize("horizon", [3, 5])
def test_t1_is_exact_to_second_order_in_alpha(horizon):
    world = trap(horizon, F(1, 5), F(-3, 10))

    def gap(alpha):
        return world.gain(alpha) - improvement_lower_bound(world.step(), alpha)

    cubic = F(1, 2) * sum(F(h * (h - 1), 2) for h in range(horizon))
    assert gap(F(1, 10**6)) / F(1, 10**18) == pytest.approx(float(cubic), rel=1e-4)


def test_values_worked_by_hand():
    # The trap with H = 3, M = 1/5, m = -3/10: 9/10 * 1/5 - 9/100 * 1/2 * 3 * 1 = 0.18 - 0.135, and
    # 0.18 - 0.3 * 0.5 * (0.3 + 0.51).
    step = ResetStep(3, F(1), F(1, 5), F(1, 2), F(1))
    alpha = F(3, 10)
    assert uniform_deviation_probabilities(3, alpha) == (0, F(3, 10), F(51, 100))
    assert improvement_lower_bound(step, alpha) == F(45, 1000)
    sharp = sharp_improvement_lower_bound(step, alpha, (0, F(3, 10), F(51, 100)))
    assert sharp == F(585, 10000)
    assert best_step(step) == (F(1, 5), F(3, 50))
    # Every factor is a different number: 1/2 * 4 * 2/3 * 3/5 - 1/4 * 5/7 * 4 * 2/3 * 9/4.
    other = ResetStep(4, F(2, 3), F(3, 5), F(5, 7), F(9, 4))
    assert improvement_lower_bound(other, F(1, 2)) == F(4, 5) - F(15, 14)
    assert sharp_improvement_lower_bound(other, F(1, 2), (0, F(1, 3), F(1, 2), F(2, 3))) == (
        F(4, 5) - F(15, 28)
    )
    assert best_step(other) == (F(14, 75), F(56, 375))


def test_t3_worked_by_hand():
    # 1/4 * (1/2 * 0 + 1/3 * 1/3 + 1/6 * 5/9) and 1/4 * (1/3 + 1/6).
    law = (F(1, 2), F(1, 3), F(1, 6))
    assert greedy_improvement_lower_bound(F(1, 4), law, F(1, 3)) == F(11, 216)
    assert greedy_improvement_lower_bound(F(1, 4), law) == F(1, 8)


@pytest.mark.parametrize("horizon", [1, 2, 4])
@pytest.mark.parametrize("alpha", [F(1, 3), F(1)])
@pytest.mark.parametrize("start", [F(1), F(3, 8)])
def test_t3_is_attained_when_leaving_the_improvable_set_is_for_good(horizon, alpha, start):
    world = trap(horizon, F(1, 5), F(0), start=start)
    marked = [[1, 0]] * horizon
    law = world.visit_law(marked)
    local = World(world.start, world.kernel, world.reward, world.policy, world.candidate, marked)
    assert local.gain(alpha) == greedy_improvement_lower_bound(F(1, 5), law, alpha)


def discounted_trap_gain(discount, alpha, gain, loss):
    """Solve V_1 = alpha m + g V_1 and V_0 = alpha (M + g V_1) + (1 - alpha) g V_0; pi has V = 0."""
    trapped = alpha * loss / (1 - discount)
    return alpha * (gain + discount * trapped) / (1 - discount * (1 - alpha))


DISCOUNTED = st.tuples(
    st.fractions(0, "19/20", max_denominator=20),
    alphas,
    st.fractions(0, 2, max_denominator=9),
    st.fractions(-2, 0, max_denominator=9),
)


@given(DISCOUNTED)
def test_the_discounted_trap_attains_sharp_t8(case):
    discount, alpha, gain, loss = case
    step = DiscountedResetStep(discount, F(1), gain, gain - loss)
    deviation = uniform_discounted_deviation(discount, alpha)
    truth = discounted_trap_gain(discount, alpha, gain, loss)
    assert sharp_discounted_improvement_lower_bound(step, alpha, deviation) == truth
    assert discounted_improvement_lower_bound(step, alpha) <= truth
    # A weight that is c everywhere is the step alpha c with weight 1.
    half = DiscountedResetStep(discount, F(1, 2), gain, (gain - loss) / 2)
    shorter = uniform_discounted_deviation(discount, alpha / 2)
    truth = discounted_trap_gain(discount, alpha / 2, gain, loss)
    assert sharp_discounted_improvement_lower_bound(half, alpha, shorter) == truth


def test_t8_is_exact_to_second_order_in_alpha():
    discount, gain, loss = F(9, 10), F(1, 5), F(-3, 10)
    step = DiscountedResetStep(discount, F(1), gain, gain - loss)

    def gap(alpha):
        truth = discounted_trap_gain(discount, alpha, gain, loss)
        return truth - discounted_improvement_lower_bound(step, alpha)

    # Delta sum_t gamma^t t (t - 1) / 2 = Delta gamma^2 / (1 - gamma)^3.
    small = F(1, 10**8)
    assert gap(small) / small**3 == pytest.approx(float(F(1, 2) * F(81, 100) * 1000), rel=1e-5)


def test_t8_worked_by_hand():
    # gamma = 2/3: 1/4 * 3 * 1/2 * 1/5, less 1/16 * 1/7 * 1/2 * 6.
    step = DiscountedResetStep(F(2, 3), F(1, 2), F(1, 5), F(1, 7))
    assert discounted_improvement_lower_bound(step, F(1, 4)) == F(3, 40) - F(3, 112)
    assert sharp_discounted_improvement_lower_bound(step, F(1, 4), F(1, 6)) == F(3, 40) - F(1, 168)
    assert discounted_best_step(step) == (F(7, 20), F(21, 400))
    # 2/3 * 1/4 / (1/3 * (1/3 + 1/6)) = 1.
    assert uniform_discounted_deviation(F(2, 3), F(1, 4)) == 1


STEPS = st.builds(
    lambda horizon, coverage, advantage, spread, share: ResetStep(
        horizon, coverage, advantage, spread, share * (horizon - 1)
    ),
    st.integers(1, 9),
    st.fractions(0, 1, max_denominator=9),
    st.fractions(-2, 2, max_denominator=9),
    st.fractions(0, 4, max_denominator=9),
    st.fractions(0, 1, max_denominator=9),
)


@given(STEPS)
def test_gain_at_the_best_step_is_what_t2_says_cap_included(step):
    _, gain = best_step(step)
    height, advantage = step.horizon * step.coverage * step.advantage, step.advantage
    penalty = step.spread * step.remaining
    if advantage <= 0:
        assert gain == 0
    elif penalty <= advantage / 2:
        assert gain == height * (1 - penalty / advantage) >= height / 2
    else:
        assert gain == height * advantage / (4 * penalty)
    if advantage > 0 < penalty:
        assert gain >= height * min(F(1, 2), advantage / (4 * penalty))


@given(STEPS, alphas)
def test_no_other_step_size_beats_t2(step, other):
    alpha, gain = best_step(step)
    assert gain == improvement_lower_bound(step, alpha)
    assert gain >= 0
    assert gain >= improvement_lower_bound(step, other)
    if 0 < alpha < 1:
        product = step.horizon * step.coverage * step.advantage**2
        assert gain == product / (4 * step.spread * step.remaining)
    if step.advantage <= 0:
        assert (alpha, gain) == (0, 0)


@given(STEPS, alphas)
def test_no_other_step_size_beats_the_sharp_best_step(step, other):
    def bound(alpha):
        deviations = uniform_deviation_probabilities(step.horizon, alpha)
        return sharp_improvement_lower_bound(step, alpha, deviations)

    alpha, gain = sharp_best_step(step)
    assert gain == bound(alpha)
    assert gain >= bound(other) - F(1, 10**9)
    searched, found = sharp_best_step(
        step, lambda a: uniform_deviation_probabilities(step.horizon, a)
    )
    assert found == bound(searched)
    assert float(found) == pytest.approx(float(gain), abs=1e-9)


def test_the_sharp_step_is_longer_and_guarantees_more():
    step = ResetStep(3, 1.0, 0.2, 0.5, 1.0)
    alpha, gain = sharp_best_step(step)
    assert alpha == pytest.approx(1 - math.sqrt(0.6), abs=1e-12)
    assert alpha > best_step(step)[0]
    assert gain > best_step(step)[1]
    assert isinstance(alpha, float)


def test_the_search_finds_the_better_of_two_peaks():
    # Leaving is only possible in the first layers: the objective rises, falls and rises again.
    def deviations(alpha):
        return [1 - (1 - alpha) ** min(h, 6) for h in range(40)]

    step = ResetStep(40, 1.0, 0.9, 1.0, 19.5)

    def bound(alpha):
        return sharp_improvement_lower_bound(step, alpha, deviations(alpha))

    alpha, gain = sharp_best_step(step, deviations)
    assert gain == bound(alpha)
    assert gain >= max(bound(i / 5000) for i in range(5001)) - 1e-9


@given(
    st.fractions(0, "19/20", max_denominator=20),
    st.fractions(0, 1, max_denominator=9),
    st.fractions(-1, 1, max_denominator=9),
    st.fractions(0, 2, max_denominator=9),
    alphas,
)
def test_no_other_step_size_beats_the_discounted_steps(
    discount, coverage, advantage, spread, other
):
    step = DiscountedResetStep(discount, coverage, advantage, spread)
    alpha, gain = discounted_best_step(step)
    assert gain == discounted_improvement_lower_bound(step, alpha)
    assert gain >= max(0, discounted_improvement_lower_bound(step, other))
    if 0 < alpha < 1:
        assert gain == coverage * advantage**2 / (4 * discount * spread)
    if alpha == 1:
        later = discount * spread / (1 - discount)
        assert gain == coverage * (advantage - later) / (1 - discount)

    def bound(size):
        deviation = uniform_discounted_deviation(discount, size)
        return sharp_discounted_improvement_lower_bound(step, size, deviation)

    alpha, gain = sharp_discounted_best_step(step)
    assert gain == bound(alpha)
    assert gain >= max(0, bound(other)) - F(1, 10**9)


def test_sharp_discounted_step_worked_by_hand():
    # gamma = 1/2, p A / Delta = 3/4: 1 * (1/sqrt(1/4) - 1) = 1; at 5/9: 3/2 - 1 = 1/2.
    capped = DiscountedResetStep(F(1, 2), F(1), F(3, 4), F(1))
    assert sharp_discounted_best_step(capped)[0] == 1
    inner = DiscountedResetStep(F(1, 2), F(1), F(5, 9), F(1))
    assert sharp_discounted_best_step(inner) == (F(1, 2), F(2, 9))


def test_floats_give_floats_and_fractions_stay_exact():
    exact = ResetStep(5, F(1, 3), F(1, 7), F(2, 7), F(5, 3))
    rounded = ResetStep(5, 1 / 3, 1 / 7, 2 / 7, 5 / 3)
    for bound in (best_step, sharp_best_step):
        assert all(isinstance(value, F) for value in bound(exact))
        assert [float(v) for v in bound(exact)] == pytest.approx(list(bound(rounded)), rel=1e-9)
    assert isinstance(improvement_lower_bound(rounded, 0.3), float)
    assert isinstance(improvement_lower_bound(exact, F(3, 10)), F)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("horizon", 0),
        ("horizon", 2.0),
        ("coverage", F(-1, 10**12)),
        ("coverage", 1 + F(1, 10**12)),
        ("coverage", 1.001),
        ("coverage", -0.001),
        ("coverage", math.inf),
        ("advantage", math.nan),
        ("advantage", math.inf),
        ("spread", -1e-6),
        ("spread", math.inf),
        ("remaining", 2.5),
        ("remaining", -0.5),
        ("remaining", "1"),
    ],
)
def test_an_impossible_step_is_refused(field, value):
    good = {"horizon": 3, "coverage": 0.5, "advantage": 0.1, "spread": 0.2, "remaining": 1.0}
    ResetStep(**good)
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        ResetStep(**good | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("discount", 1),
        ("discount", -0.1),
        ("discount", 1.1),
        ("coverage", 1.1),
        ("coverage", -0.1),
        ("advantage", math.nan),
        ("spread", -0.1),
    ],
)
def test_an_impossible_discounted_step_is_refused(field, value):
    good = {"discount": 0.9, "coverage": 0.5, "advantage": 0.1, "spread": 0.2}
    DiscountedResetStep(**good)
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        DiscountedResetStep(**good | {field: value})


def test_rounding_is_no_mistake_but_more_is():
    assert ResetStep(2, 1.0000000000000002, 0.1, -1e-17, 1.0000000000000002).horizon == 2
    assert ResetStep(2, 1 + 0.9e-9, 0.1, -0.9e-9, 1.0).horizon == 2
    assert ResetStep(10**6, 1.0, 0.1, 0.1, (10**6 - 1) * (1 + 0.9e-9)).horizon == 10**6
    for step in ((1 + 1.1e-9, 0.1), (1.0, -1.1e-9)):
        with pytest.raises(InvalidInput):
            ResetStep(2, step[0], 0.1, step[1], 1.0)
    assert greedy_improvement_lower_bound(1.0, [0.1] * 10) == pytest.approx(0.9)


def test_one_layer_takes_the_whole_step():
    for deviations in (None, lambda alpha: [0]):
        assert sharp_best_step(ResetStep(1, F(1, 2), F(1, 3), F(1, 2), 0), deviations) == (
            1,
            F(1, 6),
        )


def test_without_spread_the_whole_step_is_best():
    step = ResetStep(3, F(1), F(1, 5), F(0), F(1))
    assert best_step(step) == sharp_best_step(step) == (1, F(3, 5))
    searched = sharp_best_step(step, lambda alpha: [0, alpha, alpha])
    assert searched == (1, F(3, 5))


def test_a_discount_of_one_is_explained():
    with pytest.raises(InvalidInput, match=r"^discount = 1: J is infinite"):
        DiscountedResetStep(1, 0.5, 0.1, 0.2)


STEP = ResetStep(2, 1.0, 0.1, 0.2, 0.5)
DISCOUNTED_STEP = DiscountedResetStep(0.5, 1.0, 0.1, 0.2)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: improvement_lower_bound(STEP, 1.5), "alpha"),
        (lambda: improvement_lower_bound(STEP, math.nan), "alpha"),
        (lambda: sharp_improvement_lower_bound(STEP, -0.1, (0, 0.1)), "alpha"),
        (lambda: sharp_improvement_lower_bound(STEP, 0.1, (0, 0.1, 0.2)), "deviation_prob"),
        (lambda: sharp_improvement_lower_bound(STEP, 0.1, (0, 1.5)), "deviation probability"),
        (lambda: sharp_improvement_lower_bound(STEP, 0.1, (0, -0.5)), "deviation probability"),
        (lambda: uniform_deviation_probabilities(0, 0.1), "horizon"),
        (lambda: uniform_deviation_probabilities(2, 1.1), "alpha"),
        (lambda: greedy_improvement_lower_bound(0, (1,)), "tau"),
        (lambda: greedy_improvement_lower_bound(math.nan, (1,)), "tau"),
        (lambda: greedy_improvement_lower_bound(0.1, (0.5, 0.4)), "sum of visit_prob"),
        (lambda: greedy_improvement_lower_bound(0.1, (0.5, 0.6)), "sum of visit_prob"),
        (lambda: greedy_improvement_lower_bound(0.1, (1.5, -0.5)), "visit probability"),
        (lambda: greedy_improvement_lower_bound(0.1, (0.5, 0.5), 2), "alpha"),
        (lambda: discounted_improvement_lower_bound(DISCOUNTED_STEP, 1.1), "alpha"),
        (lambda: sharp_discounted_improvement_lower_bound(DISCOUNTED_STEP, 1.1, 0), "alpha"),
        (lambda: sharp_discounted_improvement_lower_bound(DISCOUNTED_STEP, 1, 1.1), "deviation"),
        (lambda: sharp_discounted_improvement_lower_bound(DISCOUNTED_STEP, 1, -0.5), "deviation"),
        (lambda: uniform_discounted_deviation(1, 0.5), "discount"),
        (lambda: uniform_discounted_deviation(0.5, -0.5), "alpha"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, field):
    with pytest.raises(InvalidInput, match=f"^{field}.* = "):
        call()
