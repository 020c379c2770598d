"""Whether two mathematical answers are equal, decided by algebra in a process of its own.

Some expressions take sympy hours. A signal would work in main threads only and cannot interrupt
every computation; a process can be ended whatever it does.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import logging
import os
import select
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Self

from cpi_theory.checks import InvalidInput, check_positive

WORKER = "llm.rewards.math_worker"
_ROOT = Path(__file__).parents[2]
"""Where the packages are, so that the worker finds them wherever this process runs."""

_START_SECONDS = 120.0
_log = logging.getLogger(__name__)


class MathJudge:
    """Compares answers in a worker process that is started when first needed.

    May be used from any thread and after a fork; comparisons take turns.

    Attributes:
        seconds: how long a comparison may take; past it the answers count as different.
        abandoned: comparisons given up so far, for time or memory.
    """

    def __init__(self, seconds: float = 4.0, worker: str = WORKER) -> None:
        """Set up the judge.

        Args:
            seconds: see above.
            worker: module that compares; it speaks as :mod:`llm.rewards.math_worker` does.

        Raises:
            InvalidInput: if the time is not positive or sympy is not installed.
        """
        check_positive("seconds", seconds)
        if importlib.util.find_spec("sympy") is None:
            raise InvalidInput("sympy", None, "not installed", "pip install 'cpi-resets[llm]'")
        self.seconds, self.module, self.abandoned = seconds, worker, 0
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def equal(self, reference: str, answer: str) -> bool:
        """Return whether `answer` says what `reference` says, in LaTeX or plain notation.

        Unreadable answers, and comparisons that are given up, count as different.
        """
        with self._lock:
            said = self._ask(self._ready(), json.dumps([reference, answer]).encode())
        if said:
            return said == b"1"
        _log.warning("gave up comparing %.80r with %.80r", answer, reference)
        return False

    def _ask(self, worker: subprocess.Popen[bytes], question: bytes) -> bytes:
        """The worker's reply; whenever there is none, a late one must not answer the next call."""
        assert worker.stdin is not None
        said = b""
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died since the last question
                worker.stdin.write(question + b"\n")
                said = _byte(worker, self.seconds)
            self.abandoned += not said
        finally:
            if not said:
                self._end()
        return said

    def _ready(self) -> subprocess.Popen[bytes]:
        # A fork has the parent's pipes as well, and each would read the other's replies.
        if self._worker is None or self._owner != os.getpid():
            self._worker = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # `select` sees the pipe, and not what a buffer has taken from it.
                bufsize=0,
            )
            self._owner = os.getpid()
            if _byte(self._worker, _START_SECONDS) != b"r":
                self._end()
                remedy = f"see {sys.executable} -m {self.module} in {_ROOT}"
                raise InvalidInput("math worker", self.module, "does not start", remedy)
        return self._worker

    def _end(self) -> None:
        # A worker of the process that this one was forked from is not ours to end.
        if self._worker is not None and self._owner == os.getpid():
            self._worker.kill()
            self._worker.communicate()
        self._worker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process; the next comparison starts another."""
        with self._lock:
            self._end()


def _byte(worker: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The worker's next byte; none if it has ended or takes too long."""
    assert worker.stdout is not None
    ready, _, _ = select.select([worker.stdout], [], [], seconds)
    return worker.stdout.read(1) if ready else b""


@cache
def shared_judge() -> MathJudge:
    """Return the judge of this process."""
    judge = MathJudge()
    atexit.register(judge.close)
    return judge
