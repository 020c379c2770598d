"""The README's figure: what theory says of resets, and what they do to learning."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from paper_figs.exponents import draw_samples
from paper_figs.learning import AXES, draw_curves
from paper_figs.rows import Row, distinct, select
from paper_figs.style import FULL_WIDTH, letter, panels, styled, thousands

_METHODS = ("GRPO", "RRPO", "SRPO")


@styled
def hero_figure(samples: Sequence[Row], bands: Sequence[Row], world: str = "tree-sparse") -> Figure:
    """Samples against 1/p, and learning curves per rollout and per generated step in one world.

    Args:
        samples: rows of the table ``samples`` of a ``compare`` run.
        bands: rows of the table ``bands`` of a ``learn`` run.
        world: which world's curves; the first one if it is not there.
    """
    worlds = distinct(bands, "world")
    chosen = world if world in worlds else worlds[0]
    figure, axes = panels(1, 3, FULL_WIDTH + 1.4, 2.7, width_ratios=[1.25, 1, 1])
    theory, *curves = axes[0]
    draw_samples(theory, samples)
    theory.set_title("Samples for one right choice")
    methods = [m for m in _METHODS if select(bands, world=chosen, method=m)]
    for ax, axis in zip(curves, AXES, strict=True):
        draw_curves(ax, select(bands, world=chosen, axis=axis), methods)
        ax.set(xlabel=AXES[axis], ylim=(-0.02, 1.02))
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(thousands)
        ax.set_title(f"{chosen}, per {axis[:-1]}")
    curves[0].set_ylabel("success rate J")
    curves[1].legend(loc="lower right")
    letter([theory, *curves])
    return figure
