"""Commands that any page shows have the options that they are shown with."""

from __future__ import annotations

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
            if len(words) > 1 and words[1] in COMMANDS and "..." not in words:
                yield pytest.param(words[1:], id=f"{page.relative_to(ROOT)}: {' '.join(words[1:])}"[:120])


def is_missing(error):
    """Whether it is about a file of the reader's that is not here."""
    return error.field in ("config", "model", "sources") or "world" in error.field or any(
        word in str(error) for word in ("does not exist", "no such file", "not found", "unknown")
    )


@pytest.mark.parametrize("words", shown())
def test_a_command_that_is_shown_can_be_read(words, monkeypatch):
    monkeypatch.chdir(ROOT)
    try:
        parse(words[0], words[1:])
    except InvalidInput as error:
        assert is_missing(error), error
    except SystemExit as end:  # an option that does not exist
        assert not end.code, words
