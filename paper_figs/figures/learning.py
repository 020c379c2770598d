"""Learning curves, paired differences between methods, and how many groups teach anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from paper_figs.rows import Row, distinct, need, select, sorted_by
from paper_figs.style import FULL_WIDTH, INK, MUTED, letter, look, panels, styled, thousands

AXES = {"rollouts": "rollouts generated", "steps": "steps generated"}
_LABELS = AXES | {"tokens": "tokens generated"}


def draw_curves(ax: Axes, bands: Sequence[Row], methods: Sequence[str]) -> None:
    """Interquartile mean of J with its band, one line per method.

    Args:
        ax: where to draw.
        bands: rows of one world and axis.
        methods: which methods, in order; those without a row are passed over.
    """
    for index, method in enumerate(methods):
        rows = sorted_by(select(bands, method=method), "x")
        if not rows:  # of a run under way, whose worlds have not all methods yet
            continue
        style, x = look(method, index), [r["x"] for r in rows]
        if rows[0]["lower"] is not None:  # one seed has no band
            low, high = [r["lower"] for r in rows], [r["upper"] for r in rows]
            ax.fill_between(x, low, high, color=style.color, alpha=0.16, lw=0)
        ax.plot(
            x,
            [r["value"] for r in rows],
            color=style.color,
            ls=style.dash,
            marker=style.marker,
            markevery=(index % 4, max(1, len(x) // 6)),
            ms=3.5,
            label=style.label,
        )


@styled
def curves_figure(
    bands: Sequence[Row],
    methods: Sequence[str] | None = None,
    value: str = "J of the policy",
) -> Figure:
    """Learning curves against what was generated, a column per axis of the bands, per world.

    Args:
        bands: rows of the table ``bands``.
        methods: which to draw; all by default.
        value: what the curves show.
    """
    chosen = need((r for r in bands if methods is None or r["method"] in methods), "curve")
    worlds, names = distinct(chosen, "world"), distinct(chosen, "method")
    along = distinct(chosen, "axis")
    figure, axes = panels(len(worlds), len(along), FULL_WIDTH, 2.1, sharey="row")
    for row, world in zip(axes, worlds, strict=True):
        for ax, axis in zip(row, along, strict=True):
            draw_curves(ax, select(chosen, world=world, axis=axis), names)
            ax.set_xlim(left=0)
            ax.xaxis.set_major_formatter(thousands)
        row[0].set_title(world)
        row[0].set_ylabel(value)
    for ax, axis in zip(axes[-1], along, strict=True):
        ax.set_xlabel(_LABELS[axis])
    # Not every world of a run under way has all methods.
    lines = {line.get_label(): line for ax in axes.flat for line in ax.get_lines()}
    labels = [look(name, index).label for index, name in enumerate(names)]
    handles = [lines[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


_PLAIN = {"GRPO", "RRPO", "SRPO"}


def differences_figure(pairs: Sequence[Row]) -> Figure:
    """Differences among GRPO, RRPO and SRPO with an exact localiser.

    Args:
        pairs: rows of the table ``pairs``.
    """
    return _differences([r for r in pairs if {r["first"], r["second"]} <= _PLAIN])


def training_differences_figure(pairs: Sequence[Row]) -> Figure:
    """Differences among all methods that trained a language model.

    Args:
        pairs: rows of the table ``pairs`` of a ``train`` run.
    """
    return _differences(pairs, "difference in mean pass rate over the run")


def localiser_figure(pairs: Sequence[Row]) -> Figure:
    """Differences that involve SRPO with a localiser that errs.

    Args:
        pairs: rows of the table ``pairs``.
    """
    return _differences([r for r in pairs if not {r["first"], r["second"]} <= _PLAIN])


@styled
def _differences(
    pairs: Sequence[Row], label: str = "difference in mean J over the curve"
) -> Figure:
    """Difference of means over the curve, paired by seed; filled where the interval excludes 0."""
    need(pairs, "comparison of these methods")
    contrasts = list(dict.fromkeys((r["first"], r["second"]) for r in pairs))
    worlds, along = distinct(pairs, "world"), distinct(pairs, "axis")
    height = 0.9 + 0.2 * len(contrasts) * len(worlds)
    figure, axes = panels(1, len(along), FULL_WIDTH, height, sharey=True)
    for ax, axis in zip(axes[0], along, strict=False):
        rows = select(pairs, axis=axis)
        for height, world in enumerate(reversed(worlds)):
            offsets = np.linspace(0.36, -0.36, len(contrasts))
            for index, (first, second) in enumerate(contrasts):
                found = select(rows, world=world, first=first, second=second)
                if found:
                    _contrast(ax, height + offsets[index], found[0], index)
        ax.axvline(0, color=INK, lw=1, zorder=0.9)
        ax.set_title(f"Per {axis[:-1]}")
        ax.set_xlabel(label)
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.grid(axis="y", visible=False)
        for height in range(1, len(worlds)):
            ax.axhline(height - 0.5, color=MUTED, lw=0.4)
    axes[0, 0].set_yticks(range(len(worlds)), list(reversed(worlds)))
    axes[0, 0].set_ylim(-0.55, len(worlds) - 0.45)
    figure.legend(handles=_contrast_legend(contrasts), loc="outside lower center", ncols=3)
    letter(list(axes[0]))
    return figure


def _contrast(ax: Axes, y: float, row: Row, index: int) -> None:
    style = look(f"{row['first']} - {row['second']}", index)
    sure = row["lower"] > 0 or row["upper"] < 0
    ax.plot([row["lower"], row["upper"]], [y, y], color=style.color, lw=1.4)
    face = style.color if sure else "white"
    ax.plot(row["difference"], y, style.marker, color=style.color, mfc=face, ms=4.5)


def _contrast_legend(contrasts: Sequence[tuple[str, str]]) -> list[Line2D]:
    handles = []
    for index, (first, second) in enumerate(contrasts):
        style = look(f"{first} - {second}", index)
        label = f"{first} − {second}"
        handles.append(Line2D([], [], color=style.color, marker=style.marker, label=label))
    return handles


@styled
def informative_figure(groups: Sequence[Row]) -> Figure:
    """Share of groups whose rewards differ, so that they teach anything, during learning.

    Args:
        groups: rows of the table ``groups``.
    """
    need(groups, "count of groups")
    worlds, names = distinct(groups, "world"), distinct(groups, "method")
    columns = min(3, len(worlds))
    figure, axes = panels(-(-len(worlds) // columns), columns, FULL_WIDTH, 2.1, sharey=True)
    flat = list(axes.ravel())
    for ax, world in zip(flat, worlds, strict=False):
        for index, method in enumerate(names):
            made = [r for r in groups if r["informative"] is not None]
            rows = sorted_by(select(made, world=world, method=method), "x")
            style = look(method, index)
            ax.plot(
                [r["x"] for r in rows],
                [r["informative"] for r in rows],
                color=style.color,
                ls=style.dash,
                marker=style.marker,
                markevery=(index % 4, max(1, len(rows) // 6)),
                ms=3.5,
                label=style.label,
            )
        ax.set_title(world)
        ax.set_ylim(0, 1)
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(thousands)
        ax.set_xlabel(AXES["rollouts"])
    for ax in flat[len(worlds) :]:
        ax.axis("off")
    axes[0, 0].set_ylabel("informative groups")
    handles, labels = flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
