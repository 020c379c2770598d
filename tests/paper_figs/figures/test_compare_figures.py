"""The figures of `compare` show the numbers of the records they are given."""

import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from paper_figs.figures.exponents import gain_figure, samples_figure
from paper_figs.figures.imperfect import imperfect_figure
from paper_figs.figures.trees import layouts_figure, positions_figure, reset_figure
from paper_figs.figures.worlds import worlds_figure
from paper_figs.rows import distinct, select, sorted_by
from paper_figs.style import render

COVERAGES = (0.125, 0.0625, 0.03125)


def sample_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    power = {("aliased", "random"): 2, ("statewise", "random"): 1, ("aliased", "oracle"): 0}
    for (learner, resets), exponent in power.items():
        labels = {
            "learner": learner,
            "resets": resets,
            "dial": "coverage",
            "family": "one decision",
        }
        for p in COVERAGES:
            n = 20 * (1 / p) ** exponent
            point = {"samples": n, "lower": 0.9 * n, "upper": 1.2 * n, "accuracy": 0.9}
            floor = n / 9 if exponent == 2 else None
            rows.append(
                labels | point | {"kind": "point", "base": True, "coverage": p, "floor": floor}
            )
        for base, shift in ((True, 0.01), (False, -0.02)):
            fit = {"exponent": exponent + shift, "lower": exponent - 0.05, "upper": exponent + 0.04}
            more = {"quantity": "samples", "expected": float(exponent), "base": base}
            rows.append(labels | fit | more | {"kind": "exponent"})
    return rows


def gain_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for resets, rule in itertools.product(("random", "oracle"), ("exact", "worst")):
        exponent = 2 if resets == "random" else 1
        labels = {
            "learner": "aliased",
            "resets": resets,
            "spread_rule": rule,
            "dial": "coverage",
            "base": True,
            "family": "one decision",
        }
        for p in COVERAGES:
            g = p**exponent * (1 if rule == "exact" else 0.1)
            values = {"gain": g, "guaranteed": g / 2, "planned": g / 16}
            rows.append(labels | values | {"kind": "point", "coverage": p})
        fit = {"exponent": float(exponent), "quantity": "gain"}
        rows.append(labels | fit | {"kind": "exponent"})
    return rows


def lines_through(ax: Axes, x: list[float], y: list[float]) -> int:
    """How many of the panel's lines have exactly these points."""
    return sum(
        len(line.get_xdata()) == len(x)
        and np.allclose(line.get_xdata(), x)
        and np.allclose(line.get_ydata(), y)
        for line in ax.get_lines()
    )


def legend_texts(ax: Axes) -> str:
    return " ".join(t.get_text() for t in ax.get_legend().get_texts())


def test_samples_figure_draws_points_floor_and_residuals() -> None:
    lines, grid = samples_figure(sample_rows()).axes
    inverse = [1 / p for p in sorted(COVERAGES)]
    for exponent in (0, 1, 2):
        assert lines_through(lines, inverse, [20 * v**exponent for v in inverse]) == 1
    assert lines_through(lines, inverse, [20 * v**2 / 9 for v in inverse]) == 1
    assert "p^{-2.01}" in legend_texts(lines)
    residuals = [line.get_xdata()[0] for line in grid.get_lines() if len(line.get_xdata()) == 1]
    assert sorted(np.round(residuals, 6)) == [-0.02] * 3 + [0.01] * 3


def test_gain_figure_draws_gain_guarantee_and_plan() -> None:
    known, unknown = gain_figure(gain_rows()).axes
    x = sorted(COVERAGES)
    for exponent in (1, 2):
        y = np.array(x) ** exponent
        assert lines_through(known, x, list(y)) == 1
        assert lines_through(known, x, list(y / 2)) == 1
        assert lines_through(known, x, list(y / 16)) == 0
        assert lines_through(unknown, x, list(0.1 * y / 16)) == 1
    assert known.get_ylim() == unknown.get_ylim()


def imperfect_rows() -> list[dict[str, Any]]:
    return [
        {
            "coverage": p,
            "precision": q,
            "recall": rho,
            "samples_saved": 1.1 * (q / p) ** 2,
            "samples_saved_lower": (q / p) ** 2,
            "samples_saved_upper": 1.3 * (q / p) ** 2,
            "samples_saved_theory": (q / p) ** 2,
            "gain_factor": rho * q / p,
            "gain_factor_theory": 1.01 * rho * q / p,
        }
        for p, q, rho in itertools.product(COVERAGES, (0.25, 0.5, 1.0), (0.5, 1.0))
    ]


