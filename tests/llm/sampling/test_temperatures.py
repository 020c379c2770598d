"""Any temperature and top-p is either refused by name or sampled at, whatever the sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cpi_theory.checks import InvalidInput
from experiments.train.spec import TrainBudget
from llm.models.temperature import HIGHEST, LOWEST
from llm.sampling.base import Request, Sampling
from llm.sampling.scripted import ScriptedSampler
from llm.sampling.transformers.sampler import TransformersSampler, draw
from llm.sampling.trl_sampler import TrlSampler
from llm.training.settings import LossSettings
from tests.llm.words import random_model, vocabulary

torch.set_num_threads(1)
WORDS = vocabulary("a", "b", "c")
SIZE = 6
LAW = {1: 1e-30, 3: 0.5, 4: 0.5 - 1e-7, 5: 1e-7}


class Engine:
    """The side of TRL's engine that its sampler uses; samples with a script."""

    temperature = top_p = max_completion_length = None

    def generate(self, prompts, images, count):
        ours = ScriptedSampler(lambda tokens: LAW, WORDS)
        asked = [Request(tuple(p), self.max_completion_length, i) for i, p in enumerate(prompts)]
        done = ours.generate(asked, Sampling(self.temperature, self.top_p))
        return (
            prompts,
            [list(c.tokens) for c in done],
            [[[float(logprob)] for logprob in c.logprobs] for c in done],
            None,
        )


def through_trl():
    sampler = TrlSampler(WORDS, 64)
    sampler.attach(Engine())
    return sampler


SAMPLERS = {
    "transformers": TransformersSampler(random_model(SIZE), WORDS),
    "scripted": ScriptedSampler(lambda tokens: LAW, WORDS),
    "trl": through_trl(),
}

ANY = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
TEMPERATURES = st.one_of(ANY, st.floats(0, 1), st.floats(LOWEST, HIGHEST), st.just(0.0))
SHARES = st.one_of(ANY, st.floats(1e-6, 1), st.sampled_from([1e-6, 1 - 1e-9, 1.0]))


@pytest.mark.parametrize("name", SAMPLERS)
@given(temperature=TEMPERATURES, top_p=SHARES)
@example(1e-40, 1.0)
@example(1e-320, 1.0)
@example(math.nan, 1.0)
@example(math.inf, 1.0)
@example(-1.0, 1.0)
@example(LOWEST, 1e-6)
@example(HIGHEST, 1.0)
@example(1.0, 0.0)
@example(1.0, 1e-320)
@example(1.0, math.nan)
@example(-0.0, 1.0)
def test_any_is_refused_by_name_or_sampled_at(name, temperature, top_p):
    warm = temperature == 0 or LOWEST <= temperature <= HIGHEST
    if not (warm and 1e-6 <= top_p <= 1):
        with pytest.raises(InvalidInput, match="top_p" if warm else "temperature"):
            Sampling(temperature, top_p)
        return
    asked = [Request((3, 4), 3, key) for key in range(8)]
    for completion in SAMPLERS[name].generate(asked, Sampling(temperature, top_p)):
        assert 1 <= len(completion.tokens) <= 3
        assert set(completion.tokens) <= set(range(SIZE))
        assert np.isfinite(completion.logprobs).all()
        assert (completion.logprobs <= 1e-6).all()


@given(
    logits=arrays.arrays(np.float32, (3, 5), elements=st.floats(-1e4, 1e4, width=32)),
    temperature=st.floats(LOWEST, HIGHEST),
    top_p=st.floats(1e-6, 1),
    uniform=arrays.arrays(np.float64, 3, elements=st.floats(0, 1, exclude_max=True)),
)
def test_what_is_drawn_has_a_probability(logits, temperature, top_p, uniform):
    tokens, logprobs = draw(torch.from_numpy(logits), Sampling(temperature, top_p), uniform)
    expected = torch.log_softmax(torch.from_numpy(logits).double() / temperature, dim=-1)
    assert torch.isfinite(logprobs).all()
    found = expected.gather(1, tokens[:, None])[:, 0]
    # The quotient is rounded to float32: at 1e6 that is 0.06.
    torch.testing.assert_close(logprobs.double(), found, atol=0.2, rtol=1e-5)
    assert (found > -110).all()  # less is 0 in float32, and never drawn


@given(temperature=st.floats(LOWEST, 0.1))
def test_at_low_temperatures_the_likeliest_is_drawn(temperature):
    logits = torch.tensor([[0.0, 9.0, 1.0, -3.0]]).repeat(8, 1)
    tokens, _ = draw(logits, Sampling(temperature), np.linspace(0.001, 1, 8, endpoint=False))
    assert tokens.tolist() == [1] * 8


def test_the_least_share_keeps_one_token():
    logits = torch.tensor([[0.0, 0.1, 0.05, 0.0]]).repeat(8, 1)
    tokens, _ = draw(logits, Sampling(top_p=1e-6), np.linspace(0, 1, 8, endpoint=False))
    assert tokens.tolist() == [1] * 8


@pytest.mark.parametrize("settings", [LossSettings, TrainBudget])
@pytest.mark.parametrize("temperature", [0.0, 1e-40, 1e-320, -1.0, math.nan, math.inf, 101.0])
def test_what_cannot_be_trained_at_is_refused(settings, temperature):
    with pytest.raises(InvalidInput, match="temperature"):
        settings(temperature=temperature)
