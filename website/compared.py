"""Tables of docs/theory.md that `cpi-resets compare` measured: bounds against facts, baselines."""

from __future__ import annotations

from collections.abc import Callable

from cpi_theory.algorithms.chooser import Baseline
from paper_figs.rows import distinct, one
from website.stored import lines, read


def bounds_against_facts() -> str:
    """How far each bound is from what it bounds, over the grid's values of p."""
    rows = [
        [row["bound"], row["facts"], f"{row['smallest']:.2f}", f"{row['largest']:.2f}"]
        for row in read("records/compare/looseness.jsonl")
    ]
    return lines(("bound", "held against", "least ratio", "largest"), rows)


def baselines() -> str:
    """Trials until choices are right, by what the chooser subtracts from returns."""
    found = read("records/compare/baselines.jsonl")
    rows = [
        [name, *(_trials(one(found, baseline=kind.value, **{"class": name})) for kind in _NAMES)]
        for name in distinct(found, "class")
    ]
    return lines(("class, Q of the actions", *_NAMES.values()), rows)


_NAMES = {
    Baseline.SHRUNK: "shrunk",
    Baseline.MEAN: "global mean",
    Baseline.HALF: "R/2",
    Baseline.NONE: "none",
}


def _trials(row: dict[str, float]) -> str:
    return f"{row['samples']:,.0f} [{row['lower']:,.0f}, {row['upper']:,.0f}]"


TABLES: dict[str, Callable[[], str]] = {
    "bounds against facts": bounds_against_facts,
    "baselines": baselines,
}
"""By name: what makes the table."""
