"""Tables of docs/measurements/frontier.md of methods that are told nothing of the localiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean

from cpi_theory.statistics.bootstrap import paired_difference
from experiments.documents.numbers import with_ends
from experiments.frontier.summary import GAIN, LOSS
from paper_figs.rows import one, select
from website.stored import Row, lines, read

_EARLY = 30
"""The update at which a belief is shown; a fifth of a run."""


def cells(run: str, method: str) -> str:
    """A method beside the baselines and beside Frontier that is told, a row per cell of a run."""
    means = _means(run)
    rows = []
    for goal in _goals(run, method):
        believed = _cell(means, goal, method)["believed"]
        rows.append(
            [
                *(goal["world"], f"{goal['base_pass']:.4f}", f"{goal['accuracy']:g}"),
                *_compared(means, goal, f"{_difference(goal)}{_aim(goal)}"),
                f"{one(believed, update=_EARLY)['accuracy']:.2f}",
                f"{fmean(row['covered'] for row in believed):.2f}",
            ]
        )
    return lines(
        (
            *("world", "base pass", "accuracy", "GRPO", "SRPO", "Frontier, told", "adaptive"),
            *("less the better of GRPO and SRPO", "less told", "believed", "with resets"),
        ),
        rows,
    )


def drifts(run: str, method: str) -> str:
    """The same where the localiser drifts, with what is believed at first and at last."""
    means = _means(run)
    rows = []
    for goal in _goals(run, method):
        believed = _cell(means, goal, method)["believed"]
        ends = f"{believed[0]['accuracy']:.2f}, {believed[-1]['accuracy']:.2f}"
        rows.append([goal["world"], *_compared(means, goal, _difference(goal)), ends])
    return lines(
        (
            *("world", "GRPO", "SRPO", "Frontier, told .97", "adaptive"),
            *("less the better of GRPO and SRPO", "less told", "believed, first and last"),
        ),
        rows,
    )


def _goals(run: str, method: str) -> list[Row]:
    return select(read(f"records/{run}/goals.jsonl"), method=method)


def _means(run: str) -> list[Row]:
    """Means by seed, of a run and of the run beside it."""
    return [*read(f"records/{run}/means.jsonl"), *read(f"records/{run}/beside.jsonl")]


def _cell(means: Sequence[Row], goal: Row, method: str) -> Row:
    accuracy = None if method == "GRPO" else goal["accuracy"]
    return one(means, world=goal["world"], method=method, accuracy=accuracy)


def _compared(means: Sequence[Row], goal: Row, lead: str) -> list[str]:
    """Means of the baselines, of Frontier that is told and of a method, and its two differences."""
    methods = ("GRPO", "SRPO", "Frontier", goal["method"])
    seeds = [_cell(means, goal, method)["means"] for method in methods]
    less_told = paired_difference(seeds[-1], seeds[-2])
    return [
        *(f"{fmean(each):.3f}" for each in seeds),
        lead,
        with_ends(less_told.estimate, less_told.lower, less_told.upper, "+.3f"),
    ]


def _difference(goal: Row) -> str:
    return with_ends(goal["difference"], goal["lower"], goal["upper"], "+.3f")


def _aim(goal: Row) -> str:
    """What was asked of a cell and is not there."""
    if goal["met"]:
        return ""
    return f", **{GAIN:g} wanted**" if goal["aim"] == "gain" else f", **more than {LOSS:g} below**"


TABLES: dict[str, Callable[[], str]] = {
    "adaptive": partial(cells, "frontier-adaptive", "Adaptive Frontier"),
    "adaptive SRPO": partial(cells, "frontier-adaptive-srpo", "Adaptive SRPO"),
    "drift": partial(drifts, "frontier-drift", "Adaptive Frontier"),
}
"""By name: what makes the table."""
