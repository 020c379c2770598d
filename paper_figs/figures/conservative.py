"""Conservative policy iteration with random and with oracle resets."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.rows import Row, distinct, need, select, sorted_by
from paper_figs.style import FULL_WIDTH, look, panels, styled, thousands

_LABELS = {"update": "iterations (exact)", "rollouts": "rollouts (sampled)"}


@styled
def conservative_figure(conservative: Sequence[Row]) -> Figure:
    """J against iterations (exact advantages) and against rollouts (sampled), per world.

    Args:
        conservative: rows of the table ``conservative`` of a ``learn`` run.
    """
    drawn = (r for r in conservative if r["axis"] in _LABELS)
    rows = need(drawn, "conservative method")
    cells = list(dict.fromkeys((r["world"], r["axis"]) for r in rows))
    # The sort is stable: exact panels first, worlds in the order of the records.
    cells.sort(key=lambda cell: cell[1] == "rollouts")
    columns = min(3, len(cells))
    figure, axes = panels(-(-len(cells) // columns), columns, FULL_WIDTH, 2.0)
    flat = list(axes.ravel())
    for ax, (world, axis) in zip(flat, cells, strict=False):
        _curves(ax, select(rows, world=world, axis=axis))
        ax.set_title(world)
        ax.set_xlabel(_LABELS[axis])
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(thousands)
    for ax in flat[len(cells) :]:
        ax.axis("off")
    for row in axes:
        row[0].set_ylabel("J of the policy")
    handles, labels = flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _curves(ax: Axes, bands: Sequence[Row]) -> None:
    for index, method in enumerate(distinct(bands, "method")):
        rows = sorted_by(select(bands, method=method), "x")
        style, x = look(method.removesuffix(", exact"), index), [r["x"] for r in rows]
        if all(r["lower"] is not None for r in rows):  # else so few seeds do not say
            low, high = [r["lower"] for r in rows], [r["upper"] for r in rows]
            ax.fill_between(x, low, high, color=style.color, alpha=0.16, lw=0)
        ax.plot(x, [r["value"] for r in rows], color=style.color, ls=style.dash, label=style.label)
