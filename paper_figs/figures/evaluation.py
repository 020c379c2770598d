"""Methods on benchmarks, and the paper's own curves with intervals beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.figures.learning import draw_curves
from paper_figs.published import CURVES, last_difference
from paper_figs.rows import Row, distinct, need, select
from paper_figs.style import FULL_WIDTH, INK, MUTED, letter, look, panels, styled, thousands

_MEASURES = ("sampled", "greedy")


@styled
def results_figure(
    models: Sequence[Row], comparisons: Sequence[Row], means: Sequence[Row]
) -> Figure:
    """Scores of methods on each benchmark, a dot per seed, and differences, all with intervals.

    Whatever was compared: methods, layouts of their sampling, or controls at equal cost.

    Args:
        models: rows of the table ``models`` of an ``evaluate`` run.
        comparisons: rows of its table ``comparisons``.
        means: rows of its table ``methods``.
    """
    benchmarks = distinct(need(models, "evaluated model"), "benchmark")
    measure = next((m for m in _MEASURES if m in models[0]), _MEASURES[-1])
    methods = distinct(models, "method")
    figure, axes = panels(2, len(benchmarks), FULL_WIDTH, 0.7 + 0.22 * max(len(methods), 3))
    pairs = select(need(comparisons, "comparison of two models"), measure=measure)
    names = list(dict.fromkeys((r["first"], r["second"]) for r in pairs))
    for column, benchmark in zip(axes.T, benchmarks, strict=True):
        own = select(need(means, "mean of a method"), benchmark=benchmark, measure=measure)
        _scores(column[0], select(models, benchmark=benchmark), own, methods, measure)
        column[0].set_title(benchmark)
        _differences(column[1], select(pairs, benchmark=benchmark), names)
    for row, labels in ((axes[0], methods), (axes[1], [f"{a} - {b}" for a, b in names])):
        for ax in row:
            ax.set_yticks(range(len(labels)), labels if ax is row[0] else [""] * len(labels))
            ax.set_ylim(len(labels) - 0.4, -0.6)
            ax.grid(axis="y", visible=False)
    middle = len(benchmarks) // 2
    axes[0, middle].set_xlabel(f"right, {measure} (%)")
    axes[1, middle].set_xlabel("difference (points)")
    letter(list(axes[0]))
    return figure


def _scores(
    ax: Axes, rows: Sequence[Row], means: Sequence[Row], methods: Sequence[str], measure: str
) -> None:
    for at, method in enumerate(methods):
        values = [100 * r[measure] for r in select(rows, method=method)]
        style = look(method, at)
        ax.plot(values, [at] * len(values), style.marker, color=style.color, ms=3, alpha=0.5)
        for mean in select(means, method=method):
            ax.plot([100 * mean["lower"], 100 * mean["upper"]], [at, at], color=style.color, lw=1.2)
            ax.plot([100 * mean["estimate"]] * 2, [at - 0.3, at + 0.3], color=style.color, lw=2)
    ax.set_xlim(left=0)


def _differences(ax: Axes, rows: Sequence[Row], names: Sequence[tuple[str, str]]) -> None:
    ax.axvline(0, color=MUTED, lw=0.8)
    for at, (first, second) in enumerate(names):
        for row in select(rows, first=first, second=second):
            style = look(f"{first} - {second}", at)
            ends = [100 * row["lower"], 100 * row["upper"]]
            ax.plot(ends, [at, at], color=style.color, lw=1.2)
            face = style.color if row["shown"] else "white"
            ax.plot(100 * row["difference"], at, style.marker, color=style.color, mfc=face)


@styled
def published_figure(bands: Sequence[Row]) -> Figure:
    """The paper's validation curves with intervals from its own errors, beside curves of ours.

    Args:
        bands: rows of the table ``bands`` of a ``train`` run.
    """
    worlds = distinct(need(bands, "curve"), "world")
    figure, axes = panels(1, 1 + len(worlds), FULL_WIDTH, 2.4)
    published, own = axes[0, 0], axes[0, 1:]
    for method, curve in CURVES.items():
        style, x = look(method), np.arange(len(curve.values))
        low, high = curve.interval()
        published.fill_between(x, low, high, color=style.color, alpha=0.13, lw=0)
        published.plot(x, curve.values, color=style.color, ls=style.dash, marker=style.marker, ms=3)
    difference, p = last_difference("SRPO", "GRPO")
    published.text(
        0.03,
        0.97,
        f"last: SRPO - GRPO\n{difference:.1f} points, p = {p:.2f}",
        transform=published.transAxes,
        va="top",
        fontsize=7,
        color=INK,
    )
    published.set_title("published, 7B")
    published.set_xlabel("updates")
    published.set_ylabel("success (%)")
    published.set_ylim(0, 60)
    methods = [m for m in CURVES if m in distinct(bands, "method")]
    for ax, world in zip(own, worlds, strict=True):
        rows = select(bands, world=world, axis="rollouts")
        draw_curves(ax, [_percent(r) for r in rows], methods)
        ax.set_title(f"ours, {world}")
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(thousands)
    own[len(own) // 2].set_xlabel("rollouts generated")
    handles, labels = own[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    letter([published, *own])
    return figure


def _percent(row: Row) -> Row:
    scaled = {k: row[k] if row[k] is None else 100 * row[k] for k in ("value", "lower", "upper")}
    return {**row, **scaled}
