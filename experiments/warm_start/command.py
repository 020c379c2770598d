"""``cpi-resets warm-start``: teach a pretrained model the format of a task by examples.

Files of the run: ``model/``, the model and its tokenizer in the Hugging Face format, and until it
is made ``training/``, from which an interrupted run continues. Tables: ``examples`` (one row: how
many there are of each kind, and whether localisation is taught), ``losses`` (one row per update),
``before`` and ``after`` (see :func:`llm.evaluation.format.measure`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput
from experiments.console import give
from experiments.documents.words import counted
from experiments.execution.progress import progress
from experiments.execution.settings import Execution
from experiments.runs.claims import claim
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.warm_start.config import WarmStartConfig
from experiments.warm_start.taught import Learner
from llm.models.folders import check_replaceable, swap
from llm.models.settings import TINY_NAME, ModelSettings
from llm.teaching import demonstrator


def run(config: WarmStartConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Measure, teach, measure again and save; 0 when done."""
    if config.model.path == TINY_NAME:
        remedy = "name a pretrained model: --model.path FOLDER"
        raise InvalidInput("model.path", TINY_NAME, "knows its own task alone", remedy)
    if config.into is not None:
        check_replaceable("into", config.into)
    world = config.language_world()
    if config.data is None and world is not None:
        demonstrator(world.task())  # before anything is loaded or written
    record = Run.open(output, config.name, replace(config, into=None), config.seed)
    folder = record.directory / "model"
    with record.lock():
        learner = Learner(config)
        examples = record.once("examples", lambda: [learner.counts()])
        before, after = config.measured
        if before:
            with record.timed("before"):
                record.once("before", lambda: [learner.measure(before)])
        if not folder.exists():
            record.path("losses").unlink(missing_ok=True)
        losses = record.once("losses", lambda: _teach(config, record, learner, folder, console))
        if after:
            taught = Learner(replace(config, model=plain_model(config.model, folder)))
            with record.timed("after"):
                record.once("after", lambda: [taught.measure(after)], ("losses",))
        shutil.rmtree(record.directory / "training", ignore_errors=True)
    tables = ("examples", "before", "losses", "after")
    give(console, {table: record.read(table) for table in tables if record.has(table)})
    _print(record, examples[0], losses, console)
    if config.into is not None:
        _copy(folder, config.into)
    console.print(f"model: {config.into or folder}")
    return 0


def plain_model(model: ModelSettings, folder: Path) -> ModelSettings:
    """The model that was made of another, whose adapters are merged into its weights."""
    return replace(model, path=str(folder), lora=None)


def _teach(
    config: WarmStartConfig, record: Run, learner: Learner, folder: Path, console: Console
) -> list[Row]:
    """Train to the end and save the model; the loss of every update."""
    work = record.directory / "training"
    claim(work, replace(config, into=None))
    with progress(console, "updates", learner.updates) as advance:
        done = 0

        def watch(update: int, _loss: float) -> None:
            nonlocal done
            advance(update - done)  # the first one after an interruption tells of all before it
            done = update

        with record.timed("train"):
            losses = learner.teach(work, watch)
    learner.save(folder)
    return [{"update": i, "loss": loss} for i, loss in enumerate(losses, 1)]


def _copy(folder: Path, into: Path) -> None:
    """The model's folder again in another place, whole or not at all."""
    into.parent.mkdir(parents=True, exist_ok=True)
    temporary = into.with_name(f".{into.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(folder, temporary)
    swap(temporary, into)


_COLUMNS = ("in format", "answered", "sampled pass", "greedy pass", "tokens")


def _print(record: Run, examples: Row, losses: Sequence[Row], console: Console) -> None:
    solve, locate, taught = (examples[k] for k in ("solve", "locate", "localization_taught"))
    shown = f"{counted(solve, 'solution')}, {counted(locate, 'localisation')}"
    console.print(f"{shown}, {examples['tokens']:.0f} tokens")
    first, last = losses[0]["loss"], losses[-1]["loss"]
    console.print(f"{counted(len(losses), 'update')}, loss {first:.3f} -> {last:.3f}")
    console.print(f"localisation was {'' if taught else 'not '}taught")
    table = Table("", *_COLUMNS, "localised", "named at random", "asked")
    measured = [when for when in ("before", "after") if record.has(when)]
    for when in measured:
        row = record.read(when)[0]
        located = row["localization"] or {}
        values = [row[name] for name in _COLUMNS]
        values += [located.get(name) for name in ("exact", "uniform", "asked")]
        table.add_row(when, *("" if value is None else f"{value:.3g}" for value in values))
    if measured:
        console.print(table)
