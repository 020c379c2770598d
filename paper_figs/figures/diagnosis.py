"""What a diagnosis found: how rare improvable states are, what the localiser knows, who learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paper_figs.rows import Row, distinct, need, select
from paper_figs.style import FULL_WIDTH, INK, MUTED, Look, letter, look, panels, styled

_OWN, _CONTROL = "first_error", "uniform"


@styled
def diagnosis_figure(estimates: Sequence[Row]) -> Figure:
    """Six panels of one diagnosis.

    Args:
        estimates: rows of the table ``estimates``.
    """
    need(estimates, "estimate")
    figure, axes = panels(2, 3, FULL_WIDTH, 2.3)
    _first_improvable(axes[0, 0], estimates)
    _precision(axes[0, 1], estimates)
    _corrections(axes[0, 2], estimates, "depth", "Corrections by depth")
    _corrections(axes[1, 0], estimates, "deviation", "Corrections by deviation")
    _methods(axes[1, 1], estimates, "informative", "Informative groups", percent=True)
    _methods(axes[1, 2], estimates, "signal", "Predicted signal", percent=False)
    letter(axes.ravel().tolist(), size=8.5)
    named, beside = (Line2D([], [], **_handle(look(kind))) for kind in (_OWN, _CONTROL))
    figure.legend(
        [named, beside],
        ["step named by the localiser", "random step (b), same step of another failure (c, d)"],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _handle(style: Look) -> dict[str, Any]:
    return {"marker": style.marker, "color": style.color, "ls": "none"}


def _first_improvable(ax: Axes, estimates: Sequence[Row]) -> None:
    rows = select(estimates, section="first improvable step")
    steps = np.arange(len(rows))
    low, middle, high = (_percent(rows, end) for end in ("lower", "estimate", "upper"))
    style = look(_OWN)
    ax.fill_between(steps, low, high, step="mid", color=style.color, alpha=0.16, lw=0)
    ax.step(steps, middle, where="mid", color=style.color)
    ax.set_title("First improvable step")
    ax.set_xlabel("step")
    ax.set_ylabel("rollouts that met one (%)")
    ax.set_ylim(bottom=0)


def _precision(ax: Axes, estimates: Sequence[Row]) -> None:
    """Coverage beside the precision of both ways to choose a state."""
    bars = (
        ("visited", "states", "coverage", "start"),
        ("random", "random", "precision", _CONTROL),
        ("named", "localiser", "precision", _OWN),
    )
    for place, (_, section, name, style) in enumerate(bars):
        _mark(ax, place, select(estimates, section=section, name=name), style)
    ax.set_xticks(range(len(bars)), [label for label, *_ in bars])
    ax.set_xlim(-0.5, len(bars) - 0.5)
    ax.set_title("Improvable states")
    ax.set_ylabel("share (%)")
    ax.set_ylim(bottom=0)


def _corrections(ax: Axes, estimates: Sequence[Row], kind: str, title: str) -> None:
    """Success of suffixes from named steps and of the depth-matched control."""
    rows = [r for r in select(estimates, section="correction") if r["name"].startswith(kind)]
    labels = list(dict.fromkeys(r["name"].rpartition(", ")[0] for r in rows))
    for shift, name, style in ((-0.12, "matched", _OWN), (0.12, "control", _CONTROL)):
        for place, label in enumerate(labels):
            _mark(ax, place + shift, select(rows, name=f"{label}, {name}"), style)
    ticks = [_short(label.removeprefix(kind).strip()) for label in labels]
    ax.set_xticks(range(len(labels)), ticks)
    ax.set_xlim(-0.7, len(labels) - 0.3)
    ax.set_title(title)
    ax.set_ylabel("suffixes that succeed (%)")
    ax.set_ylim(bottom=0)
    ax.set_xlabel("part of the rollout" if kind == "depth" else "named step less reference")
    if not labels:
        ax.text(0.5, 0.5, "no reference", transform=ax.transAxes, ha="center", color=MUTED)


def _short(label: str) -> str:
    part, of, _ = label.partition(" of ")
    if of:
        return part
    return label.replace(" or earlier", "\nor less").replace(" or later", "\nor more")


def _methods(ax: Axes, estimates: Sequence[Row], name: str, title: str, *, percent: bool) -> None:
    rows = [r for r in select(estimates, section="methods") if r["name"].endswith(f", {name}")]
    for place, row in enumerate(rows):
        method = row["name"].partition(",")[0]
        _mark(ax, place, [row], method, percent=percent)
    ax.set_xticks(range(len(rows)), [r["name"].partition(",")[0] for r in rows])
    ax.set_xlim(-0.5, max(len(rows), 1) - 0.5)
    ax.set_title(title)
    ax.set_ylabel("share of groups (%)" if percent else "per rollout")
    ax.set_ylim(bottom=0)


def _mark(ax: Axes, place: float, rows: Sequence[Row], style: str, percent: bool = True) -> None:
    """Estimates with their intervals; what is unknown, or an end that is infinite, is left out."""
    one = look(style)
    for row in rows:
        if row["estimate"] is None:
            continue
        value, low, high = (
            np.array([np.nan if row[end] is None else row[end]]) * (100 if percent else 1)
            for end in ("estimate", "lower", "upper")
        )
        ax.errorbar(
            [place],
            value,
            [value - low, high - value],
            fmt=one.marker,
            color=one.color,
            capsize=2,
            lw=1.2,
        )


def _percent(rows: Sequence[Row], end: str) -> np.ndarray:
    return 100 * np.array([r[end] for r in rows], dtype=np.float64)


@styled
def diagnosis_coverage_figure(coverage: Sequence[Row]) -> Figure:
    """How often the intervals cover the truth, every number of every world a dot.

    Args:
        coverage: rows of the table ``coverage`` of a validation.
    """
    sections = distinct(need(coverage, "coverage of an interval"), "section")
    figure, axes = panels(1, 1, FULL_WIDTH, 0.8 + 0.3 * len(sections))
    ax = axes[0, 0]
    worlds = distinct(coverage, "case")
    for index, world in enumerate(worlds):
        rows = select(coverage, case=world)
        heights = [
            sections.index(r["section"]) + 0.16 * (index - (len(worlds) - 1) / 2) for r in rows
        ]
        style = look(world, index)
        ax.plot(
            [100 * r["covered"] for r in rows], heights, style.marker, color=style.color,
            label=style.label, ms=3.5, alpha=0.8,
        )  # fmt: skip
    ax.axvline(95, color=INK, lw=1)
    ax.axvline(90, color=MUTED, lw=1, ls="--")
    ax.set_yticks(range(len(sections)), sections)
    ax.set_ylim(len(sections) - 0.4, -0.6)
    ax.set_xlabel("intervals that cover the exact value (%)")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@styled
def diagnosis_order_figure(settings: Sequence[Row]) -> Figure:
    """Predicted against measured difference of SRPO and GRPO, a point per setting.

    Args:
        settings: rows of the table ``settings`` of an order run.
    """
    need(settings, "setting")
    figure, axes = panels(1, 1, 4.6, 3.0)
    ax = axes[0, 0]
    x = [np.log2(max(r["SRPO"], 1e-9) / max(r["GRPO"], 1e-9)) for r in settings]
    y = [r["difference"] for r in settings]
    spread = [[r["difference"] - r["lower"], r["upper"] - r["difference"]] for r in settings]
    style = look("SRPO - GRPO")
    ax.errorbar(x, y, np.array(spread).T, fmt="none", color=style.color, lw=0.9, alpha=0.6)
    for shown, face in ((True, style.color), (False, "white")):
        chosen = [i for i, r in enumerate(settings) if r["shown"] == shown]
        ax.plot(
            [x[i] for i in chosen],
            [y[i] for i in chosen],
            style.marker,
            color=style.color,
            mfc=face,
        )
    ax.axhline(0, color=MUTED, lw=0.8)
    ax.axvline(0, color=MUTED, lw=0.8)
    ax.set_xlabel("predicted: log2 of SRPO's signal over GRPO's")
    ax.set_ylabel("measured: SRPO - GRPO,\nmean J over the curve")
    return figure
