"""What localisers' answers are worth: shares with intervals, beside baselines that look at nothing.

Everybody's answer to a trace is a law over "step k" and "no step is wrong"; what is missing to one
is the chance of a refusal. A localiser's law is its one answer, a uniform baseline's is uniform, so
that nothing is drawn here.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cpi_theory.seam import Reason
from cpi_theory.statistics.by_prompt import Counts
from cpi_theory.statistics.intervals import Interval, difference, harmonic_mean
from experiments.runs.files import Row

MODAL, UNIFORM, NONE, LAST = "modal index", "uniform step", "always none", "last step"
BLIND = (MODAL, UNIFORM, NONE, LAST)
"""Baselines that know the number of steps at most, and the modal index of the task's marks."""

ALL_TASKS = "all tasks"
QUARTERS = 4
"""Parts of a trace by which its first error is said to be early or late."""

_LEVEL = 0.95

Law = Mapping[int | None, float]
"""Chances of naming each step (0-based), or None: no step is wrong."""

Blame = Callable[[Row], Law]


@dataclass(frozen=True)
class Group:
    """The traces of one data set and task that somebody was asked about.

    Attributes:
        dataset, task: where they come from.
        asked: "all", or "failures" for those that are told that the answer is wrong.
        rows: the traces.
    """

    dataset: str
    task: str
    asked: str
    rows: tuple[Row, ...]

    @property
    def erroneous(self) -> list[Row]:
        """Traces with a wrong step."""
        return [row for row in self.rows if row["first_error"] is not None]

    @property
    def clean(self) -> list[Row]:
        """Traces without."""
        return [row for row in self.rows if row["first_error"] is None]

    def labels(self, localizer: str) -> Row:
        """What the group's rows in tables begin with."""
        return {
            "dataset": self.dataset,
            "task": self.task,
            "localizer": localizer,
            "blind": localizer in BLIND,
            "asked": self.asked,
        }


def groups(rows: Sequence[Row]) -> Iterator[tuple[Group, list[str]]]:
    """Yield each task, and all tasks of a data set that has several, with the localisers asked.

    Localisers that were asked about failures alone share a group of their own.
    """
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        of_set = [row for row in rows if row["dataset"] == dataset]
        tasks = list(dict.fromkeys(row["task"] for row in of_set))
        for task in [*tasks, *([ALL_TASKS] if len(tasks) > 1 else [])]:
            chosen = [row for row in of_set if task in (row["task"], ALL_TASKS)]
            said = {name: one for row in of_set for name, one in row["said"].items()}
            told = [name for name, one in said.items() if one["told"]]
            untold = [name for name in said if name not in told]
            if untold or not told:
                yield Group(dataset, task, "all", tuple(chosen)), untold
            failures = tuple(row for row in chosen if row["failed"])
            if told and failures:
                yield Group(dataset, task, "failures", failures), told


def blames(group: Group, names: Sequence[str]) -> dict[str, Blame]:
    """Everybody's answers to the traces of a group, localisers first."""
    modes = {
        task: _mode([row for row in group.erroneous if row["task"] == task])
        for task in {row["task"] for row in group.rows}
    }
    return {
        **{name: functools.partial(_said, name) for name in names},
        MODAL: lambda row: {modes[row["task"]]: 1.0},
        UNIFORM: lambda row: dict.fromkeys(range(row["steps"]), 1 / row["steps"]),
        NONE: lambda _: {None: 1.0},
        LAST: lambda row: {row["steps"] - 1: 1.0},
    }


def _mode(rows: Sequence[Row]) -> int:
    """The index that is marked most often, the earlier one among equals; 0 if none is."""
    counts = Counter(row["first_error"] for row in rows)
    return min(counts, key=lambda index: (-counts[index], index), default=0)


def _said(name: str, row: Row) -> Law:
    answer = row["said"][name]
    if answer["step"] is not None:
        return {answer["step"]: 1.0}
    return {None: 1.0} if answer["reason"] == Reason.NO_ERROR.value else {}


def _exact(law: Law, row: Row) -> float:
    return law.get(row["first_error"], 0.0)


def _within_one(law: Law, row: Row) -> float:
    return sum(law.get(row["first_error"] + off, 0.0) for off in (-1, 0, 1))


def _refused(law: Law, _row: Row) -> float:
    return max(0.0, 1 - sum(law.values()))


