"""The confidence in the sign of a mean: worked values, and how often it is wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.bounded_mean import positive_mean_confidence
from cpi_theory.statistics.intervals import exact_interval


@pytest.mark.parametrize("size", [0.2, 1.0])
@pytest.mark.parametrize("count", [1, 2, 6])
def test_values_above_0_alone_are_worth_a_product(count, size):
    """P(G_0 < d (G_1 + ... + G_m)) = 1 - (1 + d)^-m: each G_i has E exp(-d G_i) = 1 / (1 + d)."""
    found = positive_mean_confidence([size] * count + [0.0] * 50, 1.0, draws=20_000)
    assert found == pytest.approx(1 - (1 + size) ** -count, abs=0.01)
    assert positive_mean_confidence([-size] * count, 1.0) == 0


def test_two_kinds_of_values_give_the_exact_binomial_test():
    """Of values 1 and -1, k of n: the sign test's P(at least k heads of n fair coins)."""
    for n, k in ((5, 4), (8, 6), (12, 9)):
        found = positive_mean_confidence([1.0] * k + [-1.0] * (n - k), 1.0, draws=20_000)
        assert found == pytest.approx(1 - stats.binom.sf(k - 1, n, 0.5), abs=0.01)


def test_values_unseen_are_allowed_for_where_a_bootstrap_is_sure():
    seen = np.array([0.05] * 8)
    assert positive_mean_confidence(seen, 1.0) < 0.35  # one value in 20 may be -1
    assert positive_mean_confidence(seen, 0.05) > 0.99


def test_many_values_need_no_bound():
    values = np.random.default_rng(0).normal(0.1, 0.5, 400).clip(-3, 3)
    z = values.mean() / (values.std() / 20)
    assert positive_mean_confidence(values, 3.0) == pytest.approx(stats.norm.cdf(z), abs=0.02)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(2, 6),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    st.lists(st.floats(0.02, 1), min_size=3, max_size=3),
)
def test_it_is_wrong_no_more_often_than_it_says(n, support, weights):
    """Every sample of n values from a law on three points whose mean is moved to 0 or below."""
    law = np.array(weights) / sum(weights)
    points = np.array(support)
    points = points - max(float(law @ points), 0.0)
    bound = max(1.0, -points.min())
    samples = list(itertools.combinations_with_replacement(range(3), n))
    chances = np.array(
        [stats.multinomial.pmf([s.count(i) for i in range(3)], n, law) for s in samples]
    )
    sure = np.array([positive_mean_confidence(points[list(s)], bound, draws=2000) for s in samples])
    for error in (0.3, 0.2, 0.1, 0.05, 0.025):
        # 0.01: the noise of the random weights.
        assert chances[sure >= 1 - error + 0.01].sum() <= error


def test_wrong_bounds_are_refused():
    with pytest.raises(InvalidInput, match="values"):
        positive_mean_confidence([-2.0, 1.0], 1.0)
    with pytest.raises(InvalidInput, match="values"):
        positive_mean_confidence([np.nan], 1.0)


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.8, 0.95]))
def test_the_exact_interval_is_scipy_s(successes, failures, level):
    trials = max(successes + failures, 1)
    ours = exact_interval(successes, trials, level)
    ref = stats.binomtest(successes, trials).proportion_ci(level, method="exact")
    assert (ours.lower, ours.upper) == pytest.approx((ref.low, ref.high), abs=1e-9)
