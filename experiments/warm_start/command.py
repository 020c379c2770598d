"""``cpi-resets warm-start``: teach a pretrained model the format of a task by examples.

Files of the run: ``model/``, the model and its tokenizer in the Hugging Face format, and until it
is made ``training/``, from which an interrupted run continues. Tables: ``examples`` (one row: how
many there are of each kind, and whether localisation is taught), ``losses`` (one row per update),
``before`` and ``after`` (see :func:`llm.evaluation.format.measure`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.intervals import wilson_interval
from experiments.console import give
from experiments.documents.numbers import interval_text, number
from experiments.documents.words import counted
from experiments.execution.progress import progress
from experiments.execution.settings import Execution
from experiments.runs.claims import claim
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.warm_start.config import NO_MODEL, WarmStartConfig
from experiments.warm_start.taught import Learner
from llm.models.folders import check_replaceable, swap
from llm.models.settings import SMOLLM2_NAME, TINY_NAME, ModelSettings
from llm.teaching import demonstrator


def run(config: WarmStartConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Measure, teach, measure again and save; 0 when done."""
    remedy = f"name a pretrained model, such as --model {SMOLLM2_NAME} or --model FOLDER"
    if config.model.path == NO_MODEL:
        raise InvalidInput("model", None, "which one is to be taught has to be said", remedy)
    if config.model.path == TINY_NAME:
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
    stored = {table: record.read(table) for table in tables if record.has(table)}
    shares = [
        share
        for when in ("before", "after")
        for row in stored.get(when, ())
        for share in rates(when, row)
    ]
    give(console, stored | ({"rates": shares} if shares else {}))
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


_SHARES = {
    "in format": "solutions in format",
    "answered": "solutions with an answer",
    "sampled pass": "pass, sampled",
    "greedy pass": "pass, greedy",
}
"""What is measured of each held-out problem, in words."""

_LOCALISED = {
    "exact": "first error named",
    "late": "a later step named",
    "refused": "no step named",
}
"""What is measured of each failure that has a first error."""


def rates(when: str, row: Row) -> list[Row]:
    """The shares of a measurement with their intervals (Wilson's, 95 %).

    Args:
        when: "before" or "after".
        row: of that table.

    Rows: `when`, `measure`, `estimate`, `lower`, `upper`, and `of` how many. What was not measured,
    or of nothing, has none.
    """
    located = row["localization"] or {"asked": 0}
    parts = ((_SHARES, row, row["problems"]), (_LOCALISED, located, located["asked"]))
    return [
        {"when": when, "measure": words, "of": of}
        | {"estimate": share.estimate, "lower": share.lower, "upper": share.upper}
        for names, measured, of in parts
        for name, words in names.items()
        if of and measured[name] is not None
        for share in [wilson_interval(measured[name] * of, of)]
    ]


def _print(record: Run, examples: Row, losses: Sequence[Row], console: Console) -> None:
    solve, locate, taught = (examples[k] for k in ("solve", "locate", "localization_taught"))
    shown = f"{counted(solve, 'solution')}, {counted(locate, 'localisation')}"
    console.print(f"{shown}, of {examples['tokens']:.0f} tokens each on average")
    first, last = losses[0]["loss"], losses[-1]["loss"]
    console.print(f"{counted(len(losses), 'update')}, loss {first:.3f} -> {last:.3f}")
    console.print(f"localisation was {'' if taught else 'not '}taught")
    measured = {when: record.read(when)[0] for when in ("before", "after") if record.has(when)}
    if measured:
        console.print("\nMeasured on held-out problems, with 95 % intervals")
        console.print(_measurements(measured))
    for when, row in measured.items():
        located = row["localization"]
        if located and located["asked"] and located["refused"] == 1:
            asked = counted(located["asked"], "failure")
            console.print(f"{when}: asked about {asked}, the model named no step that can be read.")


def _measurements(measured: Mapping[str, Row]) -> Table:
    table = Table("", *measured, box=None)
    shares = {when: {r["measure"]: r for r in rates(when, row)} for when, row in measured.items()}
    for words in (*_SHARES.values(), *_LOCALISED.values()):
        cells = [_cell(found.get(words)) for found in shares.values()]
        if any(cells):
            table.add_row(words, *cells)
    located = [row["localization"] for row in measured.values()]
    if any(one and one["asked"] for one in located):
        chance = [number(one["uniform"]) if one and one["asked"] else "" for one in located]
        table.add_row("a step at random would be right", *chance)
    lengths = [number(row["tokens"]) for row in measured.values()]
    table.add_row("tokens of a solution, mean", *lengths)
    return table


def _cell(row: Row | None) -> str:
    return "" if row is None else f"{interval_text(row, 'estimate')} of {row['of']}"
