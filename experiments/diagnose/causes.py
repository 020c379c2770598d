"""What keeps a world from teaching anything: its causes and what mends them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cpi_theory.diagnosis.records import Diagnosis, Seen
from cpi_theory.seam import Outcome, Reason


@dataclass(frozen=True)
class Cause:
    """Something that keeps rollouts from teaching or from being reset.

    Attributes:
        rollouts: plain rollouts that it concerns.
        of: all of them.
        what: said of them, in words that follow "of the rollouts".
        remedy: the setting that would mend it.
    """

    rollouts: int
    of: int
    what: str
    remedy: str

    def __str__(self) -> str:
        share = self.rollouts / self.of
        return f"{self.rollouts} of {self.of} rollouts ({share:.0%}) {self.what}: {self.remedy}."


WRONG_ANSWERS = "end with a wrong answer"
"""What is said of rollouts that failed and nothing else."""

_WHAT: Mapping[Outcome | Reason, str] = {
    Outcome.WRONG: WRONG_ANSWERS,
    Outcome.NO_ANSWER: "end without an answer that the verifier can read",
    Outcome.STEP_LIMIT: "use up their steps without success",
    Outcome.TOKEN_LIMIT: "are cut off at the limit on tokens",
    Reason.NO_ERROR: "fail, and the localiser finds no error in them",
    Reason.NO_ELIGIBLE_STEP: "fail, and none of their steps can be reset to",
    Reason.UNPARSABLE: "fail, and the localiser's reply names no step",
    Reason.OUT_OF_RANGE: "fail, and the localiser names a step that they do not have",
    Reason.TRUNCATED: "fail, and the localiser's reply is cut off",
    Reason.EMPTY: "fail without a step",
    Reason.NOT_FAILED: "count as no failure when they are to be localised",
    Reason.NO_SUCCESS: "are of prompts without a success to start from",
}
_JUDGED = (Outcome.WRONG, Outcome.NO_ANSWER)
"""Failures that the verifier's reward tells."""

_SINGLE = "have one step only, so there is nothing to reset to"

_ASK = (
    "choose another localiser, have it told more (the prompt of the localisation), or warm-start "
    "the model with localisations"
)

# Of language models; settings are those of the world in a configuration file.
_MODEL: Mapping[Outcome | Reason, str] = {
    Outcome.WRONG: "take easier problems or a stronger model; where next to none succeed, "
    "warm-start it",
    Outcome.NO_ANSWER: "set `chat = true` for an instruction-tuned model, ask in the prompt for "
    "the form of answer that the verifier reads, such as \\boxed{...}, or warm-start the model",
    Outcome.STEP_LIMIT: "raise `max_thoughts`",
    Outcome.TOKEN_LIMIT: "raise `max_tokens`, or ask for shorter solutions",
    Reason.NO_ERROR: _ASK,
    Reason.NO_ELIGIBLE_STEP: _ASK,
    Reason.UNPARSABLE: _ASK,
    Reason.OUT_OF_RANGE: _ASK,
    Reason.TRUNCATED: "raise `localization_tokens`",
    Reason.EMPTY: "look at the prompt: the model ends at once",
    Reason.NOT_FAILED: "set the level of success of the verifier and of the world alike",
    Reason.NO_SUCCESS: "start from demonstrations, or search in more rollouts",
}
_MODEL_SINGLE = (
    "the model does not write what ends a step; choose a boundary that it does write, such as a "
    "line or a sentence, say in the prompt how a step ends, or warm-start it"
)

_TABULAR: Mapping[Outcome | Reason, str] = {
    Outcome.WRONG: "start from a better base policy, or lower the level of success",
    Outcome.STEP_LIMIT: "a longer horizon helps if more steps can bring success, a better base "
    "policy if not",
    Reason.NO_SUCCESS: "start from demonstrations, or search in more rollouts",
}
_TABULAR_REASON = "raise the `accuracy` or the recall of its localiser"
_TABULAR_SINGLE = "take a world whose rollouts are longer"


def causes(found: Diagnosis, language: bool) -> list[Cause]:
    """What keeps rollouts from teaching or from being reset, the most frequent first.

    Args:
        found: the diagnosis.
        language: whether the world is a language model, whose settings have other names.
    """
    seen = found.seen
    listed = [*_never_enough(seen, language)]
    listed += [
        Cause(count, seen.rollouts, _WHAT[kind], _remedy(kind, language))
        for kind, count in _failures(seen)
    ]
    if seen.single:
        remedy = _MODEL_SINGLE if language else _TABULAR_SINGLE
        listed.append(Cause(seen.single, seen.rollouts, _SINGLE, remedy))
    # Sorting keeps the order of equals: what went wrong first comes first.
    return sorted(listed, key=lambda cause: -cause.rollouts)


def _never_enough(seen: Seen, language: bool) -> Iterator[Cause]:
    """Rewards that are given and never count as success: a verifier and a level that do not fit."""
    if seen.short_of_success:
        what = (
            f"fail, though their rewards reach {seen.highest_reward:.3g}: that is below the level "
            "of success"
        )
        remedy = (
            "have the verifier give right answers a reward of the world's `success`, or lower that"
            if language
            else "lower the level of success"
        )
        yield Cause(seen.rollouts, seen.rollouts, what, remedy)


def _failures(seen: Seen) -> Iterator[tuple[Outcome | Reason, int]]:
    for outcome, count in seen.outcomes.items():
        # Where no reward is enough, a right answer counts as a wrong one, too.
        if outcome in _WHAT and not (seen.short_of_success and outcome in _JUDGED):
            yield outcome, count
    for reason, count in seen.refusals.items():
        # Those of one step are counted among all rollouts of one step, failures or not.
        if reason is not Reason.SINGLE_STEP:
            yield reason, count


def _remedy(kind: Outcome | Reason, language: bool) -> str:
    return _MODEL[kind] if language else _TABULAR.get(kind, _TABULAR_REASON)
