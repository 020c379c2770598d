"""The worlds of language models: a task, and how a model writes and localises in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cpi_theory.checks import InvalidInput, check_positive, check_probability
from experiments.config import check_new_names, named_value, named_values
from experiments.runs.fingerprint import points_to
from experiments.runs.imported import named_sources
from experiments.worlds.code import CodeWorld
from experiments.worlds.reasoning_gym import ReasoningGymWorld
from experiments.worlds.sums import SUMS, SumsWorld
from experiments.worlds.verifiers import VerifiersWorld
from experiments.worlds.writing import LATER, Writing, check_success
from llm.data.problems import Duplicates, Fields
from llm.models.adapters import base_of
from llm.models.settings import ModelSettings
from llm.rewards.scorers import Scorer, scorer_source
from llm.tasks.arithmetic.task import REGIMES, ArithmeticTask
from llm.tasks.dataset import load_task

if TYPE_CHECKING:
    from llm.task import Task
    from llm.text.thoughts import ThoughtFormat


@dataclass(frozen=True)
class ArithmeticWorld:
    """Chains of modular arithmetic for the tiny model, with an exact step checker.

    Attributes:
        name: in records and figures.
        horizon: thoughts per problem.
        hard_steps: how many steps ask for a hard fact; None: as it comes.
        hard_within: they lie among the first so many steps; None: anywhere.
        writing: how solutions are written and localised; None: as the tiny model was taught it.
    """

    name: str
    horizon: int = 10
    hard_steps: int | None = None
    hard_within: int | None = None
    writing: Writing | None = field(default=None, metadata={"later": True})

    def __post_init__(self) -> None:
        self.task()

    def task(self) -> ArithmeticTask:
        """The task; its facts are those that the tiny model was warm-started with."""
        return ArithmeticTask(
            horizon=self.horizon, hard_steps=self.hard_steps, hard_within=self.hard_within
        )

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        return self.task().form if self.writing is None else self.writing.form()

    @property
    def success(self) -> float:
        """Answers are right or wrong."""
        return 1.0


@dataclass(frozen=True)
class DatasetWorld:
    """Questions with verifiable answers from files or a hub, for any instruction-tuned model.

    Attributes:
        name: in records and figures.
        source: a JSONL or parquet file, a folder, or the name of a data set.
        test_source: where held-out questions are; None: a share of `source` is held out.
        test_share: that share.
        fields: which field of a record holds what.
        duplicates: whether a question that comes again is an error ("refuse"), or only its first
            record counts ("first").
        reward: "module:function" of a scorer, see :class:`llm.rewards.scorers.Scorer`; None:
            answers are compared with the reference.
        reward_seconds: how long it may take.
        writing: how the model is asked, writes and localises. Its fields may also stand beside
            those of the world, as in older files.
        success: a rollout fails if its reward is below this; in (0, 1].
    """

    name: str
    source: str
    test_source: str | None = None
    test_share: float = 0.2
    fields: Fields = field(default_factory=Fields)
    duplicates: Duplicates = "refuse"
    reward: str | None = field(default=None, metadata=LATER)
    reward_seconds: float = field(default=10.0, metadata=LATER)
    writing: Writing = field(default_factory=Writing, metadata={"flat": True})
    success: float = field(default=1.0, metadata=LATER)

    def __post_init__(self) -> None:
        check_probability("test_share", self.test_share)
        check_positive("reward_seconds", self.reward_seconds)
        check_success(self.success)
        if self.reward is not None and self.fields.kind is not None:
            remedy = "leave one of them out"
            raise InvalidInput("fields.kind", self.fields.kind, "a reward is set too", remedy)

    def task(self) -> Task:
        """The questions, in words that ask for the world's way of writing."""
        return load_task(
            self.source,
            self.test_source,
            self.test_share,
            fields=self.fields,
            duplicates=self.duplicates,
            scorer=None if self.reward is None else Scorer(self.reward, self.reward_seconds),
            template=self.writing.template(),
            delimiter=self.writing.delimiter,
        )

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        return self.writing.form()


@points_to.register
def _(world: DatasetWorld) -> Mapping[str, Path]:
    sources = (world.source, world.test_source)
    found = {source: Path(source) for source in sources if source is not None}
    if world.reward is not None:
        found |= named_sources(world.reward, scorer_source(world.reward))
    return found


@points_to.register
def _(model: ModelSettings) -> Mapping[str, Path]:
    path = Path(model.resolved_path)
    found = {model.path: path}
    while (base := base_of(path.expanduser())) is not None and base not in found:
        path = found[base] = Path(base)
    return found


LanguageWorld = (
    ArithmeticWorld | DatasetWorld | SumsWorld | ReasoningGymWorld | VerifiersWorld | CodeWorld
)

WORLDS: Mapping[str, LanguageWorld] = {
    **{
        name: ArithmeticWorld(name, task.horizon, task.hard_steps, task.hard_within)
        for name, task in REGIMES.items()
    },
    **SUMS,
}
"""The worlds that every command on language models knows by name."""


def choose(
    field: str, names: tuple[str, ...], more: tuple[LanguageWorld, ...]
) -> list[LanguageWorld]:
    """The worlds of these names, from `more` or :data:`WORLDS`; `field` is named in messages.

    Raises:
        InvalidInput: for a name that is neither, one given twice, or no name at all.
    """
    return named_values(field, names, _with(more))


def choose_one(field: str, name: str, more: tuple[LanguageWorld, ...]) -> LanguageWorld:
    """The world of a setting that holds one name; see :func:`choose`.

    Raises:
        InvalidInput: for a name that is neither.
    """
    return named_value(field, name, _with(more))


def _with(more: tuple[LanguageWorld, ...]) -> dict[str, LanguageWorld]:
    """All worlds by name, those of the user's own among them."""
    check_new_names("more", [world.name for world in more], WORLDS)
    return {**WORLDS, **{world.name: world for world in more}}
