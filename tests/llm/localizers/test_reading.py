"""Replies read strictly, then as leniently as was declared; failures that nobody is asked about."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.oracle import MajorityLocalizer, OracleLocalizer
from llm.localizers.reading import read_reply
from llm.localizers.self_localizer import SelfLocalizer
from llm.localizers.unsure import UnsureLocalizer
from llm.simulator import LanguageModelSimulator
from tests.llm.canned import CannedSampler, byte_vocabulary, rollout_of
from tests.llm.words import Boxes

BYTES = byte_vocabulary()
FAILED = rollout_of(BYTES, ["a", "b", "c"], kept=["k"])
ALL = ("bare number", "step number", "first number")


def step(number):
    """The answer that names a thought of the whole solution, of which one was kept."""
    return Localization(number - 2)


def refused(reason):
    return FailedLocalization(reason)


@pytest.mark.parametrize(
    ("reply", "answer", "reading"),
    [
        (r"Step 2, so \boxed{3}", step(3), "box"),
        (r"Step 2, so \boxed{x}", refused(Reason.UNPARSABLE), ""),
        (" 3.\n", step(3), "bare number"),
        ("**Step 3**", step(3), "bare number"),
        ("Step 2 is right, step 3 is wrong", step(3), "step number"),
        ("It is Step #4: 17 - 9 is 8", step(4), "step number"),
        ("The 3rd and 2 are wrong", step(2), "first number"),
        ("I took 3.5 and x2 for 4", step(4), "first number"),
        ("0", refused(Reason.NO_ERROR), "bare number"),
        ("1", refused(Reason.OUT_OF_RANGE), "bare number"),
        ("no idea", refused(Reason.UNPARSABLE), ""),
        ("", refused(Reason.EMPTY), ""),
    ],
)
def test_what_replies_say(reply, answer, reading):
    assert read_reply(FAILED, reply, readings=ALL) == (answer, reading)
    strict = read_reply(FAILED, reply)
    if reading in ("box", ""):
        assert strict == (answer, reading)
    else:
        assert strict == (refused(Reason.UNPARSABLE), "")


def test_what_was_cut_off_may_have_gone_on():
    assert read_reply(FAILED, "3", True, ALL) == (step(3), "first number")
    assert read_reply(FAILED, "3", True, ("bare number",)) == (refused(Reason.TRUNCATED), "")


def test_the_order_of_readings_decides():
    reply = "2 wrong: step 3"
    assert read_reply(FAILED, reply, readings=("first number", "step number"))[0] == step(2)
    assert read_reply(FAILED, reply, readings=("step number", "first number"))[0] == step(3)


@pytest.mark.parametrize("readings", [("any",), ("bare number", "bare number")])
def test_readings_that_there_are_not_are_refused(readings):
    with pytest.raises(InvalidInput, match=r"readings\["):
        SelfLocalizer(CannedSampler(BYTES, lambda *_: ""), BYTES, readings=readings)


def test_readings_are_counted_by_kind():
    replies = iter(["Step 2", r"\boxed{1}", "2", "what?"])
    sampler = CannedSampler(BYTES, lambda *_: next(replies))
    localizer = SelfLocalizer(sampler, BYTES, readings=ALL, max_tokens=99)
    world = LanguageModelSimulator(sampler, BYTES, Boxes(), localizer=localizer)
    failed = [rollout_of(BYTES, ["a", "b"])] * 4
    world.locate_first_error(failed, np.arange(4, dtype=np.uint64))
    assert world.usage.readings == {"bare number": 2, "box": 1}


def test_nobody_is_asked_about_a_single_thought_unless_wanted():
    one, kept = rollout_of(BYTES, ["b"]), rollout_of(BYTES, ["b"], kept=["k"])
    sampler = CannedSampler(BYTES, lambda *_: r"\boxed{1}")
    keys = np.arange(2, dtype=np.uint64)
    asks = SelfLocalizer(sampler, BYTES)
    assert [x.answer for x in asks.locate([one, kept], keys)] == [
        Localization(0),
        refused(Reason.OUT_OF_RANGE),
    ]
    asked = len(sampler.prompts)
    for localizer in (
        dataclasses.replace(asks, ask_single=False),
        OracleLocalizer(Boxes(), BYTES, ask_single=False),
        UnsureLocalizer(ask_single=False),
        MajorityLocalizer(asks, 3, ask_single=False),
    ):
        located = localizer.locate([one, kept], keys)
        assert [x.answer for x in located] == [refused(Reason.SINGLE_STEP)] * 2
        assert sum(x.generated for x in located) == 0
    assert len(sampler.prompts) == asked


def test_the_first_thought_in_which_the_model_was_unsure():
    failed = rollout_of(BYTES, ["a", "b", "c"])
    logprobs = np.zeros(len(failed.tokens), np.float32)
    (_, first), (_, second), _ = failed.spans
    logprobs[second - 1], logprobs[second] = math.log(0.3), math.log(0.05)
    failed = dataclasses.replace(failed, logprobs=logprobs)

    def named(*settings):
        (one,) = UnsureLocalizer(*settings).locate([failed], np.zeros(1, np.uint64))
        return one.answer

    assert first < second
    assert named(0.5) == Localization(1)
    assert named(0.1) == Localization(2)
    assert named(0.01) == refused(Reason.NO_ERROR)
    # Over the tokens of a thought the geometric mean of 0.3 and ones is 0.3^(1 / tokens).
    mean = 0.3 ** (1 / (second - first))
    assert named(mean + 1e-3, "mean") == Localization(1)
    assert named(mean - 1e-3, "mean") == Localization(2)
    (right,) = UnsureLocalizer().locate([rollout_of(BYTES, ["a"], failed=False)], np.zeros(1))
    assert right.answer == refused(Reason.NOT_FAILED)
