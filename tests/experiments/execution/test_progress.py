"""How far a command is, in words; bars and real pipes are tested with sweeps."""

from __future__ import annotations

import io
import sys
import threading
import time
from typing import Any

import pytest
from rich.console import Console

from experiments.console import JsonConsole
from experiments.execution import progress as module
from experiments.execution.progress import progress


def shown(total: int | None, steps: list[int], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What stands on the error stream; the output is left alone."""
    monkeypatch.setattr(module, "EVERY", 0.05)
    file, errors = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", errors)
    with progress(Console(file=file, width=20), "work [a]", total, done=2) as advance:
        for count in steps:
            advance(count)
            time.sleep(0.12)
    assert file.getvalue() == ""
    return errors.getvalue().splitlines()


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
    screen = Console(file=file, force_terminal=True)
    for console in (Console(file=file), Console(file=file, quiet=True), screen, None):
        with progress(console, "work", 3) as advance:
            advance(1)
    assert file.getvalue() == ""
    assert threading.active_count() == before


def test_a_bar_comes_once_it_has_taken_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AFTER", 0.2)
    file = io.StringIO()
    with progress(Console(file=file, force_terminal=True), "work", 8) as advance:
        advance(1)
        before = file.getvalue()
        for _ in range(100):
            time.sleep(0.05)
            advance(0)
            if "1/8" in file.getvalue():
                break
    assert before == ""
    assert "work" in file.getvalue()
    assert "1/8" in file.getvalue()


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [Console, JsonConsole], ids=["redirected", "json"])
def test_a_bar_is_drawn_on_the_error_stream_where_the_output_is_not_for_people(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AFTER", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    output, errors = io.StringIO(), Screen()
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setattr("sys.stderr", errors)
    with progress(kind(), "work", 8) as advance:
        advance(1)
        sys.stdout.write("a result\n")
        time.sleep(0.4)
    assert output.getvalue() == "a result\n"
    assert "work" in errors.getvalue()


def test_lines_end_with_the_block_also_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.02)
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    with pytest.raises(ZeroDivisionError), progress(Console(file=io.StringIO()), "work"):
        raise ZeroDivisionError
    said = file.getvalue()
    time.sleep(0.1)
    assert file.getvalue() == said


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (119, "2 min"), (7200, "2.0 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert module._duration(seconds) == text
