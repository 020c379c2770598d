"""Choosing the engine that samples."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from cpi_theory.checks import InvalidInput
from llm.models.settings import ModelSettings
from llm.sampling.base import GREEDY, Request
from llm.sampling.engine import make_sampler
from llm.sampling.settings import SamplerSettings
from llm.sampling.transformers.sampler import TransformersSampler
from tests.llm.words import random_model, vocabulary

WORDS = vocabulary(*(f"w{i}" for i in range(13)))
SOURCE = ModelSettings("somewhere")


def test_transformers_samples_from_the_model_that_is_trained():
    model = random_model(16)
    sampler = make_sampler(SamplerSettings(max_batch=3), model, WORDS, SOURCE)
    assert isinstance(sampler, TransformersSampler)
    assert (sampler.model, sampler.max_batch) == (model, 3)
    before = sampler.generate([Request((3, 4), 6, 0)], GREEDY)[0].tokens
    model.lm_head.weight.data.neg_()
    sampler.sync(model)
    assert sampler.generate([Request((3, 4), 6, 0)], GREEDY)[0].tokens != before
    with pytest.raises(InvalidInput, match="not the one sampled from"):
        sampler.sync(random_model(16))


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_vllm_that_is_not_installed_is_named_with_the_remedy():
    with pytest.raises(InvalidInput, match=r"not installed.*cpi-resets\[vllm\]"):
        make_sampler(SamplerSettings("vllm"), random_model(16), WORDS, SOURCE)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"engine": "sglang"}, "engine"),
        ({"max_batch": 0}, "max_batch"),
        ({"memory_share": 0}, "memory_share"),
    ],
)
def test_settings_out_of_range_are_named(changes, field):
    with pytest.raises(InvalidInput, match=rf"sampler\.{field}"):
        SamplerSettings(**changes)
