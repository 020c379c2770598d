"""T4w: both tails by enumeration, plans on exact laws, the lower bound, values by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.bounds.pairs import error_exponent
from cpi_theory.bounds.statewise import (
    statewise_bound,
    statewise_failure,
    statewise_lower_bound,
    statewise_samples,
)
from cpi_theory.checks import InvalidInput


def wrong_at(count, gap):
    """Error of `count` signs, each right with probability (1 + gap) / 2, with fair ties."""
    p = (1 + gap) / 2
    law = [math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(count + 1)]
    tie = law[count // 2] if count % 2 == 0 else 0.0
    return sum(c for k, c in enumerate(law) if 2 * k < count) + tie / 2


def losses(n, masses, gaps):
    """(loss, probability) with two actions and outcomes 0 and 1, over every count of visits."""
    rest = 1 - sum(masses)
    for counts in itertools.product(range(n + 1), repeat=len(masses)):
        if sum(counts) > n or (sum(counts) < n and rest <= 1e-12):
            continue
        other = n - sum(counts)
        chance = math.factorial(n) / math.prod(map(math.factorial, (*counts, other)))
        chance *= math.prod(m**c for m, c in zip(masses, counts, strict=True)) * rest**other
        errors = [wrong_at(c, g) for c, g in zip(counts, gaps, strict=True)]
        for bad in itertools.product((0, 1), repeat=len(masses)):
            share = math.prod(e if b else 1 - e for e, b in zip(errors, bad, strict=True))
            yield sum(m * g * b for m, g, b in zip(masses, gaps, bad, strict=True)), chance * share


GAPS = st.lists(st.floats(0, 1), min_size=2, max_size=2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.floats(0.05, 0.9), st.floats(0.05, 0.9), GAPS, st.floats(0.05, 1.1))
def test_the_loss_exceeds_a_level_no_more_often_than_both_tails_say(n, first, share, gaps, level):
    masses = [first, share * (1 - first)]
    worst = sum(m * g for m, g in zip(masses, gaps, strict=True))
    if worst < 1e-6:
        return
    loss = level * worst
    chance = sum(p for lost, p in losses(n, masses, gaps) if lost >= loss)
    table = np.array([[0.0, g] for g in gaps])
    assert chance <= statewise_failure(n, np.array(masses), table, loss) + 1e-12


def test_tails_worked_by_hand():
    masses, gaps = np.array([0.5, 0.5]), np.array([[0.0, 0.6], [0.8, 0.0]])
    # c = 1 - .5 (1 - sqrt(1 - gamma^2)): .9 and .8.
    loss = 0.6
    markov = 0.3 / 0.6 * 0.9**20 + 0.4 / 0.6 * 0.8**20
    assert statewise_failure(20, masses, gaps, loss) <= markov
    for tilt in np.linspace(0.1, 60, 300):
        product = math.exp(-tilt * loss)
        product *= 1 + math.expm1(tilt * 0.3) * 0.9**20
        product *= 1 + math.expm1(tilt * 0.4) * 0.8**20
        assert statewise_failure(20, masses, gaps, loss) <= product * (1 + 1e-6)
    # Both have to be wrong for a loss of .6: far less likely than either.
    assert statewise_failure(60, masses, gaps, loss) < 0.3 / 0.6 * 0.9**60
    assert statewise_failure(60, masses, gaps, 0.71) == 0
    scaled = statewise_failure(20, masses, 3 * gaps, 3 * loss, 3.0)
    assert scaled == pytest.approx(statewise_failure(20, masses, gaps, loss))


def test_one_observation_is_a_union_of_pairs():
    gaps = np.array([[0.0, 0.3, 0.5]])
    exponents = [error_exponent(g * 0.4, 3, 0.5, 0.4) for g in (0.3, 0.5)]
    n = statewise_samples(np.array([0.4]), gaps, 0.4 * 0.3, 0.1)
    assert sum(math.exp(-n * e) for e in exponents) <= 0.1 + 1e-12
    assert statewise_failure(n - 1, np.array([0.4]), gaps, 0.4 * 0.3) > 0.1


def test_bounds_worked_by_hand():
    # m = 3, |A| = 5, ln(1 / delta) = 2: min(3 (ln 12 + 2), 3 (1 + ln 4) + sqrt(12) + 2).
    maps = PolicyClass(5, math.exp(-2), observations=3, purity=0.5, reward_bound=2.0)
    least = min(3 * (math.log(12) + 2), 3 * (1 + math.log(4)) + math.sqrt(12) + 2)
    assert statewise_bound(0.25, 0.5, maps) == pytest.approx(4 * 5 * 16 * least / (0.5 * 0.25))
    many = PolicyClass(5, math.exp(-2), observations=100)
    least = 100 * (1 + math.log(4)) + math.sqrt(400) + 2
    assert statewise_bound(1.0, 1.0, many) == pytest.approx(4 * 5 * least)
    wide = PolicyClass(5, math.exp(-2), observations=3, wide_gaps=True)
    assert statewise_bound(0.25, 0.5, wide) == pytest.approx(5 * 3 * 16 * (math.log(8) + 2))
    one = PolicyClass(5, math.exp(-2), observations=1, wide_gaps=True)
    assert statewise_bound(0.25, 0.5, one) == pytest.approx(5 * 16 * (math.log(4) + 2))
    assert statewise_bound(0.25, 0.5, PolicyClass(1, 0.1, observations=3)) == 0
    # -ln(1 - 8 * .25 * .25 / (m * 5)) with m = 1 and m = 3.
    floor = statewise_lower_bound(0.25, 0.5, wide)
    delta = math.exp(-2)
    first = -math.log(4 * delta * (1 - delta)) / -math.log(0.9)
    most = 0.25 + 0.75 * delta
    other = -math.log(4 * most * (1 - most)) / -math.log(1 - 0.5 / 15)
    assert floor == pytest.approx(max(first, other))
    assert statewise_lower_bound(0.25, 0.25, PolicyClass(5, 0.1, observations=200)) > (
        statewise_lower_bound(0.25, 0.25, PolicyClass(5, 0.1, observations=100))
    )


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("delta", [0.4, 0.1])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1)])
@pytest.mark.parametrize("gap", [0.5, 0.8])
def test_planned_samples_are_enough(wide, delta, shares, gap):
    """Two observations, two actions; without wide gaps also for unequal masses and small gaps."""
    q, tau = 0.8, 0.5
    if wide and shares != (0.5, 0.5):
        return
    maps = PolicyClass(2, delta, observations=2, wide_gaps=wide)
    n = math.ceil(statewise_bound(q, tau, maps))
    gaps = (gap, gap) if wide else (gap, 0.05)
    masses = [q * s for s in shares]
    # By counts at the first observation, and of the second given those.
    k = np.arange(n + 1)
    first = binom.pmf(k, n, masses[0])
    wrong = [np.array([wrong_fast(c, g) for c in k]) for g in gaps]
    fails = 0.0
    for c, chance in zip(k, first, strict=True):
        second = binom.pmf(k, n - c, masses[1] / (1 - masses[0]))
        for bad in itertools.product((0, 1), repeat=2):
            lost = sum(m * g * b for m, g, b in zip(masses, gaps, bad, strict=True))
            if lost > q * tau / 2:
                one = wrong[0][c] if bad[0] else 1 - wrong[0][c]
                two = wrong[1] if bad[1] else 1 - wrong[1]
                fails += chance * one * float(second @ two)
    assert fails <= delta


def wrong_fast(count, gap):
    p = (1 + gap) / 2
    tie = binom.pmf(count // 2, count, p) if count % 2 == 0 else 0.0
    return float(binom.cdf((count - 1) // 2, count, p) + tie / 2)


@given(
    st.floats(0.01, 1), st.floats(0.01, 0.5), st.integers(2, 6), st.integers(1, 300),
    st.floats(1e-6, 0.5),
)  # fmt: skip
def test_the_lower_bound_is_below_every_plan(q, tau, actions, m, delta):
    wide = PolicyClass(actions, delta, observations=m, wide_gaps=True)
    assert statewise_lower_bound(q, tau, wide) <= statewise_bound(q, tau, wide) + 1
    any_gap = PolicyClass(actions, delta, observations=m)
    assert statewise_bound(q, tau, wide) <= statewise_bound(q, tau, any_gap)


MAPS = PolicyClass(2, 0.1, observations=2)
MASSES, TABLE = np.array([0.5, 0.5]), np.array([[0.0, 0.5], [0.5, 0.0]])


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: statewise_failure(0, MASSES, TABLE, 0.1), "samples"),
        (lambda: statewise_failure(9, MASSES, TABLE, 0.0), "loss"),
        (lambda: statewise_failure(9, MASSES, TABLE + 0.1, 0.1), "gaps"),
        (lambda: statewise_failure(9, MASSES, 3 * TABLE, 0.1), "gaps"),
        (lambda: statewise_failure(9, MASSES[:1], TABLE, 0.1), "gaps"),
        (lambda: statewise_failure(9, 2 * MASSES, TABLE, 0.1), "masses"),
        (lambda: statewise_failure(9, 0 * MASSES, TABLE, 0.1), "masses"),
        (lambda: statewise_failure(9, MASSES, TABLE, 0.1, 0.0), "reward_bound"),
        (lambda: statewise_samples(MASSES, TABLE, 0.1, 0.0), "delta"),
        (lambda: statewise_samples(MASSES, TABLE, 0.0, 0.1), "loss"),
        (lambda: statewise_bound(0.0, 0.1, MAPS), "precision"),
        (lambda: statewise_bound(0.5, 1.1, MAPS), "tau"),
        (lambda: statewise_bound(0.5, 0.1, PolicyClass(2, 0.1, policies=4)), "policies"),
        (lambda: statewise_lower_bound(1.5, 0.1, MAPS), "precision"),
        (lambda: statewise_lower_bound(0.5, 0.6, MAPS), "tau"),
        (lambda: statewise_lower_bound(0.5, 0.1, PolicyClass(2, 0.1, policies=4)), "policies"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        call()
