"""The league of methods: where each stands in each world, and whether its signal says so."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from paper_figs.rows import Row, distinct, need, one, select
from paper_figs.style import FULL_WIDTH, GOOD, INK, MUTED, panels, styled

_ROW = 0.19
"""Inches that a method takes."""


@styled
def league_figure(places: Sequence[Row], overall: Sequence[Row]) -> Figure:
    """Ranks over worlds, and scores in each world, a line per method in the order of ranks.

    Args:
        places: rows of the table ``places``.
        overall: rows of ``overall``, the best first; methods that are not ranked in all worlds
            come after them.
    """
    worlds = distinct(need(places, "place"), "world")
    ranked = distinct(need(overall, "mean rank"), "method")
    methods = [*ranked, *(m for m in distinct(places, "method") if m not in ranked)]
    height = 0.9 + _ROW * len(methods)
    figure, axes = panels(1, 1 + len(worlds), FULL_WIDTH, height, sharey=True)
    for y, row in enumerate(overall):
        _line(axes[0, 0], y, (row["rank"], row["lower"], row["upper"]), INK, row["level"] > 0)
    axes[0, 0].set(title="mean rank", yticks=range(len(methods)), yticklabels=methods)
    axes[0, 0].set_ylim(len(methods) - 0.5, -0.5)
    for ax, world in zip(axes[0, 1:], worlds, strict=True):
        _world(ax, select(places, world=world), methods)
        ax.set_title(world.removeprefix("tree-"), fontsize=8)
    figure.supxlabel("mean of J over the budget, and mean rank (left)", fontsize=8.5)
    return figure


def _world(ax: Axes, rows: Sequence[Row], methods: Sequence[str]) -> None:
    ax.axvline(rows[0]["base"], color=MUTED, lw=0.8)
    for row in rows:
        ends = (row["mean"], row["lower"], row["upper"])
        first = row["behind"] == 0
        _line(ax, methods.index(row["method"]), ends, GOOD if first else INK, first)


def _line(
    ax: Axes, y: int, ends: tuple[float, float | None, float | None], color: str, full: bool
) -> None:
    middle, low, high = ends
    if low is not None and high is not None:  # else so few seeds do not say
        ax.plot([low, high], [y, y], color=color, lw=1.2)
    ax.plot([middle], [y], "o", color=color, mfc=color if full else "white", ms=4)


@styled
def signal_figure(
    places: Sequence[Row], signals: Sequence[Row], agreement: Sequence[Row]
) -> Figure:
    """Scores over the signal per generated step, a panel per world.

    Args:
        places: rows of the table ``places``.
        signals: rows of ``signals``; a signal that is not above 0 has no place on the axis.
        agreement: rows of ``agreement``.
    """
    worlds, places = distinct(need(signals, "signal"), "world"), need(places, "place")
    columns = min(3, len(worlds))
    figure, axes = panels(-(-len(worlds) // columns), columns, FULL_WIDTH, 2.0)
    flat = list(axes.ravel())
    for ax, world in zip(flat, worlds, strict=False):
        _signal(ax, select(places, world=world), select(signals, world=world))
        found = select(need(agreement, "rank correlation"), predictor="base", world=world)
        rho = f", ρ = {found[0]['correlation']:.2f}" if found else ""
        ax.set_title(f"{world}{rho}")
    for ax in flat[len(worlds) :]:
        ax.axis("off")
    for row in axes:
        row[0].set_ylabel("mean J")
    figure.supxlabel("signal-to-noise ratio per generated step", fontsize=8.5)
    return figure


def _signal(ax: Axes, places: Sequence[Row], signals: Sequence[Row]) -> None:
    ax.set_xscale("log")
    ax.xaxis.set_minor_formatter(NullFormatter())  # powers of ten are enough
    for row in places:
        signal = one(signals, method=row["method"])["signal_per_step"]
        if signal > 0:
            ax.plot([signal] * 2, [row["lower"], row["upper"]], color=MUTED, lw=0.8)
            ax.plot([signal], [row["mean"]], "o", color=INK, ms=3)
            where = (signal, row["mean"])
            ax.annotate(
                row["method"],
                where,
                xytext=(3, 2),
                textcoords="offset points",
                fontsize=5,
                color=MUTED,
            )
