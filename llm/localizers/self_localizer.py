"""Self-localisation: the model reads its own numbered thoughts and names the first wrong one."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cpi_theory.checks import check_count
from cpi_theory.randomness import Keys
from cpi_theory.seam import FailedLocalization
from llm.localizers.base import Located, by_itself, refusal_unasked, whole_solution
from llm.localizers.reading import Reading, check_readings, read_reply
from llm.localizers.replies import ask_for_box, replies_to, up_to_box
from llm.prompts import Prompt, shipped
from llm.sampling.base import Completion, Request, Sampler, Sampling
from llm.sampling.streaming import Questions
from llm.task import Problem
from llm.text.boundaries import Boundary
from llm.text.rollouts import TextRollout, Tokens
from llm.text.vocabulary import Vocabulary

Messages = Sequence[Mapping[str, str]]
"""A conversation: each message has a "role" and a "content"."""


class LocalizationPrompt(Protocol):
    """How a model is asked for the first error of a solution.

    It is to reply with the 1-based number of a thought in ``\\boxed{}``; 0 says that all are right.
    """

    def render(self, problem: Problem, thoughts: Sequence[str]) -> str | Messages:
        """Return a text that the model continues, or a conversation for its chat template.

        Args:
            problem: what was asked.
            thoughts: texts of the whole solution's thoughts in order, without delimiters.
        """
        ...


class Disclosure(enum.Enum):
    """What the model is told about the attempt that it is shown."""

    ANSWER_SHOWN = "answer shown"
    """That it is wrong, and the reference answer."""
    TOLD_WRONG = "told wrong"
    """That it is wrong."""
    NOT_TOLD = "not told"
    """Nothing: it may reply that every step is right."""
    ANSWER_GIVEN = "answer given"
    """The reference answer, and not whether the attempt arrives at it: it may reply that every
    step is right."""

    @property
    def presumes_failure(self) -> bool:
        """Whether the words are true of failed attempts alone, and ask for a step in any case."""
        return self in (Disclosure.ANSWER_SHOWN, Disclosure.TOLD_WRONG)

    @property
    def shows_answer(self) -> bool:
        """Whether the words hold the reference answer."""
        return self in (Disclosure.ANSWER_SHOWN, Disclosure.ANSWER_GIVEN)


@dataclass(frozen=True, slots=True)
class WrittenLocalizationPrompt:
    """Asks a model that follows written instructions, in one message from the user.

    Attributes:
        disclosure: what it is told.
        own: whether it is told that the attempt is its own.
        wording: with placeholders question, attempt (whose it is), count and steps, and
            answer where it is shown; by default the one that comes with the package.
    """

    disclosure: Disclosure = Disclosure.TOLD_WRONG
    own: bool = True
    wording: Prompt | None = None

    def render(self, problem: Problem, thoughts: Sequence[str]) -> Messages:
        """See :class:`LocalizationPrompt`."""
        values = {
            "question": problem.question,
            "attempt": "an earlier attempt of yours" if self.own else "somebody else's attempt",
            "count": str(len(thoughts)),
            "steps": "\n".join(f"Step {i}: {text}" for i, text in enumerate(thoughts, 1)),
        }
        if self.disclosure.shows_answer:
            values["answer"] = problem.answer
        wording = self.wording or shipped(f"locate_{self.disclosure.name.lower()}")
        # A wording of a user's own may leave out whose attempt it is and how long.
        spare = {"attempt", "count"} - wording.placeholders
        filled = wording.fill(**{k: v for k, v in values.items() if k not in spare})
        return [{"role": "user", "content": filled}]


@dataclass(frozen=True, slots=True)
class SelfLocalizer:
    """Asks the model that wrote the thoughts, all rollouts in one batched call.

    A reply ends with its first whole box and is read by
    :func:`llm.localizers.reading.read_reply`. A solution too long to be read within the model's
    context is refused with TRUNCATED, without a call.

    Attributes:
        sampler: the engine with the model's current weights.
        vocabulary: its tokenizer.
        prompt: how it is asked.
        sampling: temperature and top-p of replies.
        max_tokens: most tokens per reply.
        delimiter: what thoughts end with; the model is shown them without it.
        readings: how a reply without a box may be read, tried in this order.
        ask_single: whether it is asked about rollouts of a single thought, in which there is
            nothing to find.
        template_arguments: of the tokenizer's chat template.
    """

    sampler: Sampler
    vocabulary: Vocabulary
    prompt: LocalizationPrompt = field(default_factory=WrittenLocalizationPrompt)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.3, top_p=0.95))
    max_tokens: int = 4096
    delimiter: str | Boundary = "</thought>"
    readings: tuple[Reading, ...] = ()
    ask_single: bool = True
    template_arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens)
        check_readings(self.readings)

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """Ask the model about each rollout; see :class:`~llm.localizers.base.Localizer`.

        Source: arXiv 2605.25507 (self-localisation).
        """
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """Yield all requests at once; see :class:`~llm.localizers.base.AskingLocalizer`."""
        located: list[Located | None] = [None] * len(rollouts)
        requests: dict[int, Request] = {}
        for i, (rollout, key) in enumerate(zip(rollouts, keys, strict=True)):
            asked = refusal_unasked(rollout, self.ask_single) or self._request(rollout, int(key))
            if isinstance(asked, Request):
                requests[i] = asked
            else:
                located[i] = Located(asked)
        replies = yield from replies_to(requests, self.sampler, self.sampling, sampler)
        for i, completion in replies.items():
            located[i] = self._read(rollouts[i], requests[i], completion)
        return [one for one in located if one is not None]

    def prompt_ids(self, rollout: TextRollout) -> Tokens:
        """Return the ids of what the model is asked about a rollout."""
        thoughts = whole_solution(rollout, self.vocabulary, self.delimiter)
        asked = self.prompt.render(rollout.start.problem, thoughts)
        if isinstance(asked, str):
            return self.vocabulary.encode(asked)
        return self.vocabulary.chat(asked, self.template_arguments)

    def _request(self, rollout: TextRollout, key: int) -> Request | FailedLocalization:
        return ask_for_box(self.sampler, self.prompt_ids(rollout), self.max_tokens, key)

    def _read(self, rollout: TextRollout, request: Request, completion: Completion) -> Located:
        text = up_to_box(completion, self.sampler, self.vocabulary)
        answer, reading = read_reply(rollout, text, completion.ended == "length", self.readings)
        return Located(answer, len(completion.tokens), len(request.tokens), text, reading)
