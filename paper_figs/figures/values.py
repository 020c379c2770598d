"""Values of prefixes around marked first errors, and how far they fall there."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.rows import Row, need, select, sorted_by
from paper_figs.style import FULL_WIDTH, INK, MUTED, Look, letter, look, panels, styled

_DROPS = {
    "drop at the mark": Look("marked step", look("first_error").color, "D"),
    "drop elsewhere": Look("other steps of the trace", look("uniform").color, "s"),
}


@styled
def value_figure(curve: Sequence[Row], drops: Sequence[Row]) -> Figure:
    """Values by the place of the prefix, and drops at the marked step beside those elsewhere.

    Args:
        curve: rows of the table ``value_curve`` of a ``localize`` run.
        drops: rows of its table ``value_drops``.
    """
    curve = need(curve, "value around a marked step")
    drops = need(drops, "drop of a value")
    tasks = list(dict.fromkeys((r["dataset"], r["task"]) for r in (*curve, *drops)))
    looks = {task: look(task[1], index) for index, task in enumerate(tasks)}
    figure, axes = panels(1, 2, FULL_WIDTH, 2.7)
    left, right = axes[0]
    for index, (dataset, task) in enumerate(tasks):
        shift = 0.5 * (index - (len(tasks) - 1) / 2) / len(tasks)
        rows = sorted_by(select(curve, dataset=dataset, task=task), "offset")
        _curve(left, rows, looks[dataset, task], shift)
        for shift, (measure, style) in zip((-0.12, 0.12), _DROPS.items(), strict=True):
            rows = select(drops, dataset=dataset, task=task, marked="any step", measure=measure)
            _drop(right, rows, style, index + shift)
    left.axvline(0.5, color=MUTED, lw=0.8, ls=":")
    left.set(title="around the mark", xlabel="steps kept less the marked step's index")
    left.set(ylabel="share of continuations that succeed", ylim=(-0.02, None))
    left.legend(loc="best")
    right.axhline(0, color=MUTED, lw=0.8)
    turned = {"rotation": 20, "ha": "right"} if len(tasks) > 2 else {}
    right.set_xticks(range(len(tasks)), [task for _, task in tasks], **turned)
    right.set(title="across a step", ylabel="drop of that share", xlim=(-0.6, len(tasks) - 0.4))
    handles, labels = right.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    right.legend(list(unique.values()), list(unique), loc="best")
    letter((left, right))
    return figure


def _curve(ax: Axes, rows: Sequence[Row], style: Look, shift: float) -> None:
    known = [r for r in rows if r["estimate"] is not None]
    x = [r["offset"] + shift for r in known]
    y = [r["estimate"] for r in known]
    ax.plot(x, y, color=style.color, ls=style.dash, marker=style.marker, ms=4, label=style.label)
    for at, row in zip(x, known, strict=True):
        _whisker(ax, at, row, style.color)


def _drop(ax: Axes, rows: Sequence[Row], style: Look, at: float) -> None:
    for row in rows:
        if row["estimate"] is not None:
            estimate = [row["estimate"]]
            ax.plot(
                [at], estimate, color=style.color, marker=style.marker, ls="none", label=style.label
            )
            _whisker(ax, at, row, INK)


def _whisker(ax: Axes, at: float, row: Row, color: str) -> None:
    if row["lower"] is not None:
        ax.plot([at, at], [row["lower"], row["upper"]], color=color, lw=1.0, zorder=1.9)
