"""vLLM on a real pretrained model: it samples, and follows the weights after an update."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cpi_theory.randomness import Key
from llm.models.settings import SMOLLM2_FOLDER
from llm.sampling.base import Request, Sampling
from llm.sampling.vllm.sampler import VllmSampler, VllmSettings
from llm.text.vocabulary import Vocabulary

FOLDER = Path(os.environ.get("CPI_REAL_MODEL", SMOLLM2_FOLDER))

pytestmark = pytest.mark.skipif(
    not (FOLDER / "config.json").exists(),
    reason=f"no model in {FOLDER}; CPI_REAL_MODEL names another folder",
)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(AutoTokenizer.from_pretrained(FOLDER))


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def engine(request, vocabulary):
    settings = VllmSettings(
        str(FOLDER), dtype=request.param, context=512, cache_gib=0.5, eager=True
    )
    return VllmSampler(settings, vocabulary)


def gap(engine, model, vocabulary):
    """Mean distance between the engine's log-probabilities and those of the float32 model."""
    texts = ("The capital of France is", "2 + 2 =", "Once upon a time")
    asked = [
        Request(tuple(vocabulary.encode(text)), 12, int(key))
        for text in texts
        for key in Key.of(3).integers(2)
    ]
    distances = []
    for request, completion in zip(asked, engine.generate(asked, Sampling()), strict=True):
        ids = torch.tensor([[*request.tokens, *completion.tokens]])
        with torch.no_grad():
            laws = model(input_ids=ids).logits[0, len(request.tokens) - 1 : -1].log_softmax(-1)
        own = laws[torch.arange(len(completion.tokens)), ids[0, len(request.tokens) :]].numpy()
        distances.append(np.abs(own - completion.logprobs).mean())
    return float(np.mean(distances))


def test_it_samples_and_follows_an_update(engine, model, vocabulary):
    # Rounding of bfloat16 through 30 layers; in float32 a hundredth of that.
    rounding = 0.1 if engine.settings.dtype == "bfloat16" else 2e-3
    assert gap(engine, model, vocabulary) < rounding
    other = copy.deepcopy(model)
    # A step of plain gradient descent, large enough to be told from rounding.
    ids = torch.tensor([vocabulary.encode("The capital of France is a lemon tree in spring.")])
    other(input_ids=ids, labels=ids).loss.backward()
    with torch.no_grad():
        for weight in other.parameters():
            weight -= 0.02 * weight.grad
    before = gap(engine, other, vocabulary)
    engine.sync(other)
    after = gap(engine, other, vocabulary)
    assert after < rounding
    assert before > 3 * rounding
    engine.sync(model)
    assert gap(engine, model, vocabulary) < rounding
