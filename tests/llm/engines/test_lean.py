"""The lean loop: what an update does, what it leaves alone, and that it can be resumed."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch

from cpi_theory.checks import InvalidInput
from llm.engines.lean import LeanTrainer, TrainingDiverged
from llm.models.law import plain_logprobs
from llm.models.load import prepare
from llm.models.settings import LoraSettings, ModelSettings
from llm.training.settings import LossSettings, OptimizerSettings
from tests.llm.rows import (
    gradient,
    random_rows,
    relative,
    slow_loss,
    tiny_model,
    weights,
)

torch.set_num_threads(1)
LOSS = LossSettings(aggregation="sequence-mean")


def trainer(model=None, loss=LOSS, **options):
    options = {"rate": 1e-2, "beta2": 0.99} | options
    return LeanTrainer(tiny_model() if model is None else model, OptimizerSettings(**options), loss)


def change(model, rows, **options):
    before = weights(model)
    trainer(model, **options).step(rows)
    return weights(model) - before


@pytest.mark.parametrize("max_norm", [1e9, 1e-3])
def test_an_update_is_adamw_on_the_slow_gradient(max_norm):
    model, reference, rows = tiny_model(), tiny_model(), random_rows(shift=0.2)
    report = trainer(model, max_norm=max_norm, weight_decay=0.1).step(rows)
    optimizer = torch.optim.AdamW(
        reference.parameters(), lr=1e-2, betas=(0.9, 0.99), weight_decay=0.1
    )
    loss = slow_loss(reference, rows, LOSS)
    slow = gradient(reference, loss)
    torch.nn.utils.clip_grad_norm_(reference.parameters(), max_norm)
    optimizer.step()
    start = weights(tiny_model())
    assert relative(weights(model) - start, weights(reference) - start) < 1e-4
    assert relative(weights(model), weights(reference)) < 1e-5
    assert report.loss == pytest.approx(loss.item(), rel=1e-5)
    assert report.gradient_norm == pytest.approx(float(slow.norm()), rel=1e-5)


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_a_report_tells_how_far_the_sampler_is(shift):
    """`random_rows` has the model's own log-probabilities, moved by the shift at each token."""
    model, rows = tiny_model(), random_rows(shift=shift)
    with torch.no_grad():
        gaps = [
            (plain_logprobs(model, row.prompt, row.completion) - torch.tensor(row.logprobs)).abs()
            for row in rows
            if row.informative
        ]
    notes = trainer(model).step(rows).notes
    assert notes["logprob_gap"] == pytest.approx(float(torch.cat(gaps).mean()), abs=1e-5)
    assert notes["logprob_gap_largest"] == pytest.approx(float(torch.cat(gaps).max()), abs=1e-5)
    assert (notes["logprob_gap"] > 0.05) == bool(shift)


def test_a_report_counts_what_went_through_the_model():
    rows = random_rows(advantages=[1.0, 0.0, -1.0, 0.0])
    report = trainer().step(rows)
    assert (report.rows, report.trained_rows) == (4, 2)
    assert report.trained_tokens == len(rows[0].completion) + len(rows[2].completion)
    assert report.forward_tokens == len(rows[0]) + len(rows[2])


def test_flipping_the_advantages_turns_the_update_round():
    # Plain Adam's first step is a sign: compare where the gradient is not about 0.
    rows = random_rows()
    flipped = [dataclasses.replace(row, advantages=-row.advantages) for row in rows]
    there, back = change(tiny_model(), rows), change(tiny_model(), flipped)
    assert float(torch.nn.functional.cosine_similarity(there, back, dim=0)) < -0.999


def test_rewarded_texts_become_likelier_and_failed_ones_less():
    model, rows = tiny_model(), random_rows(8, advantages=[1.0, -1.0] * 4)
    before = [
        -slow_loss(
            model, [dataclasses.replace(r, advantages=np.ones(len(r.completion)))], LOSS
        ).item()
        for r in rows
    ]
    steps = trainer(model, rate=3e-3)
    for _ in range(5):
        steps.step(rows)
    after = [
        -slow_loss(
            model, [dataclasses.replace(r, advantages=np.ones(len(r.completion)))], LOSS
        ).item()
        for r in rows
    ]
    for row, a, b in zip(rows, before, after, strict=True):
        assert (b > a) == (row.advantages[0] > 0)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_micro_batch_changes_nothing(size):
    # A rate so small that Adam's first step stays in proportion would hide differences of sign:
    # weights are compared after three steps instead.
    models = tiny_model(), tiny_model()
    for model, micro_batch in zip(models, (64, size), strict=True):
        steps = trainer(model, micro_batch=micro_batch, loss=LossSettings("clipped"))
        for seed in range(3):
            steps.step(random_rows(12, seed))
    assert relative(weights(models[1]), weights(models[0])) < 1e-5


