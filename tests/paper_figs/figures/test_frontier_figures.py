"""The figures of `frontier` show the numbers of their records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paper_figs.figures.frontier import accuracy_figure, rule_figure
from paper_figs.style import render


def cell_rows() -> list[dict[str, Any]]:
    rows = []
    for i, world in enumerate(("easy", "hard")):
        base = {"world": world, "base_pass": 0.3 / (1 + 9 * i)}
        rows.append(
            base | {"method": "GRPO", "accuracy": None, "mean": 0.5, "lower": 0.4, "upper": 0.6}
        )
        for method, slope in (("SRPO", 0.2), ("Frontier", 0.1)):
            for accuracy in (1.0, 0.7, 0.1):
                mean = 0.4 + slope * accuracy
                span = {"mean": mean, "lower": mean - 0.02, "upper": mean + 0.02}
                rows.append(base | {"method": method, "accuracy": accuracy, **span})
    return rows


def test_accuracy_lines_are_the_means_in_order_of_accuracy() -> None:
    figure = accuracy_figure(cell_rows())
    easy, hard = figure.axes
    assert [ax.get_title(loc="left") for ax in (easy, hard)] == ["easy (0.3)", "hard (0.03)"]
    grpo, srpo, frontier = easy.get_lines()
    assert set(grpo.get_ydata()) == {0.5}
    np.testing.assert_allclose(srpo.get_xdata(), [0.1, 0.7, 1.0])
    np.testing.assert_allclose(srpo.get_ydata(), [0.42, 0.54, 0.6])
    np.testing.assert_allclose(frontier.get_ydata(), [0.41, 0.47, 0.5])
    assert figure.legends[0].get_texts()[0].get_text() == "GRPO (no reset)"
    assert render(accuracy_figure(cell_rows()), "png") == render(figure, "png")


def test_adaptive_methods_are_drawn_and_drift_is_said() -> None:
    rows = cell_rows()
    rows += [r | {"method": "Adaptive Frontier"} for r in rows if r["method"] == "Frontier"]
    rows += [r | {"method": "Adaptive SRPO"} for r in rows if r["method"] == "SRPO"]
    figure = accuracy_figure(rows, last_accuracy=0.45)
    easy, hard = figure.axes
    assert len(easy.get_lines()) == len(hard.get_lines()) == 5
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [name.partition(" (")[0] for name in labels] == [
        "GRPO", "SRPO", "Frontier", "Adaptive SRPO", "Adaptive Frontier",
    ]  # fmt: skip
    assert hard.get_xlabel() == "localiser accuracy at first, 0.45 at last"
    assert accuracy_figure(rows).axes[1].get_xlabel() == "localiser accuracy"


@pytest.mark.parametrize("name", ["expected_signal", "lesson"], ids=["new", "stored"])
def test_the_best_rank_is_bold(name: str) -> None:
    signals = {0: [0.2, 0.2], 1: [0.1, 0.5]}
    rows = [
        {"rank": rank, "accuracy": a, name: y, "best": (rank == 1) == (a == 1.0)}
        for rank, line in signals.items()
        for a, y in zip((0.0, 1.0), line, strict=True)
    ]
    (ax,) = rule_figure(rows).axes
    bold = [line for line in ax.get_lines() if line.get_linewidth() > 3]
    np.testing.assert_array_equal(bold[0].get_ydata(), [0.2, np.nan])
    np.testing.assert_array_equal(bold[1].get_ydata(), [np.nan, 0.5])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["fresh rollouts", "deepest"]
