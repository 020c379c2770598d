"""Tables of docs/ that records or measurement files hold, written into their pages.

A page marks the place of a table by two comments; what stands between them is made here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, geometric_mean

from cpi_theory.audit.worlds import small_worlds
from experiments.audit.summary import MEANING
from experiments.league.prediction import PREDICTORS
from paper_figs.rows import distinct, one, select
from website import adaptive, compared, marked, planned, real_model, trust
from website.curves import interval
from website.stored import DOCS, Row, lines, read

_NAMES = {"ORACLE": "SRPO, exact step checker"}


def training_differences(axis: str) -> str:
    """Differences between methods of the run `train`, a column per world."""
    pairs = select(read("records/train/pairs.jsonl"), axis=axis)
    worlds = distinct(pairs, "world")
    seeds = [one(pairs, world=world)["seeds"] for world in worlds]
    head = [f"{worlds[0]}, {seeds[0]} seeds"]
    head += [f"{world}, {n}" for world, n in zip(worlds[1:], seeds[1:], strict=True)]
    named = dict.fromkeys((row["first"], row["second"]) for row in pairs)
    rows = [
        [
            f"{first} - {second}",
            *(interval(one(pairs, world=w, first=first, second=second)) for w in worlds),
        ]
        for first, second in named
    ]
    return lines([f"per {axis.removesuffix('s')}", *head], rows)


def training_reach() -> str:
    """Rollouts and tokens until half of what can be gained is gained."""
    found = read("records/train/reach.jsonl")
    worlds = distinct(found, "world")
    rows = [
        [
            _NAMES.get(method, method),
            *(_reached(select(found, method=method, world=w)) for w in worlds),
        ]
        for method in distinct(found, "method")
    ]
    return lines(["", *worlds], rows)


def _reached(rows: Sequence[Row]) -> str:
    rollouts, tokens = one(rows, axis="rollouts"), one(rows, axis="tokens")
    said = f"{rollouts['median']:.0f} / {tokens['median'] / 1000:.1f}k"
    if rollouts["reached"] == rollouts["seeds"]:
        return said
    return f"{said} ({rollouts['reached']} of {rollouts['seeds']} seeds got there)"


def frontier_cells() -> str:
    """Means of the three methods per world and accuracy, and Frontier's lead."""
    cells, goals = read("records/frontier/cells.jsonl"), read("records/frontier/goals.jsonl")
    rows = []
    for goal in goals:
        world, accuracy = goal["world"], goal["accuracy"]
        grpo = one(cells, world=world, method="GRPO")
        others = (
            one(cells, world=world, accuracy=accuracy, method=m) for m in ("SRPO", "Frontier")
        )
        rows.append(
            [
                world,
                f"{goal['base_pass']:.4f}",
                f"{accuracy:g}",
                *(f"{cell['mean']:.3f}" for cell in (grpo, *others)),
                _lead(goal),
            ]
        )
    head = (
        "world",
        "base pass",
        "accuracy",
        "GRPO",
        "SRPO",
        "Frontier",
        "less the better of the two",
    )
    return lines(head, rows)


def _lead(goal: Row) -> str:
    said = f"{goal['difference']:+.3f} [{goal['lower']:+.3f}, {goal['upper']:+.3f}]"
    if goal["aim"] == "no loss":
        return said
    return f"**{said}**" if goal["met"] else f"{said}, **0.04 wanted**"


def frontier_variants() -> str:
    """Means of the variants of Frontier."""
    found = read("records/frontier/variants.jsonl")
    methods = (
        *("GRPO", "SRPO", "Frontier", "Frontier, rank", "Frontier, plain", "Frontier, told 0.7"),
        *("deepest", "second", "third"),
    )
    worlds = sorted(distinct(found, "world"), key=lambda w: one(found, world=w)["base_pass"])
    rows = []
    for world in worlds:
        here = select(found, world=world)
        levels = sorted({r["accuracy"] for r in here if r["accuracy"] is not None}, reverse=True)
        for level in levels:
            means = (_mean(here, method, level) for method in methods)
            rows.append([world, f"{level:g}", *(f"{mean:.3f}" for mean in means)])
    return lines(["world", "accuracy", *methods], rows)


def _mean(rows: Sequence[Row], method: str, accuracy: float) -> float:
    found = select(rows, method=method, accuracy=accuracy) or select(rows, method=method)
    return fmean(found[0]["means"])


def missed_goals() -> str:
    """What `make bench` measured below its goal."""
    rows = [
        [
            row["workload"],
            row["size"],
            row["row"],
            f"{row['ratio']:.2f}",
            f"{row['goal']:g}",
        ]
        for name in ("tabular", "llm")
        for row in read(f"measurements/{name}.jsonl")
        if row["met"] is False
    ]
    return lines(["workload", "size", "beside", "ratio", "wanted"], rows)


