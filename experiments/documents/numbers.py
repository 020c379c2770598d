"""Numbers as readers see them: estimates with intervals, shares, points, factors.

All intervals of tables, terminals and reports are written by :func:`with_ends` and :func:`ends`.
"""

from __future__ import annotations

import re

from cpi_theory.statistics.intervals import Interval
from experiments.runs.files import Row

UNKNOWN = "-"
"""In tables, where a number is not known."""

_UNKNOWN_SHARE = "an unknown share"

_ZERO = re.compile(r"-0(\.0*)?(e[+-]0*)?%?")


def number(value: float | None, form: str = ".3g") -> str:
    """A number in a format; nothing is known of None.

    There is a negative zero only where signs are written: there it says on which side of 0 an end
    of an interval lies.
    """
    if value is None or value != value:
        return UNKNOWN
    text = format(value, form)
    return format(0.0, form) if _ZERO.fullmatch(text) and "+" not in form else text


def with_ends(
    estimate: float | None,
    lower: float | None,
    upper: float | None,
    form: str = ".3g",
    scale: float = 1.0,
    unit: str = "",
) -> str:
    """An estimate with its interval, e.g. "1.98 [1.95, 2.01]".

    Args:
        estimate: NaN or None where nothing is known.
        lower: lower end of its interval; None: unknown.
        upper: upper end of its interval; None: unknown.
        form: of all three numbers.
        scale: they are multiplied by it.
        unit: stands after the estimate.
    """
    if estimate is None or estimate != estimate:
        return UNKNOWN
    return f"{number(scale * estimate, form)}{unit} {ends(lower, upper, form, scale)}"


def ends(lower: float | None, upper: float | None, form: str = ".3g", scale: float = 1.0) -> str:
    """The ends of an interval, e.g. "[1.95, 2.01]"."""
    low, high = (number(None if n is None else scale * n, form) for n in (lower, upper))
    return f"[{low}, {high}]"


def interval_text(row: Row, estimate: str, form: str = ".2f") -> str:
    """A field of a row with the interval that the row gives it as `lower` and `upper`."""
    return with_ends(row[estimate], row["lower"], row["upper"], form)


def agreement(row: Row, estimate: str, expected: float) -> str:
    """Whether the interval holds the expected value; else how far the estimate is from it."""
    if row["lower"] <= expected <= row["upper"]:
        return f"theory says {expected:g}, inside the interval"
    off = row[estimate] - expected
    return f"theory says {expected:g}, outside the interval, {off:+.3f} away"


def share_text(row: Row) -> str:
    """A share in percent with its interval; null stands for an unknown one."""
    text = interval_text(row, "estimate", ".1%")
    return _UNKNOWN_SHARE if text == UNKNOWN else text


def percent(share: Interval) -> str:
    """Such as "3.2 % [2.1, 4.9]"."""
    text = with_ends(share.estimate, share.lower, share.upper, scale=100, unit=" %")
    return _UNKNOWN_SHARE if text == UNKNOWN else text


def points(gap: Interval) -> str:
    """A difference of shares in percentage points."""
    return with_ends(gap.estimate, gap.lower, gap.upper, "+.2g", scale=100, unit=" points")


def factor(ratio: Interval) -> str:
    """A ratio with its interval."""
    return with_ends(ratio.estimate, ratio.lower, ratio.upper)
