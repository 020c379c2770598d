"""Sampling with the real engine against the model's own forward pass in transformers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import vllm

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.models.tiny import TinyModel, save
from llm.sampling.base import GREEDY, Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.sampling.vllm.sampler import VllmSampler, VllmSettings
from tests.llm.words import CountStop, vocabulary

WORDS = vocabulary(*(f"w{i}" for i in range(61)))
EOS = 1
SHAPE = {"width": 64, "layers": 2, "heads": 2, "feed_forward": 48, "context": 512, "spread": 0.3}
KEYS = [int(key) for key in Key.of(5).integers(64)]
PROMPTS = [(3, 4, 5), (6, 7, 8, 9, 10, 11), (3, 4, 5), (12,)]


def start(folder, tied=False, **options):
    model = TinyModel(**SHAPE, tied=tied).build(WORDS.tokenizer, seed=0).eval()
    save(model, WORDS.tokenizer, folder)
    settings = VllmSettings(str(folder), dtype="float32", context=512, eager=True, **options)
    return VllmSampler(settings, WORDS), model


@pytest.fixture(scope="module")
def untied(tmp_path_factory):
    return start(tmp_path_factory.mktemp("untied"))


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    return start(tmp_path_factory.mktemp("tied"), tied=True)


def requests(count=16, most=12, stop=None):
    return [Request(PROMPTS[i % 4], most, KEYS[i], stop) for i in range(count)]


def reference(model, request, completion, temperature=1.0):
    ids = torch.tensor([[*request.tokens, *completion.tokens]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(request.tokens) - 1 : -1]
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    return logprobs[torch.arange(len(completion.tokens)), ids[0, len(request.tokens) :]].numpy()


def gap(engine, model, sampling=Sampling(), **options):
    """Mean distance between the engine's log-probabilities and those of the model."""
    asked = requests(**options)
    pairs = zip(asked, engine.generate(asked, sampling), strict=True)
    temperature = sampling.temperature or 1.0
    return np.mean(
        [np.abs(c.logprobs - reference(model, r, c, temperature)).mean() for r, c in pairs]
    )


def test_requests_of_others_in_the_same_engine_are_left_to_vllm(untied):
    engine, model = untied
    params = vllm.SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, detokenize=False)
    asked = [{"prompt_token_ids": list(prompt)} for prompt in PROMPTS]
    for prompt, output in zip(PROMPTS, engine._llm.generate(asked, params), strict=True):
        ids = list(prompt)
        with torch.no_grad():
            while len(ids) < len(prompt) + 8:
                ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        assert list(output.outputs[0].token_ids) == ids[len(prompt) :]


def changed(model):
    """A copy of the model with every weight moved, as after many updates."""
    other = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return other


def test_greedy_equals_generate_of_transformers(untied):
    engine, model = untied
    for request, completion in zip(requests(4), engine.generate(requests(4), GREEDY), strict=True):
        ids = torch.tensor([request.tokens])
        whole = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
        assert completion.tokens == tuple(whole[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7, 0.8), Sampling(1.5), GREEDY], ids=str
)
def test_logprobs_are_those_at_the_temperature_before_top_p(untied, sampling):
    engine, model = untied
    asked = requests()
    temperature = sampling.temperature or 1.0
    for request, completion in zip(asked, engine.generate(asked, sampling), strict=True):
        expected = reference(model, request, completion, temperature)
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-3)


