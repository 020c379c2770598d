"""The mutator makes every single change once, and what it makes behaves as it says."""

from __future__ import annotations

import pytest

from cpi_theory import bounds
from cpi_theory.bounds.finite_horizon import ResetStep, improvement_lower_bound
from cpi_theory.checks import InvalidInput
from experiments.verify.mutation.mutants import mutants
from experiments.verify.mutation.targets import TARGETS

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


@pytest.mark.parametrize("target", TARGETS)
def test_every_bound_has_mutants_that_compile_and_differ_in_code(target: str):
    found = mutants(TARGETS[target].function)
    assert len(found) > 3
    assert all(m.code != m.original.__code__ or m.defaults for m in found)
