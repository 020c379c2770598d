"""How far a diagnosis can be trusted: whether intervals cover, whether predicted orders hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from experiments.console import give
from experiments.diagnose.order import (
    MeasurementSpec,
    PredictionSpec,
    agreement_row,
    measured_rows,
    order_rows,
    predicted_rows,
)
from experiments.diagnose.validation import (
    CHANCE,
    ValidationSpec,
    coverage_rows,
    fails_at,
    short_of_level,
    validation_rows,
)
from experiments.diagnose.verdict import order_sentences
from experiments.documents.numbers import interval_text
from experiments.documents.words import counted
from experiments.execution.memory import check_rows, check_runs, machine_memory
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.learn.curves import Budget
from experiments.methods import COMPARED
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.with_localizer import SETTINGS, VALIDATION

if TYPE_CHECKING:
    from experiments.diagnose.config import DiagnoseConfig

# Repetitions per piece of work: what is lost at most when a command is killed.
_BLOCK = 10
# Numbers of a diagnosis of one world, at the least.
_NUMBERS = 60
# Resamples where the order of methods is not looked at.
_FEW = 10


def validate(config: DiagnoseConfig, output: Path, execution: Execution, console: Console) -> int:
    """Diagnose known worlds over and over; 1 if an interval is shown to cover too seldom."""
    held = _NUMBERS * len(VALIDATION) * config.repetitions
    what = "numbers that are held against the truth"
    check_rows("repetitions", config.repetitions, held, what, machine_memory())
    record = Run.open(output, f"{config.name}-validate", config, config.seed)
    settings = dataclasses.replace(config.sampling.settings(), resamples=_FEW)
    specs = [
        ValidationSpec(
            setting.label,
            setting,
            settings,
            config.prompts,
            first,
            min(_BLOCK, config.repetitions - first),
            config.seed,
        )
        for setting in VALIDATION
        for first in range(0, config.repetitions, _BLOCK)
    ]
    with record.lock(), record.timed("validate"):
        rows = sweep(validation_rows, specs, record, "intervals", execution, console)
        coverage = record.once("coverage", lambda: coverage_rows(rows), ("intervals",))
    give(console, {"coverage": coverage})
    short = short_of_level(coverage)
    table = Table("world", "numbers", "least", "median", "below 90 %", box=None)
    for setting in VALIDATION:
        here = sorted(r["covered"] for r in coverage if r["case"] == setting.label)
        below = sum(c < 0.9 for c in here)
        middle = here[len(here) // 2]
        table.add_row(setting.label, str(len(here)), f"{here[0]:.3f}", f"{middle:.3f}", f"{below}")
    console.print(table)
    console.print(_judgement(coverage, short), soft_wrap=True)
    for row in short:
        console.print(f"{row['case']}, {row['section']}, {row['name']}: {row['covered']:.3f}")
    console.print(f"records: {record.directory}")
    return 1 if short else 0


def _judgement(coverage: Sequence[Row], short: Sequence[Row]) -> str:
    """What the test of so many numbers found, and what it could have found."""
    seen, numbers = max(row["repetitions"] for row in coverage), len(coverage)
    repetitions, most = counted(seen, "repetition"), fails_at(coverage)
    if most is None:
        return (
            f"With {repetitions} no number can fail: of {numbers}, some are never covered by "
            "chance alone. Give --repetitions 200."
        )
    verb = "is" if len(short) < 2 else "are"
    return (
        f"Of {numbers} numbers {len(short) or 'none'} {verb} shown to be covered too seldom; "
        f"of {repetitions} that takes {most} or fewer (exact binomial test of 95 %, Holm over all "
        f"numbers: a false alarm in at most {CHANCE:.0%} of validations)."
    )


def compare_orders(
    config: DiagnoseConfig, output: Path, execution: Execution, console: Console
) -> int:
    """Predict and measure the order of methods in every setting; 0 when done."""
    check_runs(config.curves, len(COMPARED), machine_memory(), "curves")
    record = Run.open(output, f"{config.name}-order", config, config.seed)
    with record.lock(), record.timed("order"):
        predicted, measured = (_on_trees if config.model is None else _on_model)(
            config, record, execution, console
        )
        both = ("predicted", "measured")
        rows = record.once("settings", lambda: order_rows(predicted, measured), both)
        (found,) = record.once("agreement", lambda: [agreement_row(rows)], ("settings",))
    give(console, {"settings": rows, "agreement": [found]})
    _print_orders(rows, console)
    for sentence in order_sentences(rows, found):
        console.print(f"- {sentence}", markup=False)
    console.print(f"records: {record.directory}")
    return 0


def _on_trees(
    config: DiagnoseConfig, record: Run, execution: Execution, console: Console
) -> tuple[list[Row], list[Row]]:
    budget = Budget(updates=config.updates, every=4)
    predictions = [PredictionSpec(setting, config.prompts, config.seed) for setting in SETTINGS]
    measurements = [
        MeasurementSpec(setting, method, budget, seed)
        for setting in SETTINGS
        for method in COMPARED
        for seed in range(config.seed, config.seed + config.curves)
    ]
    predicted = sweep(predicted_rows, predictions, record, "predicted", execution, console)
    return predicted, sweep(measured_rows, measurements, record, "measured", execution, console)


def _on_model(
    config: DiagnoseConfig, record: Run, execution: Execution, console: Console
) -> tuple[list[Row], list[Row]]:
    from experiments.diagnose import order_model as on_model  # torch, for language models alone

    settings, model = on_model.SETTINGS, config.model
    assert model is not None
    predictions = [
        on_model.ModelPredictionSpec(world, model, config.prompts, config.seed)
        for world in settings
    ]
    seeds = range(config.seed, config.seed + config.curves)
    measurements = on_model.measurement_specs(settings, model, config.updates, seeds)
    predict, measure = on_model.model_predicted_rows, on_model.model_measured_rows
    predicted = sweep(predict, predictions, record, "predicted", execution, console)
    return predicted, sweep(measure, measurements, record, "measured", execution, console)


def _print_orders(rows: Sequence[Row], console: Console) -> None:
    table = Table("setting", "success", *COMPARED, "SRPO - GRPO", "predicted", box=None)
    for row in rows:
        gap = interval_text(row, "difference", "+.3f")
        means = [f"{row[f'measured {m}']:.3f}" for m in COMPARED]
        guess = f"{row['srpo_over_grpo']:.2f}"
        table.add_row(row["setting"], f"{row['success']:.4f}", *means, gap, guess)
    console.print(table)
