"""Group advantages: the normalisation worked by hand, and laws on arbitrary groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.algorithms.advantages import group_advantages
from cpi_theory.checks import InvalidInput

rewards = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, -1, -1]),
        ([1, 0, 0, 0], [math.sqrt(3), -1 / math.sqrt(3), -1 / math.sqrt(3), -1 / math.sqrt(3)]),
        ([1, 0, 0, 0, 0, 0, 0, 0], [math.sqrt(7)] + [-1 / math.sqrt(7)] * 7),
        ([0, 1, 2], [-math.sqrt(1.5), 0, math.sqrt(1.5)]),
    ],
)
def test_population_standard_deviation_worked_by_hand(group, expected):
    np.testing.assert_allclose(group_advantages(group), expected, rtol=1e-14)


def test_without_scale_and_leave_one_out_worked_by_hand():
    np.testing.assert_allclose(group_advantages([1, 0, 0, 0], "none"), [0.75, -0.25, -0.25, -0.25])
    # Against the mean of the other three: 1 - 0 and 0 - 1/3.
    np.testing.assert_allclose(
        group_advantages([1, 0, 0, 0], "leave-one-out"), [1, -1 / 3, -1 / 3, -1 / 3]
    )


@pytest.mark.parametrize("normalization", ["std", "none", "leave-one-out"])
@pytest.mark.parametrize("group", [[0.1] * 3, [1 / 3] * 7, [0], [1.0, 1.0], [0.5, 0.5 + 1e-7]])
def test_a_constant_group_gets_exact_zeros(normalization, group):
    assert not group_advantages(group, normalization).any()


def test_the_threshold_of_constancy_is_the_callers():
    assert group_advantages([0.5, 0.5 + 1e-7], constant=1e-9).tolist() == pytest.approx([-1, 1])
    assert not group_advantages([0.0, 0.01], constant=0.1).any()
    assert group_advantages([0, 1], constant=0.5).tolist() == [-1, 1]  # at the limit, not below
    with np.errstate(all="raise"):
        assert not group_advantages([0.5, 0.5], constant=0.0).any()


@given(st.lists(rewards, min_size=2, max_size=4).filter(lambda g: len({len(x) for x in g}) == 1))
def test_every_group_is_normalised_on_its_own(groups):
    for normalization in ("std", "none", "leave-one-out"):
        together = group_advantages(groups, normalization)
        for group, row in zip(groups, together, strict=True):
            np.testing.assert_array_equal(group_advantages(group, normalization), row)


@given(rewards, st.floats(0.1, 10), st.floats(-5, 5))
def test_std_advantages_are_standardised_and_ignore_shift_and_scale(group, scale, shift):
    a = group_advantages(group)
    if a.any():
        assert a.mean() == pytest.approx(0, abs=1e-9)
        assert (a**2).mean() == pytest.approx(1)
        if np.std(group) > 1e-3:
            np.testing.assert_allclose(
                group_advantages(np.array(group) * scale + shift), a, atol=1e-7
            )


@given(rewards)
def test_leave_one_out_compares_with_the_mean_of_the_others(group):
    a = group_advantages(group, "leave-one-out", constant=0.0)
    others = [np.mean(group[:i] + group[i + 1 :]) for i in range(len(group))]
    np.testing.assert_allclose(a, np.array(group) - others, atol=1e-12)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ([], "no rollouts"),
        ([[], []], "no rollouts"),
        (3.0, "no rollouts"),
        ([0, float("nan")], "not finite"),
        ([0, float("inf")], "not finite"),
    ],
)
def test_bad_groups_are_refused(group, message):
    with pytest.raises(InvalidInput, match=message):
        group_advantages(group)


def test_an_unknown_normalisation_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match=r"'zscore'.*'leave-one-out'"):
        group_advantages([0, 1], "zscore")
