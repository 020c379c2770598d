"""Pictures of real collections: a reset among rollouts, sampling layouts, reset positions."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from paper_figs.rows import Row, distinct, need, one, select, sorted_by
from paper_figs.style import BAD, FULL_WIDTH, GOOD, INK, MUTED, letter, look, panels, styled

_KEPT, _LOST = "#BDBDBD", "#F3C9AE"


@styled
def reset_figure(anatomy: Sequence[Row]) -> Figure:
    """One prompt's collection under SRPO, rollout by rollout, as it was drawn.

    Args:
        anatomy: rows of the table ``anatomy``.
    """
    rows = need(select(anatomy, algorithm="SRPO 1x4"), "collection of SRPO 1x4")
    figure, axes = panels(1, 1, FULL_WIDTH, 3.3)
    ax = axes[0, 0]
    heights = _rollout_rows(ax, rows, legend_step=True)
    _reset_arrows(ax, rows, heights)
    length = len(rows[0]["right"])
    ax.set_xlim(-2.6, length + 3.4)
    ax.legend(handles=_legend(), loc="upper center", bbox_to_anchor=(0.45, -0.02), ncols=4)
    return figure


@styled
def layouts_figure(anatomy: Sequence[Row]) -> Figure:
    """What each algorithm and layout draws for one prompt, and what of it is trained on.

    Args:
        anatomy: rows of the table ``anatomy``.
    """
    names = distinct(need(anatomy, "collection"), "algorithm")
    figure, axes = panels(2, 3, FULL_WIDTH, 2.5)
    flat = list(axes.ravel())
    for ax, name in zip(flat, names, strict=False):
        rows = select(anatomy, algorithm=name)
        heights = _rollout_rows(ax, rows, radius=0.3, text=False)
        _reset_arrows(ax, rows, heights, label=False)
        ax.set_title(_account(name, rows), size=7.5, loc="center")
        ax.set_xlim(-0.8, len(rows[0]["right"]) - 0.2)
    for ax in flat[len(names) :]:
        ax.axis("off")
    flat[len(names)].legend(handles=_legend(), loc="center", ncols=1)
    return figure


def _account(name: str, rows: Sequence[Row]) -> str:
    trained = sum(r["role"] != "parent" for r in rows)
    drawn, steps = rows[0]["rollouts"], rows[0]["steps"]
    return f"{name}: {drawn} drawn, {trained} trained on,\n{steps} steps generated"


def _rollout_rows(
    ax: Axes,
    rows: Sequence[Row],
    radius: float = 0.34,
    text: bool = True,
    legend_step: bool = False,
) -> list[float]:
    """A row of circles per rollout, groups apart; returns the rows' heights."""
    heights: list[float] = []
    y = 0.0
    for above, row in zip([None, *rows], rows, strict=False):
        y -= _distance(above, row)
        heights.append(y)
        _steps(ax, row, y, radius)
        if text:
            _outcome(ax, row, y)
    if text:
        _group_names(ax, rows, heights)
    if legend_step:
        for step in range(len(rows[0]["right"])):
            ax.text(step, 0.0, f"{step}", ha="center", va="center", fontsize=7, color=MUTED)
        ax.text(-0.7, 0.0, "step", ha="right", va="center", fontsize=7, color=MUTED)
        ax.text(step + 0.9, 0.0, "outcome  advantage", va="center", fontsize=7, color=MUTED)
    ax.set_ylim(y - 0.8, 0.6)
    ax.set_aspect("equal")
    ax.axis("off")
    return heights


def _distance(above: Row | None, row: Row) -> float:
    """Space between a rollout and the one above it: more between groups and after a parent."""
    if above is None:
        return 1.0
    apart = above["group"] != row["group"] or above["role"] != row["role"]
    return 1.6 if apart else 1.0


def _steps(ax: Axes, row: Row, y: float, radius: float) -> None:
    right, first = row["right"], row["first"]
    wrong = next((i for i, ok in enumerate(right) if not ok), len(right))
    ax.plot([0, len(right) - 1], [y, y], color=MUTED, lw=0.8, zorder=0.8)
    for step in range(len(right)):
        if step < first:
            color, edge = "white", _KEPT
        elif step < wrong:
            color, edge = GOOD, GOOD
        else:
            color, edge = (BAD, BAD) if step == wrong else (_LOST, _LOST)
        circle = Circle((step, y), radius, facecolor=color, edgecolor=edge, lw=1, zorder=1)
        ax.add_patch(circle)
        if step == wrong and step >= first:
            ax.plot(step, y, "x", color="white", ms=radius * 12, mew=1.3, zorder=2)


