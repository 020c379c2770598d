"""The test command ``squares``."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from sweep_tasks import Square, square, threads

from experiments.execution import progress
from experiments.execution.settings import Execution
from experiments.execution.sweep import sweep
from experiments.runs.store import Run
from squares.config import SquaresConfig


def run(config: SquaresConfig, output: Path, execution: Execution, console: Console) -> int:
    if config.defect:
        raise ZeroDivisionError("a defect")
    if config.every:
        progress.EVERY = config.every
    record = Run.open(output, "squares", config, seed=0)
    log = record.directory.parent / "log"
    log.mkdir(parents=True, exist_ok=True)
    specs = [
        Square(i, seconds=config.seconds, log=str(log), rows=config.rows)
        for i in range(config.count)
    ]
    if config.threads_only:
        for row in sweep(threads, specs, record, "threads", execution):
            names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            console.print(*(row[name] for name in names))
        return 0
    if config.negative:
        specs.append(Square(-1))
    if config.deadly:
        specs.append(Square(1000, deadly=str(log.parent / "deadly")))
    sweep(square, specs, record, "squares", execution, console)
    for _ in range(config.lines):
        console.print("α ≤ β")
    return 0
