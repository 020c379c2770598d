"""Check a stored counterexample again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.verify import sampling
from experiments.verify.claims import Reading, readings, violated
from experiments.verify.files import Counterexample, read_counterexample
from experiments.verify.mutation.judge import find_mutant
from experiments.verify.pair_search import Pair


def replay(path: Path, console: Console) -> int:
    """Check a stored counterexample again: 1 if it still refutes its statement, else 0.

    Raises:
        InvalidInput: the file is no counterexample, or its mutant is not in this code.
    """

    found = read_counterexample(path)
    held = True
    for reading, broken in _reread(found):
        console.print(
            f"{reading.theorem} ({reading.says}) at alpha = {reading.alpha}: "
            f"{_both(reading.bound)} <= {_both(reading.truth)} "
            + ("[red]does not hold[/red]" if broken else "holds")
        )
        held = held and not broken
    return 0 if held else 1


def _both(value: Any) -> str:
    return str(value) if isinstance(value, float | int) else f"{value} = {float(value):.9g}"


def _reread(found: Counterexample) -> Iterable[tuple[Reading, bool]]:
    """The readings of a counterexample's inequality, and whether each is violated."""
    import contextlib

    mutant = None if found.mutant is None else find_mutant(found.mutant)
    if found.mutant is not None and mutant is None:
        raise InvalidInput("mutant", found.mutant, "not in this code", "run verify --mutate again")
    with contextlib.nullcontext() if mutant is None else mutant.installed():
        return _readings_of(found)


def _readings_of(found: Counterexample) -> Sequence[tuple[Reading, bool]]:
    if found.pair is not None:
        reading = Pair(*found.pair).reading()
        return [] if reading is None else [(reading, sampling.contradicted(reading))]
    if found.instance is None:
        every = [r for claim in sampling.EXACT_CLAIMS for r in claim()]
        return [(r, sampling.contradicted(r)) for r in every if found.matches(r)]
    instance = found.instance
    return [(r, violated(instance, r)) for r in readings(instance) if found.matches(r)]
