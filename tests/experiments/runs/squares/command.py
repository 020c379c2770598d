"""The test command ``squares``."""

from __future__ import annotations

from pathlib import Path

from sweep_tasks import Square, square, threads

from experiments.runs.store import Run
from experiments.runs.sweep import Execution, sweep
from squares.config import SquaresConfig


def run(config: SquaresConfig, output: Path, execution: Execution, console: object) -> int:
    if config.defect:
        raise ZeroDivisionError("a defect")
    record = Run.open(output, "squares", config, seed=0)
    log = record.directory.parent / "log"
    log.mkdir(exist_ok=True)
    specs = [
        Square(i, seconds=config.seconds, log=str(log), rows=config.rows)
        for i in range(config.count)
    ]
    if config.threads_only:
        for row in sweep(threads, specs, record, "threads", execution):
            print(row["OMP_NUM_THREADS"], row["MKL_NUM_THREADS"], row["OPENBLAS_NUM_THREADS"])
        return 0
    if config.negative:
        specs.append(Square(-1))
    sweep(square, specs, record, "squares", execution)
    return 0
