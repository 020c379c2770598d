"""``cpi-resets warm-start``: train the tiny model that reinforcement learning starts from.

Files of the run: ``model/``, the model and its tokenizer in the Hugging Face format, and
``state.pt``, from which an interrupted run continues. Tables: ``losses`` (mean over every 20
steps) and ``measurements`` (one row per regime, see :func:`llm.evaluation.arithmetic.measure`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.runs.files import Row, atomic_write
from experiments.runs.store import Run
from experiments.runs.sweep import Execution
from experiments.warm_start.config import WarmStartConfig
from llm.evaluation.arithmetic import measure
from llm.models.tiny import load, save
from llm.training.warm_start import Training, train

_WINDOW = 20


def run(config: WarmStartConfig, output: Path, execution: Execution, console: Console) -> int:
    """Train, measure and save; 0 when done."""
    decides = replace(config, into=None)
    record = Run.open(output, config.name, decides, config.recipe.seed)
    folder = record.directory / "model"
    with record.lock():
        record.once("losses", lambda: _train(config, record, folder, console))
        rows = record.once("measurements", lambda: _measure(config, folder))
    _print(rows, console)
    if config.into is not None:
        model, tokens = load(folder)
        save(model, tokens, config.into)
        text = json.dumps({row.pop("regime"): row for row in rows}, indent=2) + "\n"
        atomic_write(config.into / "measurements.json", text.encode())
    console.print(f"model: {folder}")
    return 0


def _train(config: WarmStartConfig, record: Run, folder: Path, console: Console) -> list[Row]:
    """Train to the end and save the model; the losses of the steps done in this call."""
    rows: list[Row] = []
    losses: list[float] = []

    def watch(training: Training, loss: float) -> None:
        losses.append(loss)
        if training.step % _WINDOW and training.step < config.recipe.steps:
            return
        rows.append({"step": training.step, "loss": sum(losses) / len(losses)})
        losses.clear()
        state = f"loss {rows[-1]['loss']:.3f}, {training.seconds:.0f} CPU s"
        console.print(f"step {training.step} of {config.recipe.steps}: {state}")

    with record.timed("train"):
        training = train(config.recipe, record.directory / "state.pt", config.every, watch)
    save(training.model, training.tokens, folder)
    return rows


def _measure(config: WarmStartConfig, folder: Path) -> list[Row]:
    model, tokens = load(folder)
    seed = config.recipe.seed
    return [
        {"regime": name, **measure(model, tokens, config.task(name), config.problems, seed)}
        for name in config.regimes
    ]


_COLUMNS = {
    "sampled": "sampled pass",
    "no error": "without error",
    "greedy": "greedy pass",
    "easy": "right easy",
    "hard": "right hard",
}

_LOCATED = {"located": "exact", "within 1": "within one", "1st hard": "first hard step"}


def _print(rows: Sequence[Row], console: Console) -> None:
    table = Table("regime", *_COLUMNS, *_LOCATED)
    for row in rows:
        values = [row[name] for name in _COLUMNS.values()]
        values += [row["localization"][name] for name in _LOCATED.values()]
        table.add_row(row["regime"], *(f"{value:.3f}" for value in values))
    console.print(table)
