"""Settings of ``cpi-resets diagnose``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from cpi_theory.checks import InvalidInput, check_count, check_probability
from cpi_theory.diagnosis.diagnose import DiagnosisSettings
from cpi_theory.randomness import Key
from experiments.config import named_values
from experiments.diagnose.ranking import ALL, RANKED, at_accuracy
from experiments.execution.progress import Advance
from experiments.execution.threads import Kind
from experiments.methods import GroupMethod
from experiments.worlds.language import LanguageWorld
from experiments.worlds.language import choose_one as choose_task
from experiments.worlds.prepared import PreparedWorld
from experiments.worlds.tabular import World, choose_one
from experiments.worlds.with_localizer import WorldWithLocalizer, prepare
from llm.models.settings import TINY_NAME, ModelSettings
from llm.models.temperature import check_temperature


@dataclass(frozen=True)
class Sampling:
    """What is drawn and counted; see :class:`cpi_theory.diagnosis.diagnose.DiagnosisSettings`.

    Attributes:
        tau: level of improvability, in reward units, at most the world's reward bound (1 for a
            language model); by default found from the data.
        parents: most failures of a prompt on which corrections are tried.
        suffixes: from the named step of each, and from the control's.
        audited: where advantages are sampled, visited states that are measured, and as many named
            ones; each takes 56 to 152 rollouts. 0: none.
        traced: and rollouts of which every step is.
        bins: equal parts of a rollout in which corrections are counted.
    """

    tau: float | None = None
    parents: int = 2
    suffixes: int = 4
    audited: int = 16
    traced: int = 1
    bins: int = 4

    def __post_init__(self) -> None:
        self.settings(max(1.0, self.tau or 0.0))  # the world's bound is not known here

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
            (the default), sparse, early; or a name from `more`.
        model: a language model to diagnose, as in ``cpi-resets train``: `--model tiny`,
            `--model.path DIR --model.device cuda`, or a table; None: a tabular world.
        temperature: of its rollouts.
        accuracy: chance that a tabular world's localiser names the first error, else a uniform
            step.
        blind: hide a tabular world's exact advantages: they are sampled, as a language model's.
        prompts: start states; up to 32 rollouts of each, and more to measure advantages where the
            world does not know them: 2,000 to 8,000 by default.
        tokens: most tokens that may be generated (steps, in a tabular world); sizes are chosen to
            fit, what is left out is said, and it is exceeded by one batch at most.
        seed: of all randomness.
        sampling: what is drawn and counted.
        validate: instead, diagnose worlds of which everything is known over and over and count how
            often the intervals cover the truth.
        order: instead, compare the predicted order of methods with learning curves, in 18 tabular
            settings or, with `model`, in 12 settings of its arithmetic.
        methods: also rank these by the signal per generated step of their updates at the base
            policy of a tabular world: names that `learn` knows, or "all".
        draws: prompts, for each of which every one of them draws an update.
        repetitions: of the validation.
        curves: seeds per method of the order.
        updates: of each of its learning curves.
        more: further tabular worlds, such as a `FileWorld` with an MDP of your own, and further
            tasks of language models, in configuration files only.
    """

    name: str = "diagnose"
    world: str | None = None
    model: ModelSettings | None = None
    temperature: float = 1.0
    accuracy: float = 1.0
    blind: bool = False
    prompts: int = 128
    tokens: int | None = None
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    validate: bool = False
    order: bool = False
    repetitions: int = 200
    curves: int = 24
    updates: int = 160
    more: Annotated[tuple[World | LanguageWorld, ...], tyro.conf.Suppress] = ()
    methods: tuple[str, ...] = field(default=(), metadata={"later": True})
    draws: int = field(default=1024, metadata={"later": True})

    def __post_init__(self) -> None:
        check_probability("accuracy", self.accuracy)
        check_temperature("temperature", self.temperature, greedy=False)
        check_count("prompts", self.prompts, minimum=8)
        if self.tokens is not None:
            check_count("tokens", self.tokens)
        check_count("repetitions", self.repetitions)
        check_count("curves", self.curves, minimum=2)
        check_count("updates", self.updates)
        check_count("draws", self.draws, minimum=8)
        if self.methods:
            self._check_methods()
        if self.validate and self.order:
            raise InvalidInput("order", True, "validate is set too", "run one after the other")
        if self.model is None:
            self.world_with_localizer()
        else:
            self.language_world()

    def _check_methods(self) -> None:
        """Refuse a ranking where it would not be made."""
        if self.model is not None:
            problem, remedy = "updates of a language model are not drawn", "leave them out"
            raise InvalidInput("methods", self.methods, problem, remedy)
        for name in ("validate", "order", "tokens"):
            if getattr(self, name):
                problem = f"are ranked in a diagnosis of its own, without {name}"
                raise InvalidInput("methods", self.methods, problem, f"leave out {name}, or them")
        self.ranked_methods()

    def ranked_methods(self) -> list[GroupMethod]:
        """The methods that are ranked, with the accuracy of the world's localiser.

        Raises:
            InvalidInput: for a name that is unknown or given twice.
        """
        if not self.methods:
            return []
        names = tuple(RANKED) if self.methods == (ALL,) else self.methods
        chosen = named_values("methods", names, {**RANKED, **dict.fromkeys([ALL])})
        if None in chosen:
            raise InvalidInput("methods", self.methods, "all and more", "give either")
        return [at_accuracy(name, self.accuracy) for name in names]

    @property
    def computes(self) -> Kind:
        """Threads pay for models larger than the tiny one."""
        if self.model is None:
            return "tables"
        return "tiny" if self.model.path == TINY_NAME else "model"

    def world_with_localizer(self) -> WorldWithLocalizer:
        """The tabular world with its localiser."""
        more = tuple(world for world in self.more if isinstance(world, World))
        world = choose_one("world", self.world or "tree-sparse", more)
        return WorldWithLocalizer(world, self.accuracy, blind=self.blind)

    def check_tau(self, key: Key) -> None:
        """Refuse a level of improvability that no advantage of the world can reach.

        Args:
            key: of the world and its prompts.

        Raises:
            InvalidInput: naming it and the world's reward bound.
        """
        tau, bound = self.sampling.tau, 1.0
        if tau is None:
            return
        if self.model is None and not (self.validate or self.order):
            world = self.world_with_localizer().simulator(key.child("instance"))
            bound = float(world.mdp.reward_bound)
        if tau > bound:
            problem = f"above the reward bound {bound:g}: no state is improvable by as much"
            remedy = f"choose one up to {bound:g}, or leave it out"
            raise InvalidInput("sampling.tau", tau, problem, remedy)

    def language_world(self) -> LanguageWorld:
        """The task of the language model."""
        more = tuple(world for world in self.more if isinstance(world, LanguageWorld))
        return choose_task("world", self.world or "natural", more)

    def prepared(self, key: Key, journal: Path, advance: Advance) -> PreparedWorld:
        """The world with its prompts.

        Args:
            key: of the prompts.
            journal: folder in which completions of a language model are kept.
            advance: told how many of them there are.

        Raises:
            InvalidInput: whatever the world or the model refuses.
        """
        model = self.model
        if model is None:
            return prepare(self.world_with_localizer(), self.prompts, key)
        from experiments.worlds.journal import JournalSampler
        from experiments.worlds.open_world import prepare_model  # torch, for language models alone

        return prepare_model(
            self.language_world(),
            model,
            self.prompts,
            key,
            self.temperature,
            lambda sampler: JournalSampler(sampler, journal, advance),
        )
