"""Sums of conditional means: a bet never gains, and how often the bounds are wrong in the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.running_sum import RunningSum

UNIT = st.floats(0, 1)


def capital(state: RunningSum, means: float) -> float:
    """What the mixture of bets holds if expectations had added up to `means`."""
    return math.exp(state._log_capital(state.total - means))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(UNIT, max_size=12),
    st.lists(st.tuples(UNIT, st.floats(0.01, 1)), min_size=1, max_size=4),
    UNIT,
)
def test_no_law_of_the_next_value_makes_a_bet_gain(
    seen: list[float], law: list[tuple[float, float]], lead: float
) -> None:
    """E[capital after one more value] <= capital before, whatever was seen: the whole proof."""
    state = RunningSum()
    for value in seen:
        state = state.add(value)
    before = state.total - lead * state.total
    total = sum(weight for _, weight in law)
    mean = sum(value * weight for value, weight in law) / total
    after = sum(w / total * capital(state.add(v), before + mean) for v, w in law)
    assert after <= capital(state, before) * (1 + 1e-12)


def test_a_sure_thing_that_fails_rarely_is_priced_to_the_last_digits() -> None:
    """A guess of 1 and a failure in 50: e^(b p) (1 - b p) of each bet b is left, 1 - O(b^2 p^2)."""
    state = RunningSum(count=10**9, total=1e9)
    after = 0.98 * capital(state.add(1), 1e9 + 0.98) + 0.02 * capital(state.add(0), 1e9 + 0.98)
    assert 1 - 0.02**2 / 8 < after <= 1 + 1e-6


def test_the_mixture_begins_with_one() -> None:
    assert capital(RunningSum(), 0.0) == pytest.approx(1.0, abs=1e-12)


def drifting(rng: np.random.Generator, state: RunningSum) -> tuple[float, float]:
    """A value and its expectation, which falls after a success: what was seen decides."""
    mean = 0.7 if state.count % 3 else max(0.02, 0.6 - 0.01 * state.total)
    return float(rng.random() < mean), mean


def test_means_that_drift_and_react_are_covered() -> None:
    """300 paths of 150 values; each end is wrong somewhere in at most delta of them."""
    rng, delta, wrong = np.random.default_rng(0), 0.2, np.zeros(2)
    goal = math.log(1 / delta)
    for _ in range(300):
        state, means, missed = RunningSum(), 0.0, np.zeros(2, bool)
        for _ in range(150):
            value, mean = drifting(rng, state)
            state, means = state.add(value), means + mean
            leads = (state.total - means, means - state.total)
            missed |= [state._log_capital(lead) >= goal for lead in leads]
        wrong += missed
    assert (wrong / 300 <= delta + 3 * math.sqrt(delta / 300)).all()


def rare_failure_misses(paths: int, length: int, delta: float, rate: float = 0.02) -> float:
    """Share of paths, all side by side, whose lower bound is ever wrong; most values are 1."""
    from cpi_theory.statistics.running_sum import _BETS, _COSTS, _SHARES

    rng = np.random.default_rng(1)
    total, spread, missed = np.zeros(paths), np.zeros(paths), np.zeros(paths, bool)
    for n in range(length):
        guess = (0.5 + total) / (1 + n)
        value = rng.random(paths) >= rate
        total, spread = total + value, spread + (value - guess) ** 2
        lead = total - (n + 1) * (1 - rate)
        won = np.exp(_BETS * lead[:, None] - _COSTS * spread[:, None]) @ _SHARES
        missed |= won >= 1 / delta
    return float(missed.mean())


def test_rare_failures_use_up_most_of_delta() -> None:
    """Where it is nearly tight: a failure costs a bet the factor 1 - b exactly.

    Between failures the capital grows in small steps and does not jump over its goal. What is left
    of delta is what bets hold that 4,000 values do not decide.
    """
    missed = rare_failure_misses(3000, 4000, 0.2)
    assert 0.5 * 0.2 <= missed <= 0.2 + 3 * math.sqrt(0.2 * 0.8 / 3000)


@settings(max_examples=50, deadline=None)
@given(st.lists(UNIT, min_size=1, max_size=40), st.floats(0.01, 1), st.floats(-3, 1))
def test_the_ends_are_where_the_bets_have_won(
    values: list[float], delta: float, low: float
) -> None:
    state = RunningSum(low, low + 4)
    for value in values:
        state = state.add(low + 4 * value)
    lower, upper = state.lower(delta), state.upper(delta)
    assert low * len(values) - 1e-9 <= lower <= state.sum <= upper
    assert upper <= (low + 4) * len(values) + 1e-9
    for limit in (upper - 1e-6, upper + 1e-6):
        assert state.surely_at_most(limit, delta) == (upper <= limit)
    if lower > low * len(values) + 1e-9:
        lead = (state.sum - lower) / 4
        assert state._log_capital(lead) == pytest.approx(math.log(1 / delta), abs=1e-6)


def test_ten_thousand_values_are_enough_for_a_percent() -> None:
    """Worked by hand: one bet b alone has slack (ln 20 - ln w + psi(b) V) / b with V = n / 4."""
    state = RunningSum(count=10_000, total=5_000.0, spread=2_500.0)
    alone = min(
        (math.log(20 / (13 / 12 / (j * (j + 1)))) + (-math.log1p(-(2.0**-j)) - 2.0**-j) * 2500)
        * 2.0**j
        for j in range(1, 13)
    )
    assert 0.8 * alone < 5_000 - state.lower(0.05) <= alone
    assert state.upper(0.05) - state.lower(0.05) < 600


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RunningSum(1.0, 0.0), "high = 0.0: not above low = 1.0"),
        (lambda: RunningSum().add(1.5), "value = 1.5"),
        (lambda: RunningSum().add(float("nan")), "value = nan"),
        (lambda: RunningSum().lower(0.0), "delta = 0.0"),
        (lambda: RunningSum().upper(2.0), "delta = 2.0"),
    ],
)
def test_bad_input_is_refused(call, message) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()
