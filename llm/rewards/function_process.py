"""A function that is called in a process of its own, where it can be ended whatever it does.

It may take forever, take all memory or end the process: the caller gets a typed failure.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from cpi_theory.checks import InvalidInput, check_positive
from llm.rewards import function_worker

Failure = Literal["raised", "took too long", "ended its process"]

_START_SECONDS = 120.0
"""For imports, which are no part of a call."""


class CallFailed(Exception):
    """A call that gave nothing.

    Attributes:
        how: in which way.
        detail: what was raised, the seconds that it had, or how its process ended.
    """

    def __init__(self, how: Failure, detail: str) -> None:
        super().__init__(f"{how}: {detail}")
        self.how, self.detail = how, detail


class FunctionProcess:
    """Calls one function in a process that is started when first needed.

    May be used from any thread and after a fork; calls take turns.

    Attributes:
        target: "module:function".
        seconds: how long a call may take.
    """

    def __init__(
        self,
        target: str,
        seconds: float,
        memory: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Set up the process; it starts with the first call.

        Args:
            target: the function, found as Python finds modules, in the working directory first.
            seconds: how long a call may take; the import is not counted.
            memory: bytes of address space; None: no limit.
            environment: more environment variables.

        Raises:
            InvalidInput: if the time is not positive.
        """
        check_positive("seconds", seconds)
        self.target, self.seconds = target, seconds
        self._memory, self._environment = memory, dict(environment or {})
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def __call__(self, **arguments: Any) -> Any:
        """Return what the function returns, which JSON can hold.

        Args:
            arguments: of the function; they are pickled.

        Raises:
            CallFailed: it raised, took too long or ended its process.
            InvalidInput: the function refused its arguments, or cannot be loaded.
        """
        with self._lock:
            said = self._ask(self._ready(), arguments)
        if "refused" in said:
            raise InvalidInput(*said["refused"])
        if "raised" in said:
            raise CallFailed("raised", said["raised"])
        return said["value"]

    def start(self) -> None:
        """Start the process, which loads the function.

        Raises:
            InvalidInput: if it cannot be loaded.
        """
        with self._lock:
            self._ready()

    def close(self) -> None:
        """End the process; the next call starts another."""
        with self._lock:
            self._end()

    def _ask(self, worker: subprocess.Popen[bytes], arguments: Any) -> dict[str, Any]:
        """The reply to a call; whenever there is none, a late one must not answer the next."""
        assert worker.stdin is not None
        said: dict[str, Any] | None = None
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died since the last call
                worker.stdin.write(pickle.dumps(arguments))
            said = _line(worker, self.seconds)
        finally:
            status = None if said is not None else self._end()
        if said is None:
            if status is None:
                raise CallFailed("took too long", f"{self.seconds:g} seconds")
            raise CallFailed("ended its process", f"exit status {status}")
        return said

    def _ready(self) -> subprocess.Popen[bytes]:
        # A fork has the parent's pipes as well, and each would read the other's replies.
        if self._worker is not None and self._owner == os.getpid():
            return self._worker
        self._worker = subprocess.Popen(
            # -P: the folder of the script has modules of its own, which are not to be found.
            [sys.executable, "-P", function_worker.__file__],
            env={**os.environ, **self._environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # `select` sees the pipe, and not what a buffer has taken from it.
            bufsize=0,
        )
        self._owner = os.getpid()
        setup = {
            "path": [str(Path.cwd()), *sys.path],
            "target": self.target,
            "memory": self._memory,
            "seconds": self.seconds,
        }
        assert self._worker.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._worker.stdin.write(pickle.dumps(setup))
        said = _line(self._worker, _START_SECONDS)
        if said != {}:
            self._end()
            if said is not None and "refused" in said:
                raise InvalidInput(*said["refused"])
            remedy = f"see {sys.executable} -c 'import {self.target.partition(':')[0]}'"
            raise InvalidInput("function", self.target, "cannot be loaded", remedy)
        return self._worker

    def _end(self) -> int | None:
        """End the process; its exit status, or None if it was still at work."""
        worker, self._worker = self._worker, None
        # A worker of the process that this one was forked from is not ours to end.
        if worker is None or self._owner != os.getpid():
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Its pipe closes a little before it has ended.
            worker.wait(0.2)
        status = worker.returncode
        worker.kill()
        worker.communicate()
        return status


def _line(worker: subprocess.Popen[bytes], seconds: float) -> dict[str, Any] | None:
    """The worker's next reply; None if it has ended or takes too long."""
    assert worker.stdout is not None
    end, said = time.monotonic() + seconds, b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([worker.stdout], [], [], max(end - time.monotonic(), 0.0))
        more = os.read(worker.stdout.fileno(), 1 << 16) if ready else b""
        if not more:
            return None
        said += more
    found: dict[str, Any] = json.loads(said)
    return found


@cache
def shared_process(
    target: str,
    seconds: float,
    memory: int | None = None,
    environment: tuple[tuple[str, str], ...] = (),
    version: str = "",
) -> FunctionProcess:
    """Return the process for a function that all tasks of this process share.

    Args:
        target: "module:function".
        seconds: how long a call may take.
        memory: bytes of address space; None: no limit.
        environment: more environment variables.
        version: tells functions of one name apart, such as those before and after an edit.
    """
    del version  # a part of what the cache looks up
    process = FunctionProcess(target, seconds, memory, dict(environment))
    atexit.register(process.close)
    return process
