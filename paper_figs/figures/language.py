"""Training runs of language models: curves, localisation during RL, and one prompt's credit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch
from matplotlib.ticker import MaxNLocator

from paper_figs.figures.learning import curves_figure
from paper_figs.rows import Row, distinct, need, select, sorted_by
from paper_figs.style import (
    BAD,
    FULL_WIDTH,
    GOOD,
    INK,
    MUTED,
    letter,
    look,
    panels,
    styled,
    thousands,
)

_CREDIT = LinearSegmentedColormap.from_list("credit", [BAD, "#FFFFFF", GOOD])


def pass_curves_figure(bands: Sequence[Row]) -> Figure:
    """Pass rate on held-out problems against rollouts and against tokens generated, per world.

    Args:
        bands: rows of the table ``bands`` of a ``train`` run.
    """
    return curves_figure(bands, value="pass rate, held out")


@styled
def localization_figure(localization: Sequence[Row]) -> Figure:
    """How often the first error was named while the policy learned, beside a fixed guess.

    Args:
        localization: rows of the table ``localization`` of a ``train`` run: `world`, `method`,
            `x`, the counts `asked` and `first_hard`, and `exact_rate` with `lower` and `upper`.
    """
    judged = (r for r in localization if r["method"] != "ORACLE" and _known(r))
    rows = need(judged, "localisation whose truth is known")
    worlds, methods = distinct(rows, "world"), distinct(rows, "method")
    figure, axes = panels(1, len(worlds), FULL_WIDTH, 2.5, sharey=True)
    flat = list(axes[0])
    for ax, world in zip(flat, worlds, strict=True):
        for index, method in enumerate(methods):
            _accuracy_line(ax, select(rows, world=world, method=method), method, index)
        ax.set_title(world)
        ax.set_ylim(0, 1.03)
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(thousands)
        ax.set_xlabel("rollouts generated")
    flat[0].set_ylabel("named the first error")
    if len(worlds) > 1:
        letter(flat)
    handles, labels = flat[0].get_legend_handles_labels()
    handles.append(Line2D([], [], color=INK, ls=":", lw=1.2))
    labels.append("first hard step of the question, same failures")
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _known(row: Row) -> int:
    """Localisations whose truth somebody knows; only worlds where some are not say how many."""
    return int(row["asked"] - row.get("unknown", 0))


def _accuracy_line(ax: Axes, rows: Sequence[Row], method: str, index: int) -> None:
    """The rate with its band, and with a thin dotted line what the fixed guess would reach."""
    if not rows:
        return
    rows, style = sorted_by(rows, "x"), look(method, index)
    x = [r["x"] for r in rows]
    known = [r for r in rows if r["lower"] is not None]
    low, high = [r["lower"] for r in known], [r["upper"] for r in known]
    ax.fill_between([r["x"] for r in known], low, high, color=style.color, alpha=0.14, lw=0)
    rates = [r["exact"] / _known(r) for r in rows]
    guess = [r["first_hard"] / _known(r) for r in rows]
    ax.plot(x, rates, color=style.color, marker=style.marker, ms=3.5, label=style.label)
    if any(guess):  # nothing can be guessed so of a task without hard steps
        ax.plot(x, guess, color=style.color, ls=":", lw=1.2)


@styled
def credit_figure(tree: Sequence[Row]) -> Figure:
    """One prompt's rollouts under SRPO, each thought coloured by the norm of the loss gradient.

    Args:
        tree: rows of the table ``tree``; those of kind "rollout" are drawn.
    """
    rows = select(tree, kind="rollout")
    if not rows:
        figure, axes = panels(1, 1, FULL_WIDTH, 0.6)
        axes[0, 0].text(0.5, 0.5, "no reset group was informative", ha="center", color=MUTED)
        axes[0, 0].axis("off")
        return figure
    widest = max(len(r["thoughts"]) for r in rows)
    figure, axes = panels(1, 1, FULL_WIDTH + 0.6, 0.9 + 0.46 * (len(rows) + 1))
    ax = axes[0, 0]
    most = max((s for r in rows for s in r["signal"]), default=0.0) or 1.0
    colors = ScalarMappable(Normalize(-most, most), _CREDIT)
    heights = _heights(rows)
    for row, y in zip(rows, heights, strict=True):
        _thoughts(ax, row, y, most)
        _outcome(ax, row, y, widest)
    _reset_arrow(ax, rows, heights)
    _names(ax, rows, heights)
    for step in range(widest):
        ax.text(step, 0.15, f"{step + 1}", ha="center", va="center", fontsize=7, color=MUTED)
    ax.text(-0.6, 0.15, "thought", ha="right", va="center", fontsize=7, color=MUTED)
    ax.text(widest - 0.3, 0.15, "reward  advantage", va="center", fontsize=7, color=MUTED)
    ax.legend(
        handles=[
            Patch(facecolor="white", edgecolor=BAD, lw=1.6, label="first wrong thought"),
            Patch(facecolor="#F2F2F2", edgecolor="#BDBDBD", ls=":", label="kept: no loss on it"),
        ],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=2,
    )
    ax.set_xlim(-1.55, widest + 1.15)
    ax.set_ylim(min(heights) - 0.6, 0.5)
    ax.axis("off")
    bar = figure.colorbar(colors, ax=ax, orientation="horizontal", fraction=0.035, pad=0.02)
    bar.set_label("gradient signal: norm of the loss gradient in the thought's logits, sign of A")
    bar.locator = MaxNLocator(5)
    bar.ax.tick_params(labelsize=6.5)
    return figure


def _heights(rows: Sequence[Row]) -> list[float]:
    """A row below the other, groups apart."""
    heights, y = [], -0.2
    for index, row in enumerate(rows):
        y -= 1.55 if index and row["group"] != rows[index - 1]["group"] else 1.0
        heights.append(y + 0.5)
    return heights


def _thoughts(ax: Axes, row: Row, y: float, most: float) -> None:
    """A box per thought; kept ones hollow, the first wrong one marked."""
    right = row["right"] or []
    wrong = right.index(False) if False in right else None
    for step, text in enumerate(row["thoughts"]):
        own = step - row["first"]
        kept = own < 0
        signal = 0.0 if kept else row["signal"][own] * (1 if row["advantage"] > 0 else -1)
        edge, width = (BAD, 1.6) if step == wrong and not kept else ("#BDBDBD", 0.7)
        box = FancyBboxPatch(
            (step - 0.44, y - 0.4),
            0.88,
            0.8,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="#F2F2F2" if kept else _CREDIT(0.5 + 0.5 * signal / most),
            edgecolor=edge,
            lw=width,
            ls=":" if kept else "-",
        )
        ax.add_patch(box)
        if len(text) <= 28:
            shown = textwrap.fill(text, 10, break_long_words=False)
            ink = "#9A9A9A" if kept else INK
            ax.text(step, y, shown, ha="center", va="center", fontsize=5, color=ink)


def _outcome(ax: Axes, row: Row, y: float, widest: int) -> None:
    won = row["reward"] > 0
    color = GOOD if won else BAD
    ax.text(widest - 0.1, y, f"{row['reward']:g}", color=color, va="center", ha="center", size=8)
    advantage = f"{row['advantage']:+.2f}" if row["advantage"] else "0"
    ax.text(widest + 0.85, y, advantage, va="center", ha="right", size=8, color=INK)


def _reset_arrow(ax: Axes, rows: Sequence[Row], heights: Sequence[float]) -> None:
    """Where the parent is cut, and down to the first suffix; it runs between the boxes."""
    suffixes = [i for i, r in enumerate(rows) if r["role"] == "suffix"]
    for row, y in zip(rows, heights, strict=True):
        if row["reset"] is None or not suffixes:
            continue
        x = row["reset"] - 0.5
        ax.annotate(
            "",
            xy=(x, heights[suffixes[0]] + 0.36),
            xytext=(x, y + 0.42),
            arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0},
            zorder=3,
        )
        ax.text(
            x - 0.08,
            min(h for h, r in zip(heights, rows, strict=True) if r["role"] != "suffix") - 0.62,
            "reset",
            ha="right",
            va="center",
            fontsize=7,
            color=INK,
        )


def _names(ax: Axes, rows: Sequence[Row], heights: Sequence[float]) -> None:
    for group in distinct(rows, "group"):
        chosen = [h for r, h in zip(rows, heights, strict=True) if r["group"] == group]
        role = select(rows, group=group)[0]["role"]
        name = "base\ngroup" if role == "base" else "reset\ngroup"
        middle = sum(chosen) / len(chosen)
        ax.text(-0.6, middle, name, ha="right", va="center", fontsize=8)
