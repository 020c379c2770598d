"""docs/your_own_model.md from the first file to the exported model, with a model of a few weights.

The commands are the page's own; what makes them long (the model, and counts of problems, examples
and updates) is replaced by less.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from experiments.cli import main
from tests.llm.bytes import byte_folder
from tests.website.typed import ROOT, blocks

PAGE = "docs/your_own_model.md"
LESS = {
    "--prompts": "8",  # the least that it takes
    "--recipe.examples": "8",
    "--held-out": "2",
    "--held-out-before": "2",
    "--budget.prompts": "2",
    "--budget.updates": "1",
    "--budget.every": "1",
    "--budget.held-out": "4",
    "--problems": "4",
}


def commands() -> list[list[str]]:
    """The indented commands of the page, continued lines joined."""
    text = re.sub(r"```.*?```", "", (ROOT / PAGE).read_text(), flags=re.DOTALL)
    found = re.findall(r"^ {4}(cpi-resets (?:.*\\\n)*.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line.replace("\\\n", " ")) for line in found]


def shorter(words: list[str], model: Path) -> list[str]:
    """The command with less of everything, and the small model in the place of SmolLM2."""
    words = [str(model) if word == "smollm2" else word for word in words[1:]]
    return [LESS.get(before, word) for before, word in zip(["", *words], words, strict=False)]


def test_what_is_replaced_is_there():
    said = {word for words in commands() for word in words}
    assert set(LESS) | {"smollm2"} <= said
    assert [words[1] for words in commands()] == [
        *("diagnose", "warm-start", "diagnose", "train", "evaluate", "export")
    ]


@pytest.mark.slow
def test_the_page_can_be_followed_to_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = byte_folder(tmp_path / "small")
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile(block.text, PAGE, "exec"), {})
        elif block.language == "toml":
            Path("mine.toml").write_text(block.text.replace("max_tokens = 64", "max_tokens = 12"))
    for words in commands():
        assert main(shorter(words, model)) == 0, shlex.join(words)
    assert (tmp_path / "served" / "config.json").exists()
    assert "Nothing can be learned here as it is" in capsys.readouterr().out
