"""The figures of `league` show the numbers of their records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paper_figs.figures.league import league_figure, signal_figure
from paper_figs.rows import MissingRows
from paper_figs.style import render


def place(world: str, method: str, mean: float, behind: int) -> dict[str, Any]:
    ends = {"mean": mean, "lower": mean - 0.1, "upper": mean + 0.2}
    return {"world": world, "method": method, "base": 0.05, "behind": behind, **ends}


PLACES = [
    place("tree-w", "A", 0.4, 1), place("tree-w", "B", 0.6, 0),
    place("lock", "A", 0.7, 0), place("lock", "B", 0.8, 0), place("lock", "C", 0.1, 2),
]  # fmt: skip
OVERALL = [
    {"method": "B", "rank": 1.2, "lower": 1.0, "upper": 1.5, "level": 2},
    {"method": "A", "rank": 1.8, "lower": 1.5, "upper": 2.0, "level": 1},
]


def test_methods_stand_in_the_order_of_ranks_with_their_scores() -> None:
    figure = league_figure(PLACES, OVERALL)
    ranks, w, lock = figure.axes
    assert [t.get_text() for t in ranks.get_yticklabels()] == ["B", "A", "C"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["mean rank", "w", "lock"]
    np.testing.assert_allclose(ranks.get_lines()[0].get_xdata(), [1.0, 1.5])
    line, dot = w.get_lines()[1:3]
    np.testing.assert_allclose(line.get_xdata(), [0.3, 0.6])
    assert dot.get_ydata().tolist() == [1]
    assert dot.get_markerfacecolor() == "white"
    assert w.get_lines()[4].get_markerfacecolor() != "white"
    assert len(lock.get_lines()) == 1 + 2 * 3
    assert render(league_figure(PLACES, OVERALL), "png") == render(figure, "png")
    with pytest.raises(MissingRows):
        league_figure([], OVERALL)


def test_signals_stand_below_their_scores() -> None:
    signals = [
        {"world": r["world"], "method": r["method"], "signal_per_step": s}
        for r, s in zip(PLACES, (0.1, 0.2, 0.3, 0.4, -0.1), strict=True)
    ]
    agreement = [{"predictor": "base", "world": "lock", "correlation": 0.5}]
    figure = signal_figure(PLACES, signals, agreement)
    w, lock = figure.axes
    assert (w.get_title(loc="left"), lock.get_title(loc="left")) == ("tree-w", "lock, ρ = 0.50")
    dots = [line for line in lock.get_lines() if line.get_marker() == "o"]
    assert [(*d.get_xdata(), *d.get_ydata()) for d in dots] == [(0.3, 0.7), (0.4, 0.8)]
