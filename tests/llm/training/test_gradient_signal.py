"""The gradient at each token against its closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from llm.models.load import load_model
from llm.models.settings import TINY_NAME, ModelSettings
from llm.training.gradient_signal import logit_gradient_norms
from llm.training.rows import TrainingRow
from llm.training.settings import LossSettings

MODEL, _ = load_model(ModelSettings(TINY_NAME))


def row(prompt, completion, advantage):
    logprobs = laws(prompt + completion)[len(prompt) - 1 : -1]
    old = logprobs[np.arange(len(completion)), completion].astype(np.float32)
    return TrainingRow(prompt, completion, old, np.full(len(completion), advantage), 0, 0)


def laws(tokens):
    with torch.no_grad():
        logits = MODEL(input_ids=torch.tensor([tokens])).logits[0]
    return torch.log_softmax(logits.double(), dim=-1).numpy()


def closed_form(one, weight):
    found = []
    for i, token in enumerate(one.completion):
        pi = np.exp(laws(one.prompt + one.completion)[len(one.prompt) - 1 + i])
        found.append(weight * abs(one.advantages[i]) * np.sqrt(1 - 2 * pi[token] + (pi**2).sum()))
    return found


@pytest.mark.parametrize("kind", ["unclipped", "corrected", "clipped"])
@pytest.mark.parametrize("aggregation", ["token-mean", "sequence-mean"])
def test_norms_have_their_closed_form_whatever_the_padding(kind, aggregation):
    rows = [row((3, 20, 4), (30, 41, 6, 12), 1.5), row((3,), (50, 7), -0.5), row((3,), (9,), 0.0)]
    norms = logit_gradient_norms(MODEL, rows, LossSettings(kind, aggregation))
    for one, found in zip(rows, norms, strict=True):
        tokens = 7 if aggregation == "token-mean" else 3 * len(one.completion)
        assert found == pytest.approx(closed_form(one, 1 / tokens), rel=1e-4, abs=1e-12)
    assert not norms[2].any()


def test_norms_do_not_depend_on_how_many_rows_are_read_at_once():
    rows = [row((3, 20, 4), (30, 41, 6, 12), 1.5), row((3,), (50, 7), -0.5), row((3,), (9,), 0.5)]
    whole = logit_gradient_norms(MODEL, rows, LossSettings())
    for size in (1, 2):
        parts = logit_gradient_norms(MODEL, rows, LossSettings(), size)
        for one, other in zip(whole, parts, strict=True):
            assert one == pytest.approx(other, rel=1e-5)
    assert logit_gradient_norms(MODEL, [], LossSettings()) == []


def test_shaped_rows_are_pulled_at_as_they_are_learned_from():
    plain = row((3,), (50, 7), 0.5)
    shaped = dataclasses.replace(plain, shaping=0.1)
    pulls = [logit_gradient_norms(MODEL, [one], LossSettings())[0] for one in (plain, shaped)]
    p = np.exp(plain.logprobs.astype(float))
    # The derivative of p / (p + g) in log p is g p / (p + g)^2.
    assert pulls[1] == pytest.approx(pulls[0] * 0.1 * p / (p + 0.1) ** 2, rel=1e-3)


def test_the_model_is_left_alone():
    before = [p.detach().clone() for p in MODEL.parameters()]
    logit_gradient_norms(MODEL, [row((3, 20), (30,), 1.0)], LossSettings())
    assert all((a == b).all() for a, b in zip(before, MODEL.parameters(), strict=True))
    assert all(p.grad is None for p in MODEL.parameters())
