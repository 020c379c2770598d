"""Marked traces as rollouts, localisers that are asked about all, and log-probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.data.marked_traces import MarkedTrace
from llm.localizers.base import whole_solution
from llm.localizers.marked import AskedOfAll, as_rollout, with_logprobs
from llm.localizers.oracle import MajorityLocalizer
from llm.localizers.self_localizer import SelfLocalizer
from llm.models.law import plain_logprobs
from llm.text.boundaries import Delimiter
from tests.llm.canned import CannedSampler, byte_vocabulary, rollout_of
from tests.llm.words import random_model, vocabulary

END = Delimiter("</thought>")
TRACE = MarkedTrace("t, line 1", "Why?", ("Firstly é,\nso", "", "thirdly"), 2, "42", True)


def test_steps_come_back_as_they_were_read():
    bytes_ = byte_vocabulary()
    rollout = as_rollout(TRACE, bytes_, bytes_.encode("Q"), END)
    assert whole_solution(rollout, bytes_, END) == ["Firstly é,\nso", "", "thirdly"]
    assert (len(rollout), rollout.failed) == (3, True)
    assert np.isnan(rollout.logprobs).all()


def test_a_tokenizer_that_cannot_write_a_step_is_refused():
    few = vocabulary("Firstly", "</thought>")
    with pytest.raises(InvalidInput, match=r"line 1, step 1 = .* cannot write it; name a model"):
        as_rollout(TRACE, few, (3,), END)


def test_all_are_asked_and_none_can_be_said():
    bytes_ = byte_vocabulary()
    replies = {"right": r"\boxed{0}", "wrong": r"\boxed{2}", "odd": "no idea"}
    sampler = CannedSampler(
        bytes_, lambda prompt, _: next(r for word, r in replies.items() if word in prompt)
    )
    inner = SelfLocalizer(sampler, bytes_, Plain())
    rollouts = [
        rollout_of(bytes_, [word, "end"], failed=failed)
        for word in replies
        for failed in (True, False)
    ]
    keys = Key.of(0).integers(6)
    for asked in (AskedOfAll(inner), AskedOfAll(MajorityLocalizer(inner, 3))):
        answers = [one.answer for one in asked.locate(rollouts, keys)]
        assert answers == [
            *[FailedLocalization(Reason.NO_ERROR)] * 2,
            *[Localization(1)] * 2,
            *[FailedLocalization(Reason.UNPARSABLE)] * 2,
        ]
    assert [r.failed for r in rollouts] == [True, False] * 3  # they are what they were
    unasked = inner.locate(rollouts, keys)[1].answer
    assert unasked == FailedLocalization(Reason.NOT_FAILED)


class Plain:
    def render(self, problem, thoughts):
        return " ".join(thoughts)


def test_logprobs_are_the_models_and_ends_change_no_measure():
    words = vocabulary("a", "b", "c", "</thought>")
    model = random_model(7)
    trace = MarkedTrace("t", "Why?", ("a b", "c"), 0)
    rollout = as_rollout(trace, words, (3, 4), END)
    scored = with_logprobs(rollout, model, words, END, 100)
    plain = plain_logprobs(model, (3, 4), rollout.tokens).detach().numpy()
    (a, b), (c, d) = rollout.spans
    assert scored.logprobs[a : b - 1] == pytest.approx(plain[a : b - 1])
    assert scored.logprobs[c : d - 1] == pytest.approx(plain[c : d - 1])
    assert scored.logprobs[b - 1] == pytest.approx(plain[a : b - 1].mean())
    assert scored.logprobs[d - 1] == pytest.approx(plain[c : d - 1].mean())
    assert with_logprobs(rollout, model, words, END, 6) is None
    assert with_logprobs(rollout, model, words, END, 7) is not None
