"""Predicted and measured orders of methods on a language model, as on tabular worlds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose
from cpi_theory.randomness import Key
from experiments.diagnose.order import mean_along, prediction_row
from experiments.methods import COMPARED, LANGUAGE_METHODS
from experiments.runs.files import Row
from experiments.train.engines import training_curve
from experiments.train.spec import TrainBudget, TrainSpec
from experiments.worlds.language import ArithmeticWorld
from experiments.worlds.open_world import prepare_model
from llm.models.settings import ModelSettings
from llm.training.settings import LossSettings, OptimizerSettings

# Only the order is wanted: the meter, which costs most, looks at as little as it can.
_SETTINGS = DiagnosisSettings(audited=2, traced=1, parents=1, suffixes=1)

SETTINGS: tuple[ArithmeticWorld, ...] = (
    ArithmeticWorld("as they come"),
    ArithmeticWorld("K1", hard_steps=1),
    ArithmeticWorld("K2", hard_steps=2),
    ArithmeticWorld("K2 early", hard_steps=2, hard_within=4),
    ArithmeticWorld("K3", hard_steps=3),
    ArithmeticWorld("K3 early", hard_steps=3, hard_within=5),
    ArithmeticWorld("K4", hard_steps=4),
    ArithmeticWorld("K4 early", hard_steps=4, hard_within=6),
    ArithmeticWorld("K5", hard_steps=5),
    ArithmeticWorld("K2 of 6", horizon=6, hard_steps=2),
    ArithmeticWorld("K3 of 8", horizon=8, hard_steps=3),
    ArithmeticWorld("K4 of 8", horizon=8, hard_steps=4),
)
"""Chains of arithmetic over the parameters that the tiny model was warm-started for."""


@dataclass(frozen=True)
class ModelPredictionSpec:
    """One diagnosis of a model in a setting.

    Attributes:
        world: its task.
        model: which model.
        prompts: of the diagnosis.
        seed: of every draw.
    """

    world: ArithmeticWorld
    model: ModelSettings
    prompts: int
    seed: int


def model_predicted_rows(spec: ModelPredictionSpec) -> list[Row]:
    """Predict an order as :func:`experiments.diagnose.order.predicted_rows` does."""
    key = Key.of(spec.seed).child("order", spec.world.name)
    prepared = prepare_model(spec.world, spec.model, spec.prompts, key)
    found = diagnose(prepared.simulator, prepared.starts, key, _SETTINGS)
    return [prediction_row(prepared.label, found)]


def model_measured_rows(spec: TrainSpec) -> list[Row]:
    """Measure it as :func:`experiments.diagnose.order.measured_rows`, by held-out pass rates."""
    curve = training_curve(spec)
    return [
        {
            "setting": spec.world.name,
            "method": spec.method.name,
            "seed": spec.seed,
            "mean": mean_along(curve),
        }
    ]


def measurement_specs(
    settings: Sequence[ArithmeticWorld], model: ModelSettings, updates: int, seeds: Sequence[int]
) -> list[TrainSpec]:
    """One training run per setting, method and seed, at the settings of `train`."""
    budget = TrainBudget(updates=updates)
    return [
        TrainSpec(
            world,
            LANGUAGE_METHODS[method],
            model,
            OptimizerSettings(rate=3e-4),
            LossSettings(),
            budget,
            seed,
        )
        for world in settings
        for method in COMPARED
        for seed in seeds
    ]
