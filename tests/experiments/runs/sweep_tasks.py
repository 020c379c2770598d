"""A small command for tests that need real processes: worker processes must be able to import it.

Run as a script it is ``cpi-resets`` with one more command, ``squares``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments.runs.store import Run
from experiments.runs.sweep import Execution, sweep


@dataclass(frozen=True)
class Square:
    number: int
    seed: int = 0
    seconds: float = 0.0
    log: str = ""
    deadly: str = ""
    rows: int = 1


def square(spec: Square) -> list[dict]:
    """Rows with random numbers; notes in the folder `log` that it ran, and where."""
    if spec.log:
        Path(spec.log, f"{spec.number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(spec.seconds)
    if spec.number < 0:
        raise InvalidInput("number", spec.number, "negative", "choose one >= 0")
    if spec.deadly and not Path(spec.deadly).exists():
        Path(spec.deadly).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    draw = Key.of(spec.seed).child("square", spec.number).generator().random()
    row = {
        "number": spec.number,
        "square": np.int64(spec.number) ** 2,
        "draw": draw,
        "pair": (1, 2),
    }
    return [row | {"row": i} for i in range(spec.rows)]


def threads(spec: Square) -> list[dict]:
    """What a worker is told about threads."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return [{name: os.environ.get(name) for name in names} | {"number": spec.number}]


@dataclass(frozen=True)
class SquaresConfig:
    """Squares of the first numbers.

    Attributes:
        count: how many.
        seconds: how long each takes.
        rows: rows for each.
        negative: whether one of them is refused.
        defect: whether to fail as a defect of the program would.
    """

    count: int = 12
    seconds: float = 0.0
    rows: int = 1
    negative: bool = False
    defect: bool = False


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
    if config.negative:
        specs.append(Square(-1))
    sweep(square, specs, record, "squares", execution)
    return 0


if __name__ == "__main__":
    from experiments import cli
    from experiments.commands import COMMANDS, Command

    COMMANDS["squares"] = Command("sweep_tasks", "SquaresConfig", "squares")
    sys.exit(cli.main())
