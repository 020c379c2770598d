"""How close each bound comes to what it bounds, over all instances that verify checked."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paper_figs.rows import Row, need
from paper_figs.style import BAD, FULL_WIDTH, GOOD, INK, MUTED, letter, panels, styled

_INSTANCES, _SEARCH = ("#0072B2", "^"), ("#D55E00", "s")


@styled
def tightness_figure(summary: Sequence[Row]) -> Figure:
    """Largest bound over gain, and largest cost over penalty, per theorem; 1 is attained.

    Args:
        summary: rows of the table ``summary`` of a ``verify`` run.
    """
    need(summary, "theorem")
    figure, axes = panels(1, 2, FULL_WIDTH, 0.9 + 0.2 * len(summary), sharey=True)
    gain, penalty = axes[0]
    rows = list(reversed(summary))
    _dots(gain, rows, "tightness")
    _dots(penalty, rows, "penalty_used")
    gain.set_yticks(range(len(rows)), [r["theorem"] for r in rows])
    gain.set(title="Bound / truth", xlabel="largest ratio found")
    penalty.set(title="Cost of deviating / bound's penalty", xlabel="largest ratio found")
    for height, row in enumerate(rows):
        held = row["violations"] == 0
        text = f"{row['checks']:,} checks, {row['violations']} violated"
        penalty.text(1.13, height, text, va="center", fontsize=7, color=MUTED if held else BAD)
    handles = [
        Line2D([], [], color=color, marker=marker, ls="", label=label)
        for (color, marker), label in (
            (_INSTANCES, "random and extremal instances"),
            (_SEARCH, "adversarial search"),
        )
    ]
    handles.append(Line2D([], [], color=GOOD, lw=1.4, label="attained"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    letter([gain, penalty])
    return figure


def _dots(ax: Axes, rows: Sequence[Row], field: str) -> None:
    for height, row in enumerate(rows):
        found = [
            (row[field], *_INSTANCES, 0.13),
            (row[f"adversarial_{field}"], *_SEARCH, -0.13),
        ]
        for value, color, marker, shift in found:
            if value is not None:
                ax.plot(value, height + shift, marker, color=color, ms=4.5)
        if all(value is None for value, *_ in found):
            ax.text(0.03, height, "does not apply", va="center", fontsize=7, color=MUTED)
    ax.axvline(1, color=GOOD, lw=1.4, zorder=0.9)
    ax.axvline(0, color=INK, lw=0.8, zorder=0.9)
    ax.set_xlim(-0.03, 1.08)
    ax.set_ylim(-0.6, len(rows) - 0.4)
