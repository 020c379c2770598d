"""Settings of the test command ``squares``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SquaresConfig:
    """Squares of the first numbers.

    Attributes:
        count: how many.
        seconds: how long each takes.
        rows: rows for each.
        negative: whether one of them is refused.
        defect: whether to fail as a defect of the program would.
        threads_only: instead, tell what each process is told about threads.
        computes: what the command says that it computes.
        deadly: whether a worker is killed, once.
        every: seconds between two lines on how far it is; 0: as always.
        lines: of output in the end.
    """

    count: int = 12
    seconds: float = 0.0
    rows: int = 1
    negative: bool = False
    defect: bool = False
    threads_only: bool = False
    computes: str = "tables"
    deadly: bool = False
    every: float = 0.0
    lines: int = 0
