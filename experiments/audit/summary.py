"""What an audit comes to: a row for each estimator, from those of its worlds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from cpi_theory.audit.forest import Forest
from cpi_theory.audit.worlds import small_worlds
from experiments.audit.trial import REFUSED
from experiments.runs.files import Row

ORDER = ("unbiased", "scaled", "mixture", "reweighted", "biased", "silent")
"""Verdicts from the best to the worst."""

MEANING = {
    "unbiased": "follows the gradient of J",
    "scaled": "follows the gradient of J up to a factor",
    "mixture": "follows a mixture over start states, not J",
    "reweighted": "follows a weighted sum of values of start states, not J",
    "biased": "follows no weighted sum of values of start states",
    "silent": "learns nothing where there is something to learn",
}
"""What each verdict says, in a table."""


@cache
def with_outcomes_alone() -> tuple[str, ...]:
    """The audit's worlds in which 0 or 1 is paid at the end, and nothing on the way.

    Many methods say that they are for these alone.
    """
    return tuple(world.name for world in small_worlds() if _pays_at_the_end(world))


def _pays_at_the_end(world: Forest) -> bool:
    return all(
        rollout.reward in (0.0, 1.0) and not any(world.rewards(rollout)[:-1])
        for start in world.starts
        for _, rollout in world.outcomes(start)
    )


def worst_on_outcomes(rows: Sequence[Row]) -> dict[str, str]:
    """The worst verdict of each estimator in those of the rows' worlds that pay outcomes alone."""
    worst: dict[str, str] = {}
    for row in rows:
        if row["kind"] == "world" and row["world"] in with_outcomes_alone():
            name = row["estimator"]
            worst[name] = max(worst.get(name, ORDER[0]), row["verdict"], key=ORDER.index)
    return worst


def summarise(rows: Sequence[Row]) -> list[Row]:
    """One row per estimator that was not refused, in their order: its worst verdict, and where."""
    refused = {row["estimator"] for row in rows if row["kind"] == REFUSED}
    names = [n for n in dict.fromkeys(row["estimator"] for row in rows) if n not in refused]
    return [_summary(name, [row for row in rows if row["estimator"] == name]) for name in names]


def _summary(name: str, rows: Sequence[Row]) -> Row:
    worlds = [row for row in rows if row["kind"] == "world"]
    tried = [row for row in rows if row["kind"] == "invariance"]
    worst = max(worlds, key=_badness)
    broken = [row["invariance"] for row in tried if not row["holds"]]
    must = [row["invariance"] for row in tried if row["must"] and not row["holds"]]
    cosines = [row["cosine"] for row in worlds if row["cosine"] is not None]
    scales = [row[end] for row in worlds for end in ("scale_low", "scale_high") if row[end]]
    return {
        "estimator": name,
        "version": worst["version"],
        "verdict": worst["verdict"],
        "holds": all(row["holds"] for row in worlds) and not must,
        "exact": all(row["exact"] for row in worlds),
        "worlds": len(worlds),
        "failed": sum(not row["holds"] for row in worlds),
        "listed": all(row["how"] != "draws" for row in worlds),
        "lowest_cosine": min(cosines, default=None),
        "scale_low": min(scales, default=None),
        "scale_high": max(scales, default=None),
        "reversed": sum(row["reversed"] > 0 for row in worlds),
        "notices": broken,
        "must_not_notice": must,
        "world": worst["world"],
        "says": worst["says"],
    }


def _badness(row: Row) -> tuple[int, float]:
    """Worst first by verdict, then by the angle to the gradient."""
    return ORDER.index(row["verdict"]), -(row["cosine"] if row["cosine"] is not None else 0.0)
