"""``cpi-resets diagnose``: are resets worth it for this model and this data?

Tables of the run: ``estimates`` (one row per number with its interval), ``summary`` (one row),
``order`` (how sure the predicted order of each pair is) and ``verdict`` (sentences). With
``--validate`` the run ``<name>-validate`` holds ``intervals`` and ``coverage`` (see
:mod:`experiments.diagnose_validate`), with ``--order`` the run ``<name>-order`` holds
``predicted``, ``measured``, ``settings`` and ``agreement`` (see :mod:`experiments.diagnose_order`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput, check_count, check_probability
from cpi_theory.diagnosis import DiagnosisSettings, diagnose
from cpi_theory.diagnosis_records import Diagnosis
from cpi_theory.randomness import Key
from cpi_theory.statistics import Interval
from experiments.diagnose_order import (
    METHODS,
    MeasurementSpec,
    PredictionSpec,
    agreement_of,
    measured_rows,
    order_rows,
    predicted_rows,
)
from experiments.diagnose_validate import ValidationSpec, coverage_rows, validation_rows
from experiments.diagnose_verdict import verdict
from experiments.diagnose_worlds import SETTINGS, VALIDATION, Case, Site, open_case
from experiments.learn_curves import Budget
from experiments.learn_worlds import choose
from experiments.store import Row, Run
from experiments.sweep import Execution, sweep

_BLOCK = 10
_LEAST = 0.9
"""Share of repetitions in which a 95 % interval should cover at least."""


@dataclass(frozen=True)
class Sampling:
    """What is drawn and counted; see :class:`cpi_theory.diagnosis.DiagnosisSettings`.

    Attributes:
        tau: level of improvability, in reward units; by default found from the data.
        parents: most failures of a prompt on which corrections are tried.
        suffixes: from the named step of each, and from the control's.
        audited: in a blind world, rollouts and named states that are measured.
        bins: equal parts of a rollout in which corrections are counted.
    """

    tau: float | None = None
    parents: int = 2
    suffixes: int = 4
    audited: int = 24
    bins: int = 4

    def __post_init__(self) -> None:
        self.settings()

    def settings(self, reward_bound: float = 1.0) -> DiagnosisSettings:
        """The settings of a diagnosis."""
        chosen = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return DiagnosisSettings(**chosen, reward_bound=reward_bound)


@dataclass(frozen=True)
class DiagnoseConfig:
    """Estimate from rollouts, before any training, what resets are worth.

    Attributes:
        name: folder of the run below the output folder.
        world: a tabular world by name, such as tree-natural, tree-sparse or tree-early; see
            ``cpi-resets learn --help``.
        accuracy: chance that its localiser names the first error, else a uniform step.
        blind: hide the world's exact advantages, as a language model does: they are sampled.
        prompts: start states; 32 rollouts of each, and more in a blind world.
        seed: of all randomness.
        sampling: what is drawn and counted.
        validate: instead, diagnose worlds of which everything is known over and over and count how
            often the intervals cover the truth.
        order: instead, compare the predicted order of methods with learning curves in 18 settings.
        repetitions: of the validation.
        curves: seeds per method of the order.
        updates: of each of its learning curves.
    """

    name: str = "diagnose"
    world: str = "tree-sparse"
    accuracy: float = 1.0
    blind: bool = False
    prompts: int = 128
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    validate: bool = False
    order: bool = False
    repetitions: int = 200
    curves: int = 24
    updates: int = 160

    def __post_init__(self) -> None:
        check_probability("accuracy", self.accuracy)
        check_count("prompts", self.prompts, minimum=8)
        check_count("repetitions", self.repetitions)
        check_count("curves", self.curves, minimum=2)
        check_count("updates", self.updates)
        choose("world", (self.world,), ())
        if self.validate and self.order:
            raise InvalidInput("order", True, "validate is set too", "run one after the other")

    def case(self) -> Case:
        """The tabular world with its localiser."""
        (world,) = choose("world", (self.world,), ())
        return Case(world, self.accuracy, blind=self.blind)


def run(config: DiagnoseConfig, output: Path, execution: Execution, console: Console) -> int:
    """Diagnose, validate or compare orders, and print what came out; 0 when done.

    A validation returns 1 if an interval covers less often than it should.
    """
    if config.validate:
        return _validate(config, output, execution, console)
    if config.order:
        return _order(config, output, execution, console)
    record = Run.open(output, config.name, config, config.seed)
    key = Key.of(config.seed).child("diagnose", config.world)
    site = open_case(config.case(), config.prompts, key)
    diagnose_site(site, config.sampling, key, record, console)
    return 0


def diagnose_site(
    site: Site, sampling: Sampling, key: Key, record: Run, console: Console
) -> Diagnosis:
    """Diagnose any world that a front end built, store the tables and print them."""
    with record.timed("diagnose"):
        found = diagnose(
            site.simulator, site.starts, key, sampling.settings(site.reward_bound), site.reference
        )
    sentences = verdict(found)
    record.write("estimates", estimate_rows(site.label, found))
    record.write("summary", [summary_row(site.label, found)])
    record.write("order", [{"first": a, "second": b, "ahead": p} for a, b, p in found.order.ahead])
    record.write("verdict", [{"sentence": sentence} for sentence in sentences])
    _print(found, sentences, console)
    console.print(f"records: {record.directory}")
    return found


def estimate_rows(world: str, found: Diagnosis) -> list[Row]:
    """One row per number: `world`, `section`, `name`, `estimate` (null: unknown) and its ends."""
    return [
        {"world": world, "section": section, "name": name, **_ends(interval)}
        for section, name, interval in found.estimates()
    ]


def _ends(interval: Interval) -> Row:
    ends = {"estimate": interval.estimate, "lower": interval.lower, "upper": interval.upper}
    return {name: float(end) if math.isfinite(end) else None for name, end in ends.items()}


def summary_row(world: str, found: Diagnosis) -> Row:
    """What has no interval: the level, the predicted order, and what was drawn."""
    return {
        "world": world,
        "tau": found.tau,
        "tau_chosen": found.tau_chosen,
        "exact": found.exact,
        "order": list(found.order.methods),
        **dataclasses.asdict(found.cost),
    }


def _print(found: Diagnosis, sentences: Sequence[str], console: Console) -> None:
    table = Table("", "", "estimate", "95 % interval", box=None)
    last = None
    for section, name, interval in found.estimates():
        label = "" if section == last else f"[bold]{section}[/bold]"
        last = section
        if math.isfinite(interval.estimate):
            ends = rf"\[{interval.lower:.3g}, {interval.upper:.3g}]"
            table.add_row(label, name, f"{interval.estimate:.3g}", ends)
    console.print(table)
    cost = found.cost
    drawn = f"{cost.rollouts:,} rollouts ({cost.measuring:,} to measure advantages)"
    console.print(f"\n{cost.prompts} prompts, {drawn}, {cost.localizations:,} localisations\n")
    for sentence in sentences:
        console.print(f"- {sentence}", markup=False)


def _validate(config: DiagnoseConfig, output: Path, execution: Execution, console: Console) -> int:
    record = Run.open(output, f"{config.name}-validate", config, config.seed)
    specs = [
        ValidationSpec(
            case.world.name,
            case,
            config.sampling.settings(),
            config.prompts,
            first,
            min(_BLOCK, config.repetitions - first),
            config.seed,
        )
        for case in VALIDATION
        for first in range(0, config.repetitions, _BLOCK)
    ]
    with record.timed("validate"):
        rows = sweep(validation_rows, specs, record, "intervals", execution, console)
        coverage = record.once("coverage", lambda: coverage_rows(rows))
    short = [row for row in coverage if row["covered"] < _LEAST]
    table = Table("world", "numbers", "least", "median", "below 90 %", box=None)
    for case in VALIDATION:
        here = sorted(r["covered"] for r in coverage if r["case"] == case.world.name)
        below = sum(c < 0.9 for c in here)
        middle = here[len(here) // 2]
        table.add_row(
            case.world.name, str(len(here)), f"{here[0]:.3f}", f"{middle:.3f}", f"{below}"
        )
    console.print(table)
    for row in short:
        console.print(f"{row['case']}, {row['section']}, {row['name']}: {row['covered']:.3f}")
    console.print(f"records: {record.directory}")
    return 1 if short else 0


def _order(config: DiagnoseConfig, output: Path, execution: Execution, console: Console) -> int:
    record = Run.open(output, f"{config.name}-order", config, config.seed)
    budget = Budget(updates=config.updates, every=4)
    predictions = [PredictionSpec(case, config.prompts, config.seed) for case in SETTINGS]
    measurements = [
        MeasurementSpec(case, method, budget, seed)
        for case in SETTINGS
        for method in METHODS
        for seed in range(config.seed, config.seed + config.curves)
    ]
    with record.timed("order"):
        predicted = sweep(predicted_rows, predictions, record, "predicted", execution, console)
        measured = sweep(measured_rows, measurements, record, "measured", execution, console)
        rows = record.once("settings", lambda: order_rows(predicted, measured))
        (found,) = record.once("agreement", lambda: [dataclasses.asdict(agreement_of(rows))])
    table = Table("setting", "success", *METHODS, "SRPO - GRPO", "predicted", box=None)
    for row in rows:
        gap = rf"{row['difference']:+.3f} \[{row['lower']:+.3f}, {row['upper']:+.3f}]"
        means = [f"{row[f'measured {m}']:.3f}" for m in METHODS]
        guess = f"{row['srpo_over_grpo']:.2f}"
        table.add_row(row["setting"], f"{row['success']:.4f}", *means, gap, guess)
    console.print(table)
    shown = [row for row in rows if row["shown"]]
    console.print(
        f"\nmean Kendall tau {found['kendall']:.2f} over {found['settings']} settings; by chance "
        f"p = {found['chance']:.4f}; the best fixed order reaches {found['fixed']:.2f}, and "
        f"predictions dealt to other settings do as well with p = {found['between']:.4f}\n"
        f"SRPO against GRPO: {sum(r['agree'] for r in rows)} of {len(rows)} settings as "
        f"predicted, {sum(r['agree'] for r in shown)} of the {len(shown)} in which a difference "
        "is shown"
    )
    console.print(f"records: {record.directory}")
    return 0
