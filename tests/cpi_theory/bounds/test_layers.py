"""T1e, T1h and T8e: on random worlds, attained on traps, in order, and at values worked by hand."""

import math
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.bounds.discounted import (
    DiscountedResetStep,
    sharp_discounted_improvement_lower_bound,
    uniform_discounted_deviation,
)
from cpi_theory.bounds.finite_horizon import (
    best_step,
    greedy_improvement_lower_bound,
    sharp_improvement_lower_bound,
)
from cpi_theory.bounds.layers import (
    LayeredStep,
    layered_best_step,
    layered_improvement_lower_bound,
    undeviated_discounted_improvement_lower_bound,
    undeviated_improvement_lower_bound,
)
from cpi_theory.checks import InvalidInput
from tests.cpi_theory.bounds.enumerated_world import STATES, World, random_world, trap

ALPHAS = st.fractions(0, 1, max_denominator=12)
SEEDS = st.integers(0, 2**32)


def least(world):
    """m_h: the least f where a deviation may have led, 0 where none can have."""
    f = world.weighted_gains()
    return [min((f[h][s] for s in some), default=F(0)) for h, some in enumerate(world.reached()[1])]


def layered(world):
    f, (own, _) = world.weighted_gains(), world.reached()
    layers = range(world.horizon)
    visits = [[F(0), F(0)] for _ in layers]
    for chance, states, _ in world.paths(world.policy):
        for h, s in enumerate(states):
            visits[h][s] += chance
    return LayeredStep(
        coverages=tuple(sum(visits[h][s] * world.weight[h][s] for s in STATES) for h in layers),
        gains=tuple(sum(visits[h][s] * f[h][s] for s in STATES) for h in layers),
        spreads=tuple(max(f[h][s] for s in own[h]) - least(world)[h] for h in layers),
    )


def bounds_of(world, alpha):
    """T1e, T1h and T1s."""
    deviations = world.deviations(alpha)
    return (
        undeviated_improvement_lower_bound(
            alpha, world.undeviated(alpha), deviations, least(world)
        ),
        layered_improvement_lower_bound(layered(world), alpha, deviations),
        sharp_improvement_lower_bound(world.step(), alpha, deviations),
    )


@settings(max_examples=200)
@given(SEEDS, st.integers(1, 4), ALPHAS)
def test_every_random_update_gains_at_least_t1e_and_the_bounds_are_in_order(seed, horizon, alpha):
    world = random_world(seed, horizon)
    exact, by_layer, sharp = bounds_of(world, alpha)
    assert sharp <= by_layer <= exact <= world.gain(alpha)
    step = layered(world)
    best, guaranteed = layered_best_step(step)
    assert guaranteed <= world.gain(best)
    assert guaranteed >= best_step(world.step())[1]
    assert guaranteed >= alpha * sum(step.gains) - alpha**2 * step.curvature


@settings(max_examples=60)
@given(SEEDS, st.integers(1, 4), ALPHAS, st.fractions("1/8", 1, max_denominator=8))
def test_t1e_says_at_least_what_t3_says_of_greedy_updates(seed, horizon, alpha, tau):
    world = random_world(seed, horizon)
    advantages = world.advantages()
    marked = [[int(max(row) >= tau) for row in layer] for layer in advantages]
    greedy = [[[F(int(a == r.index(max(r)))) for a in (0, 1)] for r in la] for la in advantages]
    local = World(world.start, world.kernel, world.reward, world.policy, greedy, marked)
    law = local.visit_law(marked)
    assert greedy_improvement_lower_bound(tau, law, alpha) <= bounds_of(local, alpha)[0]


@pytest.mark.parametrize("horizon", [1, 2, 3, 5])
@pytest.mark.parametrize("alpha", [F(0), F(1, 7), F(1, 2), F(1)])
@pytest.mark.parametrize(("gain", "loss"), [(F(1, 5), F(-3, 10)), (F(2, 3), F(0)), (F(0), F(-1))])
@pytest.mark.parametrize("weight", [F(1), F(2, 5)])
def test_the_trap_attains_both(horizon, alpha, gain, loss, weight):
    world = trap(horizon, gain, loss, weight)
    exact, by_layer, _ = bounds_of(world, alpha)
    assert exact == by_layer == world.gain(alpha)


def rescued():
    """Three layers; f is 1/5 before, 1/10 at layer 1 after a deviation, -1/10 at layer 2 after it.

    State 0 stays with action 0, and action 1 pays 1/5 and leads to 1. There action 1 pays as much
    as the layer says.
    """
    world = trap(3, F(1, 5), F(0))
    later = [[F(0), F(1, 5)], [F(0), F(1, 10)]], [[F(0), F(1, 5)], [F(0), F(-1, 10)]]
    return World(
        world.start, world.kernel, [world.reward[0], *later], world.policy, world.candidate,
        world.weight,
    )  # fmt: skip


