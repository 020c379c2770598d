"""Each theorem of docs/theory.md has a check beside it, and all of them pass."""

from __future__ import annotations

import re

import pytest

from tests.website.typed import ROOT, blocks

PAGE = "docs/theory.md"
TEXT = (ROOT / PAGE).read_text()
CODE = "\n".join(block.text for block in blocks(PAGE) if block.language == "python")
# "**T1** (`improvement_lower_bound`).", also with words within the bold or between.
THEOREMS = {
    name: re.findall(r"`(\w+)`", functions)
    for name, functions in re.findall(r"\*\*(T\d\w?)[^*]*\*\*:? \(((?:`\w+`[,;]? ?)+)", TEXT)
}


def test_theorems_are_found():
    assert {"T1", "T1s", "T1e", "T2", "T3", "T4", "T4s", "T4w", "T5", "T6", "T7s", "T8"} <= set(
        THEOREMS
    )


@pytest.mark.parametrize("theorem", THEOREMS)
def test_a_theorem_has_a_check_that_calls_its_function(theorem):
    # Long names are imported under shorter ones.
    assert any(re.search(rf"\b{name}(\(| as )", CODE) for name in THEOREMS[theorem])


def test_the_checks_pass_in_one_session(capsys):
    checks, session = (
        [b.text for b in blocks(PAGE) if b.language == "python"],
        {"__name__": "typed"},
    )
    assert len(checks) >= 15
    for number, text in enumerate(checks):
        exec(compile(text, f"{PAGE}, block {number}", "exec"), session)
    assert "sure gains" in capsys.readouterr().out
