"""``cpi-resets verify``: check every bound on random, extremal and Gymnasium worlds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_theory.checks import check_count
from experiments.store import Run
from experiments.sweep import Execution, sweep

if TYPE_CHECKING:
    from rich.console import Console

    from experiments.verify_claims import Reading
    from experiments.verify_files import Counterexample

_SHARES = {
    "layered": 0.45,
    "layered exact": 0.13,
    "discounted": 0.12,
    "discounted exact": 0.06,
    "trap": 0.06,
    "garnet": 0.06,
    "tree": 0.05,
    "lock": 0.04,
    "aliased": 0.02,
    "gymnasium": 0.01,
}
"""How the instances are shared among the families."""
_CHUNK = 200
_SLOW = {"gymnasium": 20}


@dataclass(frozen=True)
class VerifyConfig:
    """Check the bounds T1..T8 and look for instances that press them hardest.

    Attributes:
        instances: how many instances to check, all families together.
        seed: of everything that is drawn.
        search: evaluations of each adversarial search; 0 searches nothing.
        quick: a small run for a first look; lowers `instances` and `search`.
        mutate: instead, run the checks against every mutant of every bound.
        replay: instead, check a stored counterexample again.
    """

    instances: int = 10_000
    seed: int = 0
    search: int = 2_000
    quick: bool = False
    mutate: bool = False
    replay: Path | None = None

    def __post_init__(self) -> None:
        check_count("instances", self.instances)
        check_count("seed", self.seed, minimum=0)
        check_count("search", self.search, minimum=0)


@dataclass(frozen=True)
class Chunk:
    """Consecutive instances of one family.

    Attributes:
        family: key of `verify_families.FAMILIES`.
        first: index of the first instance.
        count: how many.
        seed: of the instances.
    """

    family: str
    first: int
    count: int
    seed: int


@dataclass(frozen=True)
class Samples:
    """Checks of T4 and T7: the exact ones, and simulated worlds from `first` on."""

    first: int
    count: int
    seed: int


@dataclass(frozen=True)
class Hunt:
    """An adversarial search, as a task."""

    theorem: str
    horizon: int
    evaluations: int
    seed: int


def run(config: VerifyConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run the command.

    Returns: 0 if every statement held (and every false mutant fell), else 1. Violations are
        stored below ``counterexamples/`` of the run, for ``--replay``.
    """
    if config.replay is not None:
        return replay(config.replay, console)
    if config.mutate:
        from experiments.verify_report import mutate

        return mutate(config, output, execution, console)
    return _verify(_scaled(config), output, execution, console)


def _scaled(config: VerifyConfig) -> VerifyConfig:
    if not config.quick:
        return config
    return replace(config, instances=min(config.instances, 500), search=min(config.search, 400))


def _verify(config: VerifyConfig, output: Path, execution: Execution, console: Console) -> int:
    from experiments.verify_report import show, store_counterexamples, summarise

    name = "verify-quick" if config.quick else "verify"
    store = Run.open(output, name, replace(config, replay=None), config.seed)
    with store.timed("verify"):
        rows = sweep(check, tasks(config), store, "checks", execution, console)
    summary = store.write("summary", summarise(rows))
    files = store_counterexamples(store, rows)
    show(summary, rows, files, console)
    return 1 if files else 0


