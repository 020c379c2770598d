"""Sampling with a transformers model against that model's own forward pass and `generate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.sampling.base import GREEDY, Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler, draw
from tests.llm.words import CountStop, random_model, vocabulary

torch.set_num_threads(1)
WORDS = vocabulary(*(f"w{i}" for i in range(13)))
PROMPTS = [(3, 4, 5), (6, 7, 8, 9, 10, 11), (3, 4, 5), (12,)]
KEYS = Key.of(3).integers(64)


def sampler(**options):
    return TransformersSampler(random_model(16), WORDS, **options)


def requests(count, most=12, stop=None):
    return [Request(PROMPTS[i % 4], most, int(key), stop) for i, key in enumerate(KEYS[:count])]


def values(completions):
    return [(c.tokens, c.ended) for c in completions]


def reference_logprobs(model, prompt, tokens, temperature):
    ids = torch.tensor([[*prompt, *tokens]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    return logprobs[torch.arange(len(tokens)), torch.tensor(tokens)].numpy()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, 0.8)], ids=str)
def test_logprobs_are_those_of_an_unpadded_forward_pass(sampling):
    engine = sampler()
    asked = requests(24)
    for request, completion in zip(asked, engine.generate(asked, sampling), strict=True):
        expected = reference_logprobs(
            engine.model, request.tokens, completion.tokens, sampling.temperature
        )
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-5)


def test_greedy_equals_generate():
    engine = sampler()
    for completion, request in zip(engine.generate(requests(4), GREEDY), requests(4), strict=True):
        ids = torch.tensor([request.tokens])
        whole = engine.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
        assert completion.tokens == tuple(whole[0, ids.shape[1] :].tolist())


def test_a_completion_depends_on_its_request_alone():
    whole = values(sampler().generate(requests(64), Sampling()))
    order = np.random.default_rng(0).permutation(64)
    asked = requests(64)
    assert values(sampler().generate([asked[i] for i in order], Sampling())) == [
        whole[i] for i in order
    ]
    assert values(sampler(max_batch=5).generate(asked, Sampling())) == whole
    assert values(sampler().generate(asked[:1], Sampling())) == whole[:1]
    assert len({c[0] for c in whole}) > 40


def test_tokens_follow_the_model():
    """First tokens of one prompt against the model's own probabilities."""
    engine = sampler()
    keys = Key.of(8).integers(4000)
    asked = [Request((3, 4, 5), 1, int(key)) for key in keys]
    counts = np.bincount([c.tokens[0] for c in engine.generate(asked, Sampling())], minlength=16)
    with torch.no_grad():
        law = engine.model(torch.tensor([[3, 4, 5]])).logits[0, -1].softmax(0).double().numpy()
    kept = law * 4000 >= 5
    observed = np.append(counts[kept], counts[~kept].sum())
    expected = np.append(law[kept], law[~kept].sum()) * 4000
    assert stats.chisquare(observed, expected / expected.sum() * 4000).pvalue > 1e-3


def test_endings():
    completions = sampler().generate(requests(64, most=9), Sampling())
    assert {c.ended for c in completions} == {"eos", "length"}
    for completion in completions:
        assert (completion.ended == "eos") == (1 in completion.tokens)
        assert completion.tokens.count(1) <= 1
        assert 1 not in completion.tokens[:-1]
        assert completion.ended == "eos" or len(completion.tokens) == 9
    stopped = sampler().generate(requests(64, most=9, stop=CountStop(3)), Sampling())
    for cut, whole in zip(stopped, completions, strict=True):
        assert cut.tokens == whole.tokens[:3]
        assert cut.ended == ("eos" if 1 in cut.tokens else "stop")


def test_nothing_grows_beyond_the_context():
    engine = sampler(context=10)
    for request, completion in zip(
        requests(8, 100), engine.generate(requests(8, 100), Sampling()), strict=True
    ):
        assert len(request.tokens) + len(completion.tokens) <= 10
    with pytest.raises(InvalidInput, match=r"requests\[0\]\.tokens"):
        engine.generate([Request((3,) * 10, 5, 0)], Sampling())
    with pytest.raises(InvalidInput, match=r"max_tokens"):
        engine.generate([Request((3,), 0, 0)], Sampling())
    assert engine.generate([], Sampling()) == []


def test_a_shared_prompt_is_computed_once():
    engine = sampler()
    completions = engine.generate(requests(64), Sampling())
    assert engine.work.calls == 1
    assert engine.work.prefilled == 3 + 6 + 1
    assert engine.work.decoded == sum(len(c.tokens) for c in completions)


def test_top_p_keeps_the_likeliest_and_only_those():
    logits = torch.log(torch.tensor([[0.5, 0.05, 0.3, 0.15]])).repeat(2000, 1)
    u = np.linspace(0, 1, 2000, endpoint=False)
    tokens, logprobs = draw(logits, Sampling(top_p=0.8), u)
    shares = np.bincount(tokens.numpy(), minlength=4) / 2000
    np.testing.assert_allclose(shares, [0.625, 0, 0.375, 0], atol=1e-3)
    first = torch.log(torch.where(tokens == 0, 0.5, 0.3))
    torch.testing.assert_close(logprobs, first)  # before top-p: what a loss can recompute


def test_a_uniform_at_the_edge_draws_what_can_be_drawn():
    logits = torch.tensor([[0.0, 1.0, -torch.inf]])
    edge = np.array([np.nextafter(1.0, 0.0)])
    tokens, _ = draw(logits, Sampling(), edge)
    assert tokens.tolist() == [1]


def test_the_model_is_left_in_its_mode_and_used_as_it_is_now():
    engine = sampler()
    engine.model.train()
    before = values(engine.generate(requests(8), Sampling()))
    assert engine.model.training
    with torch.no_grad():
        engine.model.lm_head.weight.neg_()
    assert values(engine.generate(requests(8), Sampling())) != before
