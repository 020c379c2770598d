"""What one method reaches in one world with one localiser, from several seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.frontier.config import CellSpec
from experiments.learn.curves import CurveSpec, learning_curve
from experiments.methods import ALGORITHMS, GroupMethod
from experiments.runs.files import Row


def frontier_cell(spec: CellSpec) -> list[Row]:
    """The row of ``means`` for `spec`.

    Columns: `world`, `method`, `accuracy`, `base_pass` (J before any update, mean over seeds),
    `means` (per seed the mean of J over the curve), `rollouts`, `steps` and `localizations` per
    curve, `informative` (share of groups whose rewards differ).
    """
    accuracy = 1.0 if spec.accuracy is None else spec.accuracy
    method = GroupMethod(spec.method, ALGORITHMS[spec.method](accuracy), accuracy)
    curves = [
        learning_curve(CurveSpec(spec.world, method, spec.optimizer, spec.budget, seed))
        for seed in spec.seeds
    ]
    points = [row for curve in curves for row in curve]
    made = sum(row["groups"] for row in points)
    last = {n: float(np.mean([curve[-1][n] for curve in curves])) for n in _TOTALS}
    return [
        {
            "world": spec.world.name,
            "method": spec.method,
            "accuracy": spec.accuracy,
            "base_pass": float(np.mean([curve[0]["value"] for curve in curves])),
            "means": [_mean_value(curve) for curve in curves],
            **last,
            "informative": sum(row["informative"] for row in points) / made,
        }
    ]


_TOTALS = ("rollouts", "steps", "localizations")


def _mean_value(curve: Sequence[Row]) -> float:
    """Mean of J over the curve, along rollouts."""
    x, y = ([row[name] for row in curve] for name in ("rollouts", "value"))
    return float(np.trapezoid(y, x) / x[-1])
