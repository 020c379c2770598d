"""T4s: exponents against exact laws, attained by outcomes, optimal, and worked by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from cpi_theory.bounds.pairs import (
    chernoff_exponent,
    error_exponent,
    least_count,
    outcome_exponent,
    same_trials_failure,
    samples_lower_bound,
    union_samples,
)
from cpi_theory.checks import InvalidInput

SHARES = st.floats(0.01, 1)


def fair_sign_error(n, plus, minus):
    """P(S < 0) + P(S = 0) / 2 of n draws of +1, -1 or 0, by convolution."""
    law = np.array([minus, 1 - plus - minus, plus])
    total = law
    for _ in range(n - 1):
        total = np.convolve(total, law)
    return float(total[:n].sum() + total[n] / 2)


@given(SHARES, SHARES, st.integers(2, 9), st.floats(0.1, 10))
def test_the_closed_form_and_its_quadratic(slant, differ, actions, reach):
    gap = slant * 2 * differ * reach
    exponent = error_exponent(gap, actions, reach, differ)
    assert exponent >= gap**2 / (4 * differ * actions * reach**2) * (1 - 1e-12)
    # Candidates that differ everywhere are the hardest to tell apart at the same gap.
    wide = min(gap, 2 * reach)
    assert error_exponent(wide, actions, reach) <= exponent * (1 + 1e-12)


def test_closed_forms_worked_by_hand():
    # slant 3/5: 1 - 2 (1/2) / 4 (1 - 4/5) = .95.
    assert error_exponent(0.6, 4, 1.0, 0.5) == pytest.approx(-math.log(0.95))
    assert error_exponent(0.0, 4, 1.0) == 0
    # Every trial speaks for the better one: with two actions all are told by one trial.
    assert error_exponent(1.0, 2, 0.5) == math.inf
    assert error_exponent(1.0, 4, 0.5) == pytest.approx(math.log(2))
    # b = 0: 1 - (sqrt .64 - sqrt .04)^2 / 3.
    exact = -math.log(1 - 0.36 / 3)
    assert outcome_exponent(0.64, 0.04, 3, baseline=0.0) == pytest.approx(exact)
    assert outcome_exponent(0.64, 0.04, 3, 1.0, 0.0, 7.0) == pytest.approx(exact)


@given(SHARES, SHARES, SHARES, st.integers(2, 6))
def test_half_of_the_bound_as_baseline_gives_the_closed_form(better, worse, differ, actions):
    better, worse = better * differ, worse * better * differ
    gap = better - worse
    assume(gap > 1e-3)
    closed = error_exponent(gap, actions, 0.5, differ)
    assert outcome_exponent(better, worse, actions, differ) == pytest.approx(closed, rel=1e-6)


@settings(max_examples=60)
@given(st.integers(1, 30), SHARES, SHARES, st.integers(2, 6))
def test_with_fair_ties_the_error_is_at_most_half_of_the_bound(n, better, worse, actions):
    worse *= better
    for baseline, plus, minus in (
        (0.5, (1 + better - worse) / actions, (1 - better + worse) / actions),
        (0.0, better / actions, worse / actions),
    ):
        exponent = outcome_exponent(better, worse, actions, baseline=baseline)
        assert fair_sign_error(n, plus, minus) <= math.exp(-n * exponent) / 2 + 1e-12


def test_the_exponent_is_attained():
    """The share of exp(-n e) comes near 1/2 for small gaps, and the exponent is Cramer's."""
    shares = [
        fair_sign_error(n, 0.5 + x, 0.5 - x) / math.exp(-n * error_exponent(2 * x, 2, 0.5))
        for n in (1, 9)
        for x in (0.1, 0.001)
    ]
    assert max(shares) > 0.49
    assert max(shares) <= 0.5
    rate = -math.log(fair_sign_error(3000, 0.6, 0.4)) / 3000
    assert rate == pytest.approx(error_exponent(0.2, 2, 0.5), rel=0.08)


