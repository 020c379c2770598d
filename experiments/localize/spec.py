"""Who is asked about which traces, as values that need no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cpi_theory.checks import InvalidInput, check_count
from experiments.runs.fingerprint import points_to
from experiments.worlds.language import LanguageWorld
from experiments.worlds.localizing import asks_checker
from experiments.worlds.named_localizers import NamedLocalizer
from experiments.worlds.writing import Writing
from llm.data.marked_traces import MarkedFile
from llm.models.settings import ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.task import checks_steps
from llm.text.boundaries import Delimiter


@dataclass(frozen=True)
class MarkedTraces:
    """A file of traces whose first errors people have marked.

    Attributes:
        path: see :func:`llm.data.marked_traces.read_marked`.
        writing: how its steps are shown and first errors asked for; `prompt` is what a model is
            taken to have been asked where its probabilities of the steps are wanted.
    """

    path: str
    writing: Writing = field(default_factory=Writing)

    def __post_init__(self) -> None:
        if not isinstance(self.writing.boundary, Delimiter):
            kind, problem = self.writing.boundary.kind, "cannot be put behind marked steps"
            raise InvalidInput("writing.boundary", kind, problem, "choose a Delimiter")


@points_to.register
def _(traces: MarkedTraces) -> Mapping[str, Path]:
    return {traces.path: Path(traces.path)}


@dataclass(frozen=True)
class LocalizeSpec:
    """Some traces of one source, and who is asked about them.

    Attributes:
        source: marked traces, or the world whose rollouts are judged.
        localizers: who is asked.
        model: who is asked as itself, and whose rollouts those of a world are.
        most: traces of a file that count, drawn by the seed; 0: all.
        problems: of a world, in all.
        rollouts: of each of them.
        first, count: which of the traces, or of the problems, are looked at.
        temperature: of rollouts.
        seed: of everything drawn.
        sampler: the engine.
    """

    source: MarkedTraces | LanguageWorld
    localizers: tuple[NamedLocalizer, ...]
    model: ModelSettings
    most: int
    problems: int
    rollouts: int
    first: int
    count: int
    temperature: float
    seed: int
    sampler: SamplerSettings = field(default_factory=SamplerSettings)


@dataclass(frozen=True)
class ValueSpec:
    """Values of the prefixes of some traces.

    Attributes:
        of: the traces; nobody is asked about them.
        continuations: from each prefix.
    """

    of: LocalizeSpec
    continuations: int

    def __post_init__(self) -> None:
        check_count("values", self.continuations)


def check_judged(path: str, file: MarkedFile, continuations: int) -> None:
    """Refuse to judge continuations of traces whose right answer a file does not hold.

    Raises:
        InvalidInput: naming the setting and the file.
    """
    if any(trace.reference is None for trace in file.traces):
        problem = f"{path} does not hold the right answers that continuations are judged by"
        remedy = "choose 0, or give traces in the schema of BIG-Bench Mistake"
        raise InvalidInput("values", continuations, problem, remedy)


def check_world(world: LanguageWorld, localizers: tuple[NamedLocalizer, ...]) -> None:
    """Refuse a world without a step checker, and who cannot be asked as wanted there.

    Raises:
        InvalidInput: naming the world or the localiser.
    """
    if not checks_steps(world.task()):
        problem = "has no exact step checker that would mark first errors"
        raise InvalidInput("worlds", world.name, problem, "choose a world of sums or arithmetic")
    for one in localizers:
        one.rewritten(world.writing)


def check_file(
    source: MarkedTraces, file: MarkedFile, localizers: tuple[NamedLocalizer, ...]
) -> None:
    """Refuse localisers that need what a file of marked traces does not hold.

    Raises:
        InvalidInput: naming the localiser, what is missing and what to do.
    """
    for one in localizers:
        if asks_checker(one.localizer):
            problem = f"{source.path} holds traces, and no checker of steps"
            raise InvalidInput("localizers", one.name, problem, "leave it out, or name worlds")
        words = one.words(source.writing)
        if words is None:
            continue
        if words.shows_answer and any(trace.reference is None for trace in file.traces):
            problem = f"shows the right answer, which {source.path} does not hold"
            raise InvalidInput("localizers", one.name, problem, "choose self-not-told")
        if words.presumes_failure and any(trace.failed is None for trace in file.traces):
            problem = f"says that the answer is wrong, and {source.path} does not say which are"
            remedy = "choose self-not-told, or add the column final_answer_correct"
            raise InvalidInput("localizers", one.name, problem, remedy)


def chosen_traces(traces: int, most: int) -> int:
    """How many of a file's traces count."""
    check_count("traces", traces)
    return min(most, traces) if most else traces
