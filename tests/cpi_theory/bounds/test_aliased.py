"""T7s: the exact number in fractions, its closed form, and a sequential test that attains its."""

import math
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.bounds.aliased import (
    aliased_lower_bound,
    aliased_samples,
    sequential_aliased_lower_bound,
)
from cpi_theory.checks import InvalidInput


def sign_error(n, shift):
    """Error of counting signs, each right with probability 1/2 + shift, with fair ties; exact."""
    p = F(1, 2) + shift
    law = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    return sum(c for k, c in enumerate(law) if 2 * k < n) + (law[n // 2] / 2 if n % 2 == 0 else 0)


@settings(max_examples=60)
@given(
    st.fractions("1/20", 1, max_denominator=20),
    st.fractions("1/20", "9/20", max_denominator=20),
    st.fractions("1/50", "1/2", max_denominator=50),
)
def test_the_number_is_exact(coverage, tau, delta):
    shift = coverage * tau
    if shift < F(1, 20):
        return
    needed = aliased_samples(coverage, tau, float(delta))
    assert needed % 2 == 1
    slack = F(1, 10**12)  # at equality rounding may decide either way
    assert sign_error(needed, shift) <= delta + slack
    for fewer in range(1, needed):
        assert sign_error(fewer, shift) >= delta - slack
    assert aliased_lower_bound(coverage, tau, float(delta)) <= needed


def test_values_worked_by_hand():
    # x = 1/4: one trial errs with 1/4, three with (1/4)^3 + 3 (1/4)^2 (3/4) = 10/64.
    assert aliased_samples(0.5, 0.5, 0.25) == 1
    assert aliased_samples(0.5, 0.5, 0.24) == 3
    assert aliased_samples(0.5, 0.5, 10 / 64) == 3
    assert aliased_samples(0.5, 1.0, 0.15, 2.0) == 5
    # 4 d (1 - d) = 3/4 at d = 1/4, and 1 - 4 x^2 = 3/4.
    assert aliased_lower_bound(0.5, 0.5, 0.25) == pytest.approx(1.0)
    assert aliased_lower_bound(0.5, 1.0, 0.25, 2.0) == pytest.approx(1.0)
    assert aliased_lower_bound(0.5, 0.5, 0.5) == 0
    # (1 - 1/2) ln 3 / (1/2 ln 3) = 1: one trial errs with 1/4.
    assert sequential_aliased_lower_bound(0.5, 0.5, 0.25) == pytest.approx(1.0)
    assert sequential_aliased_lower_bound(0.5, 1.0, 0.25, 2.0) == pytest.approx(1.0)
    assert sequential_aliased_lower_bound(0.5, 0.5, 0.5) == 0


def test_small_shifts_need_as_many_as_a_normal_law_says():
    # z = 1.2816 at delta = .1: z^2 / (4 x^2).
    assert aliased_samples(0.01, 0.1, 0.1) == pytest.approx(1.28155**2 / 4e-6, rel=1e-4)
    assert aliased_samples(1e-4, 0.1, 0.1) == pytest.approx(1.28155**2 / 4e-10, rel=1e-4)


@pytest.mark.parametrize("lead", [1, 3, 8])
@pytest.mark.parametrize("shift", [0.01, 0.2, 0.45])
def test_stopping_at_a_lead_attains_the_sequential_bound(lead, shift):
    """A walk that stops `lead` ahead errs with 1 / (1 + r^lead) (gambler's ruin)."""
    ratio = (0.5 + shift) / (0.5 - shift)
    delta = 1 / (1 + ratio**lead)
    mean = lead * (1 - 2 * delta) / (2 * shift)
    bound = sequential_aliased_lower_bound(1.0, shift, delta)
    assert bound == pytest.approx(mean)
    assert bound <= aliased_samples(1.0, shift, delta) + 1e-9


@pytest.mark.parametrize(
    "function", [aliased_samples, aliased_lower_bound, sequential_aliased_lower_bound]
)
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((0.0, 0.1, 0.05), "coverage"),
        ((1.1, 0.1, 0.05), "coverage"),
        ((0.5, 0.0, 0.05), "tau"),
        ((0.1, 0.6, 0.05), "tau"),
        ((0.5, 0.1, 0.0), "delta"),
        ((0.5, 0.1, 0.9), "delta"),
        ((0.5, 0.1, 0.05, 0.0), "reward_bound"),
        ((1.0, 0.5, 0.05), r"coverage \* tau / reward_bound"),
    ],
)
def test_bad_arguments_are_refused_by_name(function, arguments, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        function(*arguments)


def test_more_trials_than_can_be_counted_are_refused():
    with pytest.raises(InvalidInput, match=r"^samples"):
        aliased_samples(1e-9, 1e-9, 0.05)
