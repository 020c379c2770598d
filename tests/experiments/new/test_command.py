"""`cpi-resets new`: what it writes passes its own test at once, and fails it once it is broken."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.new.config import Kind, NewConfig

KINDS = get_args(Kind)
ROOT = Path(__file__).resolve().parents[3]

# A change to each that a user might make by mistake, and the law or check that notices it.
BROKEN = {
    "method": ('key.child("base").integers', 'key.child("suffixes").integers', "key of its own"),
    "reset": ("self.decay ** np", "2 - self.decay ** np", "weights are to lie in"),
    "world": ("default_rng([key,", "default_rng([7,", "key"),
    "task": ("problem.kind, problem.answers", "problem.kind, str(1)", "reward"),
}


def pytest_on(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_written_tests_pass_and_notice_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process for both, as most of its time goes into what the tests import."""
    for name in ("first", "broken"):
        for kind in KINDS:
            assert main(["new", kind, f"{name}_{kind}", "--to", str(tmp_path)]) == 0
            test = tmp_path / f"test_{name}_{kind}.py"
            assert f"python -m pytest {test}" in capsys.readouterr().out
    for kind, (right, wrong, _) in BROKEN.items():
        file = tmp_path / f"broken_{kind}.py"
        assert right in file.read_text()
        file.write_text(file.read_text().replace(right, wrong))
    done = pytest_on(tmp_path)
    assert done.returncode == 1
    results = done.stdout.partition("short test summary")[2]
    for kind, (_, _, notice) in BROKEN.items():
        assert f"test_first_{kind}.py::" not in results
        assert f"FAILED test_broken_{kind}.py::" in results
        assert notice in done.stdout
    passed = re.search(r"(\d+) passed", results)
    assert passed
    assert int(passed[1]) >= len(KINDS)


def test_what_is_written_keeps_to_the_rules_of_this_repository(tmp_path: Path) -> None:
    for kind in KINDS:
        assert main(["new", kind, f"An_{kind}", "--to", str(tmp_path)]) == 0
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    # Tests need no docstrings, and a method of the seam takes what others of its kind use.
    ignored = ["--ignore", "D103,ARG002"]
    done = subprocess.run([*ruff, "check", *ignored, *settings], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    done = subprocess.run([*ruff, "format", "--diff", *settings], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "cls", "module"),
    [
        ("HalfwayReset", "HalfwayReset", "halfway_reset"),
        ("halfway_reset", "HalfwayReset", "halfway_reset"),
        ("GRPOPlus", "GRPOPlus", "grpo_plus"),
        ("Best2Of3", "Best2Of3", "best2_of3"),
    ],
)
def test_names_of_classes_and_files(name: str, cls: str, module: str) -> None:
    config = NewConfig("reset", name)
    assert (config.cls, config.module) == (cls, module)


@pytest.mark.parametrize(
    "name",
    ["2nd", "my-reset", "a b", "class", "Random", "Tabular", "Llm", "Numpy", "Test", "pytest"],
)
def test_names_that_would_not_do_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name = "):
        NewConfig("reset", name)


def test_nothing_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_mine.py").write_text("precious")
    assert main(["new", "world", "Mine", "--to", str(tmp_path)]) == 2
    assert "is there already; choose another name" in capsys.readouterr().err
    assert (tmp_path / "test_mine.py").read_text() == "precious"
    assert not (tmp_path / "mine.py").exists()


def test_a_name_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "method"]) == 2
    assert "cpi-resets new KIND NAME" in capsys.readouterr().err
