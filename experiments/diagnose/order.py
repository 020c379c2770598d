"""Does the predicted order of methods agree with the measured one?

In each setting one diagnosis of the base policy predicts the order of GRPO, RRPO and SRPO; learning
curves from the same base policies then measure it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose, standard_methods
from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.randomness import Key
from cpi_theory.statistics.bootstrap import paired_difference
from cpi_theory.statistics.rank_agreement import rank_agreement, rank_correlation
from experiments.learn.curves import Budget, CurveSpec, learning_curve
from experiments.methods import COMPARED, GroupMethod
from experiments.runs.files import Row
from experiments.worlds.with_localizer import WorldWithLocalizer, prepare
from tabular.learning.optimizers import Adam


@dataclass(frozen=True)
class PredictionSpec:
    """One diagnosis of a setting.

    Attributes:
        setting: the world and its localiser.
        prompts: of the diagnosis.
        seed: of the instance and of every draw.
    """

    setting: WorldWithLocalizer
    prompts: int
    seed: int


@dataclass(frozen=True)
class MeasurementSpec:
    """One learning curve.

    Attributes:
        setting: the world and its localiser.
        method: one of :data:`COMPARED`.
        budget: how long it is.
        seed: of its instance and of every draw.
    """

    setting: WorldWithLocalizer
    method: str
    budget: Budget
    seed: int


def predicted_rows(spec: PredictionSpec) -> list[Row]:
    """Signals of the methods of one setting, and how sure the order of each pair is."""
    key = Key.of(spec.seed).child("order", spec.setting.world.name)
    prepared = prepare(spec.setting, spec.prompts, key)
    found = diagnose(prepared.simulator, prepared.starts, key, DiagnosisSettings())
    return [prediction_row(prepared.label, found)]


def prediction_row(setting: str, found: Diagnosis) -> Row:
    """What a diagnosis predicts of the order of :data:`COMPARED`."""
    return {
        "setting": setting,
        "success": found.success.estimate,
        "rollouts": found.cost.rollouts,
        **{report.method: report.signal.estimate for report in found.methods},
        "srpo_over_grpo": found.order.certainty("SRPO", "GRPO"),
    }


def measured_rows(spec: MeasurementSpec) -> list[Row]:
    """Mean of the exact J over one learning curve, which starts at the same kind of base policy."""
    accuracy = spec.setting.accuracy if spec.method == "SRPO" else 1.0
    method = GroupMethod(spec.method, standard_methods()[spec.method], accuracy)
    curve = learning_curve(CurveSpec(spec.setting.world, method, Adam(0.2), spec.budget, spec.seed))
    return [
        {
            "setting": spec.setting.world.name,
            "method": spec.method,
            "seed": spec.seed,
            "mean": mean_along(curve),
        }
    ]


def mean_along(curve: Sequence[Row]) -> float:
    """Mean value of a learning curve over the rollouts that it took."""
    values = np.array([row["value"] for row in curve])
    x = np.array([row["rollouts"] for row in curve], dtype=np.float64)
    return float(np.trapezoid(values, x) / x[-1])


def order_rows(predicted: Sequence[Row], measured: Sequence[Row]) -> list[Row]:
    """One row per setting: predicted signals, measured means, and who is ahead of whom.

    `difference` with `lower` and `upper` is the measured SRPO - GRPO, paired by seed; `shown` says
    whether its interval excludes 0, `agree` whether its sign is the predicted one.
    """
    means = _by_setting(measured)
    rows = []
    for row in predicted:
        here = means[row["setting"]]
        gap = paired_difference(here["SRPO"], here["GRPO"])
        shown = bool(gap.lower > 0 or gap.upper < 0)
        rows.append(
            {
                **row,
                **{f"measured {m}": float(np.mean(here[m])) for m in COMPARED},
                "difference": gap.estimate,
                "lower": gap.lower,
                "upper": gap.upper,
                "seeds": len(here["SRPO"]),
                "shown": shown,
                "agree": bool((gap.estimate > 0) == (row["SRPO"] > row["GRPO"])),
            }
        )
    return rows


def _by_setting(measured: Sequence[Row]) -> Mapping[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for row in measured:
        found.setdefault(row["setting"], {}).setdefault(row["method"], []).append(row["mean"])
    return found


def agreement_row(rows: Sequence[Row]) -> Row:
    """How well predictions and measurements agree over the settings.

    The fields of :class:`cpi_theory.statistics.rank_agreement.RankAgreement`, and `spearman` with
    `spearman_p`: the rank correlation over settings of the predicted advantage of SRPO over
    GRPO, as a share of both signals, with the measured one.
    """
    found = rank_agreement(
        [[row[m] for m in COMPARED] for row in rows],
        [[row[f"measured {m}"] for m in COMPARED] for row in rows],
    )
    leads = [(row["SRPO"] - row["GRPO"]) / max(row["SRPO"] + row["GRPO"], 1e-12) for row in rows]
    rho, p = rank_correlation(leads, [row["difference"] for row in rows])
    return {**dataclasses.asdict(found), "spearman": rho, "spearman_p": p}
