"""Is every constant and sign of the bounds needed?  The battery, run against each mutant of each.

A mutant that claims too much must fall to a counterexample, in exact arithmetic and without any
tolerance. One that claims too little is reported with what it gives away.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from experiments.verify import claims, sampling
from experiments.verify.claims import GAIN, Reading
from experiments.verify.families import make_instance
from experiments.verify.files import Counterexample, to_json
from experiments.verify.instances import BoundInstance
from experiments.verify.mutation.mutants import Mutant, mutants
from experiments.verify.mutation.targets import TARGETS, Target

_ERRORS = (ArithmeticError, AssertionError, AttributeError, TypeError, ValueError)
_TRIES = 400


@dataclass(frozen=True)
class Judging:
    """The mutants of one target, to be judged on exact instances.

    Attributes:
        target: key of `TARGETS`.
        instances: how many of each random exact family, and a quarter of the extremal ones.
        seed: of the instances, and of the sample.
        most: how many mutants to judge, a sample; None judges all.
    """

    target: str
    instances: int
    seed: int
    most: int | None = None


class Verdict(NamedTuple):
    """What became of a mutant.

    Attributes:
        name: "false", "breaks", "loose", "equivalent" or "sharper" (claims more somewhere, and no
            counterexample is known).
        found: what refutes a false mutant, or breaks one.
        reading: the violated inequality.
        tightness: (before, after): the largest bound over gain where the mutant changes it.
            The gain is that of the original: a mutant may take another step, whose gain differs.
        error: what a mutant that breaks raised.
    """

    name: str
    found: Counterexample | None = None
    reading: Reading | None = None
    tightness: tuple[float, float] | None = None
    error: str | None = None


def judge_mutants(judging: Judging) -> list[dict[str, Any]]:
    """One row per mutant of the target's formula."""
    target = TARGETS[judging.target]
    checks = _checked_claims(target, judging)
    rows = []
    # Of arrays, too, an overflow or a division by zero is an error.
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        for mutant in _judged(judging):
            verdict = _judge(mutant, target, checks)
            rows.append(_row(judging.target, target, mutant, verdict))
    return rows


def _judged(judging: Judging) -> list[Mutant]:
    """The mutants of the target's formula, or a sample of them in the same order."""
    found = [m for m in mutants(TARGETS[judging.target].function) if m.arithmetic]
    if judging.most is None or len(found) <= judging.most:
        return found
    draw = random.Random(f"{judging.seed} {judging.target}")
    return [found[i] for i in sorted(draw.sample(range(len(found)), judging.most))]


class _CheckedClaim(NamedTuple):
    """Where readings come from, and what they were before any mutation."""

    instance: BoundInstance | None
    read: Callable[[], Sequence[Reading]]
    before: Sequence[Reading]


def _checked_claims(target: Target, judging: Judging) -> list[_CheckedClaim]:
    found = [_CheckedClaim(None, _reader(claim), list(claim())) for claim in target.sampling]
    for claim in target.claims:
        discounted = claim in claims.DISCOUNTED
        for instance in _exact_instances(judging.instances, judging.seed):
            if instance.discounted == discounted:
                before = list(claim(instance))
                found.append(_CheckedClaim(instance, _reader(claim, instance), before))
    return found


def _reader(claim: Callable[..., Iterator[Reading]], *about: Any) -> Callable[[], list[Reading]]:
    return lambda: list(claim(*about))


@cache
def _exact_instances(count: int, seed: int) -> tuple[BoundInstance, ...]:
    """Extremal instances first, and most of them: they refute nearly all that is false."""
    families = {"trap": 4 * count, "layered exact": count, "discounted exact": count}
    pairs = ((family, i) for family, size in families.items() for i in range(size))
    return tuple(make_instance(family, seed, index) for family, index in pairs)


def _judge(mutant: Mutant, target: Target, checks: Sequence[_CheckedClaim]) -> Verdict:
    changes: list[tuple[Reading, Reading]] = []
    with mutant.installed():
        for check in checks:
            try:
                after = check.read()
            except _ERRORS as error:
                return Verdict("breaks", _where(check, mutant), error=f"{error!r:.150}")
            for reading in after:
                if not reading.says.startswith("above") and _fails(check, reading):
                    return Verdict("false", _where(check, mutant, reading), reading)
            changes += _changes(check.before, after)
    if not changes:
        return _unchanged(mutant, target)
    if any(after.bound > before.bound for before, after in changes):
        return Verdict("sharper")
    return Verdict("loose", tightness=_tightness(changes))


def _fails(check: _CheckedClaim, reading: Reading) -> bool:
    if check.instance is None:
        return sampling.contradicted(reading)
    return claims.violated(check.instance, reading)


def _where(check: _CheckedClaim, mutant: Mutant, reading: Reading | None = None) -> Counterexample:
    theorem, says, alpha = ("", "", 0) if reading is None else reading[:3]
    return Counterexample(check.instance, theorem, says, alpha, str(mutant))


def _changes(
    before: Sequence[Reading], after: Sequence[Reading]
) -> Iterator[tuple[Reading, Reading]]:
    """Readings of a bound on the gain that the mutant moved."""
    pairs = zip(_gains(before), _gains(after), strict=True)
    return ((old, new) for old, new in pairs if old.bound != new.bound)


def _gains(readings: Sequence[Reading]) -> list[Reading]:
    return [reading for reading in readings if reading.says.startswith(GAIN)]


def _tightness(changes: Sequence[tuple[Reading, Reading]]) -> tuple[float, float]:
    """Largest bound over gain before and after; as alpha falls to 0 it tends to 1 regardless."""
    telling = [pair for pair in changes if not 0 < pair[0].alpha < claims.TELLING_ALPHA] or changes
    moved = [(before, before._replace(bound=after.bound)) for before, after in telling]
    before, after = (max(pair[side].ratio or 0.0 for pair in moved) for side in (0, 1))
    return before, after


def _unchanged(mutant: Mutant, target: Target) -> Verdict:
    """Equivalent if it also agrees on arguments that no instance has."""
    original, changed = target.function, mutant.function()
    draw = random.Random(0)
    for _ in range(_TRIES):
        arguments = target.inputs(draw)
        try:
            if not _same(target.result(original(*arguments)), target.result(changed(*arguments))):
                return Verdict("sharper", error="differs on arguments that no instance has")
        except _ERRORS as error:
            return Verdict("breaks", error=f"{error!r:.150}")
    return Verdict("equivalent")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-12 * max(abs(one), abs(other))
    return bool(one == other)


def _row(label: str, target: Target, mutant: Mutant, verdict: Verdict) -> dict[str, Any]:
    found, reading = verdict.found, verdict.reading
    before, after = verdict.tightness or (None, None)
    return {
        "kind": "mutant",
        "target": label,
        "function": mutant.name,
        "line": mutant.line,
        "change": mutant.description,
        "verdict": verdict.name,
        "pinned": target.pinned,
        "tightness_before": before,
        "tightness_after": after,
        "error": verdict.error,
        "refuted_by": None if found is None or reading is None else found.says,
        "counterexample": None if found is None or reading is None else to_json(found, reading),
    }


def find_mutant(description: str) -> Mutant | None:
    """The mutant that a counterexample names, if the code still has it."""
    functions = {target.function for target in TARGETS.values()}
    every = (m for f in functions if isinstance(f, FunctionType) for m in mutants(f))
    return next((mutant for mutant in every if str(mutant) == description), None)
