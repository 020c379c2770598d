"""Losses and the lean trainer: what has a gradient, against computations that share no code."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cpi_theory.checks import InvalidInput
from llm.batches import TrainingRow
from llm.lean import LeanTrainer, OptimizerSettings, TrainingDiverged, completion_logprobs, loss_of
from llm.losses import LossSettings, Totals
from tests.llm.words import random_model

torch.set_num_threads(1)
EVERY_LOSS = [
    LossSettings(kind, aggregation)
    for kind in ("unclipped", "clipped")
    for aggregation in ("sequence-mean", "token-mean", "constant")
]
every_loss = pytest.mark.parametrize(
    "settings", EVERY_LOSS, ids=lambda s: f"{s.kind} {s.aggregation}"
)


def rows(seed=0, advantages=(1.0, -0.5, 0.0, 1.7, -1.0)):
    rng = np.random.default_rng(seed)
    made = []
    for i, advantage in enumerate(advantages):
        prompt = tuple(rng.integers(3, 16, size=2 + 3 * (i % 3)).tolist())
        completion = tuple(rng.integers(3, 16, size=1 + 2 * i).tolist())
        old = rng.normal(-2, 0.3, size=len(completion)).astype(np.float32)
        made.append(TrainingRow(prompt, completion, old, advantage, i // 2, 0))
    return made


def totals(batch):
    return Totals(len(batch), sum(len(row.completion) for row in batch))


def gradient(loss, model):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def plain_loss(model, batch, settings):
    """One row at a time, unpadded, token by token."""
    whole = totals(batch)
    result = torch.zeros(())
    for row in batch:
        logits = model(torch.tensor([row.prompt + row.completion])).logits[0]
        laws = torch.log_softmax(logits / settings.temperature, dim=-1)
        for t, token in enumerate(row.completion):
            logprob = laws[len(row.prompt) + t - 1, token]
            if settings.kind == "unclipped":
                term = -row.advantage * logprob
            else:
                ratio = torch.exp(logprob - float(row.logprobs[t]))
                low, high = 1 - settings.clip_low, 1 + settings.clip_high
                clipped = min(max(ratio.item(), low), high)
                worse = row.advantage * clipped < row.advantage * ratio.item()
                term = -row.advantage * (torch.tensor(clipped) if worse else ratio)
            weight = {
                "sequence-mean": 1 / (len(row.completion) * whole.rows),
                "token-mean": 1 / whole.tokens,
                "constant": 1 / settings.constant,
            }[settings.aggregation]
            result = result + weight * term
    return result


@every_loss
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_gradient_is_that_of_an_unpadded_computation(settings, temperature):
    settings = dataclasses.replace(settings, temperature=temperature)
    model, batch = random_model(16), rows()
    ours = loss_of(model, batch, totals(batch), settings)
    expected = plain_loss(model, batch, settings)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    mine, reference = gradient(ours, model), gradient(expected, model)
    assert (mine - reference).norm() <= 1e-5 * reference.norm()
    assert reference.norm() > 1e-4


@every_loss
@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_and_skipped_rows_change_nothing(settings, size):
    model, batch = random_model(16), rows()
    whole = gradient(loss_of(model, batch, totals(batch), settings), model)
    kept = [row for row in batch if row.advantage]
    parts = [kept[i : i + size] for i in range(0, len(kept), size)]
    split = sum(gradient(loss_of(model, part, totals(batch), settings), model) for part in parts)
    assert (whole - split).norm() <= 1e-5 * whole.norm()


def logit_gradients(model, batch, settings):
    """Gradient of the loss with respect to the logits of every place, (n, width, V)."""
    seen = []
    forward = model.lm_head.forward

    def keep(hidden):
        seen.append(forward(hidden))
        seen[-1].retain_grad()
        return seen[-1]

    model.lm_head.forward = keep
    loss_of(model, batch, totals(batch), settings).backward()
    return seen[0].grad


@every_loss
def test_only_completions_with_an_advantage_have_a_gradient(settings):
    # Ratios start at 1, so that clipping hides nothing.
    model, batch = random_model(16), rows()
    logprobs, _ = completion_logprobs(model, batch)
    batch = [
        dataclasses.replace(row, logprobs=lp[: len(row.completion)].detach().numpy())
        for row, lp in zip(batch, logprobs, strict=True)
    ]
    grads = logit_gradients(random_model(16), batch, settings).abs().sum(dim=-1)
    first = min(len(row.prompt) for row in batch) - 1
    for row, places in zip(batch, grads, strict=True):
        begin = len(row.prompt) - 1 - first
        end = begin + len(row.completion)
        assert (places[:begin] == 0).all()
        assert (places[end:] == 0).all()
        assert (places[begin:end] > 0).all() == (row.advantage != 0)


def test_without_the_rule_the_prefix_would_have_a_gradient():
    """The control: the same check fails when kept thoughts are put into the completion."""
    row = rows()[3]
    wrong = dataclasses.replace(
        row,
        prompt=row.prompt[:1],
        completion=row.prompt[1:] + row.completion,
        logprobs=np.zeros(len(row.prompt) - 1 + len(row.completion), np.float32),
    )
    grads = logit_gradients(random_model(16), [wrong], LossSettings()).abs().sum(dim=-1)[0]
    assert (grads[: len(row.prompt) - 1] > 0).all()


@every_loss
def test_flipping_rewards_flips_the_update(settings):
    batch = rows()
    moves = []
    for sign in (1, -1):
        model = random_model(16)
        logprobs, _ = completion_logprobs(model, batch)
        flipped = [
            dataclasses.replace(
                row,
                advantage=sign * row.advantage,
                logprobs=lp[: len(row.completion)].detach().numpy(),
            )
            for row, lp in zip(batch, logprobs, strict=True)
        ]
        before = torch.cat([p.detach().flatten() for p in model.parameters()]).clone()
        LeanTrainer(model, OptimizerSettings(), settings).step(flipped)
        moves.append(torch.cat([p.detach().flatten() for p in model.parameters()]) - before)
    assert moves[0].norm() > 0
    assert (moves[0] + moves[1]).norm() <= 1e-3 * moves[0].norm()


def test_an_update_makes_rewarded_completions_likelier():
    model, batch = random_model(16), rows(advantages=(1.0, -1.0, 1.0, -1.0, 0.0))
    before, _ = completion_logprobs(model, batch)
    LeanTrainer(model, OptimizerSettings(rate=1e-3), LossSettings()).step(batch)
    after, _ = completion_logprobs(model, batch)
    change = (after - before).sum(dim=1).tolist()
    assert change[0] > 0 > change[1]
    assert change[2] > 0 > change[3]


def test_an_update_without_advantages_changes_nothing():
    model = random_model(16)
    trainer = LeanTrainer(model, OptimizerSettings(), LossSettings())
    trainer.step(rows())
    before = trainer.state_dict()
    report = trainer.step(rows(advantages=(0.0, 0.0)))
    assert (report.trained_rows, report.gradient_norm, report.loss) == (0, 0, 0)
    for name, value in trainer.state_dict()["model"].items():
        assert torch.equal(value, before["model"][name])


def test_a_resumed_trainer_goes_on_to_the_digit():
    def trainer(seed):
        return LeanTrainer(random_model(16, seed), OptimizerSettings(warm_up=3), LossSettings())

    whole, first = trainer(0), trainer(0)
    for step in range(4):
        whole.step(rows(step))
    for step in range(2):
        first.step(rows(step))
    again = trainer(5)
    again.load_state_dict(first.state_dict())
    first.step(rows(9))  # what the old one does later must not reach the new one
    for step in range(2, 4):
        again.step(rows(step))
    for ours, theirs in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("where", ["advantage", "weight"])
def test_what_is_not_finite_stops_training_with_the_last_good_weights(where):
    model, batch = random_model(16), rows()
    trainer = LeanTrainer(model, OptimizerSettings(), LossSettings())
    trainer.step(batch)
    good = [p.detach().clone() for p in model.parameters()]
    if where == "advantage":
        batch = [dataclasses.replace(batch[0], advantage=1e39)]
    else:
        batch = [dataclasses.replace(batch[0], logprobs=np.array([-1e30], np.float32))]
        trainer.loss = LossSettings("clipped", clip_high=100.0)
        batch = [dataclasses.replace(batch[0], advantage=-1.0)]
    with pytest.raises(TrainingDiverged, match=r"update 2.*last good"):
        trainer.step(batch)
    assert all(torch.equal(a, b) for a, b in zip(good, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: LossSettings(kind="ppo"), "kind"),
        (lambda: LossSettings(aggregation="mean"), "aggregation"),
        (lambda: LossSettings(clip_low=2.0), "clip_low"),
        (lambda: LossSettings(constant=0.0), "constant"),
        (lambda: OptimizerSettings(rate=0.0), "rate"),
        (lambda: OptimizerSettings(micro_batch=0), "micro_batch"),
        (lambda: OptimizerSettings(beta2=1.0), "beta2"),
    ],
)
def test_settings_out_of_range_are_named(make, field):
    with pytest.raises(InvalidInput, match=field):
        make()
