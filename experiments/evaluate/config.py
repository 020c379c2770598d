"""Settings of ``cpi-resets evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from cpi_theory.checks import InvalidInput, check_count
from experiments.config import build
from experiments.evaluate.spec import (
    Attempts,
    Correction,
    CorrectionSpec,
    EvaluatedModel,
    EvaluateSpec,
    check_corrector,
)
from experiments.execution.threads import Kind
from experiments.runs.files import read_object
from experiments.runs.store import Run
from experiments.worlds.language import LanguageWorld, choose
from experiments.worlds.named_localizers import NamedLocalizer, choose_localizers
from experiments.worlds.writing import LATER
from llm.models.settings import TINY_NAME, ModelSettings
from llm.models.tokenizers import tokenizer_digest
from llm.sampling.settings import SamplerSettings

START = "start"
"""The method of the model that trainings began with."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate models on held-out problems, and compare methods in pairs.

    Attributes:
        name: folder of the run below the output folder.
        benchmarks: names of worlds, as in train, or from `more`.
        trained: the folder of a run of train: all its models are evaluated, and the one that they
            began with.
        which: of each training, the model that was best on its own held-out problems (an optimistic
            choice if they are those of the benchmark), or the last one.
        model: a model by itself.
        models: several, with what trained them, in configuration files only.
        learned: names of worlds whose training problems the models have learned from, besides those
            of `trained` and of the benchmarks themselves; none may be among the held-out ones.
        problems: of each benchmark, held out from training.
        attempts: at each problem.
        correction: of further attempts by the model itself, beside these.
        part: problems between two points from which an interrupted evaluation goes on.
        seed: of problems and attempts.
        sampler: the engine.
        texts: whether records hold what was asked and written, so that logs for other programs can
            be exported.
        more: further worlds, in configuration files only.
        more_localizers: further localisers, in configuration files only.
    """

    name: str = "evaluate"
    benchmarks: tuple[str, ...] = ("natural",)
    trained: str | None = None
    which: Literal["best", "last"] = "last"
    model: ModelSettings | None = None
    models: Annotated[tuple[EvaluatedModel, ...], tyro.conf.Suppress] = ()
    learned: tuple[str, ...] = ()
    problems: int = 128
    attempts: Attempts = field(default_factory=Attempts)
    correction: Correction = field(default_factory=Correction, metadata=LATER)
    part: int = 128
    seed: int = 0
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    texts: bool = field(default=False, metadata=LATER)
    more: Annotated[tuple[LanguageWorld, ...], tyro.conf.Suppress] = ()
    more_localizers: Annotated[tuple[NamedLocalizer, ...], tyro.conf.Suppress] = field(
        default=(), metadata=LATER
    )

    def __post_init__(self) -> None:
        self.correctors()
        check_count("problems", self.problems, minimum=2)
        check_count("part", self.part)
        check_count("seed", self.seed, minimum=0)
        choose("benchmarks", self.benchmarks, self.more)
        if self.learned:
            choose("learned", self.learned, self.more)
        _check_distinct(self.models)

    @property
    def computes(self) -> Kind:
        """Threads pay for models larger than the tiny one."""
        paths = {one.model.path for one in self.models} | {self.model and self.model.path}
        return "tiny" if not self.trained and paths <= {None, TINY_NAME} else "model"

    def evaluated(self) -> list[EvaluatedModel]:
        """All models; the tiny one where none is named.

        Raises:
            InvalidInput: the run of trainings is not there, one of them has not ended, or two
                models go by one method and seed.
        """
        found = list(self.models)
        if self.model is not None:
            found.append(EvaluatedModel("model", self.model))
        if self.trained is not None:
            found += models_of(Path(self.trained).expanduser(), self.which)
        # Also against each other: what goes by one name would be counted as one model.
        _check_distinct(found)
        return found or [EvaluatedModel("model", ModelSettings(TINY_NAME))]

    def tokenizers(self) -> dict[tuple[str, int | None], str | None]:
        """Digests of the models' tokenizers by method and seed; None: it cannot be told."""
        return {
            (one.method, one.seed): tokenizer_digest(Path(one.model.resolved_path).expanduser())
            for one in self.evaluated()
        }

    def learned_worlds(self) -> list[LanguageWorld]:
        """Where the models may have learned, the training halves of the benchmarks included."""
        names = dict.fromkeys((*self.learned, *self.benchmarks))
        found = list(choose("learned", tuple(names), self.more))
        if self.trained is not None:
            found += worlds_of(Path(self.trained).expanduser())
        return found

    def correctors(self) -> tuple[NamedLocalizer, ...]:
        """Who corrects attempts; nobody where they are not corrected.

        Raises:
            InvalidInput: for a name that is no localiser's.
        """
        names = self.correction.localizers if self.correction.rounds else ()
        return choose_localizers(names, self.more_localizers)

    def correction_specs(self) -> list[CorrectionSpec]:
        """One per model, benchmark, localiser, stop and part of the problems.

        Raises:
            InvalidInput: a localiser is told, or knows, what the model cannot.
        """
        specs = []
        worlds = choose("benchmarks", self.benchmarks, self.more)
        for world, one, stop in product(worlds, self.correctors(), self.correction.stops):
            check_corrector(self.correction, stop, one, world)
            specs += [
                CorrectionSpec(
                    world,
                    model,
                    self.attempts,
                    self.correction,
                    one,
                    stop,
                    self.problems,
                    first,
                    min(self.part, self.problems - first),
                    self.seed,
                    self.sampler,
                    self.texts,
                )
                for model in self.evaluated()
                for first in range(0, self.problems, self.part)
            ]
        return specs

    def specs(self) -> list[EvaluateSpec]:
        """One per model, benchmark and part of its problems."""
        models = self.evaluated()
        return [
            EvaluateSpec(
                world,
                one,
                self.attempts,
                self.problems,
                first,
                min(self.part, self.problems - first),
                self.seed,
                self.sampler,
                self.texts,
            )
            for one in models
            for world in choose("benchmarks", self.benchmarks, self.more)
            for first in range(0, self.problems, self.part)
        ]