def tasks(config: VerifyConfig) -> list[Chunk | Samples | Hunt]:
    """The work of a run, slowest first so that no core idles at the end."""
    work: list[Chunk | Samples | Hunt] = list(_hunts(config))
    for family in reversed(_SHARES):
        size = _SLOW.get(family, _CHUNK)
        total = max(1, round(config.instances * _SHARES[family]))
        for first in range(0, total, size):
            work.append(Chunk(family, first, min(size, total - first), config.seed))
    simulated = max(10, config.instances // 100)
    work.append(Samples(0, simulated, config.seed))
    return work


def _hunts(config: VerifyConfig) -> Iterator[Hunt]:
    if not config.search:
        return
    for theorem, horizon in (
        *(("T1", h) for h in (2, 3)),
        *(("T2", h) for h in (2, 3)),
        *((t, 3) for t in ("T1s", "T2s", "T3", "T6", "T8", "T8s", "T8 step", "T8s step")),
    ):
        yield Hunt(theorem, horizon, config.search, config.seed)


def check(task: Chunk | Samples | Hunt) -> list[dict[str, Any]]:
    """Rows of one task: what each theorem's readings came to, and the first violations."""
    if isinstance(task, Hunt):
        from experiments.verify_search import Search, run_search

        return run_search(Search(task.theorem, task.horizon, task.evaluations, task.seed))
    if isinstance(task, Samples):
        return _check_samples(task)
    return _check_chunk(task)


def _check_chunk(chunk: Chunk) -> list[dict[str, Any]]:
    from experiments.verify_claims import readings, violated
    from experiments.verify_families import make_instance
    from experiments.verify_files import Counterexample, to_json

    tallies: defaultdict[tuple[str, bool], Tally] = defaultdict(Tally)
    found: list[dict[str, Any]] = []
    for index in range(chunk.first, chunk.first + chunk.count):
        instance = make_instance(chunk.family, chunk.seed, index)
        for reading in readings(instance):
            broken = violated(instance, reading)
            sides = (reading.bound, reading.truth)
            rounding = instance.tolerance(*sides)
            tallies[reading.theorem, instance.exact].add(reading, broken, index, rounding)
            if broken and len(found) < _KEPT:
                where = Counterexample(instance, reading.theorem, reading.says, reading.alpha)
                found.append({"kind": "counterexample", **to_json(where, reading)})
    return [
        *(tally.row(chunk.family, *key) for key, tally in sorted(tallies.items())),
        *found,
    ]


_KEPT = 3
"""Violations stored per task."""
_BINOMIAL_ROUNDING = 1e-12
_CLEAR = 1e4
"""A penalty this many times its rounding says what share of it was used to four digits."""


def _check_samples(task: Samples) -> list[dict[str, Any]]:
    from experiments import verify_sampling as sampling
    from experiments.verify_files import Counterexample, to_json

    families = [("exact law", (r for claim in sampling.EXACT_CLAIMS for r in claim()))]
    last = task.first + task.count
    simulated = (r for i in range(task.first, last) for r in sampling.chooser_covers(task.seed, i))
    families.append(("simulation", simulated))
    rows: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for family, readings in families:
        tallies: defaultdict[str, Tally] = defaultdict(Tally)
        for index, reading in enumerate(readings):
            broken = sampling.contradicted(reading)
            tallies[reading.theorem].add(reading, broken, index, _BINOMIAL_ROUNDING)
            if broken and len(found) < _KEPT:
                where = Counterexample(None, reading.theorem, reading.says, reading.alpha)
                found.append({"kind": "counterexample", **to_json(where, reading)})
        rows += [tally.row(family, theorem, False) for theorem, tally in tallies.items()]
    return [*rows, *found]


class Tally:
    """What the readings of one theorem came to."""

    def __init__(self) -> None:
        self.instances: set[int] = set()
        self.checks = self.violations = self.attained = 0
        self.tightness: float | None = None
        self.penalty_used: float | None = None
        self.tightest: int | None = None

    def add(self, reading: Reading, broken: bool, index: int, rounding: float) -> None:
        """Count one reading of instance `index`; `rounding` is 0 in exact arithmetic."""
        from experiments.verify_claims import GAIN, TELLING_ALPHA

        self.instances.add(index)
        self.checks += 1
        self.violations += broken
        if reading.says != GAIN:
            return
        self.attained += not rounding and reading.truth > 0 and reading.slack == 0
        ratio, used = reading.ratio, reading.penalty_used
        telling = reading.alpha >= TELLING_ALPHA or reading.first_order is None
        if telling and ratio is not None and ratio > (self.tightness or 0):
            self.tightness, self.tightest = ratio, index
        if used is not None and _penalty(reading) > _CLEAR * rounding:
            self.penalty_used = max(used, self.penalty_used or 0.0)

    def row(self, family: str, theorem: str, exact: bool) -> dict[str, Any]:
        """As a record."""
        return {
            "kind": "check",
            "family": family,
            "theorem": theorem,
            "exact": exact,
            "instances": len(self.instances),
            "checks": self.checks,
            "violations": self.violations,
            "attained": self.attained,
            "tightness": self.tightness,
            "tightest": self.tightest,
            "penalty_used": self.penalty_used,
        }


def _penalty(reading: Reading) -> float:
    return float((reading.first_order or 0) - reading.bound)


def replay(path: Path, console: Console) -> int:
    """Check a stored counterexample again: 1 if it still refutes its statement, else 0.

    Raises:
        InvalidInput: the file is no counterexample, or its mutant is not in this code.
    """
    from experiments.verify_files import read_counterexample

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

    from cpi_theory.checks import InvalidInput
    from experiments.verify_mutants import find_mutant

    mutant = None if found.mutant is None else find_mutant(found.mutant)
    if found.mutant is not None and mutant is None:
        raise InvalidInput("mutant", found.mutant, "not in this code", "run verify --mutate again")
    with contextlib.nullcontext() if mutant is None else mutant.installed():
        return _readings_of(found)


def _readings_of(found: Counterexample) -> Sequence[tuple[Reading, bool]]:
    from experiments import verify_sampling as sampling
    from experiments.verify_claims import readings, violated

    if found.instance is None:
        every = [r for claim in sampling.EXACT_CLAIMS for r in claim()]
        return [(r, sampling.contradicted(r)) for r in every if found.matches(r)]
    instance = found.instance
    return [(r, violated(instance, r)) for r in readings(instance) if found.matches(r)]
