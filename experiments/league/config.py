"""Settings of ``cpi-resets league``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from cpi_theory.checks import InvalidInput, check_count, check_positive, choose_among
from cpi_theory.statistics.bootstrap import check_resamples
from experiments.config import check_given_once, check_new_names, named_values
from experiments.execution.threads import Kind
from experiments.methods import LANGUAGE_METHODS, TABULAR_METHODS, GroupMethod, LanguageMethod
from experiments.worlds import language, tabular
from experiments.worlds.language import LanguageWorld
from experiments.worlds.tabular import World
from llm.models.settings import TINY_NAME, ModelSettings
from llm.models.temperature import check_temperature
from llm.sampling.settings import SamplerSettings
from llm.training.settings import LossSettings, OptimizerSettings

LEAGUE = (
    *("GRPO", "RLOO", "RRPO", "SRPO", "Frontier", "VinePPO", "SPO-chain", "SPO-tree", "TreeRPO"),
    *("TreeRL", "VPPO", "CAPO", "GiGPO", "own prefixes"),
)
"""Who plays by default: nobody who is shown solutions (R3, AdaBack) or answers twice (SCoRe,
Critique-GRPO), who all can be named."""

_TABULAR: Mapping[str, GroupMethod] = {
    name: method for name, method in TABULAR_METHODS.items() if isinstance(method, GroupMethod)
}
_WORLDS: Mapping[str, World | LanguageWorld] = {**tabular.WORLDS, **language.WORLDS}


@dataclass(frozen=True)
class LeagueConfig:
    """Methods of credit at an equal budget of generated steps or tokens.

    Attributes:
        name: folder of the run below the output folder.
        worlds: names of tabular worlds (see `learn`), or of worlds of language models (see
            `train`), or from `more`; not of both kinds.
        methods: those of docs/methods.md that follow a gradient.
        baseline: the one that sentences compare all others with.
        seeds: curves per world and method; comparisons are paired by seed.
        seed: the first of them.
        budget: of a curve: steps generated in a tabular world, tokens sampled by a language model,
            localisation included; no update begins once it is used up.
        points: about so many records of a curve.
        prompts: start states per update, with as many rollouts each as the method draws.
        rates: learning rates, of Adam in tabular worlds. If there are several, each method is given
            the best one in each world, found on seeds of their own.
        tuning_seeds: so many of these, from the one after the last on.
        model: what is trained in worlds of language models.
        optimizer: of its training, but for the rate.
        loss: of its training.
        sampler: what samples.
        held_out: problems of each evaluation of a language model.
        temperature: of its samples.
        checkpoint_every: updates between checkpoints of a training, from which an interrupted one
            goes on; 0: none.
        limit: seconds after which a curve is given up, is named, and the others go on; none by
            default.
        draws: updates from which the signal of a method is estimated at the base policy of each
            tabular world, and in the audit's small worlds where not everything can be listed; 0:
            leave out what the audit predicts.
        resamples: bootstrap resamples.
        more: further worlds, in configuration files only.
    """

    name: str = "league"
    worlds: tuple[str, ...] = ("tree-natural", "tree-sparse", "tree-early", "tree-rare", "lock")
    methods: tuple[str, ...] = LEAGUE
    baseline: str = "GRPO"
    seeds: int = 20
    seed: int = 0
    budget: int = 20_000
    points: int = 20
    prompts: int = 4
    rates: tuple[float, ...] = (0.2,)
    tuning_seeds: int = 4
    model: ModelSettings = field(default_factory=lambda: ModelSettings(TINY_NAME))
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    held_out: int = 128
    temperature: float = 1.0
    checkpoint_every: int = 0
    limit: float | None = None
    draws: int = 1000
    resamples: int = 2000
    more: Annotated[tuple[World | LanguageWorld, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        for name, least in _COUNTS.items():
            check_count(name, getattr(self, name), least)
        check_resamples("resamples", self.resamples)
        self._check_rates()
        if self.limit is not None:
            check_positive("limit", self.limit)
        check_temperature("temperature", self.temperature, greedy=False)
        named_values("methods", self.methods, self._methods())
        if self.baseline not in self.methods:
            remedy = choose_among(self.baseline, self.methods)
            raise InvalidInput("baseline", self.baseline, "does not play", remedy)
        if self.draws == 1:
            raise InvalidInput("draws", 1, "no spread can be seen in one", "choose 2 or more")

    def _check_rates(self) -> None:
        if not self.rates:
            raise InvalidInput("rates", self.rates, "empty", "give at least one")
        for i, rate in enumerate(self.rates):
            check_positive(f"rates[{i}]", rate)
        check_given_once("rates", self.rates)

    @property
    def kind(self) -> Literal["tabular", "language"]:
        """What the worlds are of.

        Raises:
            InvalidInput: they are of both kinds, or one is unknown.
        """
        kinds = {isinstance(world, World) for world in self.chosen_worlds()}
        if len(kinds) == 2:
            remedy = "run a league for each: steps and tokens are no common budget"
            raise InvalidInput("worlds", self.worlds, "tabular ones and language models'", remedy)
        return "tabular" if kinds == {True} else "language"

    @property
    def axis(self) -> Literal["steps", "tokens"]:
        """What the budget counts."""
        return "steps" if self.kind == "tabular" else "tokens"

    @property
    def computes(self) -> Kind:
        """Threads pay for models larger than the tiny one."""
        if self.kind == "tabular":
            return "tables"
        return "tiny" if self.model.path == TINY_NAME else "model"

    def chosen_worlds(self) -> Sequence[World | LanguageWorld]:
        """The worlds, in order."""
        check_new_names("more", [world.name for world in self.more], _WORLDS)
        own = {world.name: world for world in self.more}
        return named_values("worlds", self.worlds, {**_WORLDS, **own})

    def chosen_methods(self) -> Sequence[GroupMethod | LanguageMethod]:
        """The methods, in order."""
        return named_values("methods", self.methods, self._methods())

    def _methods(self) -> Mapping[str, GroupMethod | LanguageMethod]:
        return dict(_TABULAR) if self.kind == "tabular" else dict(LANGUAGE_METHODS)


_COUNTS: Mapping[str, int] = {
    "seeds": 2,
    "seed": 0,
    "budget": 1,
    "points": 1,
    "prompts": 1,
    "tuning_seeds": 1,
    "held_out": 1,
    "checkpoint_every": 0,
    "draws": 0,
}
"""Settings that are whole numbers, and the least that each may be."""