@dataclass(frozen=True)
class _Worlds:
    """What a run of train stores of its worlds."""

    worlds: tuple[str, ...]
    more: tuple[LanguageWorld, ...] = ()


def worlds_of(folder: Path) -> tuple[LanguageWorld, ...]:
    """Return the worlds that the models of a run of train learned in.

    Raises:
        InvalidInput: it is no such run.
    """
    config = _train_config(folder)
    stored = build(_Worlds, {name: config[name] for name in ("worlds", "more")})
    return tuple(choose("worlds", stored.worlds, stored.more))


def _train_config(folder: Path) -> dict[str, Any]:
    if not (folder / "run.json").is_file():
        remedy = "give the folder of a run of train, such as results/train"
        raise InvalidInput("trained", str(folder), "holds no run", remedy)
    config = Run.existing(folder.parent, folder.name).config
    if not isinstance(config, dict) or config.get("type") != "TrainConfig":
        remedy = "give the folder of a run of train"
        raise InvalidInput("trained", str(folder), "is a run of another command", remedy)
    return config


def models_of(folder: Path, which: str) -> list[EvaluatedModel]:
    """Return the models of a run of train, the one that they began with first.

    Methods that were trained in several worlds are named with theirs.

    Raises:
        InvalidInput: it is none, or one of its trainings has not stored the model.
    """
    config = _train_config(folder)
    stamps = sorted(folder.glob("models/*/made-by.json"))
    if not stamps:
        remedy = "give the folder of a run of train that kept its models (checkpoint_every)"
        raise InvalidInput("trained", str(folder), "holds no trained models", remedy)
    start = ModelSettings(**{name: config["model"][name] for name in ("path", "device")})
    found = []
    for stamp in stamps:
        spec, model = read_object(stamp)["spec"], stamp.parent / which
        if not model.is_dir():
            remedy = "run the same command of train again until it ends, or choose the other model"
            raise InvalidInput("trained", str(stamp.parent), f"has no {which} model", remedy)
        world, method = spec["world"]["name"], spec["method"]["name"]
        label = method if len(config["worlds"]) == 1 else f"{method} ({world})"
        found.append(EvaluatedModel(label, replace(start, path=str(model)), spec["seed"]))
    return [EvaluatedModel(START, start), *found]


def _check_distinct(models: Sequence[EvaluatedModel]) -> None:
    """Refuse two models by one method and seed.

    Raises:
        InvalidInput: naming both.
    """
    names = [(one.method, one.seed) for one in models]
    for name in names:
        if names.count(name) > 1:
            remedy = "give each model of a method a seed of its own, or a method"
            raise InvalidInput("models", name, "comes twice", remedy)
