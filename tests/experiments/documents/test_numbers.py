"""Numbers as they are printed."""

from __future__ import annotations

import math

import pytest

from cpi_theory.statistics.intervals import Interval
from experiments.curve_statistics import difference_text, idle_verdicts
from experiments.documents.numbers import (
    factor,
    interval_text,
    number,
    percent,
    points,
    share_text,
    with_ends,
)


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.12345, ".3g", "0.123"),
        (-0.0004, ".2f", "0.00"),
        (-0.0004, "+.3f", "-0.000"),
        (0.0004, "+.3f", "+0.000"),
        (-0.004, "+.3f", "-0.004"),
        (-0.0001, ".1%", "0.0%"),
        (-0.0, ".3g", "0"),
        (math.inf, ".3g", "inf"),
        (math.nan, ".3g", "-"),
        (None, ".3g", "-"),
    ],
)
def test_a_number(value: float | None, form: str, text: str) -> None:
    assert number(value, form) == text


def test_an_estimate_with_its_ends() -> None:
    assert with_ends(1.975, 1.95, 2.014, ".2f") == "1.98 [1.95, 2.01]"
    assert with_ends(0.5, 0.25, 1, scale=100, unit=" %") == "50 % [25, 100]"
    assert with_ends(0.5, None, 1) == "0.5 [-, 1]"
    assert with_ends(None, None, None) == with_ends(math.nan, 0, 1) == "-"


def test_what_is_made_of_it() -> None:
    row = {"estimate": 0.125, "lower": 0.1, "upper": 0.15}
    assert interval_text(row, "estimate", "+.3f") == "+0.125 [+0.100, +0.150]"
    assert share_text(row) == "12.5% [10.0%, 15.0%]"
    assert share_text(row | {"estimate": None}) == "an unknown share"
    assert percent(Interval(0.125, 0.1, 0.15)) == "12.5 % [10, 15]"
    assert points(Interval(-0.125, -0.2, 0.05)) == "-12 points [-20, +5]"
    assert factor(Interval(2.5, 1.0, 4.0)) == "2.5 [1, 4]"


def test_a_difference_is_bold_where_its_interval_excludes_0() -> None:
    row = {"difference": 0.1, "lower": 0.05, "upper": 0.2}
    assert difference_text(row) == "[bold]+0.100 [+0.050, +0.200][/bold]"
    assert difference_text(row | {"lower": -0.05}) == "+0.100 [-0.050, +0.200]"
    assert difference_text(dict.fromkeys(row)) == "-"


def test_methods_without_a_group_that_teaches_are_named() -> None:
    rows = [
        {"world": "a", "method": "GRPO", "informative": 0.0},
        {"world": "a", "method": "SRPO", "informative": 0.1},
        {"world": "b", "method": "GRPO", "informative": 0.2},
    ]
    (sentence,) = idle_verdicts(rows)
    assert sentence.startswith("a: nothing was learned by GRPO: in no group did rewards differ")
    assert idle_verdicts(rows[1:]) == ()
