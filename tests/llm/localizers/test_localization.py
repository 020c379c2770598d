"""Localisers: what they ask, what they read out of replies, and what they refuse."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import FailedLocalization, Localization, Reason
from llm.localizers.base import Located
from llm.localizers.oracle import BlurredLocalizer, MajorityLocalizer, OracleLocalizer
from llm.localizers.reading import read_reply
from llm.localizers.self_localizer import (
    Disclosure,
    SelfLocalizer,
    WrittenLocalizationPrompt,
)
from llm.sampling.transformers.sampler import TransformersSampler
from tests.llm.canned import PROBLEM, CannedSampler, byte_vocabulary, rollout_of
from tests.llm.words import random_model

BYTES = byte_vocabulary()
CHAT = byte_vocabulary("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<reply>")
KEYS = Key.of(3).integers(1000)
FAILED = rollout_of(BYTES, ["2 * 3 = 5", "2 + 5 = 7", r"\boxed{7}"])


def refused(reason):
    return FailedLocalization(reason)


def localizer(reply, vocabulary=BYTES, **options):
    """A self-localiser that always gets the same reply."""
    sampler = CannedSampler(vocabulary, lambda prompt, key: reply, **options)
    return SelfLocalizer(sampler, vocabulary, max_tokens=50)


def ask(reply, rollout=FAILED, **options):
    return localizer(reply, **options).locate([rollout], KEYS[:1])[0]


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"\boxed{1}", Localization(0)),
        (r"I see. \boxed{ 3 }", Localization(2)),
        (r"\boxed{03}", Localization(2)),
        (r"\boxed{2} but then \boxed{1}", Localization(1)),  # the reply ends with its first box
        (r"\boxed{2", refused(Reason.UNPARSABLE)),
        ("Step 2 is wrong", refused(Reason.UNPARSABLE)),
        (r"\boxed{x}", refused(Reason.UNPARSABLE)),
        (r"\boxed{}", refused(Reason.UNPARSABLE)),
        (r"I fill \boxed{} now: \boxed{2}.", Localization(1)),  # an empty box does not end it
        (r"\boxed{1.0}", refused(Reason.UNPARSABLE)),
        (r"\boxed{1 or 2}", refused(Reason.UNPARSABLE)),
        (r"\boxed{²}", refused(Reason.UNPARSABLE)),
        (r"\boxed{-1}", refused(Reason.UNPARSABLE)),
        (r"\boxed{0}", refused(Reason.NO_ERROR)),
        (r"\boxed{4}", refused(Reason.OUT_OF_RANGE)),
        (r"\boxed{99}", refused(Reason.OUT_OF_RANGE)),
        (r"\boxed{" + "9" * 40 + "}", refused(Reason.OUT_OF_RANGE)),
        ("", refused(Reason.EMPTY)),
        (" \n", refused(Reason.EMPTY)),
        ("so " * 40 + r"\boxed{1}", refused(Reason.TRUNCATED)),
        (r"\boxed{1}" + "so " * 40, Localization(0)),  # whatever follows the box is not waited for
    ],
)
@pytest.mark.parametrize("obedient", [True, False])
def test_replies(reply, answer, obedient):
    assert ask(reply, obedient=obedient).answer == answer


def test_a_reply_of_any_length_of_digits_is_read():
    answer, reading = read_reply(FAILED, r"\boxed{" + "9" * 9000 + "}")
    assert (answer, reading) == (refused(Reason.OUT_OF_RANGE), "box")


def test_costs_are_counted_whether_or_not_the_engine_stops():
    stops, goes_on = (ask(r"ab \boxed{1} cd", obedient=o) for o in (True, False))
    assert stops.text == goes_on.text == r"ab \boxed{1}"
    assert (stops.generated, goes_on.generated) == (
        len(r"ab \boxed{1}"),
        len(r"ab \boxed{1} cd") + 1,
    )
    asked = localizer("").prompt_ids(FAILED)
    assert stops.prompt == goes_on.prompt == len(asked)


def test_kept_thoughts_are_shown_and_an_error_among_them_is_out_of_range():
    rollout = rollout_of(BYTES, own=["b", "c"], kept=["a1", "a2"])
    model = localizer("")
    text = BYTES.decode(model.prompt_ids(rollout))
    assert "Step 1: a1\nStep 2: a2\nStep 3: b\nStep 4: c\n" in text
    assert "</thought>" not in text
    answers = [ask(rf"\boxed{{{k}}}", rollout).answer for k in range(1, 6)]
    out = refused(Reason.OUT_OF_RANGE)
    assert answers == [out, out, Localization(0), Localization(1), out]


def test_one_call_for_all_and_none_for_what_did_not_fail():
    passed = rollout_of(BYTES, ["fine"], failed=False)
    empty = rollout_of(BYTES, [])
    model = localizer(r"\boxed{1}")
    located = model.locate([passed, FAILED, empty, FAILED], KEYS[:4])
    assert [one.answer for one in located] == [
        refused(Reason.NOT_FAILED),
        Localization(0),
        refused(Reason.EMPTY),
        Localization(0),
    ]
    assert model.sampler.batches == [2]
    assert located[0] == Located(refused(Reason.NOT_FAILED), 0, 0, "")


def test_answers_depend_on_rollout_and_key_alone():
    def reply(prompt, key):
        return rf"\boxed{{{key % prompt.count('Step ') + 1}}}"

    rollouts = [rollout_of(BYTES, ["x"] * n) for n in (2, 5, 3, 9, 1)]
    model = SelfLocalizer(CannedSampler(BYTES, reply), BYTES)
    whole = model.locate(rollouts, KEYS[:5])
    order = [3, 0, 4, 1, 2]
    shuffled = model.locate([rollouts[i] for i in order], KEYS[order])
    assert shuffled == [whole[i] for i in order]
    assert [model.locate([r], KEYS[i : i + 1])[0] for i, r in enumerate(rollouts)] == whole
    assert len({one.answer for one in whole}) > 1


def test_a_solution_longer_than_the_context_is_refused_and_the_others_are_asked():
    long = rollout_of(BYTES, ["word " * 200, "b"])
    room = len(localizer("").prompt_ids(FAILED)) + 9
    model = localizer(r"\boxed{1}", context=room)
    located = model.locate([long, FAILED], KEYS[:2])
    assert located[0] == Located(refused(Reason.TRUNCATED))
    assert located[1].answer == Localization(0)  # nine tokens are just enough

    for missing, calls in ((1, [1]), (8, [1]), (9, [0])):
        model = localizer(r"\boxed{1}", context=room - missing)
        assert model.locate([FAILED], KEYS[:1])[0].answer == refused(Reason.TRUNCATED)
        assert model.sampler.batches == calls


@pytest.mark.parametrize("disclosure", Disclosure)
def test_disclosures_tell_what_they_say(disclosure):
    prompt = WrittenLocalizationPrompt(disclosure)
    problem = type(PROBLEM)("p", "How many?", "31415")
    [message] = prompt.render(problem, ["first", "second {{steps}}"])
    text = message["content"]
    assert message["role"] == "user"
    assert ("31415" in text) == disclosure.shows_answer
    assert (r"\boxed{0}" in text) == (not disclosure.presumes_failure)
    assert ("does not arrive at the correct answer" in text) == disclosure.presumes_failure
    assert "How many?" in text
    assert "Step 1: first\nStep 2: second {{steps}}\n" in text  # filled in once
    assert "to 2" in text
    assert "an earlier attempt of yours" in text
    assert (
        "yours"
        not in WrittenLocalizationPrompt(disclosure, own=False).render(problem, ["a"])[0]["content"]
    )


def test_the_chat_template_is_used_where_there_is_one():
    model = localizer(r"\boxed{1}", CHAT)
    text = CHAT.decode(model.prompt_ids(rollout_of(CHAT, ["a"])))
    assert text.startswith("<user>")
    assert text.endswith("<reply>")


def test_a_localization_prompt_may_write_a_plain_text():
    class Plain:
        def render(self, problem, thoughts):
            return f"{problem.question}|{'|'.join(thoughts)}|locate"

    model = SelfLocalizer(CannedSampler(BYTES, lambda prompt, key: ""), BYTES, Plain())
    assert (
        BYTES.decode(model.prompt_ids(rollout_of(BYTES, ["a", "b"])))
        == "What is 2 + 2 * 3?|a|b|locate"
    )


@dataclass(frozen=True)
class EvenIsWrong:
    """A checker for which a thought is right if it is an odd number."""

    def first_error(self, problem, thoughts):
        return next((i for i, t in enumerate(thoughts) if int(t) % 2 == 0), None)


@pytest.mark.parametrize(
    ("kept", "own", "answer"),
    [
        ([], ["1", "4", "3", "2"], Localization(1)),
        (["1", "3"], ["5", "6"], Localization(1)),
        (["1", "2"], ["5", "6"], refused(Reason.OUT_OF_RANGE)),
        (["1"], ["3", "5"], refused(Reason.NO_ERROR)),
        ([], [], refused(Reason.EMPTY)),
    ],
)
def test_the_oracle_names_the_first_wrong_thought(kept, own, answer):
    rollout = rollout_of(BYTES, own, kept)
    oracle = OracleLocalizer(EvenIsWrong(), BYTES)
    assert oracle.locate([rollout], KEYS[:1]) == [Located(answer)]
    passed = rollout_of(BYTES, own, kept, failed=False)
    assert oracle.locate([passed], KEYS[:1]) == [Located(refused(Reason.NOT_FAILED))]


def voting(replies):
    """A self-localiser whose replies are dealt in order, and the majority over them."""
    dealt = iter(replies)
    sampler = CannedSampler(BYTES, lambda prompt, key: next(dealt))
    return MajorityLocalizer(SelfLocalizer(sampler, BYTES), len(replies))


@pytest.mark.parametrize(
    ("votes", "answer"),
    [
        ("131", Localization(0)),
        ("332", Localization(2)),
        ("3221", Localization(1)),
        ("2323", Localization(1)),  # tie: the earlier step
        ("xx3", Localization(2)),  # unparsable votes abstain
        ("030", refused(Reason.NO_ERROR)),
        ("0330", Localization(2)),
        ("x9x", refused(Reason.UNPARSABLE)),
        ("9x", refused(Reason.OUT_OF_RANGE)),
    ],
)
def test_majorities(votes, answer):
    majority = voting([rf"\boxed{{{v}}}" for v in votes])
    [located] = majority.locate([FAILED], KEYS[:1])
    assert located.answer == answer
    assert located.generated == len(votes) * len(r"\boxed{1}")


def test_votes_are_one_batch_with_a_key_each():
    used = []
    sampler = CannedSampler(BYTES, lambda prompt, key: used.append(key) or r"\boxed{1}")
    majority = MajorityLocalizer(SelfLocalizer(sampler, BYTES), 4)
    passed = rollout_of(BYTES, ["fine"], failed=False)
    located = majority.locate([FAILED, passed, FAILED], KEYS[:3])
    assert located[1] == Located(refused(Reason.NOT_FAILED))
    assert sampler.batches == [8]
    assert len(set(used)) == 8
    majority.locate([FAILED], KEYS[2:3])
    assert used[8:] == used[4:8]
    with pytest.raises(InvalidInput, match="votes"):
        MajorityLocalizer(majority, 0)


def test_a_blurred_oracle_is_as_precise_as_it_says():
    rollouts = [rollout_of(BYTES, ["1", "3", "2", "1"])] * 4000
    keys = Key.of(5).integers(4000)
    blurred = BlurredLocalizer(OracleLocalizer(EvenIsWrong(), BYTES), 0.6)
    located = blurred.locate(rollouts, keys)
    share = Counter(one.answer.step for one in located)
    for step, expected in {0: 0.1, 1: 0.1, 2: 0.7, 3: 0.1}.items():
        assert share[step] / 4000 == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(4000))
    assert blurred.locate(rollouts[:7], keys[100:107]) == located[100:107]


def test_blur_leaves_refusals_and_the_perfect_alone():
    oracle = OracleLocalizer(EvenIsWrong(), BYTES)
    right = rollout_of(BYTES, ["1", "3"])
    wrong = rollout_of(BYTES, ["1", "3", "2"])
    blind = BlurredLocalizer(oracle, 0.0)
    assert blind.locate([right], KEYS[:1])[0].answer == refused(Reason.NO_ERROR)
    assert BlurredLocalizer(oracle, 1.0).locate([wrong] * 50, KEYS[:50]) == oracle.locate(
        [wrong] * 50, KEYS[:50]
    )
    with pytest.raises(InvalidInput, match="accuracy"):
        BlurredLocalizer(oracle, 1.5)


@given(st.text(alphabet=st.sampled_from("\\boxed{}0123 "), max_size=40))
def test_whatever_is_replied_the_answer_is_a_step_or_a_refusal(reply):
    answer = ask(reply).answer
    if isinstance(answer, Localization):
        assert 0 <= answer.step < len(FAILED)
        assert re.search(rf"\\boxed{{\s*0*{answer.step + 1}\s*}}", reply)


def test_a_real_model_answers_each_rollout_by_itself():
    """An untrained transformer behind a chat template: replies are noise, but a row's own noise."""
    torch.set_num_threads(1)
    model = TransformersSampler(random_model(257, context=1400), CHAT)
    localizer = SelfLocalizer(model, CHAT, max_tokens=12)
    rollouts = [rollout_of(CHAT, ["a" * n, "b"]) for n in (3, 9, 30, 3)]
    located = localizer.locate(rollouts, KEYS[:4])
    assert model.work.calls == 1
    assert model.work.decoded == sum(one.generated for one in located) > 0
    assert len({one.text for one in located}) == 4
    alone = [localizer.locate([r], KEYS[i : i + 1])[0] for i, r in enumerate(rollouts)]
    assert alone == located