def test_rare_successes_are_told_apart_without_a_baseline():
    rare = [outcome_exponent(0.02, 0.01, 4, baseline=b) for b in (0.0, 0.5)]
    assert rare[0] > 10 * rare[1]
    often = [outcome_exponent(0.52, 0.48, 4, baseline=b) for b in (0.0, 0.5)]
    assert often[1] > 1.9 * often[0]


LAWS = st.lists(st.tuples(st.integers(-6, 6), st.integers(1, 9)), min_size=2, max_size=6)


def law_of(pairs):
    values = np.array([v for v, _ in pairs], float)
    weights = np.array([w for _, w in pairs], float)
    return values, weights / weights.sum()


@given(LAWS)
def test_chernoff_bounds_sums_and_agrees_with_a_plain_minimisation(pairs):
    values, law = law_of(pairs)
    exponent = chernoff_exponent(values, law)
    if law @ values <= 0:
        assert exponent == 0
        return
    table = np.zeros(13)
    np.add.at(table, values.astype(int) + 6, law)
    total = table
    for n in range(1, 7):
        bad = float(total[: 6 * n + 1].sum())
        assert bad <= math.exp(-n * exponent) + 1e-12
        total = np.convolve(total, table)
    if values.min() < 0:
        found = minimize_scalar(
            lambda t: float(law @ np.exp(-t * values)), bounds=(0, 20), method="bounded"
        )
        assert math.exp(-exponent) == pytest.approx(found.fun, abs=1e-6)


