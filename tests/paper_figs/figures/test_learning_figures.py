"""The figures of `verify` and `learn`, and the README's, show the numbers of their records."""

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.families import FAMILIES
from paper_figs.catalogue import FIGURES
from paper_figs.figures.conservative import conservative_figure
from paper_figs.figures.learning import (
    curves_figure,
    differences_figure,
    informative_figure,
    localiser_figure,
)
from paper_figs.figures.tightness import tightness_figure
from paper_figs.rows import select
from paper_figs.style import look, render, thousands

WORLDS, METHODS = ("tree", "lake"), ("GRPO", "RRPO", "SRPO", "SRPO-70")
GRID = np.linspace(0, 1000, 11)


def band_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for (i, world), (j, method) in itertools.product(enumerate(WORLDS), enumerate(METHODS)):
        for axis, scale in (("rollouts", 1), ("steps", 8)):
            labels = {"world": world, "method": method, "axis": axis}
            for x in GRID:
                value = x / 1000 * (1 - 0.1 * i - 0.05 * j)
                band = {"value": value, "lower": value - 0.1, "upper": value + 0.1}
                rows.append(labels | band | {"x": x * scale})
    return rows


def drawn(ax: Axes, x: Any, y: Any) -> bool:
    return any(
        len(line.get_xdata()) == len(x)
        and np.allclose(line.get_xdata(), x)
        and np.allclose(line.get_ydata(), y)
        for line in ax.get_lines()
    )


def legend_labels(figure: Figure) -> list[str]:
    return [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def test_curves_against_rollouts_and_steps() -> None:
    rows = band_rows()
    figure = curves_figure(rows)
    assert len(figure.axes) == 4
    for row, (world, axis) in enumerate(itertools.product(WORLDS, ("rollouts", "steps"))):
        ax = figure.axes[row]
        for method in METHODS:
            chosen = select(rows, world=world, axis=axis, method=method)
            assert drawn(ax, [r["x"] for r in chosen], [r["value"] for r in chosen])
        assert len(ax.collections) == len(METHODS)  # a band per method
    assert legend_labels(figure) == [look(m).label for m in METHODS]


def test_curves_of_some_methods() -> None:
    figure = curves_figure(band_rows(), methods=("GRPO", "SRPO"))
    assert legend_labels(figure) == [look("GRPO").label, look("SRPO").label]


def test_a_world_without_one_of_the_methods_shows_the_others() -> None:
    rows = [r for r in band_rows() if r["world"] != "tree" or r["method"] == "GRPO"]
    figure = curves_figure(rows)
    assert [len(ax.collections) for ax in figure.axes] == [1, 1, len(METHODS), len(METHODS)]
    assert legend_labels(figure) == [look(m).label for m in METHODS]


def pair_rows() -> list[dict[str, Any]]:
    contrasts = (("SRPO", "RRPO"), ("SRPO", "GRPO"), ("SRPO-70", "GRPO"))
    rows = []
    for world, (first, second), axis in itertools.product(WORLDS, contrasts, ("rollouts", "steps")):
        middle = 0.1 if first == "SRPO" else -0.2
        low, high = (middle - 0.05, middle + 0.05) if second == "RRPO" else (-0.4, 0.4)
        labels = {"world": world, "first": first, "second": second, "axis": axis}
        rows.append(labels | {"difference": middle, "lower": low, "upper": high})
    return rows


def test_differences_are_filled_only_where_they_are_sure() -> None:
    figure = differences_figure(pair_rows())
    markers = [line for line in figure.axes[0].get_lines() if line.get_marker() not in ("", "None")]
    assert len(markers) == 4  # two worlds, two contrasts; SRPO-70 belongs elsewhere
    for line in markers:
        sure = line.get_marker() == look("SRPO - RRPO").marker
        assert (line.get_markerfacecolor() != "white") == sure
        assert line.get_xdata()[0] == 0.1
    assert legend_labels(figure) == ["SRPO − RRPO", "SRPO − GRPO"]
    assert legend_labels(localiser_figure(pair_rows())) == ["SRPO-70 − GRPO"]


def test_informative_groups_leave_out_what_does_not_exist() -> None:
    rows = [
        {"world": w, "method": m, "x": x, "informative": None if x == 3 else 0.1 * x}
        for w, m, x in itertools.product(WORLDS, METHODS, (1, 2, 3, 4))
    ]
    figure = informative_figure(rows)
    assert drawn(figure.axes[0], [1, 2, 4], [0.1, 0.2, 0.4])
    assert figure.axes[0].get_ylim() == (0, 1)


def test_conservative_shows_exact_and_sampled_apart() -> None:
    rows = [
        {"world": "tree", "method": method, "axis": axis, "x": float(x)}
        | {"value": 0.1 * x, "lower": 0.0, "upper": 1.0}
        for method, axis in (
            ("CPI-RR", "rollouts"),
            ("CPI-RR", "steps"),
            ("CPI-RR, exact", "update"),
            ("CPI-CARO, exact", "update"),
        )
        for x in range(5)
    ]
    figure = conservative_figure(rows)
    exact, sampled = figure.axes
    assert len(exact.get_lines()) == 2
    assert len(sampled.get_lines()) == 1
    assert (exact.get_xlabel(), sampled.get_xlabel()) == (
        "iterations (exact)",
        "rollouts (sampled)",
    )
    assert legend_labels(figure) == [look("CPI-RR").label, look("CPI-CARO").label]


def summary_row(theorem: str, **more: Any) -> dict[str, Any]:
    nothing = {"tightness": None, "penalty_used": None}
    searched = {"adversarial_tightness": None, "adversarial_penalty_used": None}
    return {"theorem": theorem, "checks": 1234, "violations": 0} | nothing | searched | more


def test_tightness_draws_both_searches_and_flags_violations() -> None:
    rows = [
        summary_row("T1", tightness=1.0, adversarial_tightness=0.9, penalty_used=0.8),
        summary_row("T5", violations=3),
    ]
    gain, penalty = tightness_figure(rows).axes
    dots = {round(float(line.get_xdata()[0]), 3) for line in gain.get_lines()}
    assert {1.0, 0.9} <= dots
    assert [t.get_text() for t in gain.get_yticklabels()] == ["T5", "T1"]
    assert [t.get_text() for t in gain.texts] == ["does not apply"]
    texts = {t.get_text(): t.get_color() for t in penalty.texts}
    assert texts["1,234 checks, 3 violated"] != texts["1,234 checks, 0 violated"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (750, "750"), (1500, "1.5k"), (2e6, "2M"), (0.5, "0.5")]
)
def test_tick_labels(value: float, text: str) -> None:
    assert thousands(value) == text


def test_catalogue_names_every_figure_once() -> None:
    names = [entry.name for entry in FIGURES]
    assert len(set(names)) == len(names)
    runs = {family.kind for family in FAMILIES}
    for entry in FIGURES:
        assert entry.section in runs
        assert entry.caption.endswith(".")
        assert all(command in runs for command, _ in entry.tables)


def test_learning_figures_are_reproducible() -> None:
    assert render(curves_figure(band_rows()), "png") == render(curves_figure(band_rows()), "png")
