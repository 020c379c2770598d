"""How far a command is: a bar on a terminal, a line now and then where the output goes elsewhere.

Every command that can take more than some seconds shows its work through :func:`progress`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

EVERY = 60.0
"""Seconds between two lines where the output is no terminal."""

Advance = Callable[[int], None]
"""Says that so many more of the things that are counted are done."""


@contextlib.contextmanager
def progress(
    console: Console | None, label: str, total: int | None = None, done: int = 0
) -> Iterator[Advance]:
    """Show how far the block is that this guards, as it says through what is yielded.

    On a terminal it is a bar that goes when the block ends, elsewhere a line every
    :data:`EVERY` seconds: what ends sooner prints nothing.

    Args:
        console: where to show it; nowhere without one, or with a quiet one.
        label: what is done.
        total: number of things; None: unknown.
        done: how many were done before.
    """
    if console is None or console.quiet:
        yield lambda _steps: None
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as bar:
            line = bar.add_task(label, total=total, completed=done)
            yield lambda steps: bar.advance(line, steps)
    else:
        count = _Count(label, total, done)
        with _lines(console, count):
            yield count.add


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


@dataclass(slots=True)
class _Count:
    """How much is done, and since when."""

    label: str
    total: int | None
    done: int
    before: int = field(init=False)
    start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.before = self.done

    def add(self, steps: int) -> None:
        self.done += steps

    def line(self) -> str:
        """Such as "curves: 12 of 150, 1 min so far, about 11 min left"."""
        passed, made = time.monotonic() - self.start, self.done - self.before
        if self.total is None:
            count = f"{self.done:,} done, " if self.done else ""
            return f"{self.label}: {count}{_duration(passed)} so far"
        left = ""
        if made:
            left = f", about {_duration(passed / made * (self.total - self.done))} left"
        return f"{self.label}: {self.done:,} of {self.total:,}, {_duration(passed)} so far{left}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


@contextlib.contextmanager
def _lines(console: Console, count: _Count) -> Iterator[None]:
    """Print the count's line now and then until the block ends."""
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(EVERY):
            # A reader that has left is the main thread's affair: it prints too.
            with contextlib.suppress(BrokenPipeError):
                console.print(count.line(), markup=False, highlight=False, soft_wrap=True)
                console.file.flush()

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
