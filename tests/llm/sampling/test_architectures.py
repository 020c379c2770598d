"""Whatever the architecture, what is sampled and what is trained on is the model's own law."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from transformers import MambaForCausalLM, RoFormerConfig, RoFormerForCausalLM

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.engines.lean import completion_logprobs
from llm.models.law import check_right_padding
from llm.sampling.base import Request, Sampling
from llm.sampling.transformers.reading import EQUAL, PADDED, REREAD
from llm.sampling.transformers.sampler import TransformersSampler
from llm.training.rows import TrainingRow, pad_rows
from tests.llm import families
from tests.llm.families import FAMILIES, family_model
from tests.llm.rows import gradient, logprobs_of, relative
from tests.llm.words import CountStop, random_model, vocabulary

torch.set_num_threads(1)
SIZE = 40
WORDS = vocabulary(*(f"w{i}" for i in range(SIZE - 3)))
PROMPTS = [(3, 4, 5), (6, 7, 8, 9, 10, 11, 12, 13, 14), (3, 4, 5), (12,), (5, 6, 7, 8, 9, 10, 11)]
KEYS = Key.of(4).integers(15)


def requests():
    """Prompts of unequal lengths, each several times, whose stops come at different times."""
    return [
        Request(PROMPTS[i % 5], 14, int(key), CountStop(2 + 5 * i % 13))
        for i, key in enumerate(KEYS)
    ]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, 0.9)], ids=str)
def test_sampled_logprobs_are_those_of_a_plain_forward_pass(name, sampling):
    model = family_model(name, SIZE)
    sampler = TransformersSampler(model, WORDS)
    assert sampler.way == (REREAD if name in families.REREAD else PADDED)
    asked = requests()
    lengths = set()
    for request, completion in zip(asked, sampler.generate(asked, sampling), strict=True):
        with torch.no_grad():
            expected = logprobs_of(model, request.tokens, completion.tokens, sampling.temperature)
        np.testing.assert_allclose(completion.logprobs, expected.numpy(), atol=1e-4)
        lengths.add(len(completion.tokens))
    assert len(lengths) > 5


@pytest.mark.parametrize("name", ["qwen3_5", "falcon_h1", "mamba2", "rwkv", "gemma3"])
def test_a_completion_depends_on_its_request_alone(name):
    model, asked = family_model(name, SIZE), requests()
    whole = [c.tokens for c in TransformersSampler(model, WORDS).generate(asked, Sampling())]
    few = TransformersSampler(model, WORDS, max_batch=4).generate(asked[::-1], Sampling())[::-1]
    assert [c.tokens for c in few] == whole


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_trained_on_is_the_law_of_each_row_alone(name):
    """Right padding changes neither log-probabilities nor their gradient."""
    model = family_model(name, SIZE)
    rng = np.random.default_rng(1)
    rows = [
        TrainingRow(prompt, tuple(rng.integers(1, SIZE, n).tolist()), np.zeros(n), np.ones(n), 0, 0)
        for prompt, n in zip(PROMPTS, (3, 9, 12, 7, 1), strict=True)
    ]
    batch = pad_rows(rows)
    found = completion_logprobs(model, batch)
    expected = [logprobs_of(model, row.prompt, row.completion) for row in rows]
    torch.testing.assert_close(found[batch.completion_mask], torch.cat(expected), atol=1e-4, rtol=0)
    weights = [torch.linspace(-1, 1, len(logprobs)) for logprobs in expected]
    slow = sum((w * logprobs).sum() for w, logprobs in zip(weights, expected, strict=True))
    plain = gradient(model, slow)
    assert plain.abs().sum() > 0
    padded = gradient(model, (torch.cat(weights) * found[batch.completion_mask]).sum())
    assert relative(padded, plain) < 1e-4


class Maskless(MambaForCausalLM):
    """Takes no notice of the mask, as state-space models without kernels for it do."""

    def forward(self, input_ids=None, attention_mask=None, cache_params=None, **options):
        return super().forward(input_ids=input_ids, cache_params=cache_params, **options)


def test_rows_of_unequal_length_share_no_batch_where_padding_counts(caplog):
    torch.manual_seed(0)
    model = Maskless(family_model("mamba", SIZE).config).eval()
    with caplog.at_level(logging.WARNING):
        sampler = TransformersSampler(model, WORDS)
    assert sampler.way == EQUAL
    assert "mamba is sampled with a cache, prompts of equal length at a time" in caplog.text
    for request, completion in zip(
        requests(), sampler.generate(requests(), Sampling()), strict=True
    ):
        with torch.no_grad():
            expected = logprobs_of(model, request.tokens, completion.tokens)
        np.testing.assert_allclose(completion.logprobs, expected.numpy(), atol=1e-4)


def test_a_model_that_sees_what_comes_later_is_refused():
    """Its law of a token changes with every token after it: there is nothing to sample from."""
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
    config = RoFormerConfig(
        vocab_size=SIZE, num_hidden_layers=2, is_decoder=False, initializer_range=0.3, **shape
    )
    torch.manual_seed(0)
    model = RoFormerForCausalLM(config).eval()
    with pytest.raises(
        InvalidInput, match=r"model = 'roformer': .* by up to [\d.]+ nats.*sample with vLLM, or"
    ):
        TransformersSampler(model, WORDS)


def test_a_model_whose_padding_leaks_is_refused_for_training():
    model = random_model(SIZE)
    check_right_padding(model, 128)
    plain = model.forward

    def leaking(input_ids, **options):
        output = plain(input_ids=input_ids, **options)
        output.logits = output.logits + output.logits.mean(dim=1, keepdim=True)
        return output

    model.forward = leaking
    with pytest.raises(InvalidInput, match=r"'llama'.*padded on the right.*by up to [\d.]+ nats"):
        check_right_padding(model, 128)


def test_weights_that_are_no_numbers_are_refused():
    model = random_model(SIZE)
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(InvalidInput, match="not finite"):
        TransformersSampler(model, WORDS)


def test_the_comparison_is_made_once_and_costs_nothing_on_the_account():
    model, calls = random_model(SIZE), []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    sampler = TransformersSampler(model, WORDS)
    assert 4 <= len(calls) <= 8
    assert sampler.work.forward == sampler.work.calls == 0
    calls.clear()
    for _ in range(2):
        sampler.sync(model)
        sampler.generate([Request((3, 4), 1, 0)], Sampling())
    assert len(calls) == 2


def test_what_is_read_again_is_on_the_account():
    sampler = TransformersSampler(family_model("rwkv", SIZE), WORDS)
    (done,) = sampler.generate([Request((3, 4, 5), 4, 7)], Sampling())
    assert len(done.tokens) == 4
    assert sampler.work.decoded == 4
    assert sampler.work.prefilled == 3 + 3 + 4 + 5  # 3, 4, 5 and 6 tokens, less the new ones


@pytest.mark.parametrize("context", [2, 3, 10])
def test_short_contexts_are_compared_as_well(context):
    assert TransformersSampler(random_model(SIZE), WORDS, context=context).way == PADDED
    check_right_padding(random_model(SIZE), context)
