"""Is every constant and sign of the bounds needed?  The battery, run against each mutant of each.

A mutant that claims too much must fall to a counterexample, in exact arithmetic and without any
tolerance. One that claims too little is reported with what it gives away.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple

from cpi_theory import bounds
from cpi_theory.bounds import chooser, plans, rounding
from cpi_theory.bounds.discounted import DiscountedResetStep
from cpi_theory.bounds.finite_horizon import ResetStep
from experiments.mutation.mutants import Mutant, mutants
from experiments.verify import claims, sampling
from experiments.verify.claims import GAIN, Claim, Reading
from experiments.verify.families import make_instance
from experiments.verify.files import Counterexample, to_json
from experiments.verify.instances import Instance

_ERRORS = (ArithmeticError, ValueError, TypeError)
_TRIES = 400


def _whole(result: Any) -> Any:
    return result


@dataclass(frozen=True)
class Target:
    """A bound whose mutants are judged.

    Attributes:
        function: the bound, or what it is computed from.
        claims: what is read of it on instances; empty for statements about samples.
        inputs: draws admissible arguments, to tell an equivalent mutant from an unlucky one.
        sampling: what is read of it without an instance.
        result: the part of the function's result that is a statement; two steps with the same
            guarantee are equally good.
        pinned: whether extremal instances attain the bound, so that no sharper mutant is true.
    """

    function: Callable[..., Any]
    claims: tuple[Claim, ...]
    inputs: Callable[[random.Random], tuple[Any, ...]]
    sampling: tuple[sampling.SamplingClaim, ...] = ()
    pinned: bool = True
    result: Callable[[Any], Any] = _whole


def _share(draw: random.Random) -> Fraction:
    return Fraction(draw.randint(0, 6), 6)


def _step(draw: random.Random) -> ResetStep:
    horizon = draw.randint(1, 5)
    remaining = _share(draw) * (horizon - 1)
    return ResetStep(horizon, _share(draw), _share(draw) * 2 - 1, _share(draw) * 2, remaining)


def _discounted(draw: random.Random) -> DiscountedResetStep:
    discount = Fraction(draw.randint(0, 9), 10)
    return DiscountedResetStep(discount, _share(draw), _share(draw) * 2 - 1, _share(draw) * 2)


def _with_deviations(draw: random.Random) -> tuple[Any, ...]:
    step = _step(draw)
    return step, _share(draw), [_share(draw) for _ in range(step.horizon)]


def _visit_law(draw: random.Random) -> tuple[Any, ...]:
    counts = [draw.randint(0, 3) for _ in range(draw.randint(1, 4))] + [1]
    return Fraction(1, 5), [Fraction(c, sum(counts)) for c in counts], _share(draw)


def _with_deviation(draw: random.Random) -> tuple[Any, ...]:
    step = _discounted(draw)
    return step, _share(draw), _share(draw) * step.discount / (1 - step.discount)


def _parabola(draw: random.Random) -> tuple[Any, ...]:
    slope, curvature = _share(draw) - Fraction(1, 6), _share(draw)
    return slope, curvature, lambda a: a * slope - a**2 * curvature / 2


def _chooser(draw: random.Random) -> tuple[Any, ...]:
    return draw.randint(1, 99), draw.randint(1, 9), draw.randint(1, 9), draw.random() / 2, 3.0


def _terms(draw: random.Random) -> tuple[Any, ...]:
    return draw.randint(1, 9), draw.random(), 0.05, 3.0


def _oracle(draw: random.Random) -> tuple[Any, ...]:
    recall, p = Fraction(draw.randint(1, 6), 6), Fraction(draw.randint(1, 5), 6)
    least = recall * p / (recall * p + 1 - p)
    return least + (1 - least) * _share(draw), recall, p


def _aliased(draw: random.Random) -> tuple[Any, ...]:
    return draw.uniform(0.01, 1), draw.uniform(0.01, 0.25), draw.uniform(0.01, 0.24), 1.0


_TAILS = (sampling.accuracy_fails_rarely, sampling.sizes_invert_accuracies)


def _second(result: Any) -> Any:
    return result[1]


def _of_steps(
    function: Callable[..., Any],
    claim: Claim,
    inputs: Callable[[random.Random], Any] = _step,
) -> Target:
    """A function from a step to (alpha, gain)."""
    return Target(function, (claim,), lambda draw: (inputs(draw),), result=_second)


TARGETS: dict[str, Target] = {
    "T1": Target(
        bounds.improvement_lower_bound,
        (claims.improvement,),
        lambda draw: (_step(draw), _share(draw)),
    ),
    "T1s": Target(bounds.sharp_improvement_lower_bound, (claims.improvement,), _with_deviations),
    "T1s, w = 1": Target(
        bounds.uniform_deviation_probabilities,
        (claims.improvement,),
        lambda draw: (draw.randint(1, 5), _share(draw)),
    ),
    "T2": _of_steps(bounds.best_step, claims.best_step),
    "T2 and T8, step": Target(
        rounding.capped,
        (claims.best_step, claims.discounted_best_step),
        _parabola,
        result=_second,
    ),
    "T2s": _of_steps(bounds.sharp_best_step, claims.sharp_best_step),
    "T3": Target(bounds.greedy_improvement_lower_bound, (claims.greedy_improvement,), _visit_law),
    "T4": Target(bounds.uniform_accuracy, (), _chooser, _TAILS, pinned=False),
    "T4, error": Target(bounds.chooser_error, (), _chooser, _TAILS, pinned=False),
    "T4, terms": Target(chooser.bernstein_terms, (), _terms, _TAILS, pinned=False),
    "T6, coverage": Target(plans._reset_coverage, (claims.planned_step,), _oracle),
    "T7": Target(
        bounds.aliased_lower_bound,
        (),
        _aliased,
        (sampling.aliased_learners_need_samples,),
        pinned=False,
    ),
    "T8": Target(
        bounds.discounted_improvement_lower_bound,
        (claims.discounted_improvement,),
        lambda draw: (_discounted(draw), _share(draw)),
    ),
    "T8s": Target(
        bounds.sharp_discounted_improvement_lower_bound,
        (claims.discounted_improvement,),
        _with_deviation,
    ),
    "T8s, w = 1": Target(
        bounds.uniform_discounted_deviation,
        (claims.discounted_improvement,),
        lambda draw: (_discounted(draw).discount, _share(draw)),
    ),
    "T8, step": _of_steps(bounds.discounted_best_step, claims.discounted_best_step, _discounted),
    "T8s, step": _of_steps(
        bounds.sharp_discounted_best_step, claims.sharp_discounted_best_step, _discounted
    ),
}
"""Every bound, and the functions they share, by theorem."""


@dataclass(frozen=True)
class Judging:
    """The mutants of one target, to be judged on exact instances.

    Attributes:
        target: key of `TARGETS`.
        instances: how many of each random exact family, and a quarter of the extremal ones.
        seed: of the instances.
    """

    target: str
    instances: int
    seed: int


class Verdict(NamedTuple):
    """What became of a mutant.

    Attributes:
        name: "false", "breaks", "loose", "equivalent" or "sharper" (claims more somewhere, and no
            counterexample is known).
        found: what refutes a false mutant, or breaks one.
        reading: the violated inequality.
        tightness: (before, after): the largest bound over gain where the mutant changes it.
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
    cases = _cases(target, judging)
    rows = []
    for mutant in mutants(target.function):
        if mutant.arithmetic:
            verdict = _judge(mutant, target, cases)
            rows.append(_row(judging.target, target, mutant, verdict))
    return rows


