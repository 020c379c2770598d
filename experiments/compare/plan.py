"""Which samples and gains ``cpi-resets compare`` measures."""

from __future__ import annotations

from dataclasses import replace

from experiments.compare.config import CompareConfig
from experiments.compare.settings import Learner, Line, Resets, Setting

_SITUATIONS: tuple[tuple[Learner, Resets], ...] = (
    ("aliased", "random"),
    ("aliased", "oracle"),
    ("statewise", "random"),
    ("statewise", "oracle"),
)


def lines(config: CompareConfig) -> list[Line]:
    """Every line that is measured: the base lines, the grid, and the imperfect oracles.

    The base setting has the second value of each parameter; base lines sweep one parameter each.
    """
    base = Setting(
        coverage=config.coverages[1],
        tau=config.taus[1],
        horizon=config.horizons[1],
        actions=config.actions[0],
    )
    found = [
        line
        for learner, resets in _SITUATIONS
        for line in _base_lines(replace(base, learner=learner, resets=resets), config)
    ]
    return found + _grid(base, config) + _imperfect(base, config) + _trees(config)


_TREE_RESETS: tuple[Resets, ...] = ("random", "oracle")


def _trees(config: CompareConfig) -> list[Line]:
    """Reasoning trees, where several hard steps of a rollout hang together."""
    tree = Setting(family="tree", tau=0.05, horizon=16, actions=4)
    return [
        Line(replace(tree, resets=resets), "coverage", config.coverages) for resets in _TREE_RESETS
    ]


def _base_lines(setting: Setting, config: CompareConfig) -> list[Line]:
    # A parameter is swept at the smallest coverage, which every horizon of the sweep allows.
    low = replace(setting, coverage=min(config.coverages))
    return [
        Line(setting, "coverage", config.coverages, base=True),
        Line(low, "tau", config.taus, base=True),
        Line(low, "horizon", tuple(map(float, config.horizons)), base=True),
        Line(low, "actions", tuple(map(float, config.actions)), base=True),
    ]


def _grid(base: Setting, config: CompareConfig) -> list[Line]:
    cells = [
        replace(base, learner=learner, resets=resets, tau=tau, horizon=horizon, actions=actions)
        for learner, resets in _SITUATIONS
        for tau in config.taus
        for horizon in config.horizons
        for actions in config.actions
    ]
    same = (base.tau, base.horizon, base.actions)
    return [
        Line(cell, "coverage", config.coverages)
        for cell in cells
        if (cell.tau, cell.horizon, cell.actions) != same
    ]


def _imperfect(base: Setting, config: CompareConfig) -> list[Line]:
    blurred = replace(base, resets="imperfect", precision=max(config.precisions[:-1]))
    by_precision = [
        Line(replace(blurred, coverage=p, recall=recall), "precision", config.precisions, base=True)
        for p in config.coverages[:3]
        for recall in config.recalls
    ]
    statewise = replace(blurred, learner="statewise")
    return [
        *by_precision,
        Line(blurred, "recall", config.recalls, base=True),
        Line(blurred, "coverage", config.coverages, base=True),
        Line(statewise, "precision", config.precisions, base=True),
    ]
