"""Stop rules as data: what is written, sent and read back ends texts where the rule itself does."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.sampling.base import Request, Sampling
from llm.sampling.scripted import ScriptedSampler
from llm.sampling.transformers.sampler import TransformersSampler
from llm.sampling.trl_sampler import TrlSampler
from llm.text.stop_rules import BoxStop, ThoughtStop, describe_stop, read_stop
from llm.text.thoughts import ThoughtFormat, segment
from tests.llm.words import END, random_model, vocabulary

WORDS = vocabulary("a", "b", END, r"\boxed{", "4", "}", r"\boxed{1}", r"\boxed{}")
SIZE = 11
STREAMS = st.lists(st.integers(1, SIZE - 1), max_size=30)
FORMS = st.builds(
    ThoughtFormat,
    max_thoughts=st.integers(1, 4),
    max_tokens=st.integers(1, 20),
    thought_tokens=st.none() | st.integers(1, 5),
)
COUNTS = st.integers(0, 3)
THOUGHT_STOPS = st.builds(ThoughtStop, FORMS, COUNTS, COUNTS, st.none() | st.integers(1, 3))
RULES = st.one_of(st.just(BoxStop()), THOUGHT_STOPS)


def end(rule, tokens):
    """How many tokens a text has under a rule."""
    tracker = rule.begin(WORDS.piece, WORDS.eos)
    return next((i for i, token in enumerate(tokens, 1) if tracker(token)), len(tokens))


@given(RULES, STREAMS)
def test_rules_survive_json_and_pickle(rule, tokens):
    read = read_stop(json.loads(json.dumps(describe_stop(rule))))
    sent = pickle.loads(pickle.dumps(rule))
    assert rule == read == sent
    assert hash(rule) == hash(read) == hash(sent)
    assert end(rule, tokens) == end(read, tokens) == end(sent, tokens)


@given(RULES, STREAMS)
def test_every_completion_has_a_tracker_of_its_own(rule, tokens):
    before = end(rule, tokens)
    rule.begin(WORDS.piece, WORDS.eos)(4)
    assert end(rule, tokens) == before


@given(THOUGHT_STOPS, STREAMS)
def test_a_rollout_is_over_where_its_segmenter_ends_it(rule, tokens):
    cut = segment(rule.segmenter(WORDS.eos), tokens, WORDS.piece)
    length = len(tokens) if cut.ended is None else cut.spans[-1][1]
    assert end(rule, tokens) == length


def test_a_reply_is_over_with_its_first_box_that_holds_something():
    words = ("a", r"\boxed{}", r"\boxed{", "4", "}", "b", r"\boxed{1}")
    tokens = [WORDS.encode(word, special=False)[0] for word in words]
    assert end(BoxStop(), tokens) == 5
    assert end(BoxStop(), tokens[:4]) == 4


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"kind": "whim"}, "stop.kind"),
        ({}, "stop.kind"),
        ({"kind": "box", "limit": 3}, "stop"),
        ({"kind": "thoughts"}, "stop"),
        ({"kind": "thoughts", "form": {"size": 3}}, "stop"),
        ({"kind": "thoughts", "form": {}, "most": 0}, "most"),
        ({"kind": "thoughts", "form": {"delimiter": " "}}, "delimiter"),
    ],
)
def test_what_is_no_rule_is_refused_by_name(data, field):
    with pytest.raises(InvalidInput) as refusal:
        read_stop(data)
    assert refusal.value.field == field


class Engine:
    """The side of TRL's engine that its sampler uses: it knows no stop rules."""

    temperature = top_p = max_completion_length = None

    def __init__(self, inner):
        self.inner = inner

    def generate(self, prompts, images, count):
        asked = [Request(tuple(p), self.max_completion_length, i) for i, p in enumerate(prompts)]
        done = self.inner.generate(asked, Sampling(self.temperature, self.top_p))
        logprobs = [[[float(x)] for x in c.logprobs] for c in done]
        return prompts, [list(c.tokens) for c in done], logprobs, None


def scripted():
    return ScriptedSampler(lambda tokens: dict.fromkeys(range(1, SIZE), 1 / (SIZE - 1)), WORDS)


def through_trl():
    sampler = TrlSampler(WORDS, 64)
    sampler.attach(Engine(scripted()))
    return sampler


SAMPLERS = {
    "scripted": scripted,
    "transformers": lambda: TransformersSampler(random_model(SIZE), WORDS),
    "trl": through_trl,
}
ASKED = [
    None,
    BoxStop(),
    ThoughtStop(ThoughtFormat(max_thoughts=2)),
    ThoughtStop(ThoughtFormat(), most=1),
]


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_end_a_completion_where_the_rule_ends_its_text(name):
    sampler = SAMPLERS[name]()
    keys = [int(key) for key in Key.of(6).integers(40)]
    whole = sampler.generate([Request((3, 4), 20, key) for key in keys], Sampling())
    ends = set()
    for rule in ASKED:
        asked = [Request((3, 4), 20, key, rule) for key in keys]
        for one, cut in zip(whole, sampler.generate(asked, Sampling()), strict=True):
            length = len(one.tokens) if rule is None else end(rule, one.tokens)
            assert cut.tokens == one.tokens[:length]
            ends.add(cut.ended)
    assert ends == {"eos", "stop", "length"}
