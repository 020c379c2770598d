"""How far a command is: a bar on a terminal, a line now and then where there is none.

What is shown never mixes with results: where the output goes to a file or a pipe, a bar is drawn on
the error stream if that is a terminal, and lines are written there if it is none. Every command
that can take more than some seconds shows its work through :func:`progress`.
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

from experiments.console import CommandConsole, JsonConsole

AFTER = 2.0
"""Seconds until a bar is shown: what ends sooner needs none."""

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""

_PERIOD = 3600.0
"""Seconds of work that the time left is worked out from; a step may take minutes."""

Advance = Callable[[int], None]
"""Says that so many more of the things that are counted are done."""


@contextlib.contextmanager
def progress(
    console: Console | None, label: str, total: int | None = None, done: int = 0
) -> Iterator[Advance]:
    """Show how far the block is that this guards, as it says through what is yielded.

    On a terminal it is a bar that comes after :data:`AFTER` seconds and goes when the block ends,
    elsewhere a line every :data:`EVERY` seconds: what ends sooner prints nothing.

    Args:
        console: of the command; without one, or with a quiet one, nothing is shown.
        label: what is done.
        total: number of things; None: unknown.
        done: how many were done before.
    """
    if console is None or (console.quiet and not isinstance(console, JsonConsole)):
        yield lambda _steps: None
        return
    screen = next((one for one in (console, _errors()) if _draws(one)), None)
    if screen is not None:
        with _late(_bar(screen, mixes=screen is console)) as bar:
            line = bar.add_task(label, total=total, completed=done)
            yield lambda steps: bar.advance(line, steps)
    else:
        count = _Count(label, total, done)
        with _lines(_errors(), count):
            yield count.add


def _errors() -> Console:
    return CommandConsole(stderr=True)


def _draws(console: Console) -> bool:
    """Whether a bar can be drawn on a console."""
    return console.is_terminal and not console.is_dumb_terminal and not console.quiet


@contextlib.contextmanager
def _late(bar: Progress) -> Iterator[Progress]:
    """Show a bar once the block that this guards has taken some time."""
    timer = threading.Timer(AFTER, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        timer.join()  # or the bar would come after its end
        if bar.live.is_started:
            bar.stop()


def _bar(console: Console, mixes: bool) -> Progress:
    """A bar; where it `mixes` with other output on the same screen, that is put above it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(
        *columns,
        console=console,
        transient=True,
        speed_estimate_period=_PERIOD,
        redirect_stdout=mixes,
    )


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
