"""Keeping a localiser alive that shares its weights with the policy: localisations to learn from.

Rows of an update are those of its groups. With a rehearsal some rows are added that hold a question
about a failed solution and the reply to it, whose tokens all have the same advantage: their
log-likelihood is raised, as in supervised training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import Collection, Group, Localization
from experiments.train.spec import Rehearsal, TrainSpec
from llm.localizers.base import Localizer, Located, asking, by_itself
from llm.localizers.self_localizer import SelfLocalizer
from llm.sampling.base import Sampler
from llm.sampling.streaming import Questions
from llm.tasks.arithmetic.locating import opening
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.rollouts import TextRollout, Tokens
from llm.text.vocabulary import Vocabulary
from llm.training.demonstrations import Demonstrations
from llm.training.rows import TrainingRow


@dataclass(slots=True)
class Remembering:
    """Passes on what a localiser says and remembers it until it is taken.

    Attributes:
        inner: the localiser in use.
        said: rollouts and what was said of each, since the last time they were taken.
    """

    inner: Localizer
    said: list[tuple[TextRollout, Located]] = field(default_factory=list)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`llm.localizers.base.Localizer`."""
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """See :class:`llm.localizers.base.AskingLocalizer`."""
        located = yield from asking(self.inner, rollouts, keys, sampler)
        self.said += zip(rollouts, located, strict=True)
        return located

    def take(self) -> list[tuple[TextRollout, Located]]:
        """What was said since the last time."""
        taken, self.said = self.said, []
        return taken


class Rehearsing(Protocol):
    """Where the rows come from that are added to an update."""

    def rows(self, collection: Collection, key: Key) -> list[TrainingRow]:
        """Return the rows that are added to those of a collection; `key` is of the update."""
        ...


@dataclass(frozen=True)
class Exercises:
    """Fresh exercises in localising, as the tiny model's warm start had: labels are exact.

    Attributes:
        task: whose questions are asked.
        vocabulary: of the model.
        settings: how many, and how much each weighs.
    """

    task: ArithmeticTask
    vocabulary: Vocabulary
    settings: Rehearsal

    def rows(self, collection: Collection, key: Key) -> list[TrainingRow]:
        """See :class:`Rehearsing`."""
        del collection  # they have nothing to do with what the model did
        source = Demonstrations(self.task, localize_only=1.0)
        stream = self.task.exercises("train", key.child("exercises"))
        exercises = [next(stream) for _ in range(self.settings.rows)]
        rows = []
        for number, one in enumerate(source.draw(exercises, key.child("slips"))):
            question, chain, reply = one.parts
            begin = opening(one.exercise)
            asked = self.vocabulary.encode(f"{question} {chain} {begin}")
            said = self.vocabulary.encode(reply.removeprefix(begin).strip(), special=False)
            rows.append(_row(asked, said, number, self.settings))
        return rows


@dataclass(frozen=True)
class VerifiedAnswers:
    """The model's own answers of this update that a success followed: nobody is asked for labels.

    A suffix from the named step succeeded, so that what was kept is mended there or before. That
    the step is the *first* wrong one does not follow: an earlier one would have done as well.

    Attributes:
        localizer: the model's own.
        heard: what it said.
        vocabulary: of the model.
        settings: how many at most, and how much each weighs.
    """

    localizer: SelfLocalizer
    heard: Remembering
    vocabulary: Vocabulary
    settings: Rehearsal

    def rows(self, collection: Collection, key: Key) -> list[TrainingRow]:
        """See :class:`Rehearsing`."""
        del key  # nothing is drawn
        said = {id(rollout): (rollout, found) for rollout, found in self.heard.take()}
        found = [
            self._row(*said[id(group.parent)], group.prompt)
            for group in collection
            if id(group.parent) in said and _verified(group, said[id(group.parent)][1])
        ]
        return found[: self.settings.rows]

    def _row(self, rollout: TextRollout, found: Located, prompt: int) -> TrainingRow:
        reply = self.vocabulary.encode(found.text, special=False)
        return _row(self.localizer.prompt_ids(rollout), reply, prompt, self.settings)


def _verified(group: Group, found: Located) -> bool:
    """Whether the group starts where the answer says, and one of its samples succeeds."""
    answer = found.answer
    named = isinstance(answer, Localization) and answer.step == group.step
    return bool(named and found.text and any(not r.failed for r in group.rollouts))


def _row(asked: Tokens, said: Tokens, prompt: int, settings: Rehearsal) -> TrainingRow:
    """A row whose log-probabilities an engine works out where its loss needs them."""
    return TrainingRow(
        asked,
        said,
        np.zeros(len(said), np.float32),
        np.full(len(said), settings.weight),
        group=-1,
        prompt_id=prompt,
        off_policy=True,
    )


def rehearsing(
    spec: TrainSpec, task: object, localizer: Localizer, vocabulary: Vocabulary
) -> tuple[Localizer, Rehearsing | None]:
    """The localiser in use, remembered where that is needed, and where added rows come from.

    Raises:
        InvalidInput: the source has nothing to offer here.
    """
    chosen = spec.rehearsal
    if chosen.source == "none":
        return localizer, None
    if chosen.source == "exercises":
        if not isinstance(task, ArithmeticTask):
            problem = f"the task of {spec.world.name} has no exercises in localising"
            raise _refused(chosen, problem, 'set rehearsal.source = "resets"')
        return localizer, Exercises(task, vocabulary, chosen)
    if not isinstance(localizer, SelfLocalizer):
        problem = f"{spec.method.name} does not ask the model itself for first errors"
        raise _refused(chosen, problem, "leave it out, or choose a method that does, such as SRPO")
    heard = Remembering(localizer)
    return heard, VerifiedAnswers(localizer, heard, vocabulary, chosen)


def _refused(chosen: Rehearsal, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput("rehearsal.source", chosen.source, problem, remedy)
