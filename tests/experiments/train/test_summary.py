"""Summaries of training runs where hardly anything is left to count."""

from __future__ import annotations

import math

import pytest

from experiments.curve_statistics import Curves, pairs
from experiments.train.localization_meter import LocalizationTally
from experiments.train.report import (
    localization_verdicts,
    localizer_answer,
    taught_verdict,
    unlearned_verdicts,
)
from experiments.train.summary import finals, localization, reward_verdicts


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


def test_the_failures_of_one_seed_count_by_themselves():
    """Wilson's interval at 3 of 4 and at 0 of 1, by hand: z^2 = 3.8415."""
    (row,) = localization([curves((0, 0), (4, 3))])
    assert (row["asked"], row["exact"], row["exact_rate"]) == (4, 3, 0.75)
    assert (row["lower"], row["upper"]) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    (row,) = localization([curves((1, 0))])
    assert (row["lower"], row["upper"]) == (0, pytest.approx(3.8415 / 4.8415, abs=1e-4))
    assert localization([curves((0, 0), (0, 0))]) == []


def trained(*seeds):
    """One seed per argument: (before, after), sampled and greedy alike."""
    rows = tuple(tuple({"value": rate, "greedy": rate} for rate in seed) for seed in seeds)
    return {("w", "SRPO"): Curves("w", "SRPO", tuple(range(len(seeds))), rows)}


def test_the_gain_of_one_seed_has_the_interval_of_its_texts():
    """Newcombe's interval at 0 and 3 of 8, from the ends of Wilson's: .3244, .1368 and .6943."""
    for row in finals(trained((0.0, 0.375)), 8):
        assert (row["before"], row["after"], row["gain"], row["seeds"]) == (0, 0.375, 0.375, 1)
        low = 0.375 - math.hypot(0.375 - 0.1368, 0.3244)
        high = 0.375 + (0.6943 - 0.375)
        assert (row["lower"], row["upper"]) == pytest.approx((low, high), abs=1e-4)


def test_seeds_that_gained_the_same_are_no_certainty():
    """Sixteen texts that failed twice leave a gain of up to z^2 / (16 + z^2) either way."""
    (row, _) = finals(trained((0.0, 0.0), (0.0, 0.0)), 8)
    end = 3.8415 / (16 + 3.8415)
    assert (row["gain"], row["lower"], row["upper"]) == pytest.approx((0, -end, end), abs=1e-4)


def test_seeds_that_differ_by_the_same_show_no_difference():
    """The same holds of two methods: 2 and 0 of 16 texts, once more by Newcombe's formula."""
    ours, theirs = (
        Curves("w", method, (0, 1), tuple(points(rate) for _ in range(2)))
        for method, rate in (("SRPO", 0.125), ("GRPO", 0.0))
    )
    both = {("w", "SRPO"): ours, ("w", "GRPO"): theirs}
    (row,) = pairs(both, ("rollouts",), (("SRPO", "GRPO"),), 8)
    low = 0.125 - math.hypot(0.125 - 0.0350, 0.1936)
    assert (row["difference"], row["lower"]) == pytest.approx((0.125, low), abs=1e-4)
    assert row["lower"] < 0 < row["upper"]
    assert "no difference" in row["verdict"]


def points(rate):
    """A curve that stays at a pass rate."""
    return tuple({"value": rate, "rollouts": at} for at in (0, 8))


def test_no_gain_is_larger_than_one():
    """Two seeds a little apart: Student's quantile 12.7 would reach beyond all pass rates."""
    (row, _) = finals(trained((0.0, 0.5), (0.0, 1.0)), 8)
    assert (row["gain"], row["lower"], row["upper"]) == (0.75, -1, 1)


def test_what_nothing_changed_is_called_chance():
    row = {"world": "w", "method": "GRPO", "informative": 0.0}
    *_, said = unlearned_verdicts([row])
    assert "differ by the texts that were drawn" in said
    assert unlearned_verdicts([row | {"informative": 0.5}]) == ()


@pytest.mark.parametrize(("failures", "headline"), [((1, 0), "not known yet"), ((40, 10), "25% [")])
def test_a_few_failures_make_no_headline(failures, headline):
    """The rate of one failure is no number to lead with; its sentence says how many there were."""
    (row,) = localization([curves(failures)])
    answer = localizer_answer([row], "tiny model", "run")
    assert answer.number.startswith(headline)
    assert f"of {failures[0]} failure" in answer.sentence


def test_a_localiser_that_was_measured_once_has_no_first_and_last():
    (row,) = localization([curves((4, 4))])
    (said,) = localization_verdicts([row])
    assert "100% [51%, 100%] of 4 failures, measured once" in said
    assert "at last" not in said
    assert said.count("100%") == 2
    (said,) = localization_verdicts([row, row | {"x": 128}])
    assert "of 4 failures at first and in 100% [51%, 100%] of 4 failures at last" in said


def test_results_say_whether_localisation_was_taught() -> None:
    said = [taught_verdict({"localization_taught": taught}) for taught in (True, False, None)]
    assert "was taught" in said[0]
    assert "was not taught" in said[1]
    assert "not recorded" in said[2]


def test_rewards_between_0_and_1_stand_beside_pass_rates_and_others_add_nothing():
    graded = {"value": 0.0, "greedy": 0.0, "mean_reward": 0.5, "greedy_mean_reward": 0.25}
    binary = graded | {"mean_reward": 0.0, "greedy_mean_reward": 0.0}
    both = {("w", "SRPO"): Curves("w", "SRPO", (0,), ((binary, graded),))}
    sampled, greedy = finals(both, 8)
    assert (sampled["before"], sampled["after"], sampled["gain"]) == (0, 0, 0)
    assert (sampled["reward_before"], sampled["reward_after"]) == (0, 0.5)
    assert (greedy["reward_before"], greedy["reward_after"]) == (0, 0.25)
    (said,) = reward_verdicts([sampled, greedy])
    assert "from 0.000 to 0.500" in said
    plain = finals({("w", "SRPO"): Curves("w", "SRPO", (0,), ((binary, binary),))}, 8)
    assert plain == finals(trained((0.0, 0.0)), 8)
    assert reward_verdicts(plain) == ()
