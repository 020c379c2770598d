"""What an oracle that errs is worth (T6): the value of precision."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.rows import Row, distinct, need, select, sorted_by
from paper_figs.style import FULL_WIDTH, INK, MUTED, letter, log_scales, panels, shades, styled

_MARKERS = ("o", "s", "^", "D")


@styled
def imperfect_figure(imperfect: Sequence[Row]) -> Figure:
    """Samples saved and gain multiplied against random resets, over precision and recall.

    Args:
        imperfect: rows of the table ``imperfect``.
    """
    need(imperfect, "imperfect oracle")
    figure, axes = panels(1, 2, FULL_WIDTH, 3.0)
    saved, gained = axes[0]
    _saved_panel(saved, imperfect)
    _gain_panel(gained, imperfect)
    letter([saved, gained])
    return figure


def _saved_panel(ax: Axes, rows: Sequence[Row]) -> None:
    full = select(rows, recall=max(distinct(rows, "recall")))
    coverages = sorted(distinct(full, "coverage"), reverse=True)
    for coverage, color, marker in zip(coverages, shades(len(coverages)), _MARKERS, strict=False):
        line = sorted_by(select(full, coverage=coverage), "precision")
        x, y = [r["precision"] for r in line], [r["samples_saved"] for r in line]
        below = [r["samples_saved"] - r["samples_saved_lower"] for r in line]
        above = [r["samples_saved_upper"] - r["samples_saved"] for r in line]
        label = f"p = 1/{1 / coverage:g}"
        ax.errorbar(x, y, yerr=[below, above], color=color, marker=marker, ls="", label=label)
        ax.plot(x, [r["samples_saved_theory"] for r in line], color=color, lw=1)
    ax.axhline(1, color=MUTED, lw=1, ls=":")
    ax.plot([], [], color=INK, lw=1, label="(q / p)², T6")
    log_scales(ax)
    ax.set_xlabel("precision q of the oracle")
    ax.set_ylabel("samples saved, × random resets")
    _plain_ticks(ax, sorted(distinct(full, "precision")))
    ax.set_title("Samples: precision counts twice")
    ax.legend(loc="upper left")


def _gain_panel(ax: Axes, rows: Sequence[Row]) -> None:
    recalls = sorted(distinct(rows, "recall"))
    for recall, color, marker in zip(recalls, shades(len(recalls)), _MARKERS, strict=False):
        line = select(rows, recall=recall)
        ax.plot(
            [r["gain_factor_theory"] for r in line],
            [r["gain_factor"] for r in line],
            ls="",
            marker=marker,
            mfc="none",
            mew=1.2,
            color=color,
            label=f"recall {recall:g}",
        )
    values = [r["gain_factor_theory"] for r in rows]
    ends = [min(values) * 0.8, max(values) * 1.25]
    ax.plot(ends, ends, color=INK, lw=1, zorder=0.9, label="as predicted")
    ax.axhline(1, color=MUTED, lw=1, ls=":")
    ax.annotate(
        "random resets gain more",
        (ends[-1], 1),
        xytext=(0, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=7,
        color=MUTED,
    )
    log_scales(ax)
    ax.set_xlabel("predicted by T6: $(\\rho q / p)(L_1 / L_w)$")
    ax.set_ylabel("gain of a step, × random resets")
    ax.set_title("Gain: recall × precision")
    ax.legend(loc="upper left")


def _plain_ticks(ax: Axes, values: Sequence[float]) -> None:
    ax.set_xticks(values, [f"{v:g}" for v in values])
    ax.minorticks_off()
