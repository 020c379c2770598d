"""One training run of a language model: a method on a world from one seed, as records.

The method is an algorithm object of :mod:`cpi_theory`, the very values that run on tabular worlds.
Each update collects groups through the simulator seam and takes one step of a common optimiser and
loss on them; after some updates the model is evaluated on held-out problems.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections import Counter
from dataclasses import dataclass, field

from cpi_theory.checks import InvalidInput, check_count, check_positive
from cpi_theory.randomness import Key
from cpi_theory.seam import Collection
from experiments.language_worlds import OpenWorld, open_world
from experiments.localization_meter import LocalizationTally, MeteredLocalizer
from experiments.methods import LanguageMethod
from experiments.store import Row
from experiments.train_engine import Checkpoints, Curve, Engine, TrlOptions, run_lean, run_trl
from experiments.train_worlds import LanguageWorld
from llm.engines.lean import LeanTrainer, StepReport
from llm.localizers.base import Localizer
from llm.models.load import ModelSettings
from llm.sampling.base import GREEDY, Sampling
from llm.sampling.settings import SamplerSettings
from llm.simulator import LanguageModelSimulator, Usage
from llm.task import Problem
from llm.text.thoughts import Finish
from llm.training.losses import LossSettings
from llm.training.optimizer import OptimizerSettings
from llm.training.rows import training_rows


@dataclass(frozen=True)
class TrainBudget:
    """How long a run is and how finely it is recorded; the same for all methods.

    Attributes:
        prompts: problems per update, 8 rollouts each.
        updates: optimiser updates.
        every: updates between evaluations.
        held_out: problems of each evaluation; every seed has its own.
        temperature: of rollouts and sampled evaluations.
    """

    prompts: int = 8
    updates: int = 40
    every: int = 5
    held_out: int = 128
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("prompts", "updates", "every", "held_out"):
            check_count(name, getattr(self, name))
        check_positive("temperature", self.temperature)


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


@dataclass(slots=True)
class _Account:
    """What was generated so far, and how the groups turned out since the last record."""

    rollouts: int = 0
    tokens: int = 0
    forward_tokens: int = 0
    localizations: int = 0
    localization_tokens: int = 0
    seconds: float = 0.0
    groups: int = 0
    informative: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def add(self, collection: Collection) -> None:
        self.rollouts += collection.generated_rollouts
        self.localizations += collection.localizations
        self.groups += len(collection)
        self.informative += sum(group.informative for group in collection)
        self.refusals.update({r.value: n for r, n in collection.refusals.items()})

    def take(self) -> Row:
        """Totals of what was generated, and counts of groups since the last record."""
        row = dataclasses.asdict(self) | {"refusals": dict(self.refusals)}
        self.groups = self.informative = 0
        self.refusals.clear()
        return row


class Training:
    """A training run that can be stopped after any update and continued.

    Attributes:
        spec: what it depends on.
        update: updates made so far.
        simulator: the model as a world, under its current weights.
        model: the model.
        problems: draws problems of a split by a key.
        key: of all randomness.
        losses: loss and gradient norm of the last update.
    """

    def __init__(self, spec: TrainSpec) -> None:
        """Load the model and set up its world.

        Raises:
            InvalidInput: whatever model, task or settings refuse.
        """
        self.spec = spec
        self.update = 0
        self.key = Key.of(spec.seed).child("train", spec.world.name)
        temperature = spec.budget.temperature
        world = open_world(spec.world, spec.model, temperature, spec.seed, spec.sampler)
        hard_places = getattr(world.simulator.task, "hard_places", None)
        self.meter = MeteredLocalizer(_localizer(spec, world), world.oracle, hard_places)
        self.simulator = world.with_localizer(self.meter)
        self.model, self.problems = world.model, world.problems
        self._account = _Account()
        self.losses: dict[str, float] = {}
        self._began, self._work = time.perf_counter(), 0

    @functools.cached_property
    def trainer(self) -> LeanTrainer:
        """The lean loop's optimiser and loss."""
        return LeanTrainer(self.model, self.spec.optimizer, self.spec.loss)

    def begin(self, update: int) -> list[Problem]:
        """The problems of an update; what is done from here on is accounted for."""
        self._began, self._work = time.perf_counter(), self.simulator.sampler.work.forward
        key = self.key.child("problems", update)
        return self.problems("train", self.spec.budget.prompts, key)

    def advance(self) -> Collection:
        """One update of the lean loop: collect groups and step along their gradient."""
        update = self.update + 1
        starts = self.simulator.start_states(self.begin(update))
        self.simulator.sampler.sync(self.model)
        collection = self.spec.method.algorithm.collect(
            self.simulator, starts, self.key.child("collect", update)
        )
        self.learned(update, collection, self.trainer.step(training_rows(collection)))
        return collection

    def learned(self, update: int, collection: Collection, report: StepReport) -> None:
        """Account for an update: what was collected since it began, and what learning did."""
        self.update = update
        account, usage = self._account, self.simulator.usage
        account.add(collection)
        account.tokens = usage.generated
        account.localization_tokens = usage.localization_tokens
        account.forward_tokens += self.simulator.sampler.work.forward - self._work
        account.forward_tokens += report.forward_tokens
        account.seconds += time.perf_counter() - self._began
        self.losses = {"loss": report.loss, "gradient_norm": report.gradient_norm}

    @property
    def tokens(self) -> int:
        """Sampled so far, localisation included."""
        return self._account.tokens

    @property
    def tokens_per_second(self) -> float:
        """Sampled so far per second of collecting and learning."""
        return self._account.tokens / max(self._account.seconds, 1e-9)

    def record(self) -> Row:
        """Evaluate the model and tell what happened since the last record."""
        self.simulator.sampler.sync(self.model)
        budget = self.spec.budget
        problems = self.problems("test", budget.held_out, self.key.child("held out"))
        ends = self.update in (0, budget.updates)
        return {
            "update": self.update,
            "value": self._pass_rate(problems, self.simulator.sampling),
            "greedy": self._pass_rate(problems, GREEDY) if ends else None,
            **self._account.take(),
            "localization": dataclasses.asdict(self.meter.take()),
            **self.losses,
        }

    def state(self) -> Row:
        """All but the model that another run of the same needs to go on, as JSON can hold it."""
        usage = self.simulator.usage
        return {
            "update": self.update,
            "account": dataclasses.asdict(self._account) | {"refusals": self._account.refusals},
            "usage": {f.name: getattr(usage, f.name) for f in dataclasses.fields(usage)}
            | {"finishes": {finish.value: n for finish, n in usage.finishes.items()}},
            "tally": dataclasses.asdict(self.meter.tally),
            "losses": self.losses,
        }

    def restore(self, state: Row) -> None:
        """Go on from a :meth:`state`."""
        self.update, self.losses = state["update"], dict(state["losses"])
        refusals = Counter(state["account"]["refusals"])
        self._account = _Account(**state["account"] | {"refusals": refusals})
        finishes = Counter({Finish(name): n for name, n in state["usage"]["finishes"].items()})
        self.simulator.usage = Usage(**state["usage"] | {"finishes": finishes})
        self.meter.tally = LocalizationTally(**state["tally"])

    def _pass_rate(self, problems: list[Problem], sampling: Sampling) -> float:
        """Mean reward on `problems`, one rollout each, at no cost to the account."""
        ours = self.simulator
        judge = LanguageModelSimulator(
            ours.sampler, ours.vocabulary, ours.task, ours.form, sampling, chat=ours.chat
        )
        keys = self.key.child("evaluate", self.update).integers(len(problems))
        rollouts = judge.rollout(judge.start_states(problems), keys)
        return sum(r.reward for r in rollouts) / len(rollouts)


