"""Figures of evaluations, and of the paper's curves beside records of ours."""

import numpy as np
import pytest

from paper_figs.figures.evaluation import published_figure, results_figure
from paper_figs.rows import MissingRows

MODELS = [
    {"benchmark": b, "method": m, "seed": s, "sampled": score + 0.1 * (s or 0)}
    for b in ("first", "second")
    for m, s, score in (("start", None, 0.1), ("GRPO", 0, 0.2), ("GRPO", 1, 0.2), ("SRPO", 0, 0.3))
]
MEANS = [
    {
        "benchmark": b,
        "method": m,
        "measure": "sampled",
        "estimate": mean,
        "lower": mean - 0.1,
        "upper": mean + 0.2,
    }
    for b in ("first", "second")
    for m, mean in (("start", 0.1), ("GRPO", 0.25), ("SRPO", 0.3))
]
COMPARISONS = [
    {
        "benchmark": b,
        "measure": "sampled",
        "first": "SRPO",
        "second": "GRPO",
        "difference": 0.05,
        "lower": low,
        "upper": 0.1,
        "shown": low > 0,
    }
    for b, low in (("first", 0.01), ("second", -0.02))
]
BANDS = [
    {
        "world": w,
        "axis": a,
        "method": m,
        "x": x,
        "value": 0.1 * x,
        "lower": 0.0,
        "upper": 0.2 * x,
        "seeds": 3,
    }
    for w in ("one", "two")
    for a in ("rollouts", "tokens")
    for m in ("GRPO", "Frontier", "SRPO")
    for x in (0.0, 1.0, 2.0)
]


def test_every_seed_has_its_dot_and_every_method_its_mean():
    scores = results_figure(MODELS, COMPARISONS, MEANS).axes[:2]
    for ax in scores:
        assert [t.get_text() for t in ax.get_yticklabels()] in (["start", "GRPO", "SRPO"], [""] * 3)
        dots, intervals, means = ax.lines[::3], ax.lines[1::3], ax.lines[2::3]
        assert [list(line.get_xdata()) for line in dots] == [
            pytest.approx([10.0]),
            pytest.approx([20.0, 30.0]),
            pytest.approx([30.0]),
        ]
        assert [line.get_xdata()[0] for line in means] == pytest.approx([10.0, 25.0, 30.0])
        assert [list(line.get_xdata()) for line in intervals] == [
            pytest.approx([0.0, 30.0]),
            pytest.approx([15.0, 45.0]),
            pytest.approx([20.0, 50.0]),
        ]


def test_a_marker_is_filled_where_the_difference_is_shown():
    below = results_figure(MODELS, COMPARISONS, MEANS).axes[2:]
    for ax, row in zip(below, COMPARISONS, strict=True):
        _, interval, point = ax.lines
        assert list(interval.get_xdata()) == pytest.approx([100 * row["lower"], 100 * row["upper"]])
        assert point.get_xdata()[0] == pytest.approx(5.0)
        assert (point.get_markerfacecolor() != "white") == row["shown"]


def test_greedy_answers_are_drawn_where_nothing_was_sampled():
    greedy = [{**r, "greedy": r["sampled"]} for r in MODELS]
    for row in greedy:
        del row["sampled"]
    pairs, means = ([{**r, "measure": "greedy"} for r in rows] for rows in (COMPARISONS, MEANS))
    figure = results_figure(greedy, pairs, means)
    assert "greedy" in figure.axes[1].get_xlabel()


def test_one_model_alone_is_a_table_and_no_figure():
    with pytest.raises(MissingRows, match="comparison of two models"):
        results_figure(MODELS[:1], [], MEANS)
    with pytest.raises(MissingRows, match="evaluated model"):
        results_figure([], COMPARISONS, MEANS)
    with pytest.raises(MissingRows, match="mean of a method"):
        results_figure(MODELS, COMPARISONS, [])


def test_published_curves_stand_beside_those_of_ours():
    published, *own = published_figure(BANDS).axes
    assert published.get_title(loc="left") == "(a) published, 7B"
    assert [ax.get_title(loc="left") for ax in own] == ["(b) ours, one", "(c) ours, two"]
    assert "p = 0.32" in published.texts[0].get_text()
    # Methods of the paper alone, in per cent.
    assert [len(ax.lines) for ax in own] == [2, 2]
    assert np.allclose(own[0].lines[0].get_ydata(), [0, 10, 20])
