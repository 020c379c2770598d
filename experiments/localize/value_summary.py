"""Whether success falls where a first error is marked: values around it, and drops across steps.

The drop across a step is the value before it less the value behind it. Behind the last step nothing
is estimated: the trace is over, and its value is its own outcome. So the drops of a failed trace
add up to its value at the start, and across an error in the last step the value falls to 0 whatever
the model can do; drops are therefore also given for marks before the last step alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.statistics.bootstrap import paired_difference
from cpi_theory.statistics.by_prompt import Counts
from cpi_theory.statistics.intervals import Interval
from experiments.runs.files import Row

REACH = 4
"""Steps before or behind the marked one beyond which they are counted with it."""

ANY, EARLIER = "any step", "any step but the last"
"""Which traces drops are given for, by the place of their mark."""

AT_START, AT_MARK, ELSEWHERE = "value at the start", "drop at the mark", "drop elsewhere"
DIFFERENCE, LARGEST = "difference", "largest at the mark"
MEASURED = (AT_START, AT_MARK, ELSEWHERE, DIFFERENCE, LARGEST)
"""What is measured, in the order of the rows."""

_LEVEL = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Valued:
    """A trace with its values.

    Attributes:
        question: traces of one question are one cluster.
        mark: its first wrong step, 0-based.
        values: before each of its n steps and behind the last one, shape (n + 1,).
    """

    question: str
    mark: int
    values: Array

    @property
    def drops(self) -> Array:
        """Across each step, shape (n,)."""
        return -np.diff(self.values)

    @property
    def elsewhere(self) -> float:
        """Mean drop across the steps that are not marked; NaN if there is none."""
        others = np.delete(self.drops, self.mark)
        return float(others.mean()) if len(others) else math.nan

    @property
    def largest(self) -> float:
        """Chance of the marked step among those with the largest drop, each as likely as others."""
        # Values are fractions of the same K; differences that agree in truth differ by rounding.
        top = self.drops >= self.drops.max() - 1e-9
        return float(top[self.mark] / top.sum())


@dataclass(frozen=True, eq=False)
class ValuedGroup:
    """The traces of one data set and task.

    Attributes:
        dataset, task: where they come from.
        traces: those whose every prefix was continued.
        left_out: how many have a prefix that leaves no room to go on.
    """

    dataset: str
    task: str
    traces: tuple[Valued, ...]
    left_out: int

    @property
    def labels(self) -> Row:
        """What its rows in tables begin with."""
        return {"dataset": self.dataset, "task": self.task}


def valued_groups(rows: Sequence[Row]) -> Iterator[ValuedGroup]:
    """Yield the traces of each task from rows of :func:`experiments.localize.values.value_rows`."""
    for dataset, task in dict.fromkeys((row["dataset"], row["task"]) for row in rows):
        traces: dict[str, list[Row]] = {}
        for row in rows:
            if (row["dataset"], row["task"]) == (dataset, task):
                traces.setdefault(row["trace"], []).append(row)
        whole = [
            steps
            for steps in traces.values()
            if len(steps) == steps[0]["steps"] and all(row["continuations"] for row in steps)
        ]
        valued = tuple(_valued(steps) for steps in whole)
        yield ValuedGroup(dataset, task, valued, len(traces) - len(whole))


def _valued(steps: Sequence[Row]) -> Valued:
    ordered = sorted(steps, key=lambda row: row["step"])
    outcome = float(not ordered[0]["failed"])
    values = [row["successes"] / row["continuations"] for row in ordered]
    return Valued(ordered[0]["question"], ordered[0]["first_error"], np.array([*values, outcome]))


def value_curve(rows: Sequence[Row]) -> list[Row]:
    """The mean value by the place of the prefix beside the marked step.

    Rows: `dataset`, `task`, `offset` (steps kept less the marked step's index, cut at
    :data:`REACH`: up to 0 the prefix is right, from 1 on it holds the error), `estimate` with
    `lower` and `upper` (95 % over questions), and the `traces` and `questions` behind it.
    """
    found = []
    for group in valued_groups(rows):
        for offset in range(-REACH, REACH + 1):
            points = [(one, value) for one in group.traces for value in _at(one, offset)]
            if points:
                share = _share([one for one, _ in points], [value for _, value in points])
                found.append(group.labels | {"offset": offset} | share)
    return found


def _at(trace: Valued, offset: int) -> list[float]:
    """The mean value of a trace at an offset, if it reaches that far."""
    offsets = np.clip(np.arange(len(trace.values)) - trace.mark, -REACH, REACH)
    there = trace.values[offsets == offset]
    return [float(there.mean())] if len(there) else []


def value_drops(rows: Sequence[Row]) -> list[Row]:
    """How far success falls across the marked step, and across the other steps of the same trace.

    Measures: the mean value at the start, the mean drop at the mark, elsewhere, and the difference
    of the two within traces; "largest at the mark": the share of traces whose largest drop is that
    of the marked step (one of several equal ones is taken at random), beside the `chance` of a
    uniform step. Traces of a single step have no other one and count at the start alone.

    Rows: `dataset`, `task`, `marked` (:data:`ANY` or :data:`EARLIER`), `measure`, `estimate` with
    `lower` and `upper` (95 % over questions; null: unknown), `chance` (null but for "largest"),
    `traces`, `questions`, and how many traces were `left_out` as a prefix leaves no room.
    """
    found = []
    for group in valued_groups(rows):
        for marked in (ANY, EARLIER):
            traces = [t for t in group.traces if marked == ANY or t.mark < len(t.drops) - 1]
            for measure, row in _measures(traces).items():
                labels = group.labels | {"marked": marked, "measure": measure}
                found.append(labels | {"chance": None} | row | {"left_out": group.left_out})
    return found


def _measures(traces: Sequence[Valued]) -> dict[str, Row]:
    several = [trace for trace in traces if len(trace.drops) > 1]
    mark = [float(trace.drops[trace.mark]) for trace in several]
    elsewhere = [trace.elsewhere for trace in several]
    chances = [1 / len(trace.drops) for trace in several]
    chance = float(np.mean(chances)) if chances else None
    return {
        AT_START: _share(traces, [float(trace.values[0]) for trace in traces]),
        AT_MARK: _mean(several, mark),
        ELSEWHERE: _mean(several, elsewhere),
        DIFFERENCE: _mean(several, [a - b for a, b in zip(mark, elsewhere, strict=True)]),
        LARGEST: _share(several, [trace.largest for trace in several]) | {"chance": chance},
    }


def _share(traces: Sequence[Valued], values: Sequence[float]) -> Row:
    """The mean over traces of values in [0, 1], with those of one question as one cluster."""
    numbers = _questions(traces)
    records = [(numbers[t.question], v, 1.0) for t, v in zip(traces, values, strict=True)]
    if len(numbers) == 1:  # an estimate, but nothing that its spread could be told from
        return _stated(Interval(float(np.mean(values)), 0.0, 1.0), traces)
    return _stated(Counts.of(records, len(numbers)).share(_LEVEL), traces)


def _mean(traces: Sequence[Valued], values: Sequence[float]) -> Row:
    """The mean over questions of values in [-1, 1], those of one question averaged first."""
    numbers = _questions(traces)
    where = np.array([numbers[trace.question] for trace in traces], dtype=np.int64)
    sums = np.bincount(where, values, len(numbers)).astype(np.float64)
    means = sums / np.bincount(where, minlength=len(numbers))
    if len(means) < 2 or np.ptp(means) < 1e-9:
        # Nothing varies: no spread from which an interval could be made.
        estimate = float(means[0]) if len(means) else math.nan
        return _stated(Interval(estimate, math.nan, math.nan), traces)
    return _stated(paired_difference(means, np.zeros_like(means), _LEVEL), traces)


def _questions(traces: Sequence[Valued]) -> dict[str, int]:
    return {name: i for i, name in enumerate(dict.fromkeys(t.question for t in traces))}


def _stated(interval: Interval, traces: Sequence[Valued]) -> Row:
    ends = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    stated = {name: None if math.isnan(end) else float(end) for name, end in ends.items()}
    return stated | {"traces": len(traces), "questions": len(_questions(traces))}
