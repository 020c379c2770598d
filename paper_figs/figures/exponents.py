"""Oracle against random resets: what coverage p costs, in samples and gain (T4w, T5, T7s)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paper_figs.rows import Row, need, one, select, sorted_by
from paper_figs.style import FULL_WIDTH, INK, MUTED, Look, letter, log_scales, look, panels, styled

SITUATIONS = {
    "aliased": {"learner": "aliased", "resets": "random"},
    "statewise": {"learner": "statewise", "resets": "random"},
    "oracle": {"learner": "aliased", "resets": "oracle"},
}
"""The three situations of T4w and T7s, as conditions on rows; the oracle's class hardly matters."""


@styled
def samples_figure(samples: Sequence[Row]) -> Figure:
    """Samples that the chooser needs against 1/p, and the exponents of the whole grid.

    Args:
        samples: rows of the table ``samples``.
    """
    figure, axes = panels(1, 2, FULL_WIDTH, 3.0, width_ratios=[1.3, 1])
    lines, grid = axes[0]
    draw_samples(lines, samples)
    rows = sorted_by(need(_base(samples, "aliased"), "samples of aliased learners"), "coverage")
    inverse = [1 / r["coverage"] for r in rows]
    lines.plot(inverse, [r["floor"] for r in rows], color=MUTED, lw=1, ls=":")
    lines.annotate(
        "fewer is impossible for aliased learners (T7s)",
        (inverse[-1], rows[-1]["floor"]),
        xytext=(2, -8),
        textcoords="offset points",
        fontsize=7,
        color=MUTED,
    )
    lines.set_title("Samples that one choice costs")
    fits = {
        name: need(
            select(samples, kind="exponent", quantity="samples", dial="coverage", **wanted),
            f"exponent of {look(name).label}",
        )
        for name, wanted in SITUATIONS.items()
    }
    _residual_panel(grid, fits)
    letter([lines, grid])
    return figure


@styled
def gain_figure(gains: Sequence[Row]) -> Figure:
    """Improvement of one step at the theory's step size against p: guaranteed and measured.

    Args:
        gains: rows of the table ``gains``.
    """
    figure, axes = panels(1, 2, FULL_WIDTH, 3.0, sharey=True)
    known, unknown = axes[0]
    base = select(gains, learner="aliased", dial="coverage", base=True, family="one decision")
    rows = need(base, "gain on the base line")
    _gain_lines(known, select(rows, spread_rule="exact"))
    known.set_title("Step α* with the spread Δ known")
    known.set_ylabel("gain in J of one step")
    _gain_lines(unknown, select(rows, spread_rule="worst"), planned=True)
    unknown.set_title("Step α* with Δ = 2$R_{max}$")
    known.legend(handles=_gain_legend(rows), loc="lower right")
    letter([known, unknown])
    return figure


def _gain_lines(ax: Axes, gains: Sequence[Row], planned: bool = False) -> None:
    for name in ("oracle", "random"):
        rows = sorted_by(select(gains, kind="point", resets=name), "coverage")
        style, x = look(name), [r["coverage"] for r in rows]
        ax.plot(x, [r["gain"] for r in rows], color=style.color, marker=style.marker)
        ax.plot(x, [r["guaranteed"] for r in rows], color=style.color, ls=":", lw=1.3)
        if planned:
            ax.plot(x, [r["planned"] for r in rows], color=style.color, ls=_PLANNED, lw=1)
    log_scales(ax)
    ax.set_xlabel("coverage p")
    _ticks(ax, x, [f"1/{1 / v:g}" for v in x])


_PLANNED = (0, (4, 2, 1, 2))


def _gain_legend(gains: Sequence[Row]) -> list[Line2D]:
    handles = []
    for name in ("oracle", "random"):
        fit = one(gains, kind="exponent", resets=name, quantity="gain", spread_rule="exact")
        label = f"{look(name).label}: $p^{{{fit['exponent']:.2f}}}$"
        handles.append(
            Line2D([], [], color=look(name).color, marker=look(name).marker, label=label)
        )
    guaranteed = Line2D([], [], color=MUTED, ls=":", lw=1.3, label="guaranteed by T2")
    planned = Line2D([], [], color=MUTED, ls=_PLANNED, lw=1, label="planned from p, τ alone (T5)")
    return [*handles, guaranteed, planned]


def draw_samples(ax: Axes, samples: Sequence[Row]) -> None:
    """Samples against 1/p in the three situations, with fitted exponents in the legend."""
    for name, wanted in SITUATIONS.items():
        points = need(_base(samples, name), f"samples of {look(name).label}")
        rows = sorted_by(points, "coverage")
        line = {"kind": "exponent", "base": True, "dial": "coverage", "quantity": "samples"}
        fit = one(samples, **line, **wanted)
        power = f"{0.0 - round(fit['exponent'], 2):.2f}".replace("-0.00", "0.00")
        label = f"{look(name).label}: $p^{{{power}}}$"
        _error_line(ax, rows, look(name), label)
    accuracy = rows[0]["accuracy"]
    log_scales(ax)
    ax.set_xlabel("1 / coverage p")
    ax.set_ylabel(f"samples until {accuracy:.0%} of choices are right")
    inverse = [1 / r["coverage"] for r in rows]
    _ticks(ax, inverse, [f"{v:g}" for v in inverse])
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * 12)  # room for the legend above the lines
    ax.legend(loc="upper left")


def _base(samples: Sequence[Row], name: str) -> list[Row]:
    return select(samples, kind="point", base=True, dial="coverage", **SITUATIONS[name])


def _error_line(ax: Axes, rows: Sequence[Row], style: Look, label: str) -> None:
    x = np.array([1 / r["coverage"] for r in rows])
    y, low, high = (np.array([r[k] for r in rows]) for k in ("samples", "lower", "upper"))
    ax.errorbar(
        x,
        y,
        yerr=np.clip([y - low, high - y], 0, None),
        color=style.color,
        marker=style.marker,
        ls=style.dash,
        elinewidth=1,
        label=label,
    )


def _ticks(ax: Axes, values: Sequence[float], labels: Sequence[str]) -> None:
    ax.set_xticks(values, labels)
    ax.minorticks_off()


def _residual_panel(ax: Axes, fits: dict[str, list[Row]]) -> None:
    """Fitted exponent less the theory's, a dot with its interval per cell of the grid."""
    for height, (name, rows) in enumerate(reversed(fits.items())):
        style = look(name)
        offsets = np.linspace(-0.36, 0.36, len(rows)) if len(rows) > 1 else [0.0]
        for offset, row in zip(offsets, sorted_by(rows, "exponent"), strict=True):
            y, expected = height + offset, row["expected"]
            interval = [row["lower"] - expected, row["upper"] - expected]
            ax.plot(interval, [y, y], color=style.color, lw=0.9, alpha=0.5)
            ax.plot(row["exponent"] - expected, y, style.marker, color=style.color, ms=2.6)
    ax.axvline(0, color=INK, lw=1, zorder=0.9)
    names = [
        f"{look(n).label}\n(theory: {fits[n][0]['expected']:g})".replace(", ", ",\n")
        for n in reversed(fits)
    ]
    ax.set_yticks(range(len(fits)), names)
    cells = max(map(len, fits.values()))
    ax.set_title(f"Exponents in all {cells} cells")
    ax.set(xlabel="fitted exponent in 1/p, less theory's", ylim=(-0.6, len(fits) - 0.4))
    ax.grid(axis="y", visible=False)
