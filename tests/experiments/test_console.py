"""Where commands print: tables that are too wide, and what is gathered for JSON."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.cli import _console
from experiments.console import CommandConsole, JsonConsole, give, part

NAMES = [f"measure {i}" for i in range(8)]


def shown(table: Table, width: int) -> list[str]:
    file = io.StringIO()
    CommandConsole(file=file, width=width).print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def wide() -> Table:
    table = Table("method", *NAMES, box=None)
    table.add_row("GRPO", *(f"0.{i}00 [0.1, 0.2]".replace("[", r"\[") for i in range(8)))
    table.add_row(Text("SRPO"), "0.5", *[""] * 6, "[bold]0.9[/bold]")
    return table


def test_names_that_look_like_codes_of_emoji_stay(capsys: pytest.CaptureFixture[str]) -> None:
    _console().print("rewards.py:zero: learns nothing")
    assert capsys.readouterr().out == "rewards.py:zero: learns nothing\n"


def test_a_table_that_fits_is_a_table() -> None:
    lines = shown(wide(), 250)
    assert len(lines) == 3
    assert lines[0].split()[:3] == ["method", "measure", "0"]


def test_a_table_that_is_too_wide_is_shown_row_by_row() -> None:
    lines = shown(wide(), 80)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "GRPO"
    assert lines[1] == "  measure 0  0.000 [0.1, 0.2]"
    # What is empty is left out.
    assert lines[9:] == ["SRPO", "  measure 0  0.5", "  measure 7  0.9"]


def test_long_texts_alone_are_wrapped_in_their_column() -> None:
    table = Table("name", "what it says", box=None)
    table.add_row("one", "many short words " * 10)
    lines = shown(table, 60)
    assert lines[0].split() == ["name", "what", "it", "says"]
    assert len(lines) > 3


def test_a_title_stays_above_the_rows() -> None:
    table = wide()
    table.title = "All of them"
    assert shown(table, 80)[0] == "All of them"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_number_is_broken_at_any_width(width: int) -> None:
    text = "\n".join(shown(wide(), width))
    assert len(re.findall(r"0\.\d00 \[0\.1, 0\.2\]", text)) == 8


def test_json_holds_what_was_given_and_said() -> None:
    console = JsonConsole()
    console.print(wide())
    console.print("[bold]SRPO[/bold] is ahead\n", "of GRPO")
    console.print("a [b] c", markup=False)
    give(console, {"rows": [{"x": np.float64(0.5), "y": float("nan"), "z": (1, float("inf"))}]})
    found = json.loads(console.document("learn", 1, None))
    assert found == {
        "command": "learn",
        "exit_code": 1,
        "data": {"rows": [{"x": 0.5, "y": None, "z": [1, None]}]},
        "said": ["SRPO is ahead", " of GRPO", "a [b] c"],
    }


def test_what_a_part_gives_lies_below_its_name() -> None:
    console = JsonConsole()
    with part(console, "learn"):
        give(console, {"pairs": [1]})
    with part(console, "train"):
        give(console, {"pairs": [2]})
    give(console, {"all": 3})
    assert json.loads(console.document("reproduce", 0, None))["data"] == {
        "learn": {"pairs": [1]},
        "train": {"pairs": [2]},
        "all": 3,
    }


def test_a_console_for_people_shows_nothing_of_what_is_given() -> None:
    file = io.StringIO()
    console = Console(file=file)
    with part(console, "x"):
        give(console, {"rows": [1]})
    assert file.getvalue() == ""
