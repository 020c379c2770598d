"""Prompt files: shipped with the package, filled in strictly and once."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from llm.prompts import Prompt, from_file, shipped

SHIPPED = sorted(f.name[:-4] for f in files("llm.prompts").iterdir() if f.name.endswith(".txt"))
LOCATING = {"question", "attempt", "count", "steps"}


def test_placeholders_of_the_shipped_prompts():
    assert {name: set(shipped(name).placeholders) for name in SHIPPED} == {
        "locate_answer_given": LOCATING | {"answer"},
        "locate_answer_shown": LOCATING | {"answer"},
        "locate_not_told": LOCATING,
        "locate_sums": LOCATING,
        "locate_told_wrong": LOCATING,
        "revise": set(),
        "solve": {"question", "delimiter"},
        "solve_steps": {"question", "steps", "answer"},
        "verify": LOCATING,
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_prompts_ask_for_a_box_and_leave_nothing_unfilled(name):
    prompt = shipped(name)
    text = prompt.fill(**{p: f"<{p}>" for p in prompt.placeholders})
    # A second attempt is asked for in the form of the first.
    asked = "form that was asked for" in text
    assert r"\boxed{" in text or "answer" in prompt.placeholders or asked
    assert "{{" not in text
    assert "}}" not in text
    assert all(f"<{p}>" in text for p in prompt.placeholders)


@given(st.text(), st.text())
def test_values_stand_as_they_are(one, other):
    filled = Prompt("p", "{{a}}|{b}|\\boxed{1}|{{b}}|{{a}}").fill(a=one, b=other)
    assert filled == f"{one}|{{b}}|\\boxed{{1}}|{other}|{one}"


def test_missing_and_unknown_values_are_errors():
    prompt = Prompt("mine", "{{a}} {{b}}")
    with pytest.raises(InvalidInput, match="prompt mine = 'b': nothing to fill it with"):
        prompt.fill(a="1")
    with pytest.raises(InvalidInput, match="prompt mine = 'c': not in the prompt"):
        prompt.fill(a="1", b="2", c="3")


def test_prompts_that_are_not_there_are_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"prompt = 'locate': .*locate_told_wrong"):
        shipped("locate")
    with pytest.raises(InvalidInput, match=r"mine\.txt: no such file"):
        from_file(tmp_path / "mine.txt")
    (tmp_path / "mine.txt").write_text("Größe {{a}}", encoding="utf-8")
    assert from_file(tmp_path / "mine.txt").fill(a="?") == "Größe ?"