def scores(rows: Sequence[Row]) -> list[Row]:
    """How often everybody is right.

    Measures: "exact" and "within one" (of the traces with a wrong step: the first one is named, or
    a step next to it), "clean" (of those without: it is said that none is wrong), "f1" (that of
    ProcessBench, the harmonic mean of exact and clean; not for who is told that a step is wrong),
    "refused" (of all: neither is said). What was refused is not right.

    Rows: `dataset`, `task` (:data:`ALL_TASKS`: all of the data set), `localizer`, `blind`, `asked`
    ("all", or "failures" alone), `measure`, `estimate` with `lower` and `upper` (95 % over
    questions; null: unknown), `traces` and `questions` that it rests on.
    """
    found = []
    for group, names in groups(rows):
        for name, blame in blames(group, names).items():
            exact = _share(group.erroneous, blame, _exact)
            clean = _share(group.clean, blame, _exact)
            measures = {
                "exact": (exact, group.erroneous),
                "within one": (_share(group.erroneous, blame, _within_one), group.erroneous),
                "clean": (clean, group.clean),
                "f1": (harmonic_mean(exact, clean), group.rows),
                "refused": (_share(group.rows, blame, _refused), group.rows),
            }
            if group.asked == "failures":
                del measures["f1"]
            for measure, (share, some) in measures.items():
                found.append(group.labels(name) | {"measure": measure} | _stated(share, some))
    return found


def gains(rows: Sequence[Row]) -> list[Row]:
    """Compare each localiser with the best baseline of its measure, "exact" or "f1".

    Rows: as of :func:`scores`, with `baseline` (its name) and `difference` with `lower` and `upper`
    in place of the estimate. The interval allows for no luck that the two have in common, so it is
    wide rather than narrow.
    """
    table = scores(rows)
    found = []
    for row in table:
        if row["blind"] or row["measure"] not in ("exact", "f1"):
            continue
        same = ("dataset", "task", "asked", "measure")
        rivals = [r for r in table if r["blind"] and all(r[n] == row[n] for n in same)]
        best = max(rivals, key=lambda r: -1.0 if r["estimate"] is None else r["estimate"])
        if row["estimate"] is None or best["estimate"] is None:
            continue
        gap = difference(*(Interval(r["estimate"], r["lower"], r["upper"]) for r in (row, best)))
        labels = {name: value for name, value in row.items() if name != "estimate"}
        ends = {"difference": gap.estimate, "lower": gap.lower, "upper": gap.upper}
        found.append(labels | {"baseline": best["localizer"]} | ends)
    return found


def refusals(rows: Sequence[Row]) -> list[Row]:
    """Why localisers said nothing, and how often: one row per reason that occurred.

    Rows: as of :func:`scores`, with `reason` and `count` in place of the measure.
    """
    found = []
    for group, names in groups(rows):
        for name in names:
            reasons = Counter(
                row["said"][name]["reason"]
                for row in group.rows
                if row["said"][name]["step"] is None
            )
            for reason, count in sorted(reasons.items()):
                if reason == Reason.NO_ERROR.value:
                    continue

                def refused(row: Row, name: str = name, reason: str = reason) -> Law:
                    return {row["first_error"]: float(row["said"][name]["reason"] == reason)}

                share = _share(group.rows, refused, _exact)
                labels = group.labels(name) | {"reason": reason, "count": count}
                found.append(labels | _stated(share, group.rows))
    return found


def positions(rows: Sequence[Row]) -> list[Row]:
    """How often everybody is exact, by where the first error is.

    Rows: as of :func:`scores`, with `quarter` (1 to 4: of the trace, that the middle of its first
    wrong step lies in) in place of the measure. Quarters without a trace have none.
    """
    found = []
    for group, names in groups(rows):
        for name, blame in blames(group, names).items():
            for quarter in range(1, QUARTERS + 1):
                some = [row for row in group.erroneous if _quarter(row) == quarter]
                if some:
                    share = _stated(_share(some, blame, _exact), some)
                    found.append(group.labels(name) | {"quarter": quarter} | share)
    return found


def _quarter(row: Row) -> int:
    return int(QUARTERS * (row["first_error"] + 0.5) / row["steps"]) + 1


def _share(rows: Sequence[Row], blame: Blame, hit: Callable[[Law, Row], float]) -> Interval:
    """The share of hits, with traces of one question as one cluster."""
    questions = {name: i for i, name in enumerate(dict.fromkeys(r["question"] for r in rows))}
    # Chances of several steps may add up to a little more than 1.
    records = [(questions[r["question"]], min(1.0, hit(blame(r), r)), 1.0) for r in rows]
    counts = Counts.of(records, len(questions))
    if len(questions) == 1:  # an estimate, but nothing that its spread could be told from
        return Interval(float(counts.hits[0] / counts.trials[0]), 0.0, 1.0)
    return counts.share(_LEVEL)


def _stated(share: Interval, rows: Sequence[Row]) -> Row:
    unknown = math.isnan(share.estimate)
    return {
        "estimate": None if unknown else share.estimate,
        "lower": None if unknown else share.lower,
        "upper": None if unknown else share.upper,
        "traces": len(rows),
        "questions": len({row["question"] for row in rows}),
    }
