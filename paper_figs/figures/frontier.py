"""Frontier resets: what they gain as the localiser gets worse, and which parent theory chooses."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.rows import Row, column, distinct, need, select, sorted_by
from paper_figs.style import FULL_WIDTH, HALF_WIDTH, MUTED, look, panels, shades, styled

_DRAWN = ("GRPO", "SRPO", "deepest", "Frontier", "Adaptive SRPO", "Adaptive Frontier")


@styled
def accuracy_figure(cells: Sequence[Row], last_accuracy: float | None = None) -> Figure:
    """Mean of J over the curve against the localiser's accuracy, a panel per world.

    Args:
        cells: rows of the table ``cells``; of its methods GRPO, SRPO, deepest, Frontier and the
            adaptive ones, those that are there.
        last_accuracy: of the localiser at the end of training; None: it stays as it is.
    """
    worlds = distinct(need(cells, "cell of the grid"), "world")
    columns = min(3, len(worlds))
    figure, axes = panels(-(-len(worlds) // columns), columns, FULL_WIDTH, 1.9, sharex=True)
    flat = list(axes.ravel())
    for ax, world in zip(flat, worlds, strict=False):
        rows = select(cells, world=world)
        for method in _DRAWN:
            _line(ax, select(rows, method=method), method)
        ax.set_title(f"{world} ({rows[0]['base_pass']:.2g})")
    for ax in flat[len(worlds) :]:
        ax.axis("off")
    for ax in axes[-1]:
        drift = "" if last_accuracy is None else f" at first, {last_accuracy:g} at last"
        ax.set_xlabel(f"localiser accuracy{drift}")
    for row in axes:
        row[0].set_ylabel("mean J over the curve")
    handles, labels = flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
    return figure


def _line(ax: Axes, rows: Sequence[Row], method: str) -> None:
    """A method's means with 95 % intervals; level where it does not ask the localiser."""
    if not rows:
        return
    style = look(method)
    if rows[0]["accuracy"] is None:
        row = rows[0]
        ax.axhspan(row["lower"], row["upper"], color=style.color, alpha=0.12, lw=0)
        ax.axhline(row["mean"], color=style.color, lw=1.2, label=style.label)
        return
    line = sorted_by(rows, "accuracy")
    x, low, high = ([r[name] for r in line] for name in ("accuracy", "lower", "upper"))
    ax.fill_between(x, low, high, color=style.color, alpha=0.12, lw=0)
    y = [r["mean"] for r in line]
    ax.plot(x, y, color=style.color, ls=style.dash, marker=style.marker, ms=3.5, label=style.label)


@styled
def rule_figure(rule: Sequence[Row]) -> Figure:
    """Expected signal of each depth rank over the accuracy; the best one is drawn bold.

    Args:
        rule: rows of the table ``rule``.
    """
    figure, axes = panels(1, 1, HALF_WIDTH, 2.8)
    ax = axes[0, 0]
    ranks = [rank for rank in distinct(need(rule, "depth rank"), "rank") if rank]
    colors = dict(zip(reversed(ranks), shades(len(ranks)), strict=True)) | {0: MUTED}
    for rank in distinct(rule, "rank"):
        line = sorted_by(select(rule, rank=rank), "accuracy")
        x, y = [r["accuracy"] for r in line], column(line, "expected_signal")
        name = {0: "fresh rollouts", 1: "deepest"}.get(rank, f"rank {rank}")
        ax.plot(x, y, color=colors[rank], lw=1, ls="-" if rank else "--", label=name)
        best = [value if r["best"] else float("nan") for value, r in zip(y, line, strict=True)]
        ax.plot(x, best, color=colors[rank], lw=3.2, solid_capstyle="butt")
    ax.set(xlabel="localiser accuracy", ylabel="expected signal", ylim=(0, None))
    ax.legend(loc="upper left")
    return figure
