"""Verdicts before localisation: how they are read, who is asked then, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.base import Located
from llm.localizers.self_localizer import SelfLocalizer
from llm.localizers.verified import VerifiedLocalizer, read_verdict
from llm.prompts import Prompt
from tests.llm.canned import CannedSampler, byte_vocabulary, rollout_of

BYTES = byte_vocabulary()
CHAT = byte_vocabulary("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<reply>")
KEYS = Key.of(5).integers(9)
FAILED = rollout_of(BYTES, ["2 * 3 = 5", "2 + 5 = 7", r"\boxed{7}"])


def refused(reason: Reason) -> FailedLocalization:
    return FailedLocalization(reason)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (r"So it is right. \boxed{yes}", True),
        (r"\boxed{ No }", False),
        ("I know nothing of it: UNKNOWN, not yes", refused(Reason.UNPARSABLE)),
        (r"yes, no, \boxed{perhaps}", refused(Reason.UNPARSABLE)),
        (r"\boxed{not yes}", refused(Reason.UNPARSABLE)),
        ("", refused(Reason.EMPTY)),
    ],
)
def test_a_verdict_is_a_word_in_a_box_and_nothing_is_taken_for_granted(reply, verdict) -> None:
    assert read_verdict(reply) == verdict


def test_a_reply_that_was_cut_off_says_nothing() -> None:
    assert read_verdict("I think", cut=True) == refused(Reason.TRUNCATED)
    assert read_verdict(r"\boxed{no}", cut=True) is False


def localizer(verdict: str, vocabulary=BYTES, step: str = r"\boxed{2}", **options):
    """A model that judges so, and then names a step."""

    def reply(prompt: str, key: int) -> str:
        return verdict if "verdict" in prompt else step

    sampler = CannedSampler(vocabulary, reply)
    inner = SelfLocalizer(sampler, vocabulary, max_tokens=50)
    return VerifiedLocalizer(inner, sampler, vocabulary, max_tokens=50, **options)


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (r"\boxed{yes}", refused(Reason.NO_ERROR)),
        (r"\boxed{no}", Localization(1)),
        ("hm", refused(Reason.UNPARSABLE)),
        ("hm " * 40, refused(Reason.TRUNCATED)),
    ],
)
def test_a_step_is_asked_for_where_the_verdict_is_no(verdict, answer) -> None:
    (found,) = localizer(verdict).locate([FAILED], KEYS[:1])
    assert found.answer == answer


def test_both_questions_are_paid_for() -> None:
    one = localizer(r"\boxed{no}")
    (found,) = one.locate([FAILED], KEYS[:1])
    (step,) = one.inner.locate([FAILED], KEYS[:1])
    assert found.answer == step.answer
    assert found.generated == step.generated + len(r"\boxed{no}")
    assert found.prompt == step.prompt + len(one.prompt_ids(FAILED))
    (accepted,) = localizer(r"\boxed{yes}").locate([FAILED], KEYS[:1])
    assert (accepted.generated, accepted.prompt) == (
        len(r"\boxed{yes}"),
        len(one.prompt_ids(FAILED)),
    )


def test_an_answer_does_not_depend_on_its_company() -> None:
    """Law 1 of localisers, where some are accepted, some named and some refused."""

    def reply(prompt: str, key: int) -> str:
        if "verdict" in prompt:
            return [r"\boxed{yes}", r"\boxed{no}", "hm"][key % 3]
        return rf"\boxed{{{1 + key % 3}}}"

    sampler = CannedSampler(BYTES, reply)
    one = VerifiedLocalizer(SelfLocalizer(sampler, BYTES), sampler, BYTES)
    rollouts = [FAILED] * 8 + [replace(FAILED, failed=False)]
    whole = one.locate(rollouts, KEYS)
    assert whole == [one.locate([r], KEYS[i : i + 1])[0] for i, r in enumerate(rollouts)]
    assert whole[-1] == Located(refused(Reason.NOT_FAILED))
    assert len({str(found.answer) for found in whole}) >= 4


def test_the_reference_is_not_in_the_question() -> None:
    asked = CHAT.decode(localizer("", CHAT).prompt_ids(FAILED))
    assert FAILED.start.problem.question in asked
    assert "Step 2: 2 + 5 = 7" in asked
    assert asked.startswith("<user>")
    secret = replace(FAILED.start.problem, answer="a secret")
    states = replace(FAILED.states, start=replace(FAILED.start, problem=secret))
    assert "secret" not in CHAT.decode(
        localizer("", CHAT).prompt_ids(replace(FAILED, states=states))
    )


def test_words_of_ones_own_are_checked() -> None:
    with pytest.raises(InvalidInput, match="answer"):
        localizer("", wording=Prompt("mine", "{{question}} {{steps}} {{answer}}"))
