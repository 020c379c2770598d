"""Tables of docs/measurements/diagnose.md: how far a diagnosis can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median_high

from experiments.diagnose.verdict import order_sentences
from experiments.methods import COMPARED
from paper_figs.rows import distinct, select
from website.curves import interval
from website.stored import Row, lines, read

_MEASURED = "measurements/diagnose.jsonl"
_LEAST = 0.9
_SURE = 0.8


def coverage() -> str:
    """Share of intervals that cover, by kind of number and world, worst and median."""
    rows = select(read(_MEASURED), table="coverage")
    cases = distinct(rows, "case")
    kinds = {kind: select(rows, section=kind) for kind in distinct(rows, "section")}
    kinds |= {"all: worst / median": rows}
    body = [
        [kind, *(_covered(select(here, case=c)) for c in cases)] for kind, here in kinds.items()
    ]
    counts = [_counts(select(rows, case=case)) for case in cases]
    return lines(["numbers", *cases], [*body, ["numbers, diagnoses", *counts]])


def _covered(rows: Sequence[Row]) -> str:
    shares = [row["covered"] for row in rows]
    return f"{100 * min(shares):.1f} / {100 * median_high(shares):.1f}" if shares else "-"


def _counts(rows: Sequence[Row]) -> str:
    return f"{len(rows)}, {max(row['repetitions'] for row in rows)}"


def least_covered() -> str:
    """How many numbers are covered too seldom, and which one most seldom."""
    rows = select(read(_MEASURED), table="coverage")
    worst = min(rows, key=lambda row: row["covered"])
    low = sum(row["covered"] < _LEAST for row in rows)
    return (
        f"{low} of {len(rows)} numbers are covered in fewer than {_LEAST:.0%}. The worst is "
        f"{worst['name']} of {worst['case']}, with {worst['covered']:.1%}."
    )


def orders(rows: Sequence[Row]) -> str:
    """Predicted and measured orders, a line per setting."""
    head = ("setting", "base pass", *COMPARED, "SRPO - GRPO measured", "SRPO ahead, predicted")
    body = [
        [
            row["setting"],
            f"{row['success']:.4f}",
            *(f"{row[f'measured {method}']:.3f}" for method in COMPARED),
            interval(row),
            f"{row['srpo_over_grpo']:.0%}",
            "yes" if row["agree"] else "no",
        ]
        for row in rows
    ]
    return lines([*head, "as predicted"], body)


def agreement(rows: Sequence[Row], found: Row) -> str:
    """How well predictions and measurements agree, and where a prediction was sure of a pair."""
    said = order_sentences(rows, found)
    sure = [row for row in rows if not 1 - _SURE < row["srpo_over_grpo"] < _SURE]
    certain = (
        f"Where at least {_SURE:.0%} of the resamples agreed on one of SRPO and GRPO, the measured "
        f"sign was theirs in {sum(row['agree'] for row in sure)} of {len(sure)} settings."
    )
    return "\n".join(f"- {sentence}" for sentence in (*said, certain))


def _of_trees(table: str) -> list[Row]:
    return select(read(_MEASURED), table=table)


def _of_model(table: str) -> list[Row]:
    return read(f"records/diagnose-order/{table}.jsonl")


TABLES: dict[str, Callable[[], str]] = {
    "coverage": coverage,
    "least covered": least_covered,
    "orders of trees": lambda: orders(_of_trees("settings")),
    "agreement on trees": lambda: agreement(_of_trees("settings"), *_of_trees("agreement")),
    "orders of the tiny model": lambda: orders(_of_model("settings")),
    "agreement on the tiny model": lambda: agreement(
        _of_model("settings"), *_of_model("agreement")
    ),
}
"""By name: what makes the table."""
