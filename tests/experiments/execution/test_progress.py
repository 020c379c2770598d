"""How far a command is, in words; bars and real pipes are tested with sweeps."""

from __future__ import annotations

import io
import threading
import time

import pytest
from rich.console import Console

from experiments.execution import progress as module
from experiments.execution.progress import progress


def shown(total: int | None, steps: list[int], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(module, "EVERY", 0.05)
    file = io.StringIO()
    with progress(Console(file=file, width=20), "work [a]", total, done=2) as advance:
        for count in steps:
            advance(count)
            time.sleep(0.12)
    return file.getvalue().splitlines()


def test_lines_tell_how_much_is_done_and_how_much_time_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = shown(1000, [1, 2], monkeypatch)
    assert lines[0].startswith("work [a]: 3 of 1,000, 0 s so far, about ")
    assert lines[0].endswith("left")
    assert lines[-1].startswith("work [a]: 5 of 1,000")


def test_nobody_knows_how_much_is_left_where_there_is_no_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shown(None, [5000], monkeypatch)[0] == "work [a]: 5,002 done, 0 s so far"


def test_what_is_quick_or_quiet_prints_nothing() -> None:
    file, before = io.StringIO(), threading.active_count()
    for console in (Console(file=file), Console(file=file, quiet=True), None):
        with progress(console, "work", 3) as advance:
            advance(1)
    assert file.getvalue() == ""
    assert threading.active_count() == before


def test_lines_end_with_the_block_also_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)
    file = io.StringIO()
    with pytest.raises(ZeroDivisionError), progress(Console(file=file), "work"):
        raise ZeroDivisionError
    said = file.getvalue()
    time.sleep(0.1)
    assert file.getvalue() == said


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (119, "2 min"), (7200, "2.0 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert module._duration(seconds) == text
