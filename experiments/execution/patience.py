"""A limit on how long one task of a sweep may take, so that one without end holds up no other."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from cpi_theory.checks import check_positive


class OutOfTime(BaseException):
    """A task has taken longer than it may; no `except Exception` of its own holds it up."""


@dataclass(slots=True)
class Patience:
    """How long a task may take, and which tasks took longer.

    A task that is given up leaves nothing behind: the next sweep over it tries it again. It is
    interrupted between two instructions of Python, so that a call into compiled code is waited for.

    Attributes:
        seconds: of wall-clock time for each task.
        late: specifications of the tasks that were given up.
    """

    seconds: float
    late: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_positive("seconds", self.seconds)


def can_interrupt() -> bool:
    """Whether this is a thread whose tasks can be interrupted: the main one, where signals are."""
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raise :class:`OutOfTime` in this block when it takes longer; None: it may take forever."""
    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise OutOfTime
