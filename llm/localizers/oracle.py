"""Localisers that are not the model: the exact step checker, a majority, and blurred ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cpi_theory.checks import check_count, check_probability
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.base import (
    Answer,
    Localizer,
    Located,
    asking,
    by_itself,
    own_step,
    refusal_unasked,
    whole_solution,
)
from llm.sampling.base import Sampler
from llm.sampling.streaming import Questions
from llm.task import StepChecker
from llm.text.boundaries import Boundary
from llm.text.rollouts import TextRollout
from llm.text.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class OracleLocalizer:
    """Knows the first error from the task's exact step checker.

    Attributes:
        task: judges thoughts.
        vocabulary: the model's tokenizer.
        delimiter: what thoughts end with; the checker does not see it.
        ask_single: whether it is asked about rollouts of a single thought.
    """

    task: StepChecker
    vocabulary: Vocabulary
    delimiter: str | Boundary = "</thought>"
    ask_single: bool = True

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """See :class:`Localizer`; a failure without a wrong thought is refused with NO_ERROR.

        Args:
            rollouts: of the checker's task.
            keys: uint64 (len(rollouts),); nothing is drawn from them.
        """
        del keys  # an exact checker draws nothing
        return [
            Located(refusal_unasked(r, self.ask_single) or self._first_error(r)) for r in rollouts
        ]

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
        ask_single: whether they are asked about rollouts of a single thought.
    """

    inner: Localizer
    votes: int
    ask_single: bool = True

    def __post_init__(self) -> None:
        check_count("votes", self.votes)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """Give the step named most often; see :class:`Localizer`. Costs of votes are added up.

        Source: Wang et al. (2023), arXiv 2203.11171 (a majority over sampled answers).
        """
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """Ask for all votes at once; see :class:`~llm.localizers.base.AskingLocalizer`."""
        refusals = [refusal_unasked(rollout, self.ask_single) for rollout in rollouts]
        asked = [i for i, refusal in enumerate(refusals) if refusal is None]
        ballots = yield from self._ballots([rollouts[i] for i in asked], keys[asked], sampler)
        by_rollout = dict(zip(asked, ballots, strict=True))
        return [
            _elect(by_rollout[i]) if refusal is None else Located(refusal)
            for i, refusal in enumerate(refusals)
        ]

    def _ballots(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[list[Located]]]:
        repeated = [rollout for rollout in rollouts for _ in range(self.votes)]
        # From the rollout's own key, so that its votes depend on no other rollout.
        streams = [Key.of(int(k)).child("votes").integers(self.votes) for k in keys]
        # numpy concatenates no empty list.
        flat = np.concatenate(streams) if streams else keys
        located = yield from asking(self.inner, repeated, flat, sampler)
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
        # Of a vote for the winner: how the others were read decides nothing.
        next(vote.reading for vote in ballot if vote.answer == winner),
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
        """Blur the inner localiser's steps; see :class:`Localizer`.

        With its step s, a rollout of H steps and the accuracy a, step t is named with probability
        :math:`a [t = s] + (1 - a) / H`.
        """
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """Ask the inner localiser; see :class:`~llm.localizers.base.AskingLocalizer`."""
        located = yield from asking(self.inner, rollouts, keys, sampler)
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