def test_more_prompt_tokens_than_the_engine_reads_at_once(untied):
    """A prompt in two parts draws between them, and that token is thrown away."""
    engine, _ = untied
    limit = engine._llm.llm_engine.vllm_config.scheduler_config.max_num_batched_tokens
    ids = 3 + Key.of(2).integers(2 * limit) % np.uint64(61)
    long = [tuple(map(int, row)) for row in ids[: 2 * limit // 401 * 401].reshape(-1, 401)]
    asked = [Request(prompt, 2, 7 + i) for i, prompt in enumerate(long)]
    done = engine.generate(asked, Sampling())
    alone = [engine.generate([request], Sampling())[0] for request in asked[::8]]
    assert [c.tokens for c in alone] == [c.tokens for c in done[::8]]


def test_frequencies_are_the_models_at_its_temperature_cut_at_top_p(untied):
    engine, model = untied
    sampling, count = Sampling(0.7, 0.8), 4000
    asked = [Request((3, 4, 5), 1, int(key)) for key in Key.of(9).integers(count)]
    drawn = np.bincount([c.tokens[0] for c in engine.generate(asked, sampling)], minlength=64)
    with torch.no_grad():
        law = torch.softmax(model(input_ids=torch.tensor([[3, 4, 5]])).logits[0, -1] / 0.7, -1)
    law = law.numpy()
    order = np.argsort(-law)
    kept = order[: np.searchsorted(np.cumsum(law[order]), 0.8) + 1]
    expected = np.zeros(64)
    expected[kept] = law[kept] / law[kept].sum()
    assert drawn[expected == 0].sum() == 0
    error = np.sqrt(expected * (1 - expected) / count)
    assert np.all(np.abs(drawn / count - expected) <= 4.5 * error + 1e-12)


def test_ends_are_told_apart_and_the_end_token_is_kept(untied):
    engine, _ = untied
    completions = engine.generate(requests(64 - 1, most=200), Sampling(3.0))
    assert {c.ended for c in completions} == {"eos", "length"}
    for completion in completions:
        ended_by_token = completion.tokens[-1] == EOS
        assert (completion.ended == "eos") == ended_by_token
        assert EOS not in completion.tokens[:-1]
        assert completion.ended == "eos" or len(completion.tokens) == 200
        assert len(completion.logprobs) == len(completion.tokens)


def test_a_completion_stops_where_the_context_ends(untied):
    engine, _ = untied
    (completion,) = engine.generate([Request((3,) * 505, 100, 7)], Sampling(0.1))
    assert len(completion.tokens) <= 7


def test_stop_rules_are_applied_token_by_token(untied):
    engine, _ = untied
    whole = engine.generate(requests(most=30), Sampling())
    before = engine.work.decoded
    cut = engine.generate(requests(most=30, stop=CountStop(5)), Sampling())
    for one, other in zip(whole, cut, strict=True):
        assert other.tokens == one.tokens[:5]
        assert other.ended == ("stop" if len(one.tokens) > 5 else one.ended)
    assert engine.work.decoded - before == sum(len(c.tokens) for c in cut)


def test_completions_depend_on_their_keys_alone(untied):
    engine, _ = untied
    whole = engine.generate(requests(), Sampling())
    again = engine.generate(requests()[::-1], Sampling())[::-1]
    alone = [engine.generate([request], Sampling())[0] for request in requests(6)]
    assert [c.tokens for c in whole] == [c.tokens for c in again]
    assert [c.tokens for c in whole[:6]] == [c.tokens for c in alone]
    assert len({c.tokens for c in whole}) == len(whole)


def test_prefixes_that_were_read_are_not_read_again(untied):
    engine, _ = untied
    prompt = tuple(3 + i % 50 for i in range(300))
    engine.generate([Request(prompt, 1, 1)], Sampling())
    prefilled, cached = engine.work.prefilled, engine.cached
    engine.generate([Request((*prompt, 7, 8), 1, 2)], Sampling())
    assert engine.cached - cached >= 256
    assert engine.work.prefilled - prefilled + engine.cached - cached == 302


@pytest.mark.parametrize("kind", ["untied", "tied"])
def test_weights_follow_the_model(kind, request):
    engine, model = request.getfixturevalue(kind)
    other = changed(model)
    assert gap(engine, model) < 1e-3
    assert gap(engine, other) > 0.1  # what an engine that was not told samples from
    engine.sync(other)
    assert gap(engine, other) < 1e-3
    assert gap(engine, other, Sampling(0.7)) < 1e-3
    engine.sync(model)
    assert gap(engine, model) < 1e-3


def test_what_was_cached_under_old_weights_is_forgotten(untied):
    engine, model = untied
    asked = [Request(tuple(3 + i % 50 for i in range(300)), 8, 3)]
    engine.generate(asked, Sampling())
    other = changed(model)
    engine.sync(other)
    (completion,) = engine.generate(asked, Sampling())
    np.testing.assert_allclose(
        completion.logprobs, reference(other, asked[0], completion), atol=1e-3
    )
    engine.sync(model)


def test_weights_of_another_architecture_are_refused_and_change_nothing(untied):
    engine, model = untied
    other = TinyModel(**{**SHAPE, "layers": 3}).build(WORDS.tokenizer, seed=0)
    with pytest.raises(InvalidInput, match="num_hidden_layers"):
        engine.sync(other)
    assert gap(engine, model) < 1e-3


def drained(stream, tickets):
    done = {}
    while len(done) < len(tickets):
        done.update(stream.finished())
    assert stream.finished() == []
    return [done[ticket] for ticket in tickets]


def test_streams_give_the_completions_of_a_call(untied):
    engine, model = untied
    asked = requests(16, most=20, stop=CountStop(9))
    expected = engine.generate(asked, Sampling(0.7))
    stream = engine.stream()
    tickets = [stream.submit(request, Sampling(0.7)) for request in asked[:10]]
    early = stream.finished()
    tickets += [stream.submit(request, Sampling(0.7)) for request in asked[10:]]
    # A call of its own in between, as of a localiser that does not know of streams.
    engine.generate(requests(3), Sampling(0.7))
    found = dict(early)
    while len(found) < 16:
        found.update(stream.finished())
    for ticket, request, other in zip(tickets, asked, expected, strict=True):
        assert found[ticket].tokens == other.tokens
        assert found[ticket].ended == other.ended
        np.testing.assert_allclose(
            found[ticket].logprobs, reference(model, request, other, 0.7), atol=1e-3
        )
    stream.close()
    assert gap(engine, model) < 1e-3


def test_replies_at_another_temperature_are_drawn_beside_rollouts(untied):
    engine, model = untied
    count = 2000
    stream = engine.stream()
    rollouts = [stream.submit(request, Sampling(1.5)) for request in requests(8)]
    keys = Key.of(19).integers(count)
    replies = [stream.submit(Request((3, 4, 5), 1, int(k)), Sampling(0.5)) for k in keys]
    greedy = stream.submit(Request((3, 4, 5), 4, 1), GREEDY)
    done = drained(stream, [*rollouts, *replies, greedy])
    asked = [*requests(8), Request((3, 4, 5), 1, 0), Request((3, 4, 5), 4, 1)]
    shown = zip(asked, [*done[:9], done[-1]], [*8 * [1.5], 0.5, 1.0], strict=True)
    for request, completion, temperature in shown:
        expected = reference(model, request, completion, temperature)
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-3)
    drawn = np.bincount([c.tokens[0] for c in done[8:-1]], minlength=64)
    with torch.no_grad():
        law = torch.softmax(model(input_ids=torch.tensor([[3, 4, 5]])).logits[0, -1] / 0.5, -1)
    error = np.sqrt(law.numpy() * (1 - law.numpy()) / count)
    assert np.all(np.abs(drawn / count - law.numpy()) <= 4.5 * error + 1e-3)
    (alone,) = engine.generate([Request((3, 4, 5), 4, 1)], GREEDY)
    assert done[-1].tokens == alone.tokens


def test_what_is_dropped_does_not_turn_up_again(untied):
    engine, model = untied
    stream = engine.stream()
    for request in requests(8, most=50):
        stream.submit(request, Sampling(0.7))
    stream.finished()
    stream.close()
    assert gap(engine, model) < 1e-3


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, 0.8), GREEDY], ids=str)
def test_its_texts_are_those_of_transformers(untied, sampling):
    """Same keys, same numbers, same function: all but where rounding decides."""
    engine, model = untied
    asked = requests(64, most=20)
    other = TransformersSampler(model, WORDS).generate(asked, sampling)
    pairs = list(zip(engine.generate(asked, sampling), other, strict=True))
    assert sum(one.tokens == two.tokens for one, two in pairs) >= 62
    assert sum(one.ended == two.ended for one, two in pairs) >= 62


# vLLM's process groups go with an engine that is dropped, so the tests below, which start some of
# their own, come after all that share one.


def test_stop_texts_end_a_completion_and_stay_in_it(tmp_path):
    engine, _ = start(tmp_path, stop=("w7",))
    completions = engine.generate(requests(32, most=100), Sampling(2.0))
    stopped = [c for c in completions if c.ended == "stop"]
    assert stopped
    for completion in completions:
        texts = [WORDS.piece(token) for token in completion.tokens]
        assert not any("w7" in text for text in texts[:-1])
        assert ("w7" in texts[-1]) == (completion.ended == "stop")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"vllm\.device"):
        VllmSampler(VllmSettings(str(tmp_path), device="cuda"), WORDS)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="model"):
        VllmSampler(VllmSettings(str(tmp_path)), WORDS)


def test_heads_that_the_engine_cannot_compute_are_refused_at_once(tmp_path):
    save(TinyModel(width=32, heads=2).build(WORDS.tokenizer, seed=0), WORDS.tokenizer, tmp_path)
    with pytest.raises(InvalidInput, match="heads have size 16"):
        VllmSampler(VllmSettings(str(tmp_path), context=512, eager=True), WORDS)
