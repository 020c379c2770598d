"""Naming the first wrong thought of a rollout: the localiser's signature and what it is made of.

Whoever localises, the answer is a step of the rollout's own or a typed refusal, and it comes with
what it cost. A solution is looked at as a whole: the thoughts that were kept when the rollout
started come first, and an error among them is no step that the rollout could be reset to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from cpi_theory.randomness import Keys
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.sampling.base import Sampler
from llm.sampling.streaming import Questions
from llm.text.boundaries import Boundary, Delimiter
from llm.text.rollouts import TextRollout
from llm.text.vocabulary import Vocabulary

Answer = Localization | FailedLocalization


@dataclass(frozen=True, slots=True)
class Located:
    """What a localiser said of one rollout and what that cost.

    Attributes:
        answer: a step of the rollout (0-based among its own thoughts), or why there is none.
        generated: tokens sampled for the reply.
        prompt: tokens of the prompt that was replied to, 0 if nothing was asked.
        text: the reply.
        reading: how the step was read out of the reply, "box" or one of
            :data:`llm.localizers.reading.Reading`; empty where there was nothing to read.
    """

    answer: Answer
    generated: int = 0
    prompt: int = 0
    text: str = ""
    reading: str = ""


class Localizer(Protocol):
    """Names first errors.

    Laws:
      1. ``locate(rollouts, keys)[i]`` depends on ``rollouts[i]`` and ``keys[i]`` alone.
      2. Rollouts that did not fail are refused with NOT_FAILED, empty ones with EMPTY, and those of
         a single thought, where a localiser is not to be asked about them, with SINGLE_STEP;
         nothing is generated for them.
    """

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """Give one answer per rollout; every rollout is asked about in one batch.

        Args:
            rollouts: any number.
            keys: the randomness of each answer, uint64 (len(rollouts),).
        """
        ...


class AskingLocalizer(Localizer, Protocol):
    """A localiser that leaves the sampling to whoever runs it.

    Law: ``locate(rollouts, keys)`` is what ``asking(rollouts, keys, sampler)`` returns, whatever
    the sampler that completes what it yields.
    """

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """Yield what `sampler` is asked about the rollouts; return one answer for each.

        Args:
            rollouts: any number.
            keys: the randomness of each answer, uint64 (len(rollouts),).
            sampler: whose completions are sent. What is asked of another engine is not yielded: the
                localiser has it answered itself; None: all that it asks.
        """
        ...


def leaves_sampling(localizer: Localizer) -> TypeGuard[AskingLocalizer]:
    """Tell whether a localiser is an :class:`AskingLocalizer`.

    Its class has to be: a wrapper that passes other attributes through would be passed by.
    """
    return hasattr(type(localizer), "asking")


def asking(
    localizer: Localizer, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
) -> Questions[list[Located]]:
    """Ask any localiser; one that samples nothing, or by itself, yields nothing.

    Args:
        localizer: who is asked.
        rollouts: any number.
        keys: of the answers, uint64 (len(rollouts),).
        sampler: whose completions are sent, see :meth:`AskingLocalizer.asking`.
    """
    if leaves_sampling(localizer):
        return (yield from localizer.asking(rollouts, keys, sampler))
    return localizer.locate(rollouts, keys)


def by_itself(questions: Questions[list[Located]]) -> list[Located]:
    """Return the answers of a localiser that was given no sampler, and so yields nothing.

    Args:
        questions: of :func:`asking` without a sampler, not begun yet.
    """
    try:
        next(questions)
    except StopIteration as end:
        answers: list[Located] = end.value
        return answers
    raise RuntimeError("a localiser yielded requests although nobody completes them")


def whole_solution(
    rollout: TextRollout, vocabulary: Vocabulary, delimiter: str | Boundary
) -> list[str]:
    """Return the texts of all thoughts, kept ones first, without delimiters and outer blanks.

    Args:
        rollout: a rollout, perhaps from a state with kept thoughts.
        vocabulary: the model's tokenizer.
        delimiter: what thoughts end with, as a text or as the boundary that they have.

    Returns:
        One text per thought, ``len(rollout.start.ends) + len(rollout)`` of them.
    """
    thoughts = rollout.start.thoughts + rollout.thoughts
    boundary = Delimiter(delimiter) if isinstance(delimiter, str) else delimiter
    return [boundary.shown(vocabulary.decode(t)) for t in thoughts]


def own_step(rollout: TextRollout, index: int) -> Answer:
    """Return the answer that names a thought of the whole solution.

    Args:
        rollout: what was localised.
        index: of the thought, 0-based, those kept before the rollout counted.

    Returns:
        The step of the rollout's own; OUT_OF_RANGE for a kept thought or none at all.
    """
    step = index - len(rollout.start.ends)
    # Below 0 the error is in what was kept, which no reset of this rollout can undo.
    if not 0 <= step < len(rollout):
        return FailedLocalization(Reason.OUT_OF_RANGE)
    return Localization(step)


def refusal_unasked(rollout: TextRollout, ask_single: bool = True) -> FailedLocalization | None:
    """Return why a rollout need not be asked about, None if it should be.

    Args:
        rollout: what might be asked about.
        ask_single: whether one of a single thought should be. Only that thought could be named, and
            a reset to it begins where the rollout began.
    """
    if not rollout.failed:
        return FailedLocalization(Reason.NOT_FAILED)
    if len(rollout) == 1 and not ask_single:
        return FailedLocalization(Reason.SINGLE_STEP)
    return None if len(rollout) else FailedLocalization(Reason.EMPTY)
