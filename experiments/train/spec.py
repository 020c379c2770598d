"""What one training run of a language model depends on."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from cpi_theory.algorithms.prefix_starts import PrefixStarts
from cpi_theory.checks import InvalidInput, Unable, check_choice, check_count, check_in_range
from experiments.execution.memory import check_held, check_rows
from experiments.methods import LanguageMethod
from experiments.runs.claims import claim
from experiments.train.predecessor import set_aside, settle
from experiments.worlds.language import LanguageWorld
from experiments.worlds.localizing import asks_checker
from llm.models.settings import ModelSettings
from llm.models.temperature import check_temperature
from llm.sampling.settings import SamplerSettings
from llm.task import Task, checks_steps
from llm.training.settings import LossSettings, OptimizerSettings

Engine = Literal["lean", "trl"]

Order = Literal["drawn", "epochs"]

Tracker = Literal["tensorboard", "wandb", "trackio"]


@dataclass(frozen=True)
class TrlOptions:
    """Options of the engine "trl"; others ignore them.

    Attributes:
        bf16: compute in bfloat16, on a GPU.
        trackers: where metrics are logged; nowhere by default.
    """

    bf16: bool = False
    trackers: tuple[Tracker, ...] = ()

    def __post_init__(self) -> None:
        for name in self.trackers:
            if importlib.util.find_spec(name) is None:
                remedy = f"install it (pip install {name}), or leave it out"
                raise InvalidInput("trl.trackers", name, "is not installed", remedy)


@dataclass(frozen=True)
class Checkpoints:
    """Where runs are stored, so that they can go on and their models be used.

    Each run has a folder of its own below `folder`, with the models `best` (where the pass rate on
    held-out problems was highest after an update, of equal ones the mean reward) and, once it has
    ended, `last` in Hugging Face format; until then what the engine needs to go on; `log.jsonl`, a
    line per update to follow it by; and `rollouts`, where some are kept.

    Attributes:
        folder: of all runs.
        every: updates between checkpoints.
        replace: whether what other code or data have left makes room rather than being refused: it
            is deleted once the new run has a checkpoint or has ended, and comes back if that ends
            before.
    """

    folder: Path
    every: int
    replace: bool = False

    def __post_init__(self) -> None:
        check_count("checkpoint_every", self.every)

    def of(self, spec: TrainSpec) -> Path:
        """The folder of a run, claimed for it.

        Raises:
            InvalidInput: if it holds what another specification, other data or other code has left:
                a curve of which a part came from there would be no one's.
        """
        folder = self.folder / f"{spec.world.name}-{spec.method.name}-{spec.seed}"
        settle(folder)
        try:
            claim(folder, spec)
        except InvalidInput:
            if not self.replace:
                raise
            set_aside(folder)
            claim(folder, spec)
        return folder


@dataclass(frozen=True)
class TrainBudget:
    """How long a run is and how finely it is recorded; the same for all methods.

    Attributes:
        prompts: problems per update, with as many rollouts each as the method draws.
        updates: optimiser updates.
        every: updates between evaluations.
        held_out: problems of each evaluation; every seed has its own.
        temperature: of rollouts and sampled evaluations.
        top_p: of the same: draw among the likeliest tokens that hold this much probability.
        order: of training problems: "drawn" anew for each update, or in "epochs", in which each
            comes once, in an order of the epoch's own, before any comes again; what is left of an
            epoch and too few for an update is left out. Only of tasks with a fixed set of problems.
        tokens: once so many have been sampled, localisation included, no further update begins,
            whatever `updates` would allow; of the lean engine alone. None: updates alone count.
    """

    prompts: int = 8
    updates: int = 40
    every: int = 5
    held_out: int = 128
    temperature: float = 1.0
    top_p: float = field(default=1.0, metadata={"later": True})
    order: Order = field(default="drawn", metadata={"later": True})
    tokens: int | None = field(default=None, metadata={"later": True})

    def __post_init__(self) -> None:
        if self.tokens is not None:
            check_count("tokens", self.tokens)
        check_choice("order", self.order, get_args(Order))
        for name in ("prompts", "updates", "every", "held_out"):
            check_count(name, getattr(self, name))
        check_temperature("temperature", self.temperature, greedy=False)
        check_in_range("top_p", self.top_p, 1e-6, 1)

    def spent(self, updates: int, tokens: int) -> float:
        """Share of the budget that so many updates and tokens take, at most 1."""
        share = updates / self.updates
        return min(1.0, share if self.tokens is None else max(share, tokens / self.tokens))


@dataclass(frozen=True)
class KeptRollouts:
    """Which rollouts are stored beside the models, for ``cpi-resets explore`` to show.

    They are a record of learning and change nothing in it. A training keeps at most `prompts` times
    the updates that `every` takes, each with all rollouts that were drawn for it, compressed.
    Nothing is kept where no models are (`checkpoint_every` 0, or a cluster).

    Attributes:
        seeds: the first so many of each world and method; 0: none, as for long sweeps.
        every: updates between two whose rollouts are kept, besides the first and the last; 0: as
            many as between evaluations.
        prompts: of each such update, the first so many.
        signal: also how hard the loss pulls at each thought, KL terms left out, for which the model
            reads them once more; of the engine "lean" alone.
    """

    seeds: int = 1
    every: int = 0
    prompts: int = 8
    signal: bool = False

    def __post_init__(self) -> None:
        check_count("rollouts.seeds", self.seeds, minimum=0)
        check_count("rollouts.every", self.every, minimum=0)
        check_count("rollouts.prompts", self.prompts)


@dataclass(frozen=True)
class Rehearsal:
    """Localisations that are learned beside the groups, so that the model's own localiser stays.

    They take nothing of the budget: what they teach is counted neither as a rollout nor as a
    sampled token. Of the engine "lean" alone.

    Attributes:
        source: "none"; "exercises": fresh ones, as the warm start of the tiny model had, with exact
            labels; "resets": the model's own answers of the same update, of those failures from
            whose named step a rollout succeeded, which needs no labels.
        rows: of an update, at most.
        weight: of each token of a reply, beside the advantages of sampled tokens.
    """

    source: Literal["none", "exercises", "resets"] = "none"
    rows: int = 8
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_choice("rehearsal.source", self.source, ("none", "exercises", "resets"))
        check_count("rehearsal.rows", self.rows)
        check_in_range("rehearsal.weight", self.weight, 1e-6, 1000)


@dataclass(frozen=True)
class TrainSpec:
    """What one training run depends on.

    Attributes:
        world, method, model, optimizer, loss, budget: see there.
        seed: of problems and rollouts; methods of one seed see the same problems, so they can be
            compared in pairs.
        sampler: the engine that samples.
        engine: what takes the updates.
        trl: of that engine.
        kept: the rollouts of this training that are stored; None: none.
        rehearsal: localisations that are learned beside the groups.
    """

    world: LanguageWorld
    method: LanguageMethod
    model: ModelSettings
    optimizer: OptimizerSettings
    loss: LossSettings
    budget: TrainBudget
    seed: int
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    engine: Engine = "lean"
    trl: TrlOptions = field(default_factory=TrlOptions)
    kept: KeptRollouts | None = field(default=None, metadata={"later": True})
    rehearsal: Rehearsal = field(default_factory=Rehearsal, metadata={"later": True})

    def __post_init__(self) -> None:
        check_corrected(self.sampler, self.model, self.optimizer, self.loss)
        if self.engine == "trl" and self.budget.tokens is not None:
            problem = "TRL counts updates alone"
            raise InvalidInput("budget.tokens", self.budget.tokens, problem, 'set engine = "lean"')
        if self.engine == "trl" and self.rehearsal.source != "none":
            problem = "TRL learns from groups alone"
            remedy = 'leave it out, or set engine = "lean"'
            raise InvalidInput("rehearsal.source", self.rehearsal.source, problem, remedy)
        if self.kept is not None and self.kept.signal and self.engine != "lean":
            problem = f"the engine {self.engine} has learned before anybody can look"
            remedy = 'leave it out, or set engine = "lean"'
            raise InvalidInput("rollouts.signal", True, problem, remedy)

    def keeps(self, update: int) -> bool:
        """Whether rollouts of an update, counted from 1, are stored."""
        if self.kept is None:
            return False
        every = self.kept.every or self.budget.every
        return update % every == 0 or update in (1, self.budget.updates)


def check_corrected(
    sampler: SamplerSettings, model: ModelSettings, optimizer: OptimizerSettings, loss: LossSettings
) -> None:
    """Refuse a sampler in another precision than the model where the loss does not correct for it.

    Raises:
        InvalidInput: naming the precision.
    """
    if sampler.precision in ("model", model.precision):
        return
    renewed = loss.kind == "clipped" and optimizer.precision == "autocast"
    if loss.kind == "unclipped" or renewed:
        problem = f"another law than the model's, and the loss {loss.kind!r} takes no ratio to it"
        remedy = 'set loss.kind = "corrected"'
        raise InvalidInput("sampler.precision", sampler.precision, problem, remedy)


def check_localizer(spec: TrainSpec, task: Task) -> None:
    """Refuse a method that asks the exact step checker of a task that has none.

    Raises:
        InvalidInput: naming the method.
    """
    needed, writing = spec.method.needs_checker, spec.world.writing
    if spec.method.localizer == "self" and writing is not None:
        needed = asks_checker(writing.localizer)
    if needed and not checks_steps(task):
        remedy = "leave the method out, or use a task with first_error"
        problem = f"the task of {spec.world.name} has no exact step checker"
        raise Unable("method", spec.method.name, problem, remedy)


def check_demonstrations(spec: TrainSpec, task: Task) -> None:
    """Refuse a method that starts from demonstrations of a task that writes none.

    Raises:
        InvalidInput: naming the method.
    """
    algorithm = spec.method.algorithm
    shown = isinstance(algorithm, PrefixStarts) and algorithm.source == "demonstration"
    if shown and not hasattr(task, "demonstration"):
        remedy = "leave the method out, or take 'own prefixes', which start from what it found"
        problem = f"the task of {spec.world.name} writes no demonstrations"
        raise Unable("method", spec.method.name, problem, remedy)


def rollouts_at_once(spec: TrainSpec) -> int:
    """Completions that may be held at a time: those of an update, or of an evaluation."""
    return max(spec.budget.prompts * spec.method.algorithm.rows_per_prompt, spec.budget.held_out)


def check_size(spec: TrainSpec, memory: float | None) -> None:
    """Refuse a run whose rollouts or records this machine cannot hold, whatever the model.

    Args:
        spec: the run.
        memory: of the machine, GiB; None: unknown.

    Raises:
        InvalidInput: naming the setting with the larger part in it.
    """
    budget, rows = spec.budget, spec.method.algorithm.rows_per_prompt
    if budget.held_out > budget.prompts * rows:
        name, value = "budget.held_out", budget.held_out
    elif budget.prompts > rows:
        name, value = "budget.prompts", budget.prompts
    else:
        name, value = f"rollouts per prompt of {spec.method.name}", rows
    held = rollouts_at_once(spec)
    check_held(name, value, held * _LEAST_BYTES, f"{held:,} rollouts held at once", memory)
    records = budget.updates // budget.every
    check_rows("budget.updates", budget.updates, records, "records of a curve", memory)


_LEAST_BYTES = 1500
"""What a rollout of a few tokens takes in memory until it has been learned from: measured, 1.7 KB
with 20 tokens."""


def training_set(budget: TrainBudget, task: Task) -> int:
    """The number of training problems of a task that has a fixed set of them, enough for an update.

    Raises:
        InvalidInput: it has none, or fewer than an update takes.
    """
    pool = getattr(task, "train", None)
    if not isinstance(pool, tuple):
        problem = "the task draws its problems without end"
        raise InvalidInput("budget.order", budget.order, problem, 'set order = "drawn"')
    if len(pool) < budget.prompts:
        problem = f"there are {len(pool)} training problems"
        raise InvalidInput("budget.prompts", budget.prompts, problem, "ask for fewer")
    return len(pool)
