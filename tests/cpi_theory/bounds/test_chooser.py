"""T4 and T4s: exact inverses, coverage by exact laws, classes, values worked by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from cpi_theory.bounds.chooser import (
    chooser_error,
    leading_samples,
    samples_for,
    uniform_accuracy,
)
from cpi_theory.bounds.classes import PolicyClass
from cpi_theory.checks import InvalidInput

CLASSES = st.builds(
    PolicyClass,
    actions=st.integers(2, 50),
    delta=st.floats(1e-9, 0.5),
    policies=st.integers(2, 10**6),
    reward_bound=st.floats(1e-3, 1e3),
)
BOUND_OF_ONE = PolicyClass(4, 0.05, policies=16)


@given(st.integers(1, 10**6), CLASSES)
def test_samples_for_inverts_the_chooser_error(samples, policies):
    error = chooser_error(samples, policies)
    found = samples_for(error, policies)
    if error < policies.reward_bound * (1 - 1e-9):
        # Near R the error hardly moves with n, and rounding may hide a sample.
        assert abs(found - samples) <= (0 if error < 0.99 * policies.reward_bound else samples)
    else:
        assert found >= samples


@given(st.floats(1e-5, 1), CLASSES)
def test_samples_for_is_the_least_number_that_is_accurate_enough(share, policies):
    accuracy = share * policies.reward_bound
    samples = samples_for(accuracy, policies)
    assert chooser_error(samples, policies) <= accuracy * (1 + 1e-9)
    assert samples == 1 or chooser_error(samples - 1, policies) > accuracy * (1 - 1e-9)
    assert samples <= math.ceil(leading_samples(accuracy, policies))


def test_values_worked_by_hand():
    # ln(2 |Pi| / delta) = ln 640: sqrt(2 * 4 * ln 640 / 100) + 4 * ln 640 / 300.
    log_terms = math.log(640)
    accuracy = math.sqrt(0.08 * log_terms) + log_terms / 75
    assert uniform_accuracy(100, BOUND_OF_ONE) == pytest.approx(accuracy, rel=1e-14)
    seven = PolicyClass(4, 0.05, policies=16, reward_bound=7.0)
    assert uniform_accuracy(100, seven) == pytest.approx(7 * accuracy, rel=1e-14)
    # ln(15 / .05) = ln 300; exponent of eps = .6: -ln(1 - 2/4 (1 - .8)) = -ln .9.
    assert samples_for(0.6, BOUND_OF_ONE) == math.ceil(math.log(300) / -math.log(0.9)) == 55
    assert samples_for(4.2, seven) == 55
    # 2 actions, 2 candidates, delta 1/4: l = ln 4. At n = 2, (1 - 1/2) 2 / 2 = 1/2 is lost, and
    # sqrt(1 - 1/4) is left.
    two = PolicyClass(2, 0.25, policies=2)
    assert chooser_error(2, two) == pytest.approx(math.sqrt(0.75))
    assert chooser_error(2, PolicyClass(2, 0.25, policies=2, reward_bound=3.0)) == pytest.approx(
        3 * math.sqrt(0.75)
    )


def test_no_choice_takes_no_samples_to_speak_of():
    alone = PolicyClass(4, 0.05, policies=1)
    assert samples_for(0.1, alone) == 1
    assert chooser_error(1, alone) == 0
    assert leading_samples(0.1, alone) == 0
    # No candidate is worse by more than R.
    assert samples_for(1.5, BOUND_OF_ONE) == 1
    assert chooser_error(1, BOUND_OF_ONE) == 1


@given(CLASSES)
def test_samples_grow_like_the_leading_term(policies):
    accuracy = 1e-4 * policies.reward_bound
    log_terms = math.log((policies.policies - 1) / policies.delta)
    leading = policies.actions * policies.reward_bound**2 * log_terms / accuracy**2
    assert leading_samples(accuracy, policies) == pytest.approx(leading)
    assert samples_for(accuracy, policies) == pytest.approx(leading, rel=1e-4)


def test_the_size_of_a_class_can_be_said_in_three_ways():
    counted = PolicyClass(4, 0.05, policies=4**30)
    logged = PolicyClass(4, 0.05, log_policies=30 * math.log(4))
    mapped = PolicyClass(4, 0.05, observations=30)
    assert samples_for(0.1, counted) == samples_for(0.1, logged) == samples_for(0.1, mapped)
    assert PolicyClass(2, 0.1, policies=2).log_rivals == pytest.approx(0)
    assert PolicyClass(2, 0.1, policies=1).log_rivals == -math.inf
    huge = PolicyClass(4, 0.05, policies=4**3000)
    assert samples_for(0.1, huge) == samples_for(0.1, PolicyClass(4, 0.05, observations=3000))


@pytest.mark.parametrize("trials", [1, 3, 6])
@pytest.mark.parametrize("delta", [0.5, 0.2])
def test_the_chooser_is_as_close_as_promised_by_enumeration(trials, delta):
    """Every count of three actions' outcomes, the constant candidates, b = R/2, fair ties."""
    chances = np.array([0.9, 0.5, 0.2])
    policies = PolicyClass(3, delta, policies=3)
    cells = np.concatenate([chances, 1 - chances]) / 3
    lacking = dict.fromkeys((0.0, 0.4, 0.7), 0.0)
    for counts in itertools.product(range(trials + 1), repeat=5):
        if sum(counts) > trials:
            continue
        full = np.array([*counts, trials - sum(counts)])
        scores = full[:3] - full[3:]
        best = np.flatnonzero(scores == scores.max())
        for a in best:
            gap = round(0.9 - chances[a], 1)
            lacking[gap] += multinomial.pmf(full, trials, cells) / len(best)
    error = chooser_error(trials, policies)
    assert sum(lacking.values()) == pytest.approx(1)
    assert sum(p for gap, p in lacking.items() if gap > error) <= delta


