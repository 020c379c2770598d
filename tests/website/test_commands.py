"""Commands that any page shows have the options that they are shown with."""

from __future__ import annotations

import itertools
import re
import shlex

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import parse
from experiments.commands import COMMANDS
from website.links import ROOT

_SHELL = re.compile(r"^(?: {4}|)(cpi-resets (?:.*\\\n)*.*)$", flags=re.MULTILINE)
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def shown():
    for page in sorted(PAGES):
        for line in dict.fromkeys(_SHELL.findall(page.read_text())):
            words = shlex.split(line.replace("\\\n", " "), comments=True)
            # What the shell does with the output is no matter of the command's.
            words = list(itertools.takewhile(lambda word: word not in ("|", ">", "||"), words))
            if len(words) > 1 and words[1] in COMMANDS and "..." not in words:
                yield pytest.param(
                    words[1:], id=f"{page.relative_to(ROOT)}: {' '.join(words[1:])}"[:120]
                )


_ABSENT = ("does not exist", "no such file", "not found", "unknown", "cannot be read", "is no file")


def is_missing(error):
    """Whether it is about a file or a name of the reader's that is not here."""
    return any(word in str(error) for word in _ABSENT)


def problem(words):
    """What is wrong with a command, apart from files that only its reader has."""
    try:
        parse(words[0], words[1:])
    except InvalidInput as error:
        return None if is_missing(error) else str(error)
    except SystemExit as end:  # 0 after --help; 2 for an option that does not exist
        return end.code or None
    return None


@pytest.mark.parametrize("words", list(shown()))
def test_a_command_that_is_shown_can_be_read(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert problem(words) is None


def test_an_option_that_does_not_exist_is_noticed(capsys):
    assert problem(["learn", "--no-such-option", "3"]) == 2
    assert "seeds" in problem(["learn", "--seeds", "1"])
