"""Rows that are read along their tree give the gradient of rows read one by one, or say why not."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from llm.engines.lean import (
    LeanTrainer,
    autocast_error,
    completion_logprobs,
    computing,
    gradients,
    with_logprobs,
)
from llm.models.load import prepare
from llm.models.memory import OutOfMemory
from llm.models.settings import LoraSettings, ModelSettings
from llm.training import sharing
from llm.training.losses import Totals
from llm.training.rows import TrainingRow, pad_rows
from llm.training.settings import LossSettings, OptimizerSettings
from llm.training.shared_prefixes import read_along, tree_of
from llm.training.sharing import PrefixSharing, compared, obstacle
from tests.llm.families import FAMILIES, FURTHER, family_model
from tests.llm.rows import VOCABULARY, logprobs_of, relative, tiny_model, weights

torch.set_num_threads(1)
SIZE = 40
SHARED = [
    *("gemma2", "gemma3", "gemma4", "mistral", "phi3", "cohere2", "olmo3", "llama4"),
    *("qwen2", "gpt2", "bloom", *FURTHER),
]
"""Those that can be computed in float64, in which nothing is hidden by rounding."""

OWN_WAY = sorted(FAMILIES.keys() - {*SHARED, "gpt_oss", "recurrent_gemma"})


def rows_with_resets(seed=0, size=SIZE):
    """Two prompts and a stranger; below one a rollout that was reset, twice, and all lengths."""
    rng = np.random.default_rng(seed)

    def ids(length):
        return tuple(rng.integers(3, size, length).tolist())

    first, second = ids(13), ids(6)
    base = [ids(n) for n in (9, 5, 12, 1)]
    kept, less = base[2][:7], base[2][:4]
    pairs = [(first, text) for text in base]
    pairs += [(first + kept, ids(n)) for n in (4, 2, 6)]
    pairs += [(first + less, ids(5)), (first + less, base[2][4:])]
    pairs += [(second, ids(3)), (second, ids(5)), (ids(5), ids(4))]
    pairs += [(second, second), (second, second)]  # equal to the end
    return [
        TrainingRow(
            prompt,
            text,
            rng.normal(-2, 0.3, len(text)).astype(np.float32),
            rng.normal(size=len(text)),
            0,
            0,
        )
        for prompt, text in pairs
    ]


def totals(rows):
    return Totals(len(rows), sum(len(row.completion) for row in rows))


def gradient_of(model, rows, tree, micro_batch, loss):
    model.zero_grad()
    value, read = gradients(model, rows, tree, micro_batch, totals(rows), loss)
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return value, read, found


@pytest.mark.parametrize("name", SHARED)
def test_the_gradient_is_that_of_rows_read_one_by_one(name):
    model = family_model(name, SIZE).double().train()
    assert obstacle(model) is None
    rows, loss = rows_with_resets(), LossSettings("clipped", "sequence-mean", temperature=0.8)
    tree = tree_of(rows, worth=3)
    assert max(prefix.end for prefix in tree) > 13  # thoughts that were kept are shared too
    value, read, found = gradient_of(model, rows, tree, 2, loss)
    expected, whole, plain = gradient_of(model, rows, None, 64, loss)
    assert compared(found, plain)[0] < 1e-5
    # No parameter is off in a way that the others hide.
    scale = max(float(p.norm()) for p in plain)
    for ours, theirs in zip(found, plain, strict=True):
        assert float((ours - theirs).norm()) < 1e-5 * max(float(theirs.norm()), 1e-3 * scale)
    assert value == pytest.approx(expected, rel=1e-6)
    assert read < 0.7 * whole


@pytest.mark.parametrize("kind", ["clipped", "corrected"])
def test_a_kl_term_and_ratios_are_the_same_along_the_tree(kind):
    model, rng = family_model("qwen2", SIZE).double().train(), np.random.default_rng(1)
    rows = [
        dataclasses.replace(row, reference=row.logprobs + rng.normal(0, 0.3, len(row.completion)))
        for row in rows_with_resets()
    ]
    loss = LossSettings(kind, "sequence-mean", kl=0.5, kl_weighted=True)
    tree = tree_of(rows, worth=3)
    value, _, found = gradient_of(model, rows, tree, 2, loss)
    expected, _, plain = gradient_of(model, rows, None, 64, loss)
    assert compared(found, plain)[0] < 1e-5
    assert value == pytest.approx(expected, rel=1e-6)
    without = gradient_of(model, rows, tree, 2, dataclasses.replace(loss, kl=0.0))[2]
    assert compared(found, without)[0] > 0.01  # the term is there


def test_sinks_and_experts_whose_kernels_know_no_float64():
    """GPT-OSS; a rounding that chose another expert would be off by far more."""
    model = family_model("gpt_oss", SIZE).train()
    assert obstacle(model) is None
    rows, loss = rows_with_resets(), LossSettings()
    found, plain = (gradient_of(model, rows, tree, 2, loss)[2] for tree in (tree_of(rows, 3), None))
    assert compared(found, plain)[0] < 1e-4


@given(
    seed=st.integers(0, 99),
    worth=st.integers(1, 20),
    micro_batch=st.integers(1, 9),
    kind=st.sampled_from(["corrected", "clipped"]),
)
@settings(max_examples=6, deadline=None)
def test_neither_the_tree_nor_the_micro_batch_changes_it(seed, worth, micro_batch, kind):
    model, rows = tiny_model().double(), rows_with_resets(seed, VOCABULARY)
    tree, loss = tree_of(rows, worth), LossSettings(kind)
    found, plain = (gradient_of(model, rows, t, micro_batch, loss)[2] for t in (tree, None))
    assert compared(found, plain)[0] < 1e-6


def test_each_completion_token_comes_once_with_the_log_probability_of_its_row():
    model, rows, seen = tiny_model(), rows_with_resets(size=VOCABULARY), []
    sizes = []

    def visit(batch, logprobs):
        sizes.append(len(logprobs))
        for ids, real, mask, line in zip(
            batch.input_ids, batch.attention_mask, batch.completion_mask, logprobs, strict=True
        ):
            start = int(mask.nonzero()[0])
            whole = tuple(ids[real.bool()].tolist())
            expected = logprobs_of(model, whole[:start], whole[start:])
            torch.testing.assert_close(line[mask], expected, atol=1e-5, rtol=1e-5)
            assert not line[~mask].any()
            seen.append((whole[:start], whole[start:]))
        return logprobs.sum()

    tree = tree_of(rows, worth=3)
    read = read_along(model, rows, tree, 2, 1.0, visit)
    assert sorted(seen) == sorted((row.prompt, row.completion) for row in rows)
    assert max(sizes) == 2
    inputs = [len(row) - 1 for row in rows]
    alone = len(tree.tails)  # rows that share nothing are read whole, as ever
    assert read == tree.cost(inputs) + alone


def test_adapters_on_the_last_layer_alone():
    """Keys and values below the first adapter have no graph at all."""
    lora = LoraSettings(2, 4, targets=("model.layers.1.mlp.up_proj",))
    model = prepare(tiny_model(num_hidden_layers=2), ModelSettings("tiny", lora=lora)).double()
    rows = rows_with_resets(size=VOCABULARY)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    found, plain = (
        gradient_of(model, rows, tree, 3, LossSettings())[2] for tree in (tree_of(rows, 3), None)
    )
    assert compared(found, plain)[0] < 1e-6
    assert sum(float(p.abs().sum()) > 0 for p in plain) == 2


def long_rows(count=6, size=VOCABULARY):
    """A prompt that is long enough for sharing to pay."""
    rng = np.random.default_rng(3)
    prompt = tuple(rng.integers(3, size, 40).tolist())
    return [
        TrainingRow(
            prompt,
            tuple(rng.integers(3, size, n).tolist()),
            np.full(n, -3, np.float32),
            np.full(n, (-1.0) ** i),
            0,
            0,
        )
        for i, n in enumerate(rng.integers(2, 20, count))
    ]


def stepped(model, rows=None, **options):
    trainer = LeanTrainer(model, OptimizerSettings(rate=1e-3, **options), LossSettings())
    return trainer.step(long_rows() if rows is None else rows)


@pytest.mark.parametrize("lora", [None, LoraSettings(4, 8)], ids=["all", "lora"])
def test_the_lean_loop_reads_less_and_learns_the_same(lora, caplog):
    plain, shared = (prepare(tiny_model(), ModelSettings("tiny", lora=lora)) for _ in range(2))
    expected = stepped(plain, shared_prefixes="off", micro_batch=4)
    with caplog.at_level(logging.WARNING):
        found = stepped(shared, shared_prefixes="always", micro_batch=4)
    assert relative(weights(shared), weights(plain)) < 1e-5
    assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-4)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert expected.forward_tokens == sum(map(len, long_rows()))
    assert found.forward_tokens == 40 + sum(len(r.completion) - 1 for r in long_rows())
    assert caplog.text == ""


def test_small_models_are_left_alone_by_default():
    """So their runs stay the same to the digit; sharing would cost them more than it spares."""
    off, auto = tiny_model(), tiny_model()
    assert stepped(auto) == stepped(off, shared_prefixes="off")
    assert torch.equal(weights(auto), weights(off))


def with_dropout(model):
    model.model.layers[0].self_attn.attention_dropout = 0.1
    return model


OBSTACLES = {
    "checkpointing": lambda: prepare(tiny_model(), ModelSettings("tiny", checkpointing=True)),
    "random numbers": lambda: with_dropout(tiny_model()),
    "lora_dropout": lambda: prepare(
        tiny_model(), ModelSettings("tiny", lora=LoraSettings(4, 8, dropout=0.3))
    ),
}


@pytest.mark.parametrize("reason", OBSTACLES)
def test_what_cannot_share_says_so_once_and_learns_as_before(reason, caplog):
    ours, plain = OBSTACLES[reason](), OBSTACLES[reason]()
    expected = stepped(plain, shared_prefixes="off")
    with caplog.at_level(logging.WARNING):
        trainer = LeanTrainer(
            ours, OptimizerSettings(rate=1e-3, shared_prefixes="always"), LossSettings()
        )
        assert trainer.step(long_rows()) == expected
        trainer.step(long_rows())
    assert [r.levelname for r in caplog.records if reason in r.message] == ["WARNING"]


@pytest.mark.parametrize("name", OWN_WAY)
def test_other_states_than_keys_and_values_are_not_shared(name):
    assert "cache" in obstacle(family_model(name, SIZE))


def test_a_state_outside_of_the_cache_is_found_by_comparing(caplog):
    """Recurrent Gemma keeps its own in the layers, and says nothing of it in its cache."""
    rows = long_rows(size=SIZE)
    found = stepped(family_model("recurrent_gemma", SIZE), rows, shared_prefixes="always")
    expected = stepped(family_model("recurrent_gemma", SIZE), rows, shared_prefixes="off")
    assert found == expected
    assert "recurrent_gemma: each row is read by itself" in caplog.text


def test_a_gradient_that_differs_is_found_by_comparing(caplog):
    """A model that takes every row for one without a past."""
    model = tiny_model()
    plain = model.forward

    def forgetful(input_ids, attention_mask=None, past_key_values=None, **options):
        options.pop("position_ids", None)
        if past_key_values is not None and past_key_values.get_seq_length():
            width = input_ids.shape[1]
            return plain(input_ids, attention_mask=attention_mask[:, -width:], **options)
        return plain(
            input_ids, attention_mask=attention_mask, past_key_values=past_key_values, **options
        )

    model.forward = forgetful
    expected = stepped(tiny_model(), shared_prefixes="off")
    assert stepped(model, shared_prefixes="always") == expected
    assert "gradients differ by" in caplog.text


def test_the_comparison_is_made_once(monkeypatch):
    calls = []
    monkeypatch.setattr(sharing, "difference", lambda *_: calls.append(1))
    decided = PrefixSharing(tiny_model(), "always")
    alone = [dataclasses.replace(r, prompt=r.prompt[:1]) for r in long_rows()]
    assert decided.tree(alone) is None
    assert calls == []  # nothing to share, nothing to compare
    assert all(decided.tree(long_rows()).children for _ in range(3))
    assert calls == [1]


# --- bfloat16


def test_autocast_has_a_ratio_of_one_where_the_policy_is_the_one_that_sampled():
    """Whatever the sampler said: log-probabilities of another arithmetic are no ratio."""
    rows = long_rows()
    off = [dataclasses.replace(r, logprobs=r.logprobs + np.float32(5)) for r in rows]

    def step(given, kind, **options):
        model = tiny_model()
        settings = OptimizerSettings(rate=1e-3, precision="autocast", **options)
        return model, LeanTrainer(model, settings, LossSettings(kind)).step(given)

    (one, first), (other, second) = step(rows, "clipped"), step(off, "clipped")
    assert torch.equal(weights(one), weights(other))
    # The sampler's distance is told, and nothing else depends on it.
    assert first.notes["logprob_gap"] != second.notes["logprob_gap"]
    assert dataclasses.replace(first, notes={}) == dataclasses.replace(second, notes={})
    free, _ = step(rows, "unclipped")
    assert relative(weights(one), weights(free)) < 1e-4
    # Of several updates from a batch the later ones have the ratio to the weights before the first.
    (one, _), (other, _) = (step(given, "clipped", epochs=2) for given in (rows, off))
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("way", ["always", "off"])
def test_autocast_leaves_the_corrected_loss_its_ratio_to_the_sampler(way, epochs):
    """Tokens that the sampler gave half of their probability weigh twice, or at most so much."""
    rows = with_logprobs(tiny_model(), long_rows(), 1.0, 64, every=True)

    def step(given, kind, **options):
        model = tiny_model()
        settings = OptimizerSettings(1e-9, precision="autocast", shared_prefixes=way, epochs=epochs)
        return LeanTrainer(model, settings, LossSettings(kind, **options)).step(given)

    off = [dataclasses.replace(r, logprobs=r.logprobs - np.float32(np.log(2))) for r in rows]
    for most, weight in ((100.0, 2.0), (1.5, 1.5)):
        found = step(off, "corrected", most_ratio=most)
        expected = weight * step(rows, "unclipped").gradient_norm
        assert found.gradient_norm == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("way", ["always", "off"])
def test_autocast_tells_how_coarse_it_is(way):
    model = tiny_model()
    settings = OptimizerSettings(rate=1e-3, precision="autocast", shared_prefixes=way)
    trainer = LeanTrainer(model, settings, LossSettings())
    notes = trainer.step(long_rows()).notes
    assert 1e-4 < notes["autocast_gradient_error"] < 0.1
    assert 0.99 < notes["autocast_gradient_cosine"] < 1
    assert not [n for n in trainer.step(long_rows()).notes if n.startswith("autocast")]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_the_error_of_autocast_is_that_of_two_gradients_worked_out_apart():
    model, rows, loss = tiny_model(), long_rows(), LossSettings()
    plain = gradient_of(model, rows, None, 64, loss)[2]
    model.zero_grad()
    with computing(model, OptimizerSettings(precision="autocast")):
        logprobs = completion_logprobs(model, pad_rows(rows))
    batch = pad_rows(rows)
    tokens = sum(len(row.completion) for row in rows)
    (-(batch.advantages * logprobs).sum() / tokens).backward()
    coarse = [p.grad for p in model.parameters()]
    apart = torch.cat([(a - b).flatten() for a, b in zip(coarse, plain, strict=True)]).norm()
    whole = torch.cat([p.flatten() for p in plain]).norm()
    model.zero_grad()
    found = autocast_error(model, rows, None, 64, loss)
    assert found["autocast_gradient_error"] == pytest.approx(float(apart / whole), rel=1e-3)
    assert all(p.grad is None for p in model.parameters())


def test_compared_by_hand():
    gap, cosine = compared([torch.tensor([3.0]), torch.tensor([0.0])], [torch.tensor([4.0])] * 2)
    assert gap == pytest.approx((17 / 32) ** 0.5)
    assert cosine == pytest.approx(12 / (3 * 32**0.5))
    assert compared([torch.zeros(2)], [torch.zeros(2)]) == (0.0, 1.0)
    assert compared([torch.ones(2)], [torch.zeros(2)]) == (float("inf"), 0.0)


# --- bad input


@pytest.mark.parametrize(
    ("field", "value"), [("shared_prefixes", "yes"), ("precision", "bfloat16")]
)
def test_unknown_choices_are_named(field, value):
    with pytest.raises(InvalidInput, match=field):
        OptimizerSettings(**{field: value})


@pytest.mark.parametrize("way", ["always", "off"])
def test_too_little_memory_names_the_setting_and_the_measured_peak(way):
    """A forward pass that asks torch for more than there is: its own error, not ours."""
    model = tiny_model()
    trainer = LeanTrainer(model, OptimizerSettings(shared_prefixes=way), LossSettings())
    before = weights(model)
    hook = model.lm_head.register_forward_pre_hook(lambda *_: torch.empty(1 << 50) and None)
    said = r"optimizer.micro_batch = 64: out of memory: this process held \d+\.\d\d GiB of memory"
    with pytest.raises(OutOfMemory, match=said):
        trainer.step(long_rows())
    hook.remove()
    assert torch.equal(weights(model), before)
    trainer.step(long_rows())  # and it can go on
