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
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.table import Table

from cpi_theory.checks import InvalidInput, check_count, check_positive, check_probability
from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose
from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Interval
from experiments.diagnose_checks import compare_orders, validate
from experiments.diagnose_verdict import verdict
from experiments.diagnose_worlds import Case, Site, open_case
from experiments.learn_worlds import choose
from experiments.store import Row, Run
from experiments.sweep import Execution
from experiments.train_worlds import LanguageWorld
from experiments.train_worlds import choose as choose_task

if TYPE_CHECKING:
    from llm.models.load import ModelSettings


@dataclass(frozen=True)
class Sampling:
    """What is drawn and counted; see :class:`cpi_theory.diagnosis.diagnose.DiagnosisSettings`.

    Attributes:
        tau: level of improvability, in reward units; by default found from the data.
        parents: most failures of a prompt on which corrections are tried.
        suffixes: from the named step of each, and from the control's.
        audited: where advantages are sampled, visited and named states that are measured.
        traced: and rollouts of which every step is.
        bins: equal parts of a rollout in which corrections are counted.
    """

    tau: float | None = None
    parents: int = 2
    suffixes: int = 4
    audited: int = 64
    traced: int = 8
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
        world: a world by name; without `model` a tabular one, such as tree-natural, tree-sparse
            (the default) or tree-early, see ``cpi-resets learn --help``; with it a task: natural
            (the default), sparse, early, or a name from `more`.
        model: a language model to diagnose, a folder in Hugging Face format or a name on the hub;
            "tiny" is the one that comes with the package.
        device: of the model.
        temperature: of its rollouts.
        accuracy: chance that a tabular world's localiser names the first error, else a uniform
            step.
        blind: hide a tabular world's exact advantages: they are sampled, as a language model's.
        prompts: start states; 32 rollouts of each, and more in a blind world.
        seed: of all randomness.
        sampling: what is drawn and counted.
        validate: instead, diagnose worlds of which everything is known over and over and count how
            often the intervals cover the truth.
        order: instead, compare the predicted order of methods with learning curves, in 18 tabular
            settings or, with `model`, in 12 settings of its arithmetic.
        repetitions: of the validation.
        curves: seeds per method of the order.
        updates: of each of its learning curves.
        more: further tasks of language models, in configuration files only.
    """

    name: str = "diagnose"
    world: str | None = None
    model: str | None = None
    device: str = "cpu"
    temperature: float = 1.0
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
    more: Annotated[tuple[LanguageWorld, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        check_probability("accuracy", self.accuracy)
        check_positive("temperature", self.temperature)
        check_count("prompts", self.prompts, minimum=8)
        check_count("repetitions", self.repetitions)
        check_count("curves", self.curves, minimum=2)
        check_count("updates", self.updates)
        if self.validate and self.order:
            raise InvalidInput("order", True, "validate is set too", "run one after the other")
        if self.model is None:
            self.case()
        else:
            self.language_world()

    def case(self) -> Case:
        """The tabular world with its localiser."""
        (world,) = choose("world", (self.world or "tree-sparse",), ())
        return Case(world, self.accuracy, blind=self.blind)

    def language_world(self) -> LanguageWorld:
        """The task of the language model."""
        (world,) = choose_task("world", (self.world or "natural",), self.more)
        return world

    def site(self, key: Key) -> Site:
        """The world with its prompts.

        Raises:
            InvalidInput: whatever the world or the model refuses.
        """
        if self.model is None:
            return open_case(self.case(), self.prompts, key)
        from experiments.language_sites import open_model  # torch, for language models alone

        world, model = self.language_world(), self.model_settings()
        return open_model(world, model, self.prompts, key, self.temperature)

    def model_settings(self) -> ModelSettings:
        """The language model."""
        from llm.models.load import ModelSettings

        assert self.model is not None
        return ModelSettings(self.model, device=self.device)


def run(config: DiagnoseConfig, output: Path, execution: Execution, console: Console) -> int:
    """Diagnose, validate or compare orders, and print what came out; 0 when done.

    A validation returns 1 if an interval covers less often than it should.
    """
    if config.validate:
        return validate(config, output, execution, console)
    if config.order:
        return compare_orders(config, output, execution, console)
    record = Run.open(output, config.name, config, config.seed)
    key = Key.of(config.seed).child("diagnose", config.world or "")
    with record.lock():
        diagnose_site(config.site(key), config.sampling, key, record, console)
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
        if section == "correction" or not math.isfinite(interval.estimate):
            continue
        label = "" if section == last else f"[bold]{section}[/bold]"
        last = section
        ends = rf"\[{interval.lower:.3g}, {interval.upper:.3g}]"
        table.add_row(label, name, f"{interval.estimate:.3g}", ends)
    console.print(table)
    _print_corrections(found, console)
    cost = found.cost
    drawn = f"{cost.rollouts:,} rollouts ({cost.measuring:,} to measure advantages)"
    console.print(f"\n{cost.prompts} prompts, {drawn}, {cost.localizations:,} localisations\n")
    for sentence in sentences:
        console.print(f"- {sentence}", markup=False)


def _print_corrections(found: Diagnosis, console: Console) -> None:
    console.print("\nSuffixes that succeed, in percent")
    table = Table(
        "", "resets", "named step", "same step of another failure", "difference", box=None
    )
    for row in found.corrections:
        if row.resets:
            cells = [in_percent(x) for x in (row.own, row.control, row.difference)]
            label = row.kind if row.label == row.kind else f"{row.kind} {row.label}"
            table.add_row(label, str(row.resets), *cells)
    console.print(table)


def in_percent(share: Interval) -> str:
    """A share with its interval in brackets that the console does not take for markup."""
    if math.isnan(share.estimate):
        return "-"
    ends = rf"\[{100 * share.lower:.3g}, {100 * share.upper:.3g}]"
    return f"{100 * share.estimate:.3g} {ends}"
