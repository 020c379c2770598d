"""TRL's engine behind the sampler's signature; a script stands in for vLLM."""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from llm.sampling.base import Request, Sampling
from llm.sampling.scripted import ScriptedSampler
from llm.sampling.trl_sampler import TrlSampler
from tests.llm.words import CountStop, TokenStop, vocabulary

WORDS = vocabulary("a", "b", "c", "d")
A, B, C, D = (WORDS.encode(word)[0] for word in "abcd")
EOS = 1


class Engine:
    """What TRL's engine has that the sampler needs: no stop rules, one limit for all."""

    def __init__(self, script):
        self.inner, self.asked = ScriptedSampler(script, WORDS), []

    def generate(self, prompts, images, num_generations):
        assert images is None
        assert num_generations == 1
        self.asked.append((self.temperature, self.top_p, self.max_completion_length))
        requests = [Request(tuple(p), self.max_completion_length, i) for i, p in enumerate(prompts)]
        done = self.inner.generate(requests, Sampling(self.temperature, self.top_p))
        logprobs = [[[float(x)] for x in c.logprobs] for c in done]
        return prompts, [list(c.tokens) for c in done], logprobs, None


def alphabet(tokens):
    """a b c d end, again and again."""
    return {EOS if tokens[-1] == D else tokens[-1] + 1: 1.0}


def sampler(script=alphabet, context=100):
    ours = TrlSampler(WORDS, context)
    ours.attach(Engine(script))
    return ours


def test_each_request_ends_where_it_should():
    requests = [
        Request((A,), 50, 0),
        Request((A,), 2, 0),
        Request((A,), 50, 0, TokenStop("c")),
        Request((D,), 50, 0, CountStop(1)),
    ]
    done = sampler().generate(requests, Sampling(0.5, 0.9))
    found = [(c.tokens, c.ended) for c in done]
    assert found == [
        ((B, C, D, EOS), "eos"),
        ((B, C), "length"),
        ((B, C), "stop"),
        ((EOS,), "eos"),
    ]
    for completion in done:
        np.testing.assert_array_equal(completion.logprobs, np.zeros(len(completion.tokens)))


def test_the_engine_is_told_how_to_sample():
    ours = sampler(context=10)
    ours.generate([Request((A, A, A), 50, 0), Request((A,), 3, 0)], Sampling(0.5, 0.9))
    assert ours._engine.asked == [(0.5, 0.9, 7)]
    assert ours.work.calls == 1
    assert ours.work.prefilled == 4
    assert ours.work.decoded == 8
    assert ours.generate([], Sampling()) == []


def test_a_log_probability_that_is_missing_is_not_a_number():
    ours = sampler()
    engine = ours._engine
    whole = engine.generate
    engine.generate = lambda *args: (*whole(*args)[:2], [[[None], [-1.0], [0.0], [0.0]]], None)
    (done,) = ours.generate([Request((A,), 2, 0)], Sampling())
    assert np.isnan(done.logprobs[0])
    assert done.logprobs[1] == -1


def test_without_a_trainer_there_is_no_engine():
    with pytest.raises(InvalidInput, match="no engine yet"):
        TrlSampler(WORDS, 10).generate([Request((A,), 1, 0)], Sampling())
