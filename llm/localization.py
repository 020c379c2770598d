"""Naming the first wrong thought of a rollout: the localiser's signature and what it is made of.

Whoever localises, the answer is a step of the rollout's own or a typed refusal, and it comes with
what it cost. A solution is looked at as a whole: the thoughts that were kept when the rollout
started come first, and an error among them is no step that the rollout could be reset to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from cpi_theory.checks import check_count, check_probability
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.rollouts import TextRollout
from llm.tasks import StepChecker
from llm.vocabulary import Vocabulary

Answer = Localization | FailedLocalization


@dataclass(frozen=True, slots=True)
class Located:
    """What a localiser said of one rollout and what that cost.

    Attributes:
        answer: a step of the rollout (0-based among its own thoughts), or why there is none.
        generated: tokens sampled for the reply.
        prompt: tokens of the prompt that was replied to, 0 if nothing was asked.
        text: the reply.
    """

    answer: Answer
    generated: int = 0
    prompt: int = 0
    text: str = ""


class Localizer(Protocol):
    """Names first errors.

    Laws:
      1. ``locate(rollouts, keys)[i]`` depends on ``rollouts[i]`` and ``keys[i]`` alone.
      2. Rollouts that did not fail are refused with NOT_FAILED, empty ones with EMPTY, at no cost.
    """

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """One answer per rollout; every rollout is asked about in one batch.

        Args:
            rollouts: any number.
            keys: the randomness of each answer, uint64 (len(rollouts),).
        """
        ...


def whole_solution(rollout: TextRollout, vocabulary: Vocabulary, delimiter: str) -> list[str]:
    """Texts of all thoughts, kept ones first, without delimiters and surrounding blanks."""
    thoughts = rollout.start.thoughts + rollout.thoughts
    return [vocabulary.decode(t).replace(delimiter, "").strip() for t in thoughts]


def own_step(rollout: TextRollout, index: int) -> Answer:
    """The answer that names thought `index` (0-based) of the whole solution."""
    step = index - len(rollout.start.ends)
    if not 0 <= step < len(rollout):
        return FailedLocalization(Reason.OUT_OF_RANGE)
    return Localization(step)


def refusal_unasked(rollout: TextRollout) -> FailedLocalization | None:
    """Why a rollout need not be asked about, None if it should be."""
    if not rollout.failed:
        return FailedLocalization(Reason.NOT_FAILED)
    return None if len(rollout) else FailedLocalization(Reason.EMPTY)


@dataclass(frozen=True, slots=True)
class OracleLocalizer:
    """Knows the first error from the task's exact step checker.

    Attributes:
        task: judges thoughts.
        vocabulary: the model's tokenizer.
        delimiter: what thoughts end with; the checker does not see it.
    """

    task: StepChecker
    vocabulary: Vocabulary
    delimiter: str = "</thought>"

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`Localizer`; a failure without a wrong thought is refused with NO_ERROR."""
        return [Located(refusal_unasked(r) or self._first_error(r)) for r in rollouts]

    def _first_error(self, rollout: TextRollout) -> Answer:
        thoughts = whole_solution(rollout, self.vocabulary, self.delimiter)
        index = self.task.first_error(rollout.start.problem, thoughts)
        if index is None:
            return FailedLocalization(Reason.NO_ERROR)
        return own_step(rollout, index)


@dataclass(frozen=True, slots=True)
class MajorityLocalizer:
    """Asks several times, all in one batch, and takes the step named most often.

    The earlier step wins a tie, for a prefix that is too short is still right. "No error" is an
    answer like a step and loses ties; any other refusal abstains, and if all do, the most frequent
    reason stands, the earlier vote's among equals.

    Attributes:
        inner: who is asked.
        votes: how often.
    """

    inner: Localizer
    votes: int

    def __post_init__(self) -> None:
        check_count("votes", self.votes)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`Localizer`; what the votes cost is added up."""
        asked = [i for i, r in enumerate(rollouts) if refusal_unasked(r) is None]
        ballots = self._ballots([rollouts[i] for i in asked], keys[asked])
        by_rollout = dict(zip(asked, ballots, strict=True))
        return [
            _elect(by_rollout[i]) if refusal is None else Located(refusal)
            for i, refusal in enumerate(map(refusal_unasked, rollouts))
        ]

    def _ballots(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[list[Located]]:
        repeated = [rollout for rollout in rollouts for _ in range(self.votes)]
        streams = [Key.of(int(k)).child("votes").integers(self.votes) for k in keys]
        flat = np.concatenate(streams) if streams else keys
        located = self.inner.locate(repeated, flat)
        return [located[i : i + self.votes] for i in range(0, len(located), self.votes)]


def _elect(ballot: Sequence[Located]) -> Located:
    answers = [vote.answer for vote in ballot]
    votes = [a for a in answers if isinstance(a, Localization) or a.reason is Reason.NO_ERROR]
    counts = Counter(votes or answers)
    winner = min(counts, key=lambda answer: (-counts[answer], _rank(answer)))
    return Located(
        winner,
        sum(vote.generated for vote in ballot),
        sum(vote.prompt for vote in ballot),
        "\n".join(vote.text for vote in ballot),
    )


def _rank(answer: Answer) -> float:
    return answer.step if isinstance(answer, Localization) else np.inf


@dataclass(frozen=True, slots=True)
class BlurredLocalizer:
    """Makes a localiser worse by a known amount, for studies of what precision is worth.

    Attributes:
        inner: who is asked; its refusals stand.
        accuracy: probability that its step is passed on; otherwise the step is uniform among the
            rollout's own, the right one included.
    """

    inner: Localizer
    accuracy: float

    def __post_init__(self) -> None:
        check_probability("accuracy", self.accuracy)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`Localizer`."""
        located = self.inner.locate(rollouts, keys)
        return [
            self._blur(one, len(rollout), int(key))
            for one, rollout, key in zip(located, rollouts, keys, strict=True)
        ]

    def _blur(self, one: Located, steps: int, key: int) -> Located:
        if not isinstance(one.answer, Localization):
            return one
        rng = Key.of(key).child("blur").generator()
        if rng.random() < self.accuracy:
            return one
        return replace(one, answer=Localization(int(rng.integers(steps))))
