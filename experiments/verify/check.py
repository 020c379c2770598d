"""Check many instances for every bound, in chunks, and tally what was found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from experiments.verify import sampling
from experiments.verify.claims import GAIN, TELLING_ALPHA, Reading, readings, violated
from experiments.verify.config import VerifyConfig
from experiments.verify.families import make_instance
from experiments.verify.files import Counterexample, to_json
from experiments.verify.pair_search import search_pairs
from experiments.verify.search import Search, run_search

# How the instances are shared among the families.
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

_CHUNK = 200

_SLOW = {"gymnasium": 20}


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
    """Checks of T4 and T7s: the exact ones, and simulated worlds from `first` on."""

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
        *((t, 3) for t in ("T1s", "T1h", "T1e", "T2h", "T2s", "T3", "T6")),
        *((t, 3) for t in ("T8", "T8s", "T8e", "T8 step", "T8s step")),
        ("T4s", 1),
    ):
        yield Hunt(theorem, horizon, config.search, config.seed)


def check(task: Chunk | Samples | Hunt) -> list[dict[str, Any]]:
    """Rows of one task: what each theorem's readings came to, and the first violations."""
    if isinstance(task, Hunt) and task.theorem == "T4s":  # of no instance, only of trials
        return search_pairs(task.evaluations, task.seed)
    if isinstance(task, Hunt):
        return run_search(Search(task.theorem, task.horizon, task.evaluations, task.seed))
    if isinstance(task, Samples):
        return _check_samples(task)
    return _check_chunk(task)


def _check_chunk(chunk: Chunk) -> list[dict[str, Any]]:
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


# Violations stored per task; of statements about samples, per theorem.
_KEPT = 3

_BINOMIAL_ROUNDING = 1e-12

# A penalty this many times its rounding says what share of it was used to four digits.
_CLEAR = 1e4


def _check_samples(task: Samples) -> list[dict[str, Any]]:
    families = [("exact law", (r for claim in sampling.EXACT_CLAIMS for r in claim()))]
    last = task.first + task.count
    simulated = (r for i in range(task.first, last) for r in sampling.chooser_covers(task.seed, i))
    families.append(("simulation", simulated))
    rows: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    kept: Counter[str] = Counter()  # of each theorem, as one alone may break in all its readings
    for family, of_family in families:
        tallies: defaultdict[str, Tally] = defaultdict(Tally)
        for index, reading in enumerate(of_family):
            broken = sampling.contradicted(reading)
            tallies[reading.theorem].add(reading, broken, index, _BINOMIAL_ROUNDING)
            if broken and kept[reading.theorem] < _KEPT:
                kept[reading.theorem] += 1
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
        self.shares: defaultdict[int, list[float]] = defaultdict(list)

    def add(self, reading: Reading, broken: bool, index: int, rounding: float) -> None:
        """Count one reading of instance `index`; `rounding` is 0 in exact arithmetic."""
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
        share = reading.penalty_share(_CLEAR * rounding)
        if share is not None:
            self.shares[index].append(share)
        if used is not None and _penalty(reading) > _CLEAR * rounding:
            self.penalty_used = max(used, self.penalty_used or 0.0)

    def row(self, family: str, theorem: str, exact: bool) -> dict[str, Any]:
        """The tally as a record."""
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
            "penalty_shares": [fmean(self.shares[i]) for i in sorted(self.shares)],
        }


def _penalty(reading: Reading) -> float:
    return float((reading.first_order or 0) - reading.bound)