def _localizer(spec: TrainSpec, world: OpenWorld) -> Localizer:
    """Who names first errors for the method of `spec`.

    Raises:
        InvalidInput: if that is the exact step checker and the task has none.
    """
    chosen = world.oracle if spec.method.localizer == "oracle" else world.simulator.localizer
    if chosen is None:
        remedy = "leave the method out, or use a task with first_error"
        problem = f"the task of {spec.world.name} has no exact step checker"
        raise InvalidInput("method", spec.method.name, problem, remedy)
    return chosen


def training_curve(spec: TrainSpec, checkpoints: Checkpoints | None = None) -> list[Row]:
    """Records of one run, the model before any update first.

    With `checkpoints` the run goes on from what an interrupted one left there.

    Each has the labels `world`, `method`, `seed` and `point`; `update`; `value`, the pass rate on
    held-out problems sampled once each, and at the first and last point `greedy`; until then
    `rollouts`, `tokens` (sampled, localisation included), `forward_tokens` (through the model,
    in collecting and learning), `localizations`, `localization_tokens` and `seconds` (of
    collecting and learning; a sweep moves it to the timings); since the point before `groups`,
    `informative`, `refusals` by reason, and `localization` (see
    :class:`~experiments.localization_meter.LocalizationTally`); `loss` and `gradient_norm` of the
    last update.
    """
    labels = {"world": spec.world.name, "method": spec.method.name, "seed": spec.seed}
    curve = Curve(Training(spec), checkpoints)
    (run_trl if spec.engine == "trl" else run_lean)(curve)
    return [labels | {"point": number} | point for number, point in enumerate(curve.rows)]