def test_laws_without_losses():
    assert chernoff_exponent([0.0, 1.0], [0.25, 0.75]) == pytest.approx(math.log(4))
    assert chernoff_exponent([1.0, 2.0], [0.25, 0.75]) == math.inf
    assert chernoff_exponent([-1.0, 1.0], [0.5, 0.5]) == 0
    tiny = chernoff_exponent([-1.0, 1.0], [1e-200, 1 - 1e-200])
    assert tiny == pytest.approx(-math.log(2e-100))
    slight = chernoff_exponent([-1.0, 1.0], [0.5 - 1e-9, 0.5 + 1e-9])
    assert slight == pytest.approx(2e-18, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(SHARES, SHARES, st.integers(2, 9), st.floats(0.01, 0.5))
def test_the_mean_of_the_same_trials_is_a_safe_baseline(better, worse, n, miss):
    """Two actions, every count of successes and failures, the data's mean subtracted."""
    worse *= better
    wrong = 0.0
    cells = np.array([better, 1 - better, worse, 1 - worse]) / 2
    for counts in itertools.product(range(n + 1), repeat=3):
        if sum(counts) > n:
            continue
        won, lost, rival, other = *counts, n - sum(counts)
        score = won - rival - (won + rival) / n * (won + lost - rival - other)
        if score <= 1e-12:
            ways = math.factorial(n) / math.prod(map(math.factorial, (won, lost, rival, other)))
            wrong += ways * float(np.prod(cells ** [won, lost, rival, other]))
    mean = (better + worse) / 2
    assert wrong <= same_trials_failure(n, better, worse, 2, mean, miss) + 1e-12


def test_the_failure_of_a_data_baseline_worked_by_hand():
    # ln(2 / eta) = 8 at eta = 2 e^-8, so that the width is sqrt(8 / (2 * 400)) = .1.
    miss = 2 * math.exp(-8)
    ends = [outcome_exponent(0.8, 0.6, 2, baseline=b) for b in (0.6, 0.8)]
    expected = miss + math.exp(-400 * ends[0]) + math.exp(-400 * ends[1])
    assert same_trials_failure(400, 0.8, 0.6, 2, 0.7, miss) == pytest.approx(expected)
    scaled = same_trials_failure(400, 0.8, 0.6, 2, 2.1, miss, reward_bound=3.0)
    assert scaled == pytest.approx(expected)
    assert same_trials_failure(1, 0.8, 0.6, 2, 0.7, 0.5) == 1


@given(st.lists(st.floats(1e-4, 3), min_size=1, max_size=5), st.floats(1e-6, 0.5))
def test_a_union_is_the_least_number(exponents, delta):
    n = union_samples(exponents, delta)
    assert sum(math.exp(-n * e) for e in exponents) <= delta
    assert n == 1 or sum(math.exp(-(n - 1) * e) for e in exponents) > delta


def test_unions_worked_by_hand():
    assert union_samples(math.log(2), 0.126) == 3
    assert union_samples([math.log(2), math.log(2)], 0.126) == 4
    assert union_samples([math.log(2), math.log(2)], 0.126, [1.0, 0.0]) == 3
    assert union_samples(5.0, 0.5, 0.1) == 1


@pytest.mark.parametrize("actions", [2, 5])
@pytest.mark.parametrize("slant", [0.5, 0.1])
@pytest.mark.parametrize("delta", [0.3, 0.05])
def test_no_test_of_two_worlds_needs_fewer_than_the_lower_bound(actions, slant, delta):
    """The sign count is the best test of worlds that exchange two actions; ties are drawn."""
    plus, minus = (1 + slant) / actions, (1 - slant) / actions
    needed = least_count(lambda n: fair_sign_error(n, plus, minus) <= delta)
    bound = samples_lower_bound(error_exponent(slant, actions, 0.5), delta)
    assert bound <= needed <= 4 * bound + 2


def test_lower_bounds_worked_by_hand():
    assert samples_lower_bound(0.5, 0.5) == 0
    # 4 d (1 - d) = 3/4 at d = 1/4.
    assert samples_lower_bound(0.5, 0.25) == pytest.approx(math.log(4 / 3))


def test_counting_finds_the_first():
    assert [least_count(lambda n, k=k: n >= k) for k in range(1, 20)] == list(range(1, 20))
    with pytest.raises(InvalidInput, match=r"^samples"):
        least_count(lambda _: False)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: error_exponent(0.1, 0, 1.0), "actions"),
        (lambda: error_exponent(0.1, 2, 0.0), "reach"),
        (lambda: error_exponent(0.1, 2, 1.0, 0.0), "differ"),
        (lambda: error_exponent(0.1, 2, 1.0, 1.1), "differ"),
        (lambda: error_exponent(-0.1, 2, 1.0), "gap"),
        (lambda: error_exponent(2.1, 2, 1.0), "gap"),
        (lambda: outcome_exponent(0.6, 0.1, 2, 0.5), "better"),
        (lambda: outcome_exponent(0.3, 0.4, 2), "worse"),
        (lambda: outcome_exponent(0.3, 0.1, 2, baseline=1.5), "baseline"),
        (lambda: outcome_exponent(0.3, 0.1, 0), "actions"),
        (lambda: outcome_exponent(0.3, 0.1, 2, reward_bound=0.0), "reward_bound"),
        (lambda: chernoff_exponent([1.0, 2.0], [1.0]), "probabilities"),
        (lambda: chernoff_exponent([1.0, 2.0], [0.5, 0.6]), "probabilities"),
        (lambda: chernoff_exponent([1.0, 2.0], [1.5, -0.5]), "probabilities"),
        (lambda: same_trials_failure(0, 0.3, 0.1, 2, 0.5, 0.1), "samples"),
        (lambda: same_trials_failure(9, 0.3, 0.1, 2, 1.5, 0.1), "mean"),
        (lambda: same_trials_failure(9, 0.3, 0.1, 2, 0.5, 0.0), "miss"),
        (lambda: union_samples([0.0, 1.0], 0.1), "exponents"),
        (lambda: union_samples([1.0], 0.0), "delta"),
        (lambda: union_samples([1.0], 0.1, -1.0), "weights"),
        (lambda: samples_lower_bound(0.0, 0.1), "exponent"),
        (lambda: samples_lower_bound(1.0, 0.9), "delta"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        call()
