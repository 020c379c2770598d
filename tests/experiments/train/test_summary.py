"""Summaries of training runs where hardly anything is left to count."""

from __future__ import annotations

import pytest

from experiments.curve_statistics import Curves
from experiments.train.localization_meter import LocalizationTally
from experiments.train.report import taught_verdict
from experiments.train.summary import localization


def curves(*seeds):
    """One seed per argument, whose later record has (asked, exact)."""
    nothing = {"rollouts": 0, "localization": LocalizationTally().row()}
    rows = []
    for asked, exact in seeds:
        tally = LocalizationTally(asked=asked, named=asked, exact=exact).row()
        rows.append((nothing, {"rollouts": 64, "localization": tally}))
    return Curves("w", "SRPO", tuple(range(len(seeds))), tuple(rows))


def test_rates_are_over_all_seeds():
    (row,) = localization([curves((10, 5), (30, 25))])
    assert (row["x"], row["asked"], row["exact"]) == (64, 40, 30)
    assert row["exact_rate"] == pytest.approx(0.75)
    assert row["lower"] < 0.75 < row["upper"]


def test_one_seed_with_failures_left_gives_counts_without_an_interval():
    (row,) = localization([curves((0, 0), (4, 3))])
    assert (row["asked"], row["exact"]) == (4, 3)
    assert row["exact_rate"] is row["lower"] is row["upper"] is None
    assert localization([curves((0, 0), (0, 0))]) == []


def test_results_say_whether_localisation_was_taught() -> None:
    said = [taught_verdict({"localization_taught": taught}) for taught in (True, False, None)]
    assert "was taught" in said[0]
    assert "was not taught" in said[1]
    assert "not recorded" in said[2]
