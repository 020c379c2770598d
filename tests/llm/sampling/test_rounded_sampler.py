"""Sampling from a copy in half the precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.models.law import plain_logprobs
from llm.models.settings import ModelSettings
from llm.sampling.base import GREEDY, Request, Sampling
from llm.sampling.engine import make_sampler
from llm.sampling.settings import SamplerSettings
from llm.sampling.transformers.rounded_sampler import RoundedSampler
from llm.sampling.transformers.sampler import TransformersSampler
from tests.llm.words import random_model, vocabulary

torch.set_num_threads(1)
WORDS = vocabulary(*(f"w{i}" for i in range(13)))
SOURCE = ModelSettings("somewhere")
HALF = SamplerSettings(precision="bfloat16")
ASKED = [Request((3 + i % 4, 5), 12, int(key)) for i, key in enumerate(Key.of(3).integers(32))]


def test_tokens_and_logprobs_are_those_of_the_rounded_weights():
    model = random_model(16)
    sampler = make_sampler(HALF, model, WORDS, SOURCE)
    assert isinstance(sampler, RoundedSampler)
    done = sampler.generate(ASKED, Sampling())
    rounded = random_model(16)
    for weight in rounded.parameters():
        weight.data = weight.data.bfloat16().float()
    gaps = []
    for request, completion in zip(ASKED, done, strict=True):
        with torch.no_grad():
            wanted = plain_logprobs(rounded, request.tokens, completion.tokens)
        gaps.extend(np.abs(completion.logprobs - wanted.numpy()))
    # What is left is the rounding of activations.
    assert 1e-4 < np.mean(gaps) < 0.02
    assert sampler.work.decoded == sum(len(c.tokens) for c in done)


def test_the_model_that_is_trained_stays_as_it_is():
    model, untouched = random_model(16), random_model(16)
    make_sampler(HALF, model, WORDS, SOURCE).generate(ASKED, Sampling())
    for weight, other in zip(model.parameters(), untouched.parameters(), strict=True):
        assert weight.requires_grad
        assert torch.equal(weight, other)


def test_the_copy_follows_when_it_is_told_to():
    model = random_model(16)
    sampler = make_sampler(HALF, model, WORDS, SOURCE)
    before = sampler.generate(ASKED, GREEDY)[0].tokens
    model.lm_head.weight.data.neg_()
    assert sampler.generate(ASKED, GREEDY)[0].tokens == before
    sampler.sync(model)
    assert sampler.generate(ASKED, GREEDY)[0].tokens != before
    with pytest.raises(InvalidInput, match="not the one that was copied"):
        sampler.sync(random_model(16))


def test_positions_are_not_rounded():
    """Angles of far places in bfloat16 would be off by radians."""
    model = random_model(16)
    sampler = make_sampler(HALF, model, WORDS, SOURCE)
    assert all(b.dtype == torch.float32 for _, b in sampler._copy.named_buffers())
    assert all(p.dtype == torch.bfloat16 for p in sampler._copy.parameters())


def test_streams_give_what_batches_give():
    sampler = make_sampler(HALF, random_model(16), WORDS, SOURCE)
    stream = sampler.stream(slots=4)
    tickets = [stream.submit(request, Sampling()) for request in ASKED]
    done = {}
    while len(done) < len(ASKED):
        done.update(stream.finished())
    together = sampler.generate(ASKED, Sampling())
    same = [done[t].tokens == c.tokens for t, c in zip(tickets, together, strict=True)]
    assert np.mean(same) > 0.8  # rounding differs with the batch, and so may a token


def test_a_model_in_that_precision_needs_no_copy():
    model = random_model(16).to(torch.bfloat16)
    assert isinstance(make_sampler(HALF, model, WORDS, SOURCE), TransformersSampler)
