"""The README's figure: what theory says of resets, and what they do to learning in two worlds."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.figures.exponents import draw_samples
from paper_figs.figures.learning import AXES, draw_curves
from paper_figs.rows import Row, distinct, need, select
from paper_figs.style import FULL_WIDTH, letter, panels, styled, thousands

_METHODS = ("GRPO", "RRPO", "SRPO", "Frontier")


@styled
def hero_figure(
    samples: Sequence[Row],
    tabular: Sequence[Row],
    language: Sequence[Row],
    tree: str = "tree-sparse",
    world: str = "sparse",
) -> Figure:
    """Samples against 1/p, and learning curves per rollout of a tree and of a language model.

    Args:
        samples: rows of the table ``samples`` of a ``compare`` run.
        tabular: rows of the table ``bands`` of a ``learn`` run.
        language: rows of the table ``bands`` of a ``train`` run.
        tree: the tabular world whose curves are shown; the first one if it is not there.
        world: the same of the language model.
    """
    figure, axes = panels(1, 3, FULL_WIDTH + 1.4, 2.7, width_ratios=[1.25, 1, 1])
    theory, *curves = axes[0]
    draw_samples(theory, samples)
    theory.set_title("Samples for one right choice")
    for ax, bands, name in zip(curves, (tabular, language), (tree, world), strict=True):
        _draw(ax, bands, name)
    curves[0].set(title="Reasoning trees, tabular", ylabel="success rate")
    curves[1].set(title="The same on a transformer")
    curves[1].legend(loc="lower right")
    letter([theory, *curves])
    return figure


def _draw(ax: Axes, bands: Sequence[Row], name: str) -> None:
    worlds = distinct(need(bands, "learning curve"), "world")
    chosen = select(bands, world=name if name in worlds else worlds[0], axis="rollouts")
    draw_curves(ax, chosen, [m for m in _METHODS if select(chosen, method=m)])
    ax.set(xlabel=AXES["rollouts"], ylim=(-0.02, 1.02))
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(thousands)
