"""Numbers as readers see them: estimates with intervals, shares, points, factors."""

from __future__ import annotations

from cpi_theory.statistics.intervals import Interval
from experiments.runs.files import Row


def interval_text(row: Row, estimate: str, digits: int = 2) -> str:
    """An estimate with its interval, e.g. "1.98 [1.95, 2.01]"."""
    numbers = (row[estimate], row["lower"], row["upper"])
    value, low, high = (f"{round(n, digits) + 0.0:.{digits}f}" for n in numbers)
    return f"{value} [{low}, {high}]"


def agreement(row: Row, estimate: str, expected: float) -> str:
    """Whether the interval holds the expected value; else how far the estimate is from it."""
    if row["lower"] <= expected <= row["upper"]:
        return f"theory says {expected:g}, inside the interval"
    off = row[estimate] - expected
    return f"theory says {expected:g}, outside the interval, {off:+.3f} away"


def share_text(row: Row) -> str:
    """A share in percent with its interval; null stands for an unknown one."""
    if row["estimate"] is None:
        return "an unknown share"
    return f"{row['estimate']:.1%} [{row['lower']:.1%}, {row['upper']:.1%}]"


def percent(share: Interval) -> str:
    """Such as "3.2 % [2.1, 4.9]"."""
    if share.estimate != share.estimate:
        return "an unknown share"
    ends = f"{100 * share.lower:.3g}, {100 * share.upper:.3g}"
    return f"{100 * share.estimate:.3g} % [{ends}]"


def points(gap: Interval) -> str:
    """A difference of shares in percentage points."""
    ends = f"{100 * gap.lower:+.2g}, {100 * gap.upper:+.2g}"
    return f"{100 * gap.estimate:+.2g} points [{ends}]"


def factor(ratio: Interval) -> str:
    """A ratio with its interval."""
    return f"{ratio.estimate:.3g} [{ratio.lower:.3g}, {ratio.upper:.3g}]"
