"""Reset policies on Gymnasium worlds, trees and locks: gain of a step, samples of a choice."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paper_figs.rows import Row, distinct, need, select
from paper_figs.style import FULL_WIDTH, MUTED, Look, letter, log_scales, look, panels, styled

_KINDS = {
    "random": look("random"),
    "first error": look("first_error"),
    "oracle": look("oracle"),
}


@styled
def worlds_figure(worlds: Sequence[Row]) -> Figure:
    """One step at alpha* per world: guaranteed and exact gain, and samples for a right choice.

    Args:
        worlds: rows of the table ``worlds``; of an oracle's levels in a world the lowest is drawn.
    """
    need(select(worlds, resets="oracle"), "oracle reset")
    rows = _lowest_levels(worlds)
    places = distinct([r | {"place": (r["world"], r["policy"])} for r in rows], "place")
    figure, axes = panels(1, 2, FULL_WIDTH, 0.7 + 0.27 * len(places), sharey=True)
    gains, samples = axes[0]
    for height, (world, policy) in enumerate(reversed(places)):
        here = select(rows, world=world, policy=policy)
        for name, style in _KINDS.items():
            for row in select(here, resets=name):
                _gain_mark(gains, height, row, style)
                _samples_mark(samples, height, row, style)
    names = [w if p == "base" else f"{w}, {p}" for w, p in reversed(places)]
    gains.set_yticks(range(len(places)), names)
    log_scales(gains, y=False)
    gains.set(xlabel="gain in J (bar: guaranteed)", ylim=(-0.6, len(places) - 0.4))
    gains.set_title("One step of size α*")
    log_scales(samples, y=False)
    samples.set_xlabel("samples for 90 % right choices")
    samples.set_title("Samples it takes")
    handles = [
        Line2D([], [], color=s.color, marker=s.marker, ls="", label=s.label)
        for s in _KINDS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    letter([gains, samples])
    return figure


def _lowest_levels(worlds: Sequence[Row]) -> list[Row]:
    lowest: dict[tuple[str, str], float] = {}
    for row in worlds:
        if "level" in row:
            place = (row["world"], row["policy"])
            lowest[place] = min(row["level"], lowest.get(place, row["level"]))
    return [r for r in worlds if r.get("level") in (None, lowest.get((r["world"], r["policy"])))]


def _gain_mark(ax: Axes, height: int, row: Row, style: Look) -> None:
    if row["gain"] <= 0:
        return
    ax.plot(row["gain"], height, style.marker, color=style.color)
    if row["guaranteed"] > 0:
        ax.plot(row["guaranteed"], height, "|", color=style.color, ms=7, mew=1.6)
        ax.plot([row["guaranteed"], row["gain"]], [height] * 2, color=style.color, lw=0.8)


def _samples_mark(ax: Axes, height: int, row: Row, style: Look) -> None:
    if row["samples"] is not None:
        ax.plot(row["samples"], height, style.marker, color=style.color)
        return
    if row["resets"] == "random":
        ax.annotate(
            "returns are not 0 or 1: not measured",
            (0.03, height),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=6.5,
            color=MUTED,
        )
