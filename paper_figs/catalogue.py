"""Every figure: what it is called, which tables of which run it is drawn from, what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from paper_figs.exponents import gain_figure, samples_figure
from paper_figs.imperfect import imperfect_figure
from paper_figs.trees import layouts_figure, positions_figure, reset_figure
from paper_figs.worlds import worlds_figure


@dataclass(frozen=True)
class Entry:
    """A figure.

    Attributes:
        name: of its files.
        run: command whose run holds the tables: "verify", "compare" or "learn".
        tables: names of the tables, in the order of `draw`'s arguments.
        draw: the tables' rows -> figure.
        caption: what it shows, for the report.
    """

    name: str
    run: str
    tables: tuple[str, ...]
    draw: Callable[..., Figure]
    caption: str


FIGURES: tuple[Entry, ...] = (
    Entry(
        "compare-samples",
        "compare",
        ("samples",),
        samples_figure,
        "How many trials the policy chooser needs until 90 % of its choices are right, against the "
        "coverage p (left; 95 % intervals are smaller than the markers), and how far the fitted "
        "exponent is from the theory's in every cell of the grid over tau, H and |A| (right).",
    ),
    Entry(
        "compare-gain",
        "compare",
        ("gains",),
        gain_figure,
        "What one conservative step of the theory's size gains, exactly evaluated, beside what T2 "
        "guarantees before it is taken and what T5 plans from p and tau alone. Left with the "
        "spread known, right with its worst case.",
    ),
    Entry(
        "compare-imperfect",
        "compare",
        ("imperfect",),
        imperfect_figure,
        "An oracle that errs, against random resets in the same world: samples saved (left, "
        "lines: T6) and gain of a step (right, line: T6).",
    ),
    Entry(
        "compare-worlds",
        "compare",
        ("worlds",),
        worlds_figure,
        "One step towards the best candidate of the class on worlds that were not made for it: "
        "guaranteed (bar) and exact gain, and the samples that the choice takes where returns are "
        "0 or R_max. The oracle's level is a quarter of the largest advantage met. Resetting to "
        "first errors selects at most one step per rollout, which T2's gain per step pays for.",
    ),
    Entry(
        "reset-tree",
        "compare",
        ("anatomy",),
        reset_figure,
        "One prompt's rollouts under SRPO as they were drawn: a failed parent is reset to just "
        "before its first error; each group is normalised on its own, and what was kept is not "
        "trained on.",
    ),
    Entry(
        "layouts",
        "compare",
        ("anatomy",),
        layouts_figure,
        "The sampling layouts on the same prompt and random numbers. Layouts without a base group "
        "look for parents in rollouts that are drawn but not trained on; only those reset are "
        "shown.",
    ),
    Entry(
        "reset-positions",
        "compare",
        ("positions",),
        positions_figure,
        "Where each reset policy resets the failed rollouts of a reasoning tree, relative to their "
        "first error. A reset after it keeps a wrong prefix.",
    ),
)
