"""The worlds of `train`: a task, a model that works on it, and how it names its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cpi_theory.checks import check_count, check_in_range, check_probability
from experiments.config import check_new_names, named_values
from experiments.runs.fingerprint import points_to
from llm.data.problems import Duplicates, Fields
from llm.models.settings import ModelSettings
from llm.tasks.arithmetic.task import REGIMES, ArithmeticTask
from llm.tasks.dataset import load_task

if TYPE_CHECKING:
    from llm.localizers.base import Localizer
    from llm.sampling.base import Sampler
    from llm.task import Task
    from llm.text.thoughts import ThoughtFormat
    from llm.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class ArithmeticWorld:
    """Chains of modular arithmetic for the tiny model, with an exact step checker.

    Attributes:
        name: in records and figures.
        horizon: thoughts per problem.
        hard_steps: how many steps ask for a hard fact; None: as it comes.
        hard_within: they lie among the first so many steps; None: anywhere.
    """

    name: str
    horizon: int = 10
    hard_steps: int | None = None
    hard_within: int | None = None

    def __post_init__(self) -> None:
        self.task()

    def task(self) -> ArithmeticTask:
        """The task; its facts are those that the tiny model was warm-started with."""
        return ArithmeticTask(
            horizon=self.horizon, hard_steps=self.hard_steps, hard_within=self.hard_within
        )

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        return self.task().form

    def localizer(self, sampler: Sampler, vocabulary: Vocabulary) -> Localizer:
        """The model's own, in the words that it was warm-started with."""
        from llm.opening import self_localizer

        return self_localizer(self.task(), sampler, vocabulary, self.form())

    @property
    def chat(self) -> bool:
        """Prompts are plain text."""
        return False


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
        max_thoughts, max_tokens, thought_tokens: see :class:`llm.text.thoughts.ThoughtFormat`.
        chat: whether prompts are put into the model's chat template.
        localization_temperature, localization_tokens: of the model's own localisations.
    """

    name: str
    source: str
    test_source: str | None = None
    test_share: float = 0.2
    fields: Fields = field(default_factory=Fields)
    duplicates: Duplicates = "refuse"
    max_thoughts: int = 20
    max_tokens: int = 5120
    thought_tokens: int | None = None
    chat: bool = False
    localization_temperature: float = 0.3
    localization_tokens: int = 4096

    def __post_init__(self) -> None:
        check_probability("test_share", self.test_share)
        check_count("localization_tokens", self.localization_tokens)
        check_in_range("localization_temperature", self.localization_temperature, 0, 100)
        self.form()

    def task(self) -> Task:
        """The questions."""
        return load_task(
            self.source,
            self.test_source,
            self.test_share,
            fields=self.fields,
            duplicates=self.duplicates,
        )

    def form(self) -> ThoughtFormat:
        """Format of solutions."""
        from llm.text.thoughts import ThoughtFormat

        return ThoughtFormat(
            max_thoughts=self.max_thoughts,
            max_tokens=self.max_tokens,
            thought_tokens=self.thought_tokens,
        )

    def localizer(self, sampler: Sampler, vocabulary: Vocabulary) -> Localizer:
        """The model's own, told that the answer is wrong."""
        from llm.localizers.self_localizer import SelfLocalizer
        from llm.sampling.base import Sampling

        sampling = Sampling(self.localization_temperature, 0.95)
        return SelfLocalizer(
            sampler, vocabulary, sampling=sampling, max_tokens=self.localization_tokens
        )


@points_to.register
def _(world: DatasetWorld) -> Mapping[str, Path]:
    sources = (world.source, world.test_source)
    return {source: Path(source) for source in sources if source is not None}


@points_to.register
def _(model: ModelSettings) -> Mapping[str, Path]:
    return {model.path: Path(model.resolved_path)}


LanguageWorld = ArithmeticWorld | DatasetWorld

WORLDS: Mapping[str, LanguageWorld] = {
    name: ArithmeticWorld(name, task.horizon, task.hard_steps, task.hard_within)
    for name, task in REGIMES.items()
}
"""The worlds that `train` knows by name."""


def choose(
    field: str, names: tuple[str, ...], more: tuple[LanguageWorld, ...]
) -> list[LanguageWorld]:
    """The worlds of these names, from `more` or :data:`WORLDS`; `field` is named in messages.

    Raises:
        InvalidInput: for a name that is neither, one given twice, or no name at all.
    """
    check_new_names("more", [world.name for world in more], WORLDS)
    return named_values(field, names, {**WORLDS, **{world.name: world for world in more}})
