"""Localisers under the names that they have in tables, for every command that asks several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cpi_theory.checks import InvalidInput
from experiments.config import check_new_names, named_values
from experiments.worlds.language import LanguageWorld
from experiments.worlds.localizing import make_localizer
from experiments.worlds.writing import (
    AskChecker,
    AskEndpoint,
    AskSelf,
    AskSeveral,
    Blurred,
    Locating,
    Text,
    Unsure,
    Writing,
)
from llm.localizers.base import Localizer
from llm.localizers.self_localizer import Disclosure

if TYPE_CHECKING:
    from llm.sampling.base import Sampler
    from llm.task import Task
    from llm.text.rollouts import TextRollout
    from llm.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class NamedLocalizer:
    """A localiser under the name that it has in tables.

    Attributes:
        name: that name.
        localizer: who is asked.
        disclosure: what they are told about the attempt; None: as the writing says.
        prompt: in which words, with the placeholders of a writing's `localization_prompt`; None:
            those of the package for this disclosure.
    """

    name: str
    localizer: Locating = field(default_factory=AskSelf)
    disclosure: Disclosure | None = None
    prompt: Text | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InvalidInput("localizers.name", self.name, "empty", "say who is asked")
        if self.prompt is not None and self.disclosure is None:
            remedy = "say what its words tell about the attempt"
            raise InvalidInput("localizers.disclosure", None, "missing beside a prompt", remedy)

    @property
    def asked(self) -> object:
        """Who replies in the end: of a majority and of a blurred localiser the inner one."""
        return getattr(self.localizer, "of", self.localizer)

    @property
    def replies(self) -> bool:
        """Whether a model is asked in words."""
        return isinstance(self.asked, AskSelf | AskEndpoint)

    def words(self, writing: Writing | None) -> Disclosure | None:
        """What its words tell; None: they are none of a writing, and tell nothing."""
        if not self.replies or (writing is None and isinstance(self.asked, AskSelf)):
            return None
        return self.disclosure or (writing or Writing()).disclosure

    def presumes_failure(self, writing: Writing | None) -> bool:
        """Whether it can be asked about failed traces alone, as its words say that they failed."""
        words = self.words(writing)
        return words is not None and words.presumes_failure

    def rewritten(self, writing: Writing | None) -> Writing | None:
        """A writing in which it is asked as its own fields say.

        Raises:
            InvalidInput: the world localises in words of its own, which cannot be chosen.
        """
        if not self.replies or self.disclosure is None:
            return writing
        if writing is None:
            problem = "the world asks for first errors in words that its model was taught"
            remedy = "choose self there, which is asked in those, or unsure, who is not asked"
            raise InvalidInput("localizers", self.name, problem, remedy)
        return replace(writing, disclosure=self.disclosure, localization_prompt=self.prompt)

    def make(
        self, world: LanguageWorld, task: Task, sampler: Sampler, vocabulary: Vocabulary
    ) -> Localizer:
        """The localiser for the solutions of a world, asked as its own fields say.

        Args:
            world: whose solutions are read.
            task: its task.
            sampler: the engine with the model's current weights.
            vocabulary: its tokenizer.

        Raises:
            InvalidInput: see :meth:`rewritten` and :func:`make_localizer`.
        """
        writing = self.rewritten(world.writing)
        # Only a world without a writing takes None, and it has None then.
        asked = world if writing is None else replace(world, writing=writing)
        return make_localizer(asked, task, sampler, vocabulary, self.localizer)

    def check_scored(self, rollouts: Sequence[TextRollout]) -> None:
        """Refuse rollouts without log-probabilities where it looks at those.

        Raises:
            InvalidInput: naming the localiser and an engine that gives them.
        """
        if isinstance(self.localizer, Unsure) and any(np.isnan(r.logprobs).any() for r in rollouts):
            problem = "the engine gives no log-probabilities of what it sampled"
            remedy = "choose sampler.engine = 'transformers', or leave it out"
            raise InvalidInput("localizers", self.name, problem, remedy)


LOCALIZERS: Mapping[str, NamedLocalizer] = {
    one.name: one
    for one in (
        NamedLocalizer("self"),
        *(
            NamedLocalizer(f"self-{how.value.replace(' ', '-')}", AskSelf(), how)
            for how in Disclosure
        ),
        NamedLocalizer("majority", AskSeveral(), Disclosure.NOT_TOLD),
        NamedLocalizer("unsure", Unsure()),
        NamedLocalizer("unsure-mean", Unsure(measure="mean")),
        NamedLocalizer("checker", AskChecker()),
        NamedLocalizer("blurred", Blurred(0.5)),
    )
}
"""The localisers that commands know by name."""


def choose_localizers(
    names: tuple[str, ...], more: tuple[NamedLocalizer, ...]
) -> tuple[NamedLocalizer, ...]:
    """The localisers of these names, from `more` or :data:`LOCALIZERS`; none for no name.

    Raises:
        InvalidInput: for a name that is neither, or one given twice.
    """
    check_new_names("more_localizers", [one.name for one in more], LOCALIZERS)
    known = {**LOCALIZERS, **{one.name: one for one in more}}
    return tuple(named_values("localizers", names, known)) if names else ()