def test_values_worked_by_hand_where_the_layers_differ():
    world = rescued()
    step = layered(world)
    assert step.spreads == (F(1, 5), F(1, 10), F(3, 10))
    assert step.gains == (F(1, 5),) * 3
    assert step.coverages == (1, 1, 1)
    # 0 coverage before layer 0, 1 before layer 1, 2 before layer 2.
    assert step.curvature == F(1, 10) + 2 * F(3, 10)
    # 3/5 - P(D_1) / 10 - 3 P(D_2) / 10 at alpha = 1/2: 3/5 - 1/20 - 9/40, half of it; the spread
    # 3/10 of all layers, which T1s takes, gives 3/5 - 3/20 - 9/40.
    exact, by_layer, sharp = bounds_of(world, F(1, 2))
    assert exact == by_layer == world.gain(F(1, 2)) == F(13, 80)
    assert sharp == F(9, 80)
    assert layered_best_step(step) == (F(3, 7), F(9, 70))


def test_a_spread_of_the_states_of_pi_alone_would_be_wrong():
    """After a deviation there are states that neither policy reaches by itself."""
    # pi goes 0 -> 0 -> 0. pi' takes action 1 in state 0 and action 0 in state 1. Only mixing them
    # reaches layer 2 in state 1 after pi's action 1 of state 1.
    world = trap(3, F(1), F(-1))
    world.reward[2] = [[F(0), F(1)], [F(0), F(-5)]]
    own = [max(row) - min(row) for row in [[F(1)], [F(1)], [F(1)]]]
    assert own == [0, 0, 0]
    pretended = LayeredStep(layered(world).coverages, layered(world).gains, tuple(own))
    alpha = F(1, 2)
    claimed = layered_improvement_lower_bound(pretended, alpha, world.deviations(alpha))
    assert claimed > world.gain(alpha) >= bounds_of(world, alpha)[0]


def test_negative_spreads_are_worth_something():
    # The candidate's second action pays 1 in state 1, where it leads, and 1/4 in state 0.
    world = trap(2, F(1, 4), F(1))
    alpha = F(1, 3)
    assert layered(world).spreads == (F(1, 4), F(-3, 4))
    exact, by_layer, sharp = bounds_of(world, alpha)
    assert exact == by_layer == world.gain(alpha) > alpha * F(1, 2) > sharp


@given(
    st.fractions(0, "19/20", max_denominator=20),
    ALPHAS,
    st.fractions(0, 2, max_denominator=9),
    st.fractions(-2, 0, max_denominator=9),
)
def test_the_discounted_trap_attains_t8e(discount, alpha, gain, loss):
    # Visits of state 0 that have not left: 1 / (1 - gamma (1 - alpha)); afterwards f = loss.
    own = gain / (1 - discount * (1 - alpha))
    deviation = uniform_discounted_deviation(discount, alpha)
    bound = undeviated_discounted_improvement_lower_bound(alpha, own, deviation, loss)
    step = DiscountedResetStep(discount, F(1), gain, gain - loss)
    assert bound == sharp_discounted_improvement_lower_bound(step, alpha, deviation)


def test_t8e_worked_by_hand():
    assert undeviated_discounted_improvement_lower_bound(F(1, 4), F(3, 5), F(2), F(-1, 7)) == (
        F(1, 4) * (F(3, 5) - F(2, 7))
    )


GOOD = {"coverages": (0.5, 0.5), "gains": (0.1, 0.2), "spreads": (0.3, -0.1)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("coverages", ()),
        ("coverages", (0.5, 1.1)),
        ("coverages", (0.5, -0.1)),
        ("coverages", (0.5, math.nan)),
        ("gains", (0.1,)),
        ("gains", (0.1, math.inf)),
        ("spreads", (0.1, 0.2, 0.3)),
        ("spreads", (0.1, math.nan)),
    ],
)
def test_an_impossible_step_is_refused(field, value):
    assert LayeredStep(**GOOD).horizon == 2
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        LayeredStep(**GOOD | {field: value})


STEP = LayeredStep(**GOOD)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: layered_improvement_lower_bound(STEP, 1.1, (0, 0.1)), "alpha"),
        (lambda: layered_improvement_lower_bound(STEP, 0.1, (0,)), "deviation_prob"),
        (lambda: layered_improvement_lower_bound(STEP, 0.1, (0, 1.1)), "deviation probability"),
        (lambda: undeviated_improvement_lower_bound(-1, (1,), (0,), (0,)), "alpha"),
        (lambda: undeviated_improvement_lower_bound(1, (1,), (0, 0), (0,)), "deviation_prob"),
        (lambda: undeviated_improvement_lower_bound(1, (1,), (0,), (0, 0)), "least_gains"),
        (lambda: undeviated_discounted_improvement_lower_bound(2, 1, 0, 0), "alpha"),
        (lambda: undeviated_discounted_improvement_lower_bound(1, 1, -1, 0), "deviation"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, field):
    with pytest.raises(InvalidInput, match=f"^{field}.* = "):
        call()
