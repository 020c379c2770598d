"""Where the work of a command runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from cpi_theory.checks import InvalidInput, check_count
from experiments.execution.threads import Kind

# More processes or threads than this many per core only take memory and time from each other.
_PER_CORE = 8


@dataclass(frozen=True)
class Execution:
    """Where a command's work runs; it never changes results, but for a model's rounding.

    Attributes:
        workers: local processes; 0 stands for one per core.
        threads: of each process in which a language model runs; 0: for the tiny model one, for
            others the OMP_NUM_THREADS that is set, or else one if there are several processes, and
            one per core if there is one. All else takes one.
        cluster: address of a running Dask scheduler, e.g. tcp://10.0.0.1:8786, to use instead; its
            workers have threads of their own.
    """

    workers: int = 0
    threads: int = 0
    cluster: str | None = None

    def __post_init__(self) -> None:
        most = _PER_CORE * (os.cpu_count() or 1)
        for name, count in (("workers", self.workers), ("threads", self.threads)):
            check_count(name, count, minimum=0)
            if count > most:
                problem = f"more than {_PER_CORE} for each core of this machine"
                raise InvalidInput(name, count, problem, f"choose at most {most}")

    def settled(self, kind: Kind, own: int) -> Execution:
        """Fill in the threads that a command of this kind takes; 0: by the number of processes.

        Args:
            kind: what the command computes.
            own: the OMP_NUM_THREADS that the user has set; 0: none.

        Raises:
            InvalidInput: if several are asked for where one is the rule.
        """
        if kind == "tables" and self.threads > 1:
            remedy = "leave it out, and use as many --workers as there are cores"
            raise InvalidInput("threads", self.threads, "without a model there is one", remedy)
        default = {"tables": 1, "tiny": 1, "model": own}[kind]
        return replace(self, threads=self.threads or default)
