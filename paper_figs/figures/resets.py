"""What resets of a language model's failures are worth: positions, deviations, corrections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from paper_figs.published import DEVIATIONS, within
from paper_figs.rows import Row, distinct, need, select, sorted_by
from paper_figs.style import (
    FULL_WIDTH,
    INK,
    MUTED,
    Look,
    letter,
    look,
    panels,
    styled,
)

BINS = 10

_LOOKS = {
    "self": look("first_error"),
    "random": look("uniform"),
    "oracle": look("oracle"),
    "start": look("start"),
    "first hard": Look("first hard step", "#CC79A7", "v", "-."),
}


def relative_bin(step: int, length: int, bins: int = BINS) -> int:
    """Which of `bins` equal parts of [0, 1) the relative position step / length lies in.

    Part b holds b / bins <= step / length < (b + 1) / bins. It is found with whole numbers, so
    that a position on an edge always counts to the part that begins there.
    """
    return step * bins // length


def position_counts(rows: Sequence[Row], bins: int = BINS) -> NDArray[np.int64]:
    """How many resets lie in each part of their parents, shape (bins,); refused ones in none."""
    places = [relative_bin(r["step"], r["length"], bins) for r in rows if r["step"] is not None]
    return np.bincount(places, minlength=bins).astype(np.int64)


@styled
def relative_positions_figure(resets: Sequence[Row]) -> Figure:
    """Where in the failed solution self and random resets lie, as a share of its length.

    Args:
        resets: rows of the table ``resets`` of an ``anatomy`` run.
    """
    figure, flat = _world_panels(resets, 2.2)
    edges = np.arange(BINS + 1)
    for ax, world in flat:
        for kind, fill in (("self", True), ("random", False)):
            rows = select(resets, world=world, kind=kind)
            counts, style = position_counts(rows), _LOOKS[kind]
            share = 100 * counts / max(counts.sum(), 1)
            if fill:
                ax.stairs(share, edges, color=style.color, fill=True, alpha=0.35, lw=0)
            ax.stairs(share, edges, color=style.color, ls=style.dash, lw=1.6, label=_name(kind))
        ax.set_xticks(edges[::2], [f"{b / BINS:g}" for b in edges[::2]])
        ax.set_xlim(0, BINS)
        ax.grid(axis="x", visible=False)
        refused = sum(r["step"] is None for r in select(resets, world=world, kind="self"))
        asked = len(select(resets, world=world, kind="self"))
        _note(ax, f"{asked} failures\n{refused} refused", right=True)
    flat[0][0].set_ylabel("resets (%)")
    flat[0][0].set_ylim(0, 1.2 * flat[0][0].get_ylim()[1])
    _finish(figure, flat, "thoughts kept, as a share of the failed solution")
    return figure


@styled
def deviation_figure(deviations: Sequence[Row]) -> Figure:
    """How far named steps are from the first error, beside a random step's and a fixed guess's.

    Args:
        deviations: rows of the table ``deviations``.
    """
    figure, flat = _world_panels(deviations, 2.4)
    for ax, world in flat:
        for index, kind in enumerate(("self", "first hard", "random")):
            rows = sorted_by(select(deviations, world=world, kind=kind), "deviation")
            known = [r for r in rows if r["share"] is not None]
            if not known:
                continue
            style, shift = _LOOKS[kind], 0.28 * (index - 1)
            x = np.array([r["deviation"] for r in known]) + shift
            y = np.array([r["share"] for r in known])
            ax.bar(x, 100 * y, 0.26, color=style.color, alpha=0.75, label=_name(kind))
            _whiskers(ax, x, known, "share", INK)
        _published(ax, {d.deviation: d.prompts / _PUBLISHED_PROMPTS for d in DEVIATIONS})
        _deviation_ticks(ax, deviations)
        ax.axvline(0.5, color=MUTED, lw=0.8, ls=":")
        _note(ax, "too late:\nwrong prefix", right=True)
        ax.set_ylim(0, 100)
    flat[0][0].set_ylabel("resets (%)")
    _finish(figure, flat, "reset step less first error")
    return figure


@styled
def correction_figure(corrections: Sequence[Row]) -> Figure:
    """How often suffixes succeed by the deviation of the step, beside resets of the same depth.

    Args:
        corrections: rows of the table ``corrections``.
    """
    figure, flat = _world_panels(corrections, 2.6, sharey=False)
    for ax, world in flat:
        here = [r for r in select(corrections, world=world) if r["rate"] is not None]
        by_deviation = [r for r in here if r["deviation"] is not None]
        tops = [0.01]
        for kind, shift in (("self", -0.2), ("random", 0.12)):
            for end, hollow in (("", False), (" control", True)):
                rows = sorted_by(select(by_deviation, kind=kind + end), "deviation")
                label = _name(kind + end)
                _points(ax, rows, "rate", _LOOKS[kind], label, shift + 0.1 * hollow, hollow)
                tops += [r["upper"] for r in rows if r["resets"] >= _MANY]
                tops += [1.1 * r["rate"] for r in rows]
        for kind in ("oracle", "start"):
            for row in select(here, kind=kind, deviation=None):
                style, label = _LOOKS[kind], _REFERENCES[kind]
                ax.axhline(100 * row["rate"], color=style.color, lw=1.1, ls=":", label=label)
                tops.append(row["upper"])
        ends = [abs(r["deviation"]) for r in by_deviation]
        if ends:
            _published(ax, {d.deviation: d.corrected for d in within(max(ends))})
        _deviation_ticks(ax, corrections, [_count(by_deviation, kind) for kind in _COUNTED])
        ax.axvline(0.5, color=MUTED, lw=0.8, ls=":")
        ax.set_ylim(0, min(100, 115 * max(tops)))
    flat[0][0].set_ylabel("suffixes that succeed (%)")
    _finish(figure, flat, "reset step less first error; below: how many named and random")
    return figure


def _published(ax: Axes, shares: dict[int, float]) -> None:
    """What the paper shows of a larger model; the errors are what a still larger one named."""
    label = "published: 7B, errors by another model"
    x, y = list(shares), [100 * share for share in shares.values()]
    ax.plot(x, y, "x", color=INK, ms=4, mew=0.9, label=label, zorder=3)


_PUBLISHED_PROMPTS = sum(d.prompts for d in DEVIATIONS)
_COUNTED = ("self", "random")
_REFERENCES = {"oracle": "mean of exact first errors", "start": "mean from the start"}

# Resets from which on an interval is to fit into the panel; those of fewer run off its top.
_MANY = 20


_PREFIXES = {
    "clean": Look("clean prefix", "#009E73", "D"),
    "clean control": Look("same depth as clean", "#66BFA3", "D", "--"),
    "erroneous": Look("erroneous prefix", "#D55E00", "s"),
    "erroneous control": Look("same depth as erroneous", "#E9A27A", "s", "--"),
    "start": Look("from the start", "#4D4D4D", "o", ":"),
}


@styled
def passk_figure(passk: Sequence[Row]) -> Figure:
    """pass@k after clean and erroneous prefixes, each beside other failures of the same depth.

    Args:
        passk: rows of the table ``passk``.
    """
    figure, flat = _world_panels(passk, 2.6, sharey=False)
    for ax, world in flat:
        most = max(r["k"] for r in select(passk, world=world))
        for index, (prefix, style) in enumerate(_PREFIXES.items()):
            found = select(passk, world=world, prefix=prefix)
            rows = sorted_by([r for r in found if r["value"] is not None], "k")
            shift = 0.07 * (index - 2)
            hollow = style.dash != "-"
            _points(ax, rows, "value", style, style.label, shift, hollow, "k", style.dash)
        ax.set_xticks(range(1, most + 1))
        ax.set_ylim(bottom=0)
    flat[0][0].set_ylabel("pass@k (%)")
    _finish(figure, flat, "suffixes k")
    return figure


def _world_panels(
    rows: Sequence[Row], height: float, sharey: bool = True
) -> tuple[Figure, list[tuple[Axes, str]]]:
    """A panel per world with its name."""
    worlds = distinct(need(rows, "reset"), "world")
    figure, axes = panels(1, len(worlds), FULL_WIDTH, height, sharey=sharey)
    flat = list(axes[0])
    for ax, world in zip(flat, worlds, strict=True):
        ax.set_title(world)
    if len(worlds) > 1:
        letter(flat)
    return figure, list(zip(flat, worlds, strict=True))


def _points(
    ax: Axes,
    rows: Sequence[Row],
    name: str,
    style: Look,
    label: str,
    shift: float,
    hollow: bool,
    of: str = "deviation",
    line: str = "",
) -> None:
    """Estimates in per cent with their intervals, joined by a line if one is given."""
    if not rows:
        return
    x = np.array([r[of] for r in rows]) + shift
    _whiskers(ax, x, rows, name, style.color)
    y = [100 * r[name] for r in rows]
    face = "white" if hollow else style.color
    ax.plot(x, y, style.marker, ls=line, color=style.color, mfc=face, label=label)


def _name(kind: str) -> str:
    return _NAMES[kind] if kind in _NAMES else _LOOKS[kind].label


_NAMES = {
    "self": "step named by the model",
    "random": "random step",
    "oracle": "first error",
    "self control": "same depth as named",
    "random control": "same depth as random",
}


def _whiskers(ax: Axes, x: NDArray[np.float64], rows: Sequence[Row], name: str, color: str) -> None:
    """Intervals of what is known, in per cent."""
    for at, row in zip(x, rows, strict=True):
        if row[name] is not None and row["lower"] is not None:
            ends = [100 * row["lower"], 100 * row["upper"]]
            ax.plot([at, at], ends, color=color, lw=1.0, zorder=1.9)


def _count(rows: Sequence[Row], kind: str) -> dict[int, int]:
    """Resets of a kind per deviation."""
    return {r["deviation"]: r["resets"] for r in select(rows, kind=kind)}


def _deviation_ticks(ax: Axes, rows: Sequence[Row], counts: Sequence[dict[int, int]] = ()) -> None:
    """A tick per deviation, with the counts below it."""
    ends = [r["deviation"] for r in rows if r["deviation"] is not None]
    low, high = (min(ends), max(ends)) if ends else (0, 0)
    names = {low: f"≤{low}", 0: "0", high: f"≥{high:+d}"}
    ticks = range(low, high + 1)
    labels = [
        "\n".join([names.get(t, f"{t:+d}"), *(str(c.get(t, 0)) for c in counts)]) for t in ticks
    ]
    ax.set_xticks(ticks, labels)
    ax.tick_params(axis="x", labelsize=6.5)
    ax.set_xlim(low - 0.6, high + 0.6)
    ax.grid(axis="x", visible=False)


def _note(ax: Axes, text: str, right: bool = False) -> None:
    x, side = (0.97, "right") if right else (0.03, "left")
    ax.text(x, 0.96, text, transform=ax.transAxes, va="top", ha=side, fontsize=7, color=MUTED)


def _finish(figure: Figure, flat: Sequence[tuple[Axes, str]], label: str, columns: int = 3) -> None:
    """One label below the panels, and a legend with what any of them shows."""
    flat[len(flat) // 2][0].set_xlabel(label)
    entries: dict[str, Artist] = {}
    for ax, _ in flat:
        handles, labels = ax.get_legend_handles_labels()
        entries.update((str(name), h) for name, h in zip(labels, handles, strict=True))
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)
