"""What a program in the sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass

from cpi_theory.checks import check_count, check_positive


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program; past any of them a test has failed.

    Attributes:
        cpu_seconds: processor time of a process, which tests share if they call a function; a
            whole number.
        wall_seconds: time of one run or call, on a machine that may be busy with others.
        total_seconds: time of all tests of a program; tests that do not get their turn fail.
        memory: bytes of address space.
        output: bytes that a run may write or a call may return.
        threads: of one process. A program has no other processes.
    """

    cpu_seconds: int = 10
    wall_seconds: float = 20.0
    total_seconds: float = 120.0
    memory: int = 1 << 30
    output: int = 1 << 20
    threads: int = 32

    def __post_init__(self) -> None:
        for name in ("cpu_seconds", "memory", "output", "threads"):
            check_count(name, getattr(self, name))
        for name in ("wall_seconds", "total_seconds"):
            check_positive(name, getattr(self, name))
