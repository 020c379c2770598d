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
    curve, `informative` (share of groups whose rewards differ); of methods that find out how good
    the localiser is also `believed`, a record per recorded update with the means over seeds of
    what :meth:`~cpi_theory.algorithms.adaptive.AdaptiveFrontier.believed` says.
    """
    accuracy = 1.0 if spec.accuracy is None else spec.accuracy
    method = GroupMethod(
        spec.method, ALGORITHMS[spec.method](accuracy), accuracy, last_accuracy=spec.last_accuracy
    )
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
            **_believed(curves),
        }
    ]


_TOTALS = ("rollouts", "steps", "localizations")


def _believed(curves: Sequence[Sequence[Row]]) -> Row:
    points = [together for together in zip(*curves, strict=True) if "believed" in together[-1]]
    means = [
        {"update": together[0]["update"]}
        | {
            name: float(np.mean([row["believed"][name] for row in together]))
            for name in together[0]["believed"]
        }
        for together in points
    ]
    return {"believed": means} if means else {}


def _mean_value(curve: Sequence[Row]) -> float:
    """Mean of J over the curve, along rollouts."""
    x, y = ([row[name] for row in curve] for name in ("rollouts", "value"))
    return float(np.trapezoid(y, x) / x[-1])
