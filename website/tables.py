"""Tables of docs/ that records or measurement files hold, written into their pages.

A page marks the place of a table by two comments; what stands between them is made here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from paper_figs.rows import distinct, one, select
from website.curves import interval
from website.links import ROOT

DOCS = ROOT / "docs"
Row = dict[str, Any]

_NAMES = {"ORACLE": "SRPO, exact step checker"}
_TRAINED = {
    "GRPO": "GRPO",
    "RRPO": "RRPO",
    "SRPO": "SRPO, names its own errors",
    "EntropyReset": "EntropyReset, the first line that it was unsure of",
    "Frontier": "Frontier",
}


def read(path: str) -> list[Row]:
    """The rows of a file below docs/."""
    return [json.loads(line) for line in (DOCS / path).read_text().splitlines()]


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in cells)


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


def smollm2_passes() -> str:
    """Pass rates of SmolLM2 before and after, sampled and greedy."""
    found = read("records/smollm2-sums/finals.jsonl")
    rows = []
    for method, name in _TRAINED.items():
        ends = [one(found, method=method, measure=m) for m in ("sampled", "greedy")]
        rows.append([name, *(_share(end[at]) for end in ends for at in ("before", "after"))])
    seeds = found[0]["seeds"]
    head = (
        f"pass rate, {seeds} seeds",
        "before",
        "after 40 updates",
        "greedy before",
        "greedy after",
    )
    return lines(head, rows)


def _share(value: float) -> str:
    return f"{value:.2f}".replace("0.", ".", 1)


def smollm2_differences() -> str:
    """Differences between methods of SmolLM2, per rollout and per token."""
    pairs = read("records/smollm2-sums/pairs.jsonl")
    rows = [
        [
            f"{first} - {second}",
            *(
                interval(one(pairs, first=first, second=second, axis=axis))
                for axis in ("rollouts", "tokens")
            ),
        ]
        for first, second in dict.fromkeys((row["first"], row["second"]) for row in pairs)
    ]
    head = ("difference of the mean pass rate over the run", "per rollout", "per token")
    return lines(head, rows)


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
    for run in ("train", "smollm2-sums"):
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


_BLIND = ("modal index", "uniform step", "last step")


def blind_shares() -> str:
    """How often baselines that read nothing name the step that people have marked, or the next."""
    found = read("records/marked-blind/scores.jsonl")
    rows = []
    for task in distinct(found, "task"):
        exact, near = (
            [one(found, task=task, measure=m, localizer=name) for name in _BLIND]
            for m in ("exact", "within one")
        )
        (refused,) = select(found, task=task, measure="refused", localizer=_BLIND[0])
        counts = [str(refused["traces"]), str(exact[0]["traces"])]
        rows.append([task, *counts, *map(_percent, (*exact, *near))])
    first, *others = _BLIND
    head = ("task", "traces", "with a wrong step", *_BLIND, f"within one: {first}", *others)
    return lines(head, rows)


def _percent(row: Row) -> str:
    if row["estimate"] is None:
        return ""
    ends = f"[{100 * row['lower']:.1f}, {100 * row['upper']:.1f}]"
    return f"{100 * row['estimate']:.1f} {ends}"


def blind_quarters() -> str:
    """In which quarter of their trace the marked steps are."""
    found = select(read("records/marked-blind/positions.jsonl"), localizer=_BLIND[0])
    rows = []
    for task in distinct(found, "task"):
        counts = {row["quarter"]: row["traces"] for row in select(found, task=task)}
        rows.append([task, *(str(counts.get(quarter, 0)) for quarter in range(1, 5))])
    return lines(("task", "first quarter", "second", "third", "last"), rows)


def model_shares() -> str:
    """What SmolLM2 names of the same marks, all tasks together, beside what reads nothing."""
    found = select(read("records/smollm2-localize/scores.jsonl"), task="all tasks")
    measures = ("exact", "within one", "clean", "f1", "refused")
    rows = []
    for asked, name in dict.fromkeys((row["asked"], row["localizer"]) for row in found):
        here = {m: select(found, asked=asked, localizer=name, measure=m) for m in measures}
        counts = [str(here["refused"][0]["traces"]), str(here["exact"][0]["traces"])]
        cells = (_percent(one(here[m], measure=m)) if here[m] else "" for m in measures)
        rows.append([name, asked, *counts, *cells])
    head = ("localiser", "asked about", "traces", "with a wrong step", *measures[:3], "F1")
    return lines((*head, "refused"), rows)


def model_tasks() -> str:
    """How often SmolLM2 is exact on each task, beside what reads nothing."""
    found = select(read("records/smollm2-localize/scores.jsonl"), measure="exact")
    named = {row["localizer"]: row["asked"] for row in found if not row["blind"]}
    asked = {row["asked"] for row in found}
    rows = []
    for task in distinct(found, "task"):
        counts = {a: select(found, task=task, asked=a) for a in sorted(asked)}
        ours = [select(found, task=task, asked=a, localizer=n) for n, a in named.items()]
        blind = [select(found, task=task, asked="all", localizer=name) for name in _BLIND]
        cells = (_percent(each[0]) if each else "" for each in (*ours, *blind))
        some = " / ".join(str(each[0]["traces"]) if each else "0" for each in counts.values())
        rows.append([task, some, *cells])
    head = ("task", f"with a wrong step, of {' / '.join(sorted(asked))}", *named, *_BLIND)
    return lines(head, rows)


def model_refusals() -> str:
    """Why SmolLM2 named nothing."""
    found = select(read("records/smollm2-localize/refusals.jsonl"), task="all tasks")
    rows = [[r["localizer"], r["reason"], str(r["count"]), str(r["traces"])] for r in found]
    return lines(("localiser", "reason", "replies", "of"), rows)


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "measurements/training.md": {
        "per rollout": lambda: training_differences("rollouts"),
        "per token": lambda: training_differences("tokens"),
        "half way": training_reach,
    },
    "measurements/smollm2.md": {"passes": smollm2_passes, "differences": smollm2_differences},
    "measurements/frontier.md": {"cells": frontier_cells, "variants": frontier_variants},
    "measurements/localization.md": {
        "blind": blind_shares,
        "quarters": blind_quarters,
        "model": model_shares,
        "model by task": model_tasks,
        "model's refusals": model_refusals,
    },
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
