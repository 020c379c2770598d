"""The figure of values around marked steps shows the numbers of its records."""

from __future__ import annotations

from typing import Any

import pytest

from paper_figs.figures.values import value_figure
from paper_figs.rows import MissingRows
from paper_figs.style import render

TASKS = ("sums", "words")


def curve_rows() -> list[dict[str, Any]]:
    rows = []
    for index, task in enumerate(TASKS):
        for offset, value in ((1, 0.1), (0, 0.6), (-1, 0.5)):
            ends = {"estimate": value / (1 + index), "lower": 0.05, "upper": 0.7}
            rows.append({"dataset": "d", "task": task, "offset": offset} | ends)
    return rows


def drop_rows() -> list[dict[str, Any]]:
    labels = [(t, m, w) for t in TASKS for m in ("any step", "any step but the last") for w in "ab"]
    names = {"a": ("drop at the mark", 0.5), "b": ("drop elsewhere", 0.1)}
    return [
        {"dataset": "d", "task": task, "marked": marked, "measure": names[which][0]}
        | {"estimate": names[which][1], "lower": None, "upper": None}
        for task, marked, which in labels
    ]


def test_values_and_drops_are_those_of_the_records() -> None:
    figure = value_figure(curve_rows(), drop_rows())
    left, right = figure.axes
    lines = [line for line in left.get_lines() if line.get_label() in TASKS]
    assert [list(line.get_ydata()) for line in lines] == [[0.5, 0.6, 0.1], [0.25, 0.3, 0.05]]
    # The two tasks stand side by side, around the whole offsets.
    assert [sum(line.get_xdata()[1] for line in lines), len(lines)] == [0, 2]
    known = [line for line in right.get_lines() if line.get_label() in _names(right)]
    assert sorted(float(line.get_ydata()[0]) for line in known) == [0.1, 0.1, 0.5, 0.5]
    assert [tick.get_text() for tick in right.get_xticklabels()] == list(TASKS)
    assert _names(right) == ["marked step", "other steps of the trace"]
    assert render(value_figure(curve_rows(), drop_rows()), "png") == render(figure, "png")


def _names(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_what_is_missing_is_said() -> None:
    with pytest.raises(MissingRows, match="no value around a marked step"):
        value_figure([], drop_rows())
    with pytest.raises(MissingRows, match="no drop of a value"):
        value_figure(curve_rows(), [])
    unknown = [row | {"estimate": None} for row in drop_rows()]
    assert value_figure(curve_rows(), unknown).axes[1].get_legend() is not None
