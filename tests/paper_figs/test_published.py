"""Numbers of the paper are read with the uncertainty that its own errors imply."""

import numpy as np
import pytest
from scipy import stats

from paper_figs.published import CURVES, DEVIATIONS, RUNS, last_difference, within


def test_intervals_are_students_of_three_runs():
    # SRPO's last point: 29.83 with a plotted error of 4.22, so a sample deviation of 4.22 sqrt(3/2)
    # sqrt(3) = 8.95 over three runs; t with two degrees of freedom is 4.303.
    low, high = CURVES["SRPO"].interval()[:, -1]
    assert (low, high) == pytest.approx((29.83 - 22.24, 29.83 + 22.24), abs=0.01)


def test_intervals_are_those_of_any_three_runs_with_such_errors():
    runs = np.array([1.0, 4.0, 7.0])
    around = runs - runs.mean()
    for curve in CURVES.values():
        made = curve.values[-1] + around / around.std() * curve.errors[-1] * np.sqrt(RUNS)
        expected = stats.t.interval(0.9, RUNS - 1, made.mean(), stats.sem(made))
        assert curve.interval(0.9)[:, -1] == pytest.approx(expected)


def test_the_first_point_has_no_interval():
    assert all(np.isnan(curve.interval()[:, 0]).all() for curve in CURVES.values())


def test_the_headline_is_not_shown_by_three_runs():
    difference, p = last_difference("SRPO", "GRPO")
    assert difference == pytest.approx(6.71)
    assert p == pytest.approx(0.32, abs=0.01)
    assert last_difference("RRPO", "GRPO")[1] == pytest.approx(0.8, abs=0.05)


def test_curves_have_a_point_per_update_and_begin_together():
    assert {len(c.values) for c in CURVES.values()} == {len(c.errors) for c in CURVES.values()}
    assert len({c.values[0] for c in CURVES.values()}) == 1


def test_deviations_beyond_the_reach_are_put_together():
    assert sum(d.prompts for d in within(2)) == sum(d.prompts for d in DEVIATIONS) == 926
    first = within(2)[0]
    assert (first.deviation, first.prompts) == (-2, 141 + 46 + 64)
    assert first.corrected == pytest.approx((141 * 0.152 + 46 * 0.114 + 64 * 0.098) / 251)
    assert [d.prompts for d in within(4)] == [d.prompts for d in DEVIATIONS]