class _Case(NamedTuple):
    """Where readings come from, and what they were before any mutation."""

    instance: Instance | None
    read: Callable[[], Sequence[Reading]]
    before: Sequence[Reading]


def _cases(target: Target, judging: Judging) -> list[_Case]:
    found = [_Case(None, _reader(claim), list(claim())) for claim in target.sampling]
    for claim in target.claims:
        discounted = claim in claims.DISCOUNTED
        for instance in _exact_instances(judging.instances, judging.seed):
            if instance.discounted == discounted:
                before = list(claim(instance))
                found.append(_Case(instance, _reader(claim, instance), before))
    return found


def _reader(claim: Callable[..., Iterator[Reading]], *about: Any) -> Callable[[], list[Reading]]:
    return lambda: list(claim(*about))


@cache
def _exact_instances(count: int, seed: int) -> tuple[Instance, ...]:
    """Extremal instances first, and most of them: they refute nearly all that is false."""
    families = {"trap": 4 * count, "layered exact": count, "discounted exact": count}
    pairs = ((family, i) for family, size in families.items() for i in range(size))
    return tuple(make_instance(family, seed, index) for family, index in pairs)


def _judge(mutant: Mutant, target: Target, cases: Sequence[_Case]) -> Verdict:
    changes: list[tuple[Reading, Reading]] = []
    with mutant.installed():
        for case in cases:
            try:
                after = case.read()
            except _ERRORS as error:
                return Verdict("breaks", _where(case, mutant), error=f"{error!r:.150}")
            for reading in after:
                if not reading.says.startswith("above") and _fails(case, reading):
                    return Verdict("false", _where(case, mutant, reading), reading)
            changes += _changes(case.before, after)
    if not changes:
        return _unchanged(mutant, target)
    if any(after.bound > before.bound for before, after in changes):
        return Verdict("sharper")
    return Verdict("loose", tightness=_tightness(changes))


def _fails(case: _Case, reading: Reading) -> bool:
    if case.instance is None:
        return sampling.contradicted(reading)
    return claims.violated(case.instance, reading)


def _where(case: _Case, mutant: Mutant, reading: Reading | None = None) -> Counterexample:
    theorem, says, alpha = ("", "", 0) if reading is None else reading[:3]
    return Counterexample(case.instance, theorem, says, alpha, str(mutant))


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
    telling = [pair for pair in changes if not 0 < pair[0].alpha < claims.TELLING_ALPHA]

    def largest(side: int) -> float:
        return max((pair[side].ratio or 0.0 for pair in telling or changes), default=0.0)

    return largest(0), largest(1)


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
