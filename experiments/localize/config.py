"""Settings of ``cpi-resets localize``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from cpi_theory.checks import InvalidInput, check_count
from experiments.execution.threads import Kind
from experiments.localize.spec import (
    LocalizeSpec,
    MarkedTraces,
    ValueSpec,
    check_file,
    check_judged,
    check_world,
    chosen_traces,
)
from experiments.worlds.language import LanguageWorld, choose
from experiments.worlds.named_localizers import NamedLocalizer, choose_localizers
from experiments.worlds.writing import LATER, Writing
from llm.data.marked_traces import read_marked
from llm.models.settings import TINY_NAME, ModelSettings
from llm.models.temperature import check_temperature
from llm.sampling.settings import SamplerSettings


@dataclass(frozen=True)
class LocalizeConfig:
    """Ask localisers for first errors that are known, beside baselines that look at nothing.

    Attributes:
        name: folder of the run below the output folder.
        traces: files of traces with marked first errors, in the schema of BIG-Bench Mistake or of
            ProcessBench, or folders of them.
        worlds: names of worlds with a step checker, or from `more`: rollouts of `model` there.
        localizers: who is asked: self (as the writing says), self-not-told, self-told-wrong,
            self-answer-shown, self-answer-given, majority, unsure, unsure-mean, checker, blurred,
            or names from `more_localizers`; none: the blind baselines alone.
        model: who is asked as itself, and whose rollouts those of a world are.
        most: traces of each file that count, drawn by the seed; 0: all.
        values: continuations of `model` from before every step of every failed trace with a wrong
            step, from which the values there are estimated; 0: none.
        problems: held-out problems of each world.
        rollouts: of each of them.
        temperature: of rollouts and continuations.
        part: traces, or problems, between two points from which an interrupted run goes on.
        seed: of everything drawn.
        sampler: the engine.
        writing: how marked traces are shown and asked about, in configuration files only.
        more: further worlds, in configuration files only.
        more_localizers: further localisers, in configuration files only.
    """

    name: str = "localize"
    traces: tuple[str, ...] = ()
    worlds: tuple[str, ...] = ()
    localizers: tuple[str, ...] = ()
    model: ModelSettings = field(default_factory=lambda: ModelSettings(TINY_NAME))
    most: int = 0
    values: int = field(default=0, metadata=LATER)
    problems: int = 64
    rollouts: int = 4
    temperature: float = 1.0
    part: int = 100
    seed: int = 0
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    writing: Annotated[Writing, tyro.conf.Suppress] = field(default_factory=Writing)
    more: Annotated[tuple[LanguageWorld, ...], tyro.conf.Suppress] = ()
    more_localizers: Annotated[tuple[NamedLocalizer, ...], tyro.conf.Suppress] = ()

    def __post_init__(self) -> None:
        check_count("most", self.most, minimum=0)
        check_count("values", self.values, minimum=0)
        check_count("problems", self.problems, minimum=2)
        check_count("rollouts", self.rollouts)
        check_count("part", self.part)
        check_count("seed", self.seed, minimum=0)
        check_temperature("temperature", self.temperature, greedy=False)
        choose_localizers(self.localizers, self.more_localizers)
        if self.worlds:
            choose("worlds", self.worlds, self.more)

    @property
    def computes(self) -> Kind:
        """Threads pay for models larger than the tiny one."""
        return "tiny" if self.model.path == TINY_NAME else "model"

    def files(self) -> list[str]:
        """The files of traces, those in folders one by one.

        Raises:
            InvalidInput: a folder holds none, or a file is named twice.
        """
        found: list[str] = []
        for path in self.traces:
            inside = sorted(str(one) for one in Path(path).glob("*.jsonl"))
            if Path(path).is_dir() and not inside:
                remedy = "give a folder of JSONL files, or a file"
                raise InvalidInput("traces", path, "holds no file of traces", remedy)
            found += inside or [path]
        whole = [Path(path).expanduser().resolve() for path in found]
        for path, one in zip(found, whole, strict=True):
            if whole.count(one) > 1:
                raise InvalidInput("traces", path, "is given twice", "name each file once")
        return found

    def specs(self) -> list[LocalizeSpec]:
        """One per file or world, and part of its traces or problems.

        Raises:
            InvalidInput: there is nothing to look at, a file is unusable, or a localiser cannot be
                asked about some of it.
        """
        if not self.traces and not self.worlds:
            remedy = "name files of marked traces (--traces), or worlds with a step checker"
            raise InvalidInput("traces", self.traces, "nothing is looked at", remedy)
        localizers = choose_localizers(self.localizers, self.more_localizers)
        return [
            LocalizeSpec(
                source,
                localizers,
                self.model,
                self.most,
                self.problems,
                self.rollouts,
                first,
                min(self.part, count - first),
                self.temperature,
                self.seed,
                self.sampler,
            )
            for source, count in self._sources(localizers)
            for first in range(0, count, self.part)
        ]

    def value_specs(self) -> list[ValueSpec]:
        """The same parts of files and worlds, for values; none without `values`."""
        if not self.values:
            return []
        nobody = replace(self, localizers=())
        return [ValueSpec(spec, self.values) for spec in nobody.specs()]

    def _sources(
        self, localizers: tuple[NamedLocalizer, ...]
    ) -> Iterator[tuple[MarkedTraces | LanguageWorld, int]]:
        """Every file and world, with the number of its traces or problems."""
        for path in self.files():
            source = MarkedTraces(path, self.writing)
            file = read_marked(path)
            check_file(source, file, localizers)
            if self.values:
                check_judged(path, file, self.values)
            yield source, chosen_traces(len(file.traces), self.most)
        for world in choose("worlds", self.worlds, self.more) if self.worlds else ():
            check_world(world, localizers)
            yield world, self.problems
