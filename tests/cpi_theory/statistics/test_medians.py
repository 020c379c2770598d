from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.medians import median_interval

INF = np.inf


def test_six_values_are_the_fewest_that_say_something() -> None:
    # All six on one side of the median: 2 / 2^6 = 3.1 %; of five 6.2 %.
    six, few = median_interval([5, 1, 2, 6, 3, 4]), median_interval([5, 1, 2, 3, 4])
    assert (six.estimate, six.lower, six.upper) == (3.5, 1, 6)
    assert (few.estimate, few.lower, few.upper) == (3, -INF, INF)


def test_what_was_never_reached_counts_as_late() -> None:
    found = median_interval([10, 20, 30, 40, INF, INF, INF])
    assert (found.estimate, found.lower, found.upper) == (40, 10, INF)
    assert median_interval([1, INF]).estimate == INF
    assert median_interval([INF, INF]).estimate == INF


@pytest.mark.parametrize(("n", "k"), [(9, 2), (10, 2), (12, 3), (20, 6), (25, 8)])
def test_ends_are_those_of_the_published_table(n: int, k: int) -> None:
    found = median_interval(np.arange(1, n + 1))
    assert (found.lower, found.upper) == (k, n + 1 - k)
    # The next pair would not cover.
    assert 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= 0.95 > 1 - 2 * stats.binom.cdf(k, n, 0.5)


def test_intervals_cover_skewed_distributions() -> None:
    rng = np.random.default_rng(0)
    covered = [np.log(2) in median_interval(rng.exponential(size=11)) for _ in range(2000)]
    # The exact coverage of eleven values is 98.8 %.
    assert np.mean(covered) == pytest.approx(1 - 2 * stats.binom.cdf(1, 11, 0.5), abs=0.01)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30))
def test_it_is_the_median_of_numpy_and_inside(values: list[float]) -> None:
    found = median_interval(values)
    assert found.estimate == pytest.approx(np.median(values))
    assert found.lower <= found.estimate <= found.upper


@pytest.mark.parametrize("values", [[], [np.nan], [[1.0]]])
def test_what_is_no_list_of_numbers_is_refused(values) -> None:
    with pytest.raises(InvalidInput, match="values"):
        median_interval(values)