def test_rows_without_advantage_change_nothing():
    model = tiny_model()
    steps = trainer(model)
    steps.step(random_rows())
    before, state = weights(model), steps.state_dict()["optimizer"]["state"]
    report = steps.step(random_rows(advantages=[0.0] * 6))
    assert torch.equal(weights(model), before)
    assert report.trained_rows == report.gradient_norm == report.forward_tokens == 0
    after = steps.state_dict()["optimizer"]["state"]
    assert all(torch.equal(after[i]["exp_avg"], state[i]["exp_avg"]) for i in state)


def test_several_updates_from_one_batch():
    rows = random_rows(12, prompts=4)
    model, by_hand = tiny_model(), tiny_model()
    report = trainer(model, minibatches=2, epochs=2).step(rows)
    steps = trainer(by_hand)
    for part in [rows[:6], rows[6:]] * 2:
        steps.step(part)
    assert torch.equal(weights(model), weights(by_hand))
    assert report.updates == steps.updates == 4
    assert report.rows == 24
    with pytest.raises(InvalidInput, match="minibatches"):
        trainer(minibatches=5).step(rows)


def test_no_rows_are_refused():
    with pytest.raises(InvalidInput, match="rows"):
        trainer().step([])


def test_learning_rates():
    constant, rising = OptimizerSettings(1.0), OptimizerSettings(1.0, warm_up=4)
    assert [constant.rate_at(u) for u in (0, 99)] == [1, 1]
    assert [rising.rate_at(u) for u in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    falling = OptimizerSettings(1.0, decay=4)
    found = [falling.rate_at(u) for u in (0, 1, 2, 3, 4, 9)]
    np.testing.assert_allclose(found, [1, 0.853553, 0.5, 0.146447, 0, 0], atol=1e-6)


def test_learning_rates_reach_the_weights():
    assert not change(tiny_model(), random_rows(), rate=1e-2, decay=1, warm_up=0).eq(0).all()
    steps = trainer(rate=1e-2, decay=1)
    steps.step(random_rows())
    before = weights(steps.model)
    steps.step(random_rows())  # the rate has fallen to 0
    assert torch.equal(weights(steps.model), before)


BROKEN = {
    "loss": lambda row: dataclasses.replace(row, logprobs=row.logprobs * np.float32("nan")),
    "advantage": lambda row: dataclasses.replace(row, advantages=row.advantages * np.inf),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_divergence_leaves_the_last_good_weights(broken):
    model = tiny_model()
    steps = trainer(model, loss=LossSettings("clipped"))
    rows = random_rows(advantages=[1.0, -1.0, 1.0])
    steps.step(rows)
    good, state = weights(model), steps.state_dict()
    with pytest.raises(TrainingDiverged, match="not finite in update 2"):
        steps.step([*rows[:2], BROKEN[broken](rows[2])])
    assert torch.equal(weights(model), good)
    assert steps.updates == state["updates"]
    assert all(p.grad is None for p in model.parameters())
    steps.step(rows)  # and it can go on
    assert not torch.equal(weights(model), good)
    assert torch.isfinite(weights(model)).all()


def test_weights_that_are_not_finite_are_noticed():
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(TrainingDiverged):
        trainer(model).step(random_rows())


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=True)


def curve(steps, first, last):
    reports = []
    for seed in range(first, last):
        reports.append(steps.step(random_rows(8, seed)))
    return reports


@pytest.mark.parametrize("lora", [None, LoraSettings(4, 8, dropout=0.3)], ids=["all", "lora"])
def test_a_resumed_run_is_the_same_to_the_digit(lora):
    options = {"warm_up": 3, "decay": 9, "weight_decay": 0.01, "minibatches": 2}

    def fresh():
        return trainer(prepare(tiny_model(), ModelSettings("tiny", lora=lora)), **options)

    one = fresh()
    whole = curve(one, 0, 6)
    first = fresh()
    assert curve(first, 0, 3) == whole[:3]
    state = through_a_file(first.state_dict())
    torch.rand(7)  # what else draws random numbers is no matter
    second = fresh()
    second.load_state_dict(state)
    assert curve(second, 3, 6) == whole[3:]
    assert torch.equal(weights(second.model), weights(one.model))


def test_a_stored_state_is_a_copy():
    steps = trainer()
    steps.step(random_rows())
    state = steps.state_dict()
    kept = through_a_file(state)
    steps.step(random_rows(seed=1))
    other = trainer(tiny_model(seed=5))
    other.load_state_dict(state)
    other.step(random_rows(seed=2))
    for name, value in kept["weights"].items():
        assert torch.equal(state["weights"][name], value)
    for i, averages in kept["optimizer"]["state"].items():
        for name, value in averages.items():
            assert torch.equal(state["optimizer"]["state"][i][name], value)


def test_the_state_of_another_model_is_refused():
    state = trainer().state_dict()
    with pytest.raises(InvalidInput, match="another model"):
        trainer(tiny_model(hidden_size=32)).load_state_dict(state)
    with pytest.raises(InvalidInput, match="another model"):
        trainer(tiny_model(num_hidden_layers=2)).load_state_dict(state)


def test_adapters_learn_and_the_rest_does_not():
    model = prepare(tiny_model(), ModelSettings("tiny", lora=LoraSettings(4, 8)))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    steps = trainer(model)
    for seed in range(2):
        steps.step(random_rows(seed=seed))
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {n for n in before if "lora_" in n}
    assert set(steps.state_dict()["weights"]) == moved


def test_dropout_acts_while_learning_only():
    def adapted(dropout):
        lora = LoraSettings(4, 8, dropout=dropout)
        return prepare(tiny_model(), ModelSettings("tiny", lora=lora))

    rows = random_rows()
    norms = [trainer(adapted(dropout)).step(rows).gradient_norm for dropout in (0.0, 0.5, 0.5)]
    assert norms[0] != norms[1] == norms[2]
    model = adapted(0.5)
    trainer(model).step(rows)
    assert not model.training


def test_activation_checkpointing_gives_the_same_update():
    plain = tiny_model()
    saving = prepare(tiny_model(), ModelSettings("tiny", checkpointing=True))
    assert saving.is_gradient_checkpointing
    rows = random_rows()
    assert relative(change(saving, rows), change(plain, rows)) < 1e-4
    assert not saving.training


def test_checkpointing_reaches_below_adapters():
    settings = ModelSettings("tiny", lora=LoraSettings(4, 8), checkpointing=True)
    assert change(prepare(tiny_model(), settings), random_rows()).abs().sum() > 0


@pytest.mark.parametrize("kind", ["frozen", "float16"])
def test_models_that_cannot_be_trained_are_refused(kind):
    model = tiny_model().requires_grad_(False) if kind == "frozen" else tiny_model().half()
    with pytest.raises(InvalidInput, match=r"unfreeze|float16"):
        trainer(model)


@pytest.mark.parametrize(
    ("field", "value"),
    [("rate", 0.0), ("warm_up", -1), ("decay", 1.5), ("beta1", 1.0), ("micro_batch", 0)],
)
def test_bad_settings_are_named(field, value):
    with pytest.raises(InvalidInput, match=field):
        OptimizerSettings(**{field: value})


def test_rows_of_another_context_get_log_probabilities_of_the_one_they_have():
    """What was sampled after another prompt has ratios to the policy before the step."""
    rows = random_rows(8, advantages=[1.0, -1.0] * 4)
    stale = [dataclasses.replace(r, logprobs=r.logprobs - 3, off_policy=True) for r in rows]
    loss = LossSettings("clipped")
    fresh, renewed, wrong = (trainer(loss=loss) for _ in range(3))
    fresh.step(rows)
    renewed.step(stale)
    wrong.step([dataclasses.replace(r, off_policy=False) for r in stale])
    assert relative(weights(renewed.model), weights(fresh.model)) < 1e-6
    assert relative(weights(wrong.model), weights(fresh.model)) > 1e-5
