"""What the scores of a league come to: places, comparisons in pairs, and ranks over worlds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.statistics.bootstrap import LEAST_RUNS, paired_difference, paired_p_value
from cpi_theory.statistics.paired import holm
from cpi_theory.statistics.ranks import Ranks, bootstrap_ranks
from experiments.curve_statistics import informative_share
from experiments.runs.files import Row

SHOWN = 0.05
"""A difference is shown if its adjusted p-value is below this."""

LEVEL = 0.95


def ranked(scores: Sequence[Row], seeds: int) -> dict[str, dict[str, list[Row]]]:
    """Rows by world and method, in the order of seeds, of methods that finished all their seeds.

    A method that did not is not ranked: seeds that were given up are not like the others.
    """
    found: dict[str, dict[str, list[Row]]] = {}
    for row in scores:
        found.setdefault(row["world"], {}).setdefault(row["method"], []).append(row)
    return {
        world: {
            method: sorted(rows, key=lambda row: int(row["seed"]))
            for method, rows in methods.items()
            if len(rows) == seeds
        }
        for world, methods in found.items()
    }


def means(rows: Sequence[Row]) -> NDArray[np.float64]:
    """The score of each seed: mean of J over the budget, shape (seeds,)."""
    return np.array([row["mean"] for row in rows], dtype=np.float64)


def pairs(league: dict[str, dict[str, list[Row]]]) -> list[Row]:
    """Every two methods of a world, paired by seed.

    Rows: `world`, `first`, `second`, `difference` of the scores (first - second) with `lower` and
    `upper` (Student, for itself), `p`, `holm`, the same adjusted over all rows of the league,
    `shown`: whether that is below .05, and `seeds`.
    """
    rows: list[Row] = []
    for world, methods in league.items():
        for second, first in itertools.combinations(methods, 2):
            a, b = means(methods[first]), means(methods[second])
            gap = paired_difference(a, b, LEVEL)
            rows.append(
                {
                    "world": world,
                    "first": first,
                    "second": second,
                    "difference": gap.estimate,
                    "lower": gap.lower,
                    "upper": gap.upper,
                    "p": paired_p_value(a, b),
                    "seeds": len(a),
                }
            )
    adjusted = holm([row["p"] for row in rows])
    return [row | {"holm": p, "shown": p < SHOWN} for row, p in zip(rows, adjusted, strict=True)]


def places(
    league: dict[str, dict[str, list[Row]]], compared: Sequence[Row], resamples: int, key: Key
) -> list[Row]:
    """Where each method stands in each world.

    Rows: `world`, `method`, `mean` score with `lower` and `upper` over seeds (Student), `rank` with
    `rank_lower` and `rank_upper` and `first`, see
    :func:`cpi_theory.statistics.ranks.bootstrap_ranks` (null of fewer than
    :data:`~cpi_theory.statistics.bootstrap.LEAST_RUNS` seeds); `behind` and `ahead`, how many
    methods are shown to be above and below it, so that its rank lies between 1 + `behind` and the
    number of methods less `ahead`; `base` and `final` J; what a curve took: `updates`, `generated`,
    `rollouts`, `localizations`, means over seeds; `informative` share of groups with
    `informative_lower` and `informative_upper` (seeds as clusters); `rate` and `seeds`.
    """
    rows = []
    for world, methods in league.items():
        if not methods:
            continue
        table = np.stack([means(of) for of in methods.values()], axis=1)
        found = bootstrap_ranks([table], LEVEL, resamples, key.child("ranks", world))
        for i, (method, of) in enumerate(methods.items()):
            here = {"world": world, "method": method}
            resampled = _resampled(found, i, len(of))
            ranks = {"rank": found.rank[i], "first": resampled["first"]}
            ranks |= {f"rank_{end}": resampled[end] for end in ("lower", "upper")}
            rows.append(here | _score(of) | ranks | _shown(compared, world, method) | _taken(of))
    return rows


def _resampled(found: Ranks, method: int, seeds: int) -> Row:
    """What resampled seeds say of a method's rank; null of too few."""
    if seeds < LEAST_RUNS:
        return dict.fromkeys(("lower", "upper", "first"))
    return {
        "lower": found.lower[method],
        "upper": found.upper[method],
        "first": found.first[method],
    }


def _score(rows: Sequence[Row]) -> Row:
    interval = paired_difference(means(rows), np.zeros(len(rows)), LEVEL)
    return {"mean": interval.estimate, "lower": interval.lower, "upper": interval.upper}


def _shown(compared: Sequence[Row], world: str, method: str) -> Row:
    own = [
        row["difference"] if row["first"] == method else -row["difference"]
        for row in compared
        if row["world"] == world and method in (row["first"], row["second"]) and row["shown"]
    ]
    return {"behind": sum(gap < 0 for gap in own), "ahead": sum(gap > 0 for gap in own)}


_AVERAGED = ("base", "final", "updates", "generated", "rollouts", "localizations")


def _taken(rows: Sequence[Row]) -> Row:
    made, told = ([float(row[name]) for row in rows] for name in ("groups", "informative"))
    share = informative_share(told, made)
    return {
        **{name: float(np.mean([row[name] for row in rows])) for name in _AVERAGED},
        "informative": share["informative"],
        "informative_lower": share["lower"],
        "informative_upper": share["upper"],
        "rate": rows[0]["rate"],
        "seeds": len(rows),
    }


def overall(
    league: dict[str, dict[str, list[Row]]], standing: Sequence[Row], resamples: int, key: Key
) -> list[Row]:
    """The mean rank over worlds of the methods that are ranked in all of them, best first.

    Rows: `method`, `rank` with `lower`, `upper` and `first` (for other seeds in these worlds; null
    of too few), `worlds`, and in how many of these nobody is shown ahead of it, `level`.
    """
    everywhere = [m for m in _names(league) if all(m in methods for methods in league.values())]
    if not everywhere:
        return []
    tables = [
        np.stack([means(methods[m]) for m in everywhere], axis=1) for methods in league.values()
    ]
    found = bootstrap_ranks(tables, LEVEL, resamples, key.child("ranks over worlds"))
    rows = [
        {
            "method": method,
            "rank": found.rank[i],
            **_resampled(found, i, min(len(table) for table in tables)),
            "worlds": len(league),
            "level": sum(r["behind"] == 0 for r in standing if r["method"] == method),
        }
        for i, method in enumerate(everywhere)
    ]
    return sorted(rows, key=lambda row: float(row["rank"]))


def _names(league: dict[str, dict[str, list[Row]]]) -> list[str]:
    return list(dict.fromkeys(method for methods in league.values() for method in methods))
