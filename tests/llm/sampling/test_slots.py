"""Streams of requests against batches of them: whatever enters when, the same completions."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.sampling.base import GREEDY, Request, Sampling
from llm.sampling.streaming import WholeBatches, open_stream
from llm.sampling.transformers.sampler import TransformersSampler
from llm.sampling.transformers.slots import SlotStream, keeps_slots
from tests.llm.families import family_model
from tests.llm.words import CountStop, random_model, vocabulary

torch.set_num_threads(1)
WORDS = vocabulary(*(f"w{i}" for i in range(13)))
PROMPTS = [(3, 4, 5), (6, 7, 8, 9, 10, 11), (3, 4, 5), (12,), tuple(range(3, 15)) * 5]
KEYS = Key.of(3).integers(64)
ENGINE = TransformersSampler(random_model(16), WORDS)
KINDS = (Sampling(), Sampling(0.3, 0.9), GREEDY)


def requests(count, most=12, stop=None):
    return [Request(PROMPTS[i % 5], most, int(key), stop) for i, key in enumerate(KEYS[:count])]


def values(completions):
    return [(c.tokens, c.ended) for c in completions]


def drained(stream, tickets, done=None):
    done = {} if done is None else done
    while len(done) < len(tickets):
        done.update(stream.finished())
    assert stream.finished() == []
    return [done[ticket] for ticket in tickets]


def streamed(engine, asked, sampling=Sampling(), slots=4):
    stream = engine.stream(slots)
    assert isinstance(stream, SlotStream)  # not what stands in where probes find it wrong
    return drained(stream, [stream.submit(r, sampling) for r in asked])


@pytest.mark.parametrize("slots", [1, 3, 64])
@pytest.mark.parametrize("sampling", KINDS, ids=str)
def test_any_number_of_slots_gives_the_completions_of_a_batch(slots, sampling):
    asked = requests(40)
    expected = ENGINE.generate(asked, sampling)
    found = streamed(ENGINE, asked, sampling, slots)
    assert values(found) == values(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(data=st.data(), slots=st.integers(1, 6))
def test_requests_may_enter_at_any_time_and_be_drawn_in_any_way(data, slots):
    asked = requests(15, most=12)
    kinds = [data.draw(st.sampled_from(KINDS)) for _ in asked]
    stream, done, tickets = SlotStream(ENGINE, slots), {}, []
    while len(tickets) < len(asked):
        for i in range(len(tickets), min(len(asked), len(tickets) + data.draw(st.integers(1, 6)))):
            tickets.append(stream.submit(asked[i], kinds[i]))
        done.update(stream.finished())
    found = drained(stream, tickets, done)
    for kind in KINDS:
        some = [i for i, k in enumerate(kinds) if k == kind]
        expected = ENGINE.generate([asked[i] for i in some], kind)
        assert values([found[i] for i in some]) == values(expected)


def test_short_ones_are_handed_over_while_long_ones_still_go_on():
    stream = ENGINE.stream(2)
    # No key of these ends early by itself: the long one has 40 tokens whatever it draws.
    long = stream.submit(Request((3, 4, 5), 40, 1, CountStop(40)), GREEDY)
    short = [stream.submit(Request((6, 7), 3, 1), GREEDY) for _ in range(5)]
    order = []
    while len(order) < 6:
        order += [ticket for ticket, _ in stream.finished()]
    assert order[:5] == short
    assert order[5] == long


def test_slots_are_never_more_than_allowed_and_prompts_are_read_once():
    engine = TransformersSampler(random_model(16), WORDS)
    seen = []
    forward = engine.model.forward

    def noted(**inputs):
        if inputs["input_ids"].shape[1] == 1:
            seen.append(len(inputs["input_ids"]))
        return forward(**inputs)

    stream = engine.stream(3)
    engine.model.forward = noted
    engine.work.prefilled = engine.work.decoded = 0
    asked = [Request((3, 4, 5, 6), 9, int(key)) for key in KEYS[:20]]
    found = drained(stream, [stream.submit(r, Sampling()) for r in asked])
    assert max(seen) == 3
    assert engine.work.prefilled == 4
    assert engine.work.decoded == sum(len(c.tokens) for c in found)


def test_a_request_that_goes_on_from_a_row_reads_its_last_token_alone():
    engine = TransformersSampler(random_model(16), WORDS)
    stream = engine.stream(4)
    # Few and short ones, so that none is forgotten.
    asked = [Request(PROMPTS[i % 4], 20, int(key)) for i, key in enumerate(KEYS[:6])]
    done = drained(stream, [stream.submit(r, Sampling()) for r in asked])
    again = [
        Request(r.tokens + c.tokens[:cut], 3, int(key))
        for r, c, key in zip(asked, done, KEYS[20:], strict=False)
        for cut in sorted({1, len(c.tokens) - 1} - {0})
    ]
    engine.work.prefilled = 0
    found = drained(stream, [stream.submit(r, Sampling()) for r in again])
    assert engine.work.prefilled == len(again)
    expected = engine.generate(again, Sampling())
    assert values(found) == values(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


@pytest.mark.parametrize("slots", [1, 8])
def test_examples_that_prompts_share_are_read_once(slots):
    engine = TransformersSampler(random_model(16), WORDS)
    head = tuple(3 + i % 9 for i in range(50))
    asked = [Request((*head, 3 + i, 5), 6, int(KEYS[i])) for i in range(6)]
    stream = engine.stream(slots)
    engine.work.prefilled = 0
    found = drained(stream, [stream.submit(r, Sampling()) for r in asked])
    assert engine.work.prefilled == 50 + 6 * 2
    assert values(found) == values(engine.generate(asked, Sampling()))


def test_of_rows_that_left_no_more_is_held_than_the_slots_take():
    engine = TransformersSampler(random_model(16), WORDS)
    stream = engine.stream(2)
    asked = [Request((3 + i % 9, 3 + i // 9), 40, int(KEYS[i])) for i in range(60)]
    drained(stream, [stream.submit(r, Sampling()) for r in asked])
    held = stream._pasts._held
    room = stream._cache.layers[0].size
    assert 0 < sum(map(len, held)) <= room
    assert len(held) < len(asked)


def test_rows_outgrow_what_their_slots_had():
    engine = TransformersSampler(random_model(16, context=512), WORDS)
    asked = [Request(PROMPTS[i % 5], 300, int(k), CountStop(300)) for i, k in enumerate(KEYS[:6])]
    assert values(streamed(engine, asked, Sampling(0.5))) == values(
        engine.generate(asked, Sampling(0.5))
    )


def test_nothing_grows_beyond_the_context():
    engine = TransformersSampler(random_model(16), WORDS, context=70)
    asked = requests(10, most=100)
    assert values(streamed(engine, asked, GREEDY)) == values(engine.generate(asked, GREEDY))
    with pytest.raises(InvalidInput, match="tokens"):
        engine.stream().submit(Request((3,) * 70, 5, 0), GREEDY)


def test_what_is_dropped_is_forgotten_and_the_mode_comes_back():
    engine = TransformersSampler(random_model(16), WORDS)
    engine.model.train()
    stream = engine.stream(2)
    for request in requests(6):
        stream.submit(request, Sampling())
    stream.finished()
    stream.close()
    assert stream.finished() == []
    assert engine.model.training


SLOTTED = ("qwen2", "gpt2", "bloom", "mistral", "gemma3", "qwen3_5", "lfm2", "mamba2", "rwkv")


@pytest.mark.parametrize("name", SLOTTED)
def test_every_kind_of_memory_gives_the_completions_of_a_batch(name, caplog):
    caplog.set_level(logging.ERROR)
    engine = TransformersSampler(family_model(name, 16), WORDS)
    stream = engine.stream(3)
    # Windows, states and caches of a model's own cannot be entered by a new row.
    assert isinstance(stream, SlotStream) == (name in ("qwen2", "gpt2", "bloom"))
    assert keeps_slots(engine.model) or not isinstance(stream, SlotStream)
    asked = requests(12)
    found = drained(stream, [stream.submit(r, Sampling()) for r in asked])
    assert values(found) == values(engine.generate(asked, Sampling()))


def test_a_sampler_without_streams_does_whole_batches():
    class Plain:
        context, work, eos = ENGINE.context, ENGINE.work, ENGINE.eos

        def generate(self, requests, sampling):
            return ENGINE.generate(requests, sampling)

        def sync(self, model):
            pass

    stream = open_stream(Plain())
    assert isinstance(stream, WholeBatches)
    asked = requests(8)
    tickets = [stream.submit(r, KINDS[i % 2]) for i, r in enumerate(asked)]
    found = drained(stream, tickets)
    for i, kind in enumerate(KINDS[:2]):
        assert values(found[i::2]) == values(ENGINE.generate(asked[i::2], kind))