def not_shown() -> str:
    """Comparisons of methods whose interval holds 0, by run and world."""
    rows = []
    for run in ("train", *real_model.RUNS):
        pairs = select(read(f"records/{run}/pairs.jsonl"), axis="rollouts")
        for row in pairs:
            if row["lower"] <= 0 <= row["upper"]:
                named = f"{row['first']} - {row['second']}"
                rows.append([run, row["world"], named, str(row["seeds"]), interval(row)])
    return lines(["run", "world", "difference, per rollout", "seeds", "95 % interval"], rows)


def frontier_misses() -> str:
    """Cells of the frontier runs whose aim was missed."""
    missed = [goal for goal in read("records/frontier/goals.jsonl") if not goal["met"]]
    rows = [[g["world"], f"{g['accuracy']:g}", g["aim"], _lead(g)] for g in missed]
    return lines(["world", "accuracy of the localiser", "aim", "lead"], rows)


def league_prediction() -> str:
    """How well orders by a predictor agreed with the league's, over all of its worlds."""
    rows = [
        [
            PREDICTORS[row["predictor"]],
            f"{row['correlation']:.2f} [{row['lower']:.2f}, {row['upper']:.2f}]",
            str(row["methods"]),
            str(row["worlds"]),
        ]
        for row in read("records/league/agreement.jsonl")
        if row["world"] is None
    ]
    return lines(["methods ordered by", "rank correlation", "methods", "worlds"], rows)


def methods_audited() -> str:
    """What the audit says of each method: which objective, how noisy its updates are, its cost."""
    summary = read("records/audit-methods/summary.jsonl")
    trials = select(read("records/audit-methods/trials.jsonl"), kind="world")
    told = [row for row in trials if (row["signal_per_step"] or 0) > 0]
    methods = [row["estimator"] for row in summary]
    shared = [
        world
        for world in distinct(trials, "world")
        if {row["estimator"] for row in select(told, world=world)} == set(methods)
    ]
    rows = []
    for row in summary:
        own = [r for r in select(told, estimator=row["estimator"]) if r["world"] in shared]
        signal = geometric_mean(r["signal_per_step"] * r["steps"] for r in own)
        each = geometric_mean(r["signal_per_step"] for r in own)
        prompts = [len(_WORLDS[r["world"]].starts) for r in own]
        costs = ([r[name] / n for r, n in zip(own, prompts, strict=True)] for name in _COSTS)
        rows.append(
            [
                row["estimator"],
                MEANING[row["verdict"]].removeprefix("follows "),
                f"{row['lowest_cosine']:.3f}",
                f"{1 / signal:.2f}",
                *(f"{fmean(cost):.1f}" for cost in costs),
                f"{1000 * each:.0f}",
            ]
        )
    head = ("method", "follows", "lowest cosine", "variance", *_COSTS, "signal per 1,000 steps")
    return lines(head, rows)


_COSTS = ("rollouts", "steps")
_WORLDS = {world.name: world for world in small_worlds()}


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "diagnose.md": {"prediction": league_prediction},
    "theory.md": compared.TABLES,
    "methods.md": {"audited": methods_audited},
    "measurements/training.md": {
        "per rollout": lambda: training_differences("rollouts"),
        "per token": lambda: training_differences("tokens"),
        "half way": training_reach,
    },
    "measurements/smollm2.md": real_model.TABLES,
    "measurements/frontier.md": {
        "cells": frontier_cells,
        "variants": frontier_variants,
        **adaptive.TABLES,
    },
    "measurements/diagnose.md": trust.TABLES,
    "plan.md": planned.TABLES,
    "measurements/localization.md": marked.TABLES,
    "limits.md": {
        "goals": missed_goals,
        "not shown": not_shown,
        "frontier": frontier_misses,
    },
}
"""By page and name: what makes the table."""


def mark(name: str) -> str:
    """The comment before a table."""
    return f"<!-- table: {name}, by python -m website --update -->"


END = "<!-- end of table -->"


def with_tables(text: str, made: dict[str, Callable[[], str]]) -> str:
    """A page with its tables made anew.

    Raises:
        LookupError: a table has no place in it.
    """
    for name, make in made.items():
        pattern = re.compile(re.escape(mark(name)) + r"\n.*?" + re.escape(END), flags=re.DOTALL)
        table = f"{mark(name)}\n\n{make()}\n\n{END}"
        text, found = pattern.subn(lambda _, table=table: table, text)
        if found != 1:
            raise LookupError(f"{found} places for {name!r}; put {mark(name)} and {END} there")
    return text


def pages() -> dict[Path, str]:
    """Every page that has tables, as it should be."""
    return {
        DOCS / page: with_tables((DOCS / page).read_text(), made) for page, made in TABLES.items()
    }
