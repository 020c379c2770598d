"""Verification before localisation: a model says whether a solution is right, and only then where.

The two are questions of their own: a model may know that its answer is wrong without seeing where,
and one that is asked for a wrong step is led to name one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.base import (
    Answer,
    Localizer,
    Located,
    asking,
    by_itself,
    refusal_unasked,
    whole_solution,
)
from llm.localizers.replies import ask_for_box, replies_to, up_to_box
from llm.prompts import Prompt, shipped
from llm.sampling.base import Completion, Request, Sampler, Sampling
from llm.sampling.streaming import Questions
from llm.text.answers import boxed_span
from llm.text.boundaries import Boundary
from llm.text.rollouts import TextRollout, Tokens
from llm.text.vocabulary import Vocabulary

_VERDICTS = {"yes": True, "no": False}

_WRONG = Localization(-1)
"""In place of an answer that the inner localiser is still to give; compared by identity."""


def read_verdict(reply: str, cut: bool = False) -> bool | FailedLocalization:
    r"""Read whether a reply calls a solution right: ``\boxed{yes}`` or ``\boxed{no}``, no more.

    Args:
        reply: its text.
        cut: whether it was cut off at a limit.

    Returns:
        The verdict; TRUNCATED, EMPTY or UNPARSABLE where there is none. Neither answer is taken for
        granted, and no word outside the box is looked at.
    """
    span = boxed_span(reply)
    if span is not None:
        found = _VERDICTS.get(reply[slice(*span)].strip().lower())
        return FailedLocalization(Reason.UNPARSABLE) if found is None else found
    if cut:
        return FailedLocalization(Reason.TRUNCATED)
    return FailedLocalization(Reason.UNPARSABLE if reply.strip() else Reason.EMPTY)


@dataclass(frozen=True, slots=True)
class VerifiedLocalizer:
    """Asks the model whether a solution is right, and another localiser where it says no.

    "Right" is answered by NO_ERROR. A verdict that cannot be read is refused with its reason, and
    nobody is asked for a step. The tokens of both questions are counted.

    Attributes:
        inner: who names the step.
        sampler: the engine with the model's current weights, which verifies.
        vocabulary: its tokenizer.
        delimiter: what thoughts end with; the model is shown them without it.
        wording: with the placeholders question and steps, and attempt and count where they are
            wanted; by default the one that comes with the package.
        sampling: temperature and top-p of verdicts.
        max_tokens: most tokens per verdict.
        own: whether it is told that the attempt is its own.
        template_arguments: of the tokenizer's chat template.
    """

    inner: Localizer
    sampler: Sampler
    vocabulary: Vocabulary
    delimiter: str | Boundary = "</thought>"
    wording: Prompt = field(default_factory=lambda: shipped("verify"))
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.3, top_p=0.95))
    max_tokens: int = 4096
    own: bool = True
    template_arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("max_tokens", self.max_tokens)
        self.wording.check({"question", "steps"}, {"attempt", "count"})

    def locate(self, rollouts: Sequence[TextRollout], keys: Keys) -> list[Located]:
        """Verify and localise; see :class:`~llm.localizers.base.Localizer`."""
        return by_itself(self.asking(rollouts, keys, None))

    def asking(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """Ask for all verdicts at once, then for steps."""
        verdicts = yield from self._verdicts(rollouts, keys, sampler)
        suspects = [i for i, one in enumerate(verdicts) if one.answer is _WRONG]
        # Under the rollout's own key: the step is the one that would be named without a verdict.
        asked = [rollouts[i] for i in suspects]
        located = yield from asking(self.inner, asked, keys[suspects], sampler)
        for i, one in zip(suspects, located, strict=True):
            verdicts[i] = replace(
                one,
                generated=one.generated + verdicts[i].generated,
                prompt=one.prompt + verdicts[i].prompt,
                text=f"{verdicts[i].text}\n{one.text}",
            )
        return verdicts

    def _verdicts(
        self, rollouts: Sequence[TextRollout], keys: Keys, sampler: Sampler | None
    ) -> Questions[list[Located]]:
        """What is answered without a localiser, and `_WRONG` where one is to be asked."""
        verdicts = [Located(refusal_unasked(rollout) or _WRONG) for rollout in rollouts]
        requests: dict[int, Request] = {}
        for i, (rollout, key) in enumerate(zip(rollouts, keys, strict=True)):
            if verdicts[i].answer is not _WRONG:
                continue
            # A key of its own: the verdict and the step are drawn independently.
            own = int(Key.of(int(key)).child("verdict").integers(1)[0])
            asked = ask_for_box(self.sampler, self.prompt_ids(rollout), self.max_tokens, own)
            if isinstance(asked, Request):
                requests[i] = asked
            else:
                verdicts[i] = Located(asked)
        replies = yield from replies_to(requests, self.sampler, self.sampling, sampler)
        for i, completion in replies.items():
            verdicts[i] = self._read(requests[i], completion)
        return verdicts

    def prompt_ids(self, rollout: TextRollout) -> Tokens:
        """Return the ids of what the model is asked about a rollout."""
        thoughts = whole_solution(rollout, self.vocabulary, self.delimiter)
        filled = self.wording.fill_some(
            question=rollout.start.problem.question,
            attempt="an earlier attempt of yours" if self.own else "somebody else's attempt",
            count=str(len(thoughts)),
            steps="\n".join(f"Step {i}: {text}" for i, text in enumerate(thoughts, 1)),
        )
        messages = [{"role": "user", "content": filled}]
        return self.vocabulary.chat(messages, self.template_arguments)

    def _read(self, request: Request, completion: Completion) -> Located:
        text = up_to_box(completion, self.sampler, self.vocabulary)
        verdict = read_verdict(text, completion.ended == "length")
        answer: Answer
        if isinstance(verdict, FailedLocalization):
            answer = verdict
        else:
            answer = FailedLocalization(Reason.NO_ERROR) if verdict else _WRONG
        return Located(answer, len(completion.tokens), len(request.tokens), text)