@pytest.mark.parametrize("actions", [1, 2, 20, 200])
@pytest.mark.parametrize("samples", [1, 10, 300, 20_000])
@pytest.mark.parametrize("delta", [0.5, 0.05, 1e-6])
def test_the_accuracy_fails_no_more_often_than_it_says(actions, samples, delta):
    """Exact tails of the roughest estimate: X is |A| R with probability q / |A|, else 0."""
    policies = PolicyClass(actions, delta, policies=1, reward_bound=2.0)
    radius = uniform_accuracy(samples, policies) / (2.0 * actions)
    for success in np.linspace(0, 1, 41) / actions:
        low = math.ceil(samples * (success - radius)) - 1
        high = math.floor(samples * (success + radius))
        tails = binom.cdf(low, samples, success) + binom.sf(high, samples, success)
        assert tails <= delta


def test_with_rare_actions_and_small_delta_the_accuracy_is_nearly_tight():
    """Halving the error, or dropping its second term, would make the statement false."""
    samples, actions, delta = 40_000, 200, 1e-4
    radius = uniform_accuracy(samples, PolicyClass(actions, delta, policies=1)) / actions
    success = 1 / actions
    claimed = binom.sf(math.floor(samples * (success + radius)), samples, success)
    assert 0 < claimed <= delta
    halved = binom.sf(math.floor(samples * (success + radius / 2)), samples, success)
    assert halved > delta
    slow = math.sqrt(2 * math.log(2 / delta) / (actions * 300))
    assert binom.sf(math.floor(300 * (success + slow)), 300, success) > delta


def test_a_delta_that_means_its_opposite_is_explained():
    with pytest.raises(InvalidInput, match=r"give delta, e\.g\. 0\.05"):
        PolicyClass(4, 0.95, policies=16)


GOOD = {"actions": 4, "delta": 0.05, "policies": 16}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("actions", {"actions": 0}),
        ("delta", {"delta": 0}),
        ("delta", {"delta": math.nan}),
        ("policies", {"policies": 0}),
        ("policies", {"policies": None}),
        ("policies", {"log_policies": 1.0}),
        ("policies", {"observations": 3}),
        ("log_policies", {"policies": None, "log_policies": -1.0}),
        ("log_policies", {"policies": None, "log_policies": math.inf}),
        ("observations", {"policies": None, "observations": 0}),
        ("purity", {"policies": None, "observations": 3, "purity": 0.0}),
        ("purity", {"policies": None, "observations": 3, "purity": 1.1}),
        ("purity", {"purity": 0.5}),
        ("wide_gaps", {"wide_gaps": True}),
        ("wide_gaps", {"policies": None, "observations": 3, "purity": 0.5, "wide_gaps": True}),
        ("reward_bound", {"reward_bound": 0.0}),
        ("reward_bound", {"reward_bound": math.inf}),
    ],
)
def test_impossible_classes_are_refused_by_name(field, change):
    assert PolicyClass(**GOOD).log_size == pytest.approx(math.log(16))
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        PolicyClass(**GOOD | change)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: uniform_accuracy(0, BOUND_OF_ONE), "samples"),
        (lambda: chooser_error(0, BOUND_OF_ONE), "samples"),
        (lambda: samples_for(0.0, BOUND_OF_ONE), "accuracy"),
        (lambda: samples_for(math.nan, BOUND_OF_ONE), "accuracy"),
        (lambda: samples_for(1e-200, BOUND_OF_ONE), "accuracy"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        call()
