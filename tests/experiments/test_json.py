"""``--json`` on every command: one JSON object on standard output, and the rows in it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import experiments
from experiments.cli import main
from experiments.commands import COMMANDS
from tests.llm.bytes import byte_folder

ROOT = Path(experiments.__file__).parent

TRAINED = """
problems = 8
regimes = ["natural"]
[recipe]
steps = 2
tokens = 300
[recipe.model]
width = 16
heads = 2
layers = 1
feed_forward = 16
"""

TAUGHT = """
held_out = 4
held_out_before = 2
[recipe]
examples = 8
batch = 4
micro_batch = 2
"""

MARKED = str(Path(__file__).parents[1] / "llm" / "data" / "mistakes.jsonl")

# What each command is asked, how it ends, and what its data hold.
ASKED: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "audit": (
        "--estimators rloo --worlds choice --rollouts 3 --workers 1",
        0,
        ("summary", "counterexamples"),
    ),
    "data": ("list", 0, ("benchmarks",)),
    "league": (
        "--worlds lock --methods GRPO RLOO --seeds 2 --budget 300 --draws 0 --workers 1",
        0,
        ("pairs", "places", "overall", "agreement", "unfinished"),
    ),
    "plan": ("FOLDER/train.toml", 0, ("plan",)),
    "evaluate": (
        "--problems 2 --attempts.samples 2 --workers 1",
        0,
        ("models", "comparisons", "aggregates"),
    ),
    "localize": (
        "--worlds natural --problems 4 --rollouts 2 --localizers checker --workers 1",
        0,
        ("scores", "gains", "refusals", "positions"),
    ),
    "tiny-model": ("--config FOLDER/trained.toml", 0, ("measurements",)),
    "warm-start": (
        "--config FOLDER/taught.toml --model.path FOLDER/bytes",
        0,
        ("examples", "losses", "after", "rates"),
    ),
    "doctor": ("", 0, ("findings",)),
    "new": ("reset MyReset --to FOLDER", 0, ("written",)),
    "completion": ("fish", 0, ("script",)),
    "explore": ("FOLDER/runs/localize --output FOLDER/page.html", 0, ("pages", "left_out")),
    "report": (
        "--runs localize --vector none",
        0,
        ("page", "bytes", "runs", "answers", "figures", "left_out", "without_run"),
    ),
    # These print no table; a refusal of each is JSON, too.
    "export": ("FOLDER/nothing", 2, ()),
    "model": ("--gguf FOLDER/nothing.gguf", 2, ()),
    "gpu-check": ("--device nothing", 2, ()),
}

# These are run by `reproduce`, whose tests look at what it prints of them.
TOGETHER = {
    "verify": ("summary",),
    "compare": ("samples", "worlds"),
    "learn": ("pairs", "reach"),
    "frontier": ("cells", "goals"),
    "diagnose": ("estimates", "verdict"),
    "train": ("finals", "pairs"),
    "anatomy": ("accuracy", "gaps"),
}


def asked(
    name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any], str]:
    code = main([name, *arguments, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out, parse_constant=pytest.fail), said.err


def test_every_command_is_asked() -> None:
    assert set(ASKED) | set(TOGETHER) | {"reproduce"} == set(COMMANDS)


@pytest.mark.parametrize("name", ASKED)
def test_a_command_prints_one_json_object(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, expected, tables = ASKED[name]
    (tmp_path / "train.toml").write_text('worlds = ["natural"]\n')
    (tmp_path / "trained.toml").write_text(TRAINED)
    (tmp_path / "taught.toml").write_text(TAUGHT)
    if name == "warm-start":
        byte_folder(tmp_path / "bytes")
    runs = ["--output", str(tmp_path / "runs")]
    if name in ("explore", "report"):
        assert main(["localize", "--traces", MARKED, "--workers", "1", *runs]) == 0
        capsys.readouterr()
    words = arguments.replace("FOLDER", str(tmp_path)).split()
    words += [] if "--output" in words else runs
    code, found, error = asked(name, words, capsys)
    assert (found["command"], found["exit_code"], code) == (name, expected, expected)
    assert set(tables) <= set(found["data"])
    if expected == 2:
        assert found["error"]["remedy"]
        assert found["error"]["remedy"] in " ".join(error.split())
    else:
        assert "error" not in found
        assert any(found["data"][table] for table in tables)


def prints_tables(path: Path) -> bool:
    return "from rich.table import Table" in path.read_text()


@pytest.mark.parametrize("path", [p for p in ROOT.rglob("*.py") if prints_tables(p)], ids=str)
def test_whoever_prints_a_table_gives_its_rows(path: Path) -> None:
    if path.name == "console.py":
        return
    files = [path, path.parent / "command.py"]
    calls = {
        node.func.id
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "give" in calls


def test_mistakes_in_options_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, found, error = asked("learn", ["--no-such-option", "3"], capsys)
    assert (code, found["exit_code"]) == (2, 2)
    assert "no-such-option" in error
    assert found["error"]["message"] == "Unrecognized options: --no-such-option, 3"
    code, found, _ = asked("lern", [], capsys)
    assert found["error"]["remedy"] == "did you mean 'learn'?"