def _outcome(ax: Axes, row: Row, y: float) -> None:
    x = len(row["right"])
    won = row["reward"] > 0
    ax.text(x - 0.2, y, f"{row['reward']:.0f}", color=GOOD if won else BAD, va="center", size=8)
    if row["advantage"] is not None:
        advantage = f"{row['advantage']:+.2f}" if row["advantage"] else "0"
        ax.text(x + 1.6, y, advantage, va="center", ha="right", size=8, color=INK)


def _group_names(ax: Axes, rows: Sequence[Row], heights: Sequence[float]) -> None:
    for group in distinct(rows, "group"):
        chosen = [h for r, h in zip(rows, heights, strict=True) if r["group"] == group]
        name = (
            "base\ngroup"
            if rows[[r["group"] for r in rows].index(group)]["role"] == "base"
            else "reset\ngroup"
        )
        middle = sum(chosen) / len(chosen)
        ax.text(-0.9, middle, name, ha="right", va="center", fontsize=8)
        box = (-0.55, min(chosen) - 0.48)
        size = (len(rows[0]["right"]) + 0.1, max(chosen) - min(chosen) + 0.96)
        ax.add_patch(Rectangle(box, *size, facecolor="none", edgecolor="#D0D0D0", lw=0.8))


def _reset_arrows(
    ax: Axes, rows: Sequence[Row], heights: Sequence[float], label: bool = True
) -> None:
    """Draw an arrow from the step that a parent is reset to, to the first suffix of its group."""
    suffixes = [i for i, r in enumerate(rows) if r["role"] == "suffix"]
    for index, row in enumerate(rows):
        if row["reset"] is None:
            continue
        same = [i for i in suffixes if i > index and rows[i]["first"] == row["reset"]]
        if not same:
            continue
        step = row["reset"]
        ax.annotate(
            "",
            xy=(step, heights[same[0]] + 0.4),
            xytext=(step, heights[index] - 0.4),
            arrowprops={
                "arrowstyle": "-|>",
                "color": INK,
                "lw": 1.1,
                "connectionstyle": "arc3,rad=-0.35",
            },
            zorder=3,
        )
        if label:
            ax.text(
                len(row["right"]) + 0.0,
                (heights[same[0]] + heights[same[0] - 1]) / 2,
                f"reset to step {step}",
                va="center",
                fontsize=7.5,
                color=MUTED,
            )


def _legend() -> list[Line2D]:
    def dot(face: str, edge: str, label: str) -> Line2D:
        return Line2D([], [], marker="o", ls="", mfc=face, mec=edge, ms=6, label=label)

    return [
        dot(GOOD, GOOD, "right thought"),
        dot(BAD, BAD, "first error"),
        dot(_LOST, _LOST, "after it"),
        dot("white", _KEPT, "kept, not trained on"),
    ]


@styled
def positions_figure(positions: Sequence[Row]) -> Figure:
    """Where each reset policy resets to, relative to the first error of the failed rollout.

    Args:
        positions: rows of the table ``positions``.
    """
    names = distinct(need(positions, "reset position"), "reset")
    figure, axes = panels(1, len(names), FULL_WIDTH, 2.0, sharey=True)
    for ax, name in zip(axes[0], names, strict=True):
        rows = sorted_by(select(positions, kind="position", reset=name), "offset")
        share = one(positions, kind="share", reset=name)
        colors = [BAD if r["offset"] > 0 else GOOD for r in rows]
        ax.bar([r["offset"] for r in rows], [r["probability"] for r in rows], color=colors)
        ax.set_title(_POSITION_NAMES.get(name, look(name).label))
        text = f"clean prefix {share['clean']:.0%}"
        if share["refused"]:
            text += f"\nrefused {share['refused'] / share['failures']:.0%}"
        ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", fontsize=7)
        ax.set_xlim(-8.5, 8.5)
        ax.set_xticks([-6, 0, 6], ["-6", "0", "+6"])
        ax.set_ylim(0, 1.3)
        ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes[0, 0].set_ylabel("probability")
    figure.supxlabel("reset step, relative to the first error (red: too late)", fontsize=8.5)
    letter(list(axes[0]), size=7.5)
    return figure


_POSITION_NAMES = {
    "uniform": "random step\n(RRPO)",
    "first_error": "first error\n(SRPO, exact)",
    "first_error_blurred": "first error,\n70 % exact",
    "improvable": "improvable\noracle",
    "advantage": "softmax in\nbest advantage",
}