def test_imperfect_figure_draws_measured_over_predicted() -> None:
    rows = imperfect_rows()
    saved, gained = imperfect_figure(rows).axes
    for p in COVERAGES:
        x = [0.25, 0.5, 1.0]
        assert lines_through(saved, x, [1.1 * (q / p) ** 2 for q in x]) == 1
        assert lines_through(saved, x, [(q / p) ** 2 for q in x]) == 1
    for rho in (0.5, 1.0):
        some = select(rows, recall=rho)
        predicted = [r["gain_factor_theory"] for r in some]
        assert lines_through(gained, predicted, [r["gain_factor"] for r in some]) == 1


def world_rows() -> list[dict[str, Any]]:
    rows = []
    for world, samples in (("lake", 100.0), ("taxi", None)):
        for resets, level in (("random", None), ("first error", None), ("oracle", 0.25)):
            row = {"world": world, "policy": "uniform", "resets": resets, "samples": samples}
            row |= {"gain": 0.02, "guaranteed": 0.01, "tau": level}
            rows.append(row if level is None else row | {"level": level})
        extra = rows[-1] | {"level": 0.5, "gain": 0.7}
        rows.append(extra)
    return rows


def test_worlds_figure_draws_the_lowest_level_and_says_what_is_not_measured() -> None:
    gains, samples = worlds_figure(world_rows()).axes
    drawn = [x for line in gains.get_lines() for x in line.get_xdata()]
    assert 0.02 in drawn
    assert 0.7 not in drawn
    assert [t.get_text() for t in gains.get_yticklabels()] == ["taxi, uniform", "lake, uniform"]
    assert sum("not measured" in t.get_text() for t in samples.texts) == 1


def anatomy_rows() -> list[dict[str, Any]]:
    def row(group: int, role: str, first: int, right: str, reward: float, reset: int | None):
        return {
            "algorithm": "SRPO 1x4",
            "group": group,
            "role": role,
            "first": first,
            "right": [c == "1" for c in right],
            "reward": reward,
            "advantage": 0.0 if role == "base" else 2 * reward - 1,
            "reset": reset,
            "rollouts": 4,
            "steps": 12,
        }

    return [
        row(0, "base", 0, "1101", 0.0, 2),
        row(0, "base", 0, "1011", 0.0, None),
        row(1, "suffix", 2, "1111", 1.0, None),
        row(1, "suffix", 2, "1101", 0.0, None),
    ]


def test_reset_figure_marks_first_errors_and_kept_steps() -> None:
    ax = reset_figure(anatomy_rows()).axes[0]
    faces = [p.get_facecolor()[:3] for p in ax.patches if hasattr(p, "radius")]
    assert len(faces) == 16
    assert faces.count((1.0, 1.0, 1.0)) == 4  # two kept steps in each suffix
    crosses = [line for line in ax.get_lines() if line.get_marker() == "x"]
    assert [line.get_xdata()[0] for line in crosses] == [2, 1, 2]
    texts = [t.get_text() for t in ax.texts]
    assert "reset to step 2" in texts
    assert "-1.00" in texts
    assert "+1.00" in texts


def test_layouts_figure_accounts_for_rollouts() -> None:
    figure = layouts_figure(anatomy_rows())
    assert "4 drawn, 4 trained on" in figure.axes[0].get_title()
    assert "12 steps" in figure.axes[0].get_title()


def test_positions_figure_shows_the_law_and_the_refusals() -> None:
    rows: list[dict[str, Any]] = [
        {"kind": "position", "reset": "uniform", "offset": o, "probability": p}
        for o, p in ((-1, 0.25), (0, 0.5), (1, 0.25))
    ]
    rows.append(
        {"kind": "share", "reset": "uniform", "refused": 10, "failures": 100, "clean": 0.75}
    )
    ax = positions_figure(rows).axes[0]
    assert [bar.get_height() for bar in ax.patches] == [0.25, 0.5, 0.25]
    assert ax.patches[2].get_facecolor() != ax.patches[1].get_facecolor()  # too late is red
    assert "clean prefix 75%\nrefused 10%" in [t.get_text() for t in ax.texts]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: samples_figure(sample_rows()),
        lambda: worlds_figure(world_rows()),
        lambda: reset_figure(anatomy_rows()),
    ],
)
def test_renders_and_depends_on_the_records_alone(draw) -> None:
    assert render(draw(), "png") == render(draw(), "png")


def test_rows_helpers() -> None:
    rows = [{"a": 2, "b": 1}, {"a": 1, "b": 1}, {"a": 1}]
    assert select(rows, a=1, b=1) == [{"a": 1, "b": 1}]
    assert select(rows, b=None) == []
    assert distinct(rows, "a") == [2, 1]
    assert sorted_by(rows, "a")[-1] == {"a": 2, "b": 1}
