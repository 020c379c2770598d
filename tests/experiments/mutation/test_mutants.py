"""The mutator makes every single change once, and what it makes behaves as it says."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from cpi_theory import bounds
from cpi_theory.bounds import chooser, discounted, finite_horizon, plans
from cpi_theory.bounds.finite_horizon import ResetStep, improvement_lower_bound
from cpi_theory.checks import InvalidInput
from experiments.mutation.mutants import module_mutants, mutants

LIMIT = 3


def formula(a: int, b: int = 2) -> int:
    """Twice 7 plus 1: numbers in docstrings are no constants."""
    return 3 * a - b


def guarded(a: int) -> str:
    if a < 0:
        raise ValueError("negative: 0")
    return "text" if min(a, 5) == 5 else "more"


def looped(values: list[int]) -> int:
    total = 0
    for value in values:
        total += value
    return total


class Named:
    @property
    def half(self) -> float:
        return 1 / 2

    def method(self) -> int:
        return -LIMIT


def behaviour(function, *arguments):
    """How often each result occurs among the mutants."""
    results = {}
    for mutant in mutants(function):
        results[mutant.description] = mutant.function()(*arguments)
    return results


def test_every_site_of_a_formula_changes_once():
    assert behaviour(formula, 5) == {
        "2  ->  3": 12,
        "2  ->  1": 14,
        "3 * a - b  ->  3 * a + b": 17,
        "3 * a - b  ->  3 * a": 15,
        "3 * a - b  ->  b": 2,
        "3 * a - b  ->  3 * a * 2 - b": 28,
        "3 * a - b  ->  3 * a - b * 2": 11,
        "3 * a - b  ->  3 * a / 2 - b": 5.5,
        "3 * a - b  ->  3 * a - b / 2": 14,
        "3 * a  ->  3 / a": 3 / 5 - 2,
        "3 * a  ->  3": 1,
        "3 * a  ->  a": 3,
        "3  ->  4": 18,
        "3  ->  2": 8,
    }


def test_formulas_are_told_from_checks_and_defaults():
    told = {m.description: m.arithmetic for m in mutants(formula)}
    assert not told["2  ->  3"]
    assert told["3  ->  4"]
    told = {m.description: m.arithmetic for m in mutants(guarded)}
    assert not told["a < 0  ->  a <= 0"]
    assert not told["raise ValueError('negative: 0')  ->  pass"]
    assert told["min(a, 5)  ->  max(a, 5)"]
    assert told["'text' if min(a, 5) == 5 else 'more'  ->  'more'"]


def test_texts_and_annotations_never_change():
    changed = [m.description.split("  ->  ")[0] for m in mutants(guarded)]
    assert not any(text.strip("'") in ("text", "more", "negative: 0", "int") for text in changed)


def test_updates_and_initial_values_change():
    assert behaviour(looped, [4, 5])["total += value  ->  total -= value"] == -9
    assert behaviour(looped, [4, 5])["0  ->  1"] == 10


def test_a_mutant_tells_where_it_differs():
    first = mutants(formula)[2]
    assert first.line == formula.__code__.co_firstlineno + 2
    assert str(first).endswith(f"formula:{first.line}:11: 3 * a - b  ->  3 * a + b")


def test_no_two_mutants_of_a_function_have_the_same_name():
    for function in (improvement_lower_bound, bounds.sharp_best_step, formula):
        names = [str(mutant) for mutant in mutants(function)]
        assert len(set(names)) == len(names)


def test_an_installed_mutant_is_seen_by_whoever_imported_the_function():
    step = ResetStep(2, 1.0, 0.5, 1.0, 0.5)
    before = bounds.best_step(step)
    mutant = next(m for m in mutants(improvement_lower_bound) if " + alpha" in m.description)
    with mutant.installed():
        assert improvement_lower_bound(step, 1.0) == 2.0
        assert bounds.best_step(step) != before
        assert mutant.function()(step, 1.0) == 2.0
    assert improvement_lower_bound(step, 1.0) == 0.0
    assert bounds.best_step(step) == before


def test_a_failure_leaves_the_original_in_place():
    mutant = mutants(formula)[0]
    with pytest.raises(ZeroDivisionError), mutant.installed():
        formula(1 // (formula(5) - 12))
    assert formula(5) == 13


def test_a_closure_cannot_be_mutated():
    factor = 3
    with pytest.raises(InvalidInput, match="not a plain function"):
        mutants(lambda a: factor * a)


def test_a_module_is_mutated_in_functions_methods_properties_and_constants():
    module = types.ModuleType(__name__)
    module.__dict__.update(LIMIT=LIMIT, Named=Named, formula=formula, os=os, __file__=__file__)
    found = [str(m).split(".", 1)[-1] for m in module_mutants(module)]
    assert any(text.endswith("LIMIT: 3 -> 4") for text in found)
    assert any("Named.method" in text and text.endswith("-LIMIT  ->  LIMIT") for text in found)
    assert any("Named.half" in text and text.endswith("1 / 2  ->  1 * 2") for text in found)
    assert sum("formula" in text for text in found) == 14
    assert not any("environ" in text for text in found)


def test_every_bound_has_mutants_that_compile_and_differ_in_code():
    for module in (finite_horizon, discounted, chooser, plans):
        found = [m for m in module_mutants(module) if hasattr(m, "code")]
        assert len(found) > 10
        assert all(m.code != m.original.__code__ or m.defaults for m in found)


SUBJECT = """
def area(width, height):
    return width * height

def unused(value):
    return value + 1
"""
TESTS = """
from shapes.subject import area

def test_area():
    assert area(3, 4) == 12
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "__init__.py").touch()
    (tmp_path / "shapes" / "subject.py").write_text(SUBJECT)
    (tmp_path / "tests" / "shapes").mkdir(parents=True)
    (tmp_path / "tests" / "shapes" / "test_subject.py").write_text(TESTS)
    return tmp_path


def run_mutations(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(project)}
    command = [sys.executable, "-m", "experiments.mutation.run", "--modules", "shapes.subject"]
    return subprocess.run(
        [*command, *options], cwd=project, env=environment, capture_output=True, text=True
    )


def test_the_run_names_what_the_tests_do_not_notice(project: Path):
    done = run_mutations(project)
    survivors = [line for line in done.stdout.splitlines() if line.startswith("survived")]
    assert done.returncode == 0, done.stderr
    assert len(survivors) == 9
    assert all("unused" in line for line in survivors)
    assert "12 mutants, 3 killed, 9 survived, 0 timed out" in done.stdout


def test_a_mutant_that_never_ends_is_stopped(project: Path):
    subject = project / "shapes" / "subject.py"
    subject.write_text(
        "def area(width, height):\n"
        "    total = 0\n"
        "    while total < width * height:\n"
        "        total += 1\n"
        "    return total\n"
    )
    done = run_mutations(project, "--seconds", "2", "--first", "2")
    assert "timed out" in done.stdout
    subject.write_text("def area(width, height):\n    return 0\n")
    failed = run_mutations(project)
    assert failed.returncode == 1
    assert "without any mutant" in failed.stdout
