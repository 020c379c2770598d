"""``cpi-resets tiny-model``: train the tiny model that reinforcement learning starts from.

Files of the run: ``model/``, the model and its tokenizer in the Hugging Face format, and until it
is made ``training/``, from which an interrupted run continues. Tables: ``losses`` (mean over every
20 steps) and ``measurements`` (one row per regime, see :func:`llm.evaluation.arithmetic.measure`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.console import give
from experiments.execution.progress import progress
from experiments.execution.settings import Execution
from experiments.runs.claims import claim
from experiments.runs.files import Row, atomic_write, cut_log, rows_as_bytes
from experiments.runs.store import Run
from experiments.tiny_model.config import TinyModelConfig
from llm.evaluation.arithmetic import measure
from llm.models.settings import ModelSettings
from llm.models.tiny import load, save
from llm.training.warm_start import Training, train

_WINDOW = 20


def run(config: TinyModelConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Train, measure and save; 0 when done."""
    decides = replace(config, into=None)
    record = Run.open(output, config.name, decides, config.recipe.seed)
    folder = record.directory / "model"
    with record.lock():
        if not folder.exists():
            record.path("losses").unlink(missing_ok=True)
        record.once("losses", lambda: _train(config, record, folder, console))
        of_model = ModelSettings(str(folder))
        rows = record.once(
            "measurements", lambda: _measure(config, folder, console), ("losses",), of_model
        )
        shutil.rmtree(record.directory / "training", ignore_errors=True)
    give(console, {"measurements": rows})
    _print(rows, console)
    if config.into is not None:
        model, tokens = load(folder)
        save(model, tokens, config.into)
        text = json.dumps({row.pop("regime"): row for row in rows}, indent=2) + "\n"
        atomic_write(config.into / "measurements.json", text.encode())
    console.print(f"model: {folder}")
    return 0


def _train(config: TinyModelConfig, record: Run, folder: Path, console: Console) -> list[Row]:
    """Train to the end and save the model; the losses of all steps, in windows."""
    work, steps = record.directory / "training", config.recipe.steps
    claim(work, config.recipe)
    state, log = work / "state.pt", work / "losses.jsonl"
    with progress(console, "steps", steps) as advance:
        began = 0

        def watch(training: Training, loss: float) -> None:
            nonlocal began
            if not began:  # those that an interrupted run logged and that are done again go
                began = training.step
                cut_log(log, "step", began - 1)
                advance(began - 1)
            with open(log, "ab") as file:
                file.write(rows_as_bytes([{"step": training.step, "loss": loss}]))
            advance(1)

        with record.timed("train"):
            training = train(config.recipe, state, config.every, watch)
    save(training.model, training.tokens, folder)
    rows = _windows(cut_log(log, "step", steps))
    console.print(
        f"step {training.step} of {steps}: loss {rows[-1]['loss']:.3f}, "
        f"{training.seconds:.0f} CPU s"
    )
    return rows


def _windows(losses: Sequence[Row]) -> list[Row]:
    """Means over every so many steps, each at the last of them."""
    windows: dict[int, list[Row]] = {}
    for row in losses:
        windows.setdefault((row["step"] - 1) // _WINDOW, []).append(row)
    return [
        {"step": some[-1]["step"], "loss": sum(row["loss"] for row in some) / len(some)}
        for some in windows.values()
    ]


def _measure(config: TinyModelConfig, folder: Path, console: Console) -> list[Row]:
    model, tokens = load(folder)
    seed, rows = config.recipe.seed, []
    with progress(console, "regimes", len(config.regimes)) as advance:
        for name in config.regimes:
            found = measure(model, tokens, config.task(name), config.problems, seed)
            rows.append({"regime": name, **found})
            advance(1)
    return rows


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
