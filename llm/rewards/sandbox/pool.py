"""Programs judged beside generation: each once, several at a time."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from cpi_theory.checks import check_count
from llm.rewards.sandbox.bubblewrap import check_sandbox
from llm.rewards.sandbox.cases import CodeTests
from llm.rewards.sandbox.judge import Judgement, judge_program
from llm.rewards.sandbox.limits import Limits

REMEMBERED = 10_000
"""Judgements that are kept, so that a program is not run again when it is asked about again."""


class JudgePool:
    """Judges programs in threads, each of which waits for processes in the sandbox.

    May be used from any thread and after a fork.

    Attributes:
        limits: of programs.
        workers: programs at a time.
        judged: programs that were run so far.
    """

    def __init__(self, limits: Limits | None = None, workers: int | None = None) -> None:
        """Set up the pool; threads start with the first program.

        Args:
            limits: of programs.
            workers: programs at a time; None: one per core that this process may use.

        Raises:
            InvalidInput: programs cannot be run in a sandbox here.
        """
        check_sandbox()
        self.limits = limits or Limits()
        self.workers = len(os.sched_getaffinity(0)) if workers is None else workers
        check_count("workers", self.workers)
        self.judged = 0
        self._begin()

    def _begin(self) -> None:
        self._owner, self._lock = os.getpid(), threading.Lock()
        self._threads = ThreadPoolExecutor(self.workers, "judge")
        self._known: OrderedDict[tuple[str, CodeTests], Future[Judgement]] = OrderedDict()

    def submit(self, program: str, tests: CodeTests) -> Future[Judgement]:
        """Have a program judged, unless it is or was; returns at once.

        Args:
            program: its text.
            tests: what it has to pass.

        Returns:
            Its judgement to come; it raises what :func:`judge_program` raises.
        """
        if self._owner != os.getpid():  # threads do not come along with a fork
            self._begin()
        with self._lock:
            known = self._known.get((program, tests))
            if known is None:
                known = self._threads.submit(self._judge, program, tests)
                self._known[program, tests] = known
            self._known.move_to_end((program, tests))
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _judge(self, program: str, tests: CodeTests) -> Judgement:
        found = judge_program(program, tests, self.limits)
        with self._lock:
            self.judged += 1
        return found

    def close(self) -> None:
        """Wait for the programs under way, and drop those that wait."""
        self._threads.shutdown(cancel_futures=True)


@cache
def shared_pool(limits: Limits, workers: int | None = None) -> JudgePool:
    """Return the pool that all tasks of this process share.

    Args:
        limits: of programs.
        workers: see :class:`JudgePool`.

    Raises:
        InvalidInput: programs cannot be run in a sandbox here.
    """
    return JudgePool(limits, workers)
