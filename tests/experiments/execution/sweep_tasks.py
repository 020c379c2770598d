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
from experiments.runs.fingerprint import points_to


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
    names = [f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")]
    told = {name: os.environ.get(name) for name in names}
    return [told | {"number": spec.number, "pid": os.getpid()}]


HOARD: list[bytes] = []


def hoard(spec: Square) -> list[dict]:
    """Holds on to 320 MB from the second task of a process on, as one that loads a library does."""
    if HOARD:
        HOARD.append(b"x" * 320_000_000 if len(HOARD) == 1 else b"")
    else:
        HOARD.append(b"")
    time.sleep(spec.seconds)
    return [{"pid": os.getpid(), "number": spec.number}]


@dataclass(frozen=True)
class FromFile:
    path: str
    add: int = 0
    then: str = ""


@points_to.register
def _(spec: FromFile) -> dict[str, Path]:
    return {spec.path: Path(spec.path)}


def square_of_file(spec: FromFile) -> list[dict]:
    """The square of the number in a file, which then holds another one if it is to."""
    number = int(Path(spec.path).read_text())
    if spec.then:
        Path(spec.path).write_text(spec.then)
    return [{"square": number**2 + spec.add}]


if __name__ == "__main__":
    from experiments import cli
    from experiments.commands import COMMANDS, Command

    COMMANDS["squares"] = Command("squares", "SquaresConfig", "squares", "project", "")
    sys.exit(cli.main())
