"""The loss against its definition written out row by row, and the laws of its averages."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from llm.engines.lean import LeanTrainer, completion_logprobs
from llm.training import sharing
from llm.training.losses import Totals, policy_loss
from llm.training.rows import pad_rows
from llm.training.settings import LossSettings, OptimizerSettings
from llm.training.shared_prefixes import tree_of
from tests.llm.rows import (
    gradient,
    logprobs_of,
    of_second_attempts,
    random_rows,
    relative,
    slow_loss,
    tiny_model,
)

torch.set_num_threads(1)
KINDS = ("unclipped", "corrected", "clipped")
AGGREGATIONS = ("sequence-mean", "token-mean", "constant")
LOSSES = [
    LossSettings(kind, aggregation, 0.1, 0.3, 70.0)
    for kind, aggregation in itertools.product(KINDS, AGGREGATIONS)
]
LOSS_NAMES = [f"{loss.kind} {loss.aggregation}" for loss in LOSSES]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=LOSS_NAMES)


def totals(rows):
    return Totals(len(rows), sum(len(row.completion) for row in rows))


def loss_of(model, batch, of, loss):
    """What some rows contribute to an update's loss, as the engines put it together."""
    logprobs = completion_logprobs(model, batch, loss.temperature)
    old, gains, mask = batch.old_logprobs, batch.advantages, batch.completion_mask
    more = batch.reference, batch.shaping, batch.kl
    return policy_loss(logprobs, old, gains, mask, of, loss, *more)


def whole(model, rows, loss):
    return loss_of(model, pad_rows(rows), totals(rows), loss)


@every_loss
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_value_and_gradient_are_those_of_unpadded_rows_one_at_a_time(loss, temperature):
    loss = dataclasses.replace(loss, temperature=temperature)
    model, rows = tiny_model(), random_rows(shift=0.3)
    ours, slow = whole(model, rows, loss), slow_loss(model, rows, loss)
    assert ours.item() == pytest.approx(slow.item(), rel=1e-5)
    assert relative(gradient(model, ours), gradient(model, slow)) < 1e-5


@every_loss
@pytest.mark.parametrize("changes", [{}, {"mask_above": 0.4}, {"kl": 0.2, "kl_weighted": False}])
def test_shaped_held_and_masked_terms_are_those_of_their_definition(loss, changes):
    loss = dataclasses.replace(loss, **changes)
    model, rows = tiny_model(), of_second_attempts(random_rows(shift=0.3))
    ours, slow = whole(model, rows, loss), slow_loss(model, rows, loss)
    assert ours.item() == pytest.approx(slow.item(), rel=1e-5)
    found = gradient(model, ours)
    assert relative(found, gradient(model, slow)) < 1e-5
    if not loss.kl:  # the control: without what rows ask for
        plain = whole(model, random_rows(shift=0.3), loss)
        assert relative(gradient(model, plain), found) > 0.01


def test_a_shaped_term_worked_by_hand():
    """p = gamma = 1/4: the term is -A/2, its slope in log p is -A g p / (p + g)^2 = -A/4."""
    new = torch.tensor([[math.log(0.25)], [math.log(0.25)]], requires_grad=True)
    gain, mask, shaping = torch.tensor([[2.0], [2.0]]), new > -9, torch.tensor([[0.25], [0.0]])
    args = torch.zeros(2, 1), gain, mask, Totals(1, 1), LossSettings(), None, shaping
    loss = policy_loss(new, *args)
    assert loss.item() == pytest.approx(-1 - 2 * math.log(0.25))
    (slope,) = torch.autograd.grad(loss, new)
    assert slope.flatten().tolist() == pytest.approx([-0.5, -2.0])


def test_rows_that_are_held_need_a_start_model():
    held = [dataclasses.replace(row, kl=0.5) for row in random_rows()]
    with pytest.raises(InvalidInput, match=r"reference.*of rows"):
        whole(tiny_model(), held, LossSettings())
    with pytest.raises(InvalidInput, match=r"no start model was kept.*keep_start=True"):
        LeanTrainer(tiny_model(), OptimizerSettings(), LossSettings()).step(held)


@pytest.mark.parametrize("way", ["off", "always"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_lean_loop_takes_them_read_by_themselves_or_along_a_tree(kind, way, monkeypatch):
    """The norm that it reports is that of the loss written out, after one step from the start."""
    monkeypatch.setattr(sharing, "tree_of", lambda rows, worth=3: tree_of(rows, worth))
    loss = LossSettings(kind, mask_above=0.5)
    rows = [dataclasses.replace(r, prompt=(5, 6, 7, 8, 9)) for r in random_rows()]
    model = tiny_model()
    with torch.no_grad():
        known = [logprobs_of(model, r.prompt, r.completion).numpy() for r in rows]
    rows = [dataclasses.replace(r, logprobs=k) for r, k in zip(rows, known, strict=True)]
    kinds = ({}, {"shaping": 0.1}, {"kl": 0.5})
    rows = [dataclasses.replace(row, **kinds[i % 3]) for i, row in enumerate(rows)]
    moved = tiny_model()
    trainer = LeanTrainer(
        moved, OptimizerSettings(shared_prefixes=way, max_norm=100), loss, keep_start=True
    )
    with torch.no_grad():  # away from the start model, so that there is something to hold
        for p in moved.parameters():
            p.mul_(1.1)
    expected_rows = [
        dataclasses.replace(row, reference=k) for row, k in zip(rows, known, strict=True)
    ]
    again = tiny_model()
    again.load_state_dict(moved.state_dict())
    slow = gradient(again, slow_loss(again, expected_rows, loss))
    report = trainer.step(rows)
    assert report.gradient_norm == pytest.approx(float(slow.norm()), rel=1e-4)
    assert report.trained_rows == sum(row.informative for row in rows)
    assert any(not np.any(row.advantages) and row.kl for row in rows)
    assert trainer._sharing.refused is None


@every_loss
@given(cuts=st.sets(st.integers(1, 11)), seed=st.integers(0, 20))
@settings(max_examples=5, deadline=None)
def test_micro_batches_change_nothing(loss, cuts, seed):
    model, rows = tiny_model(), random_rows(12, seed, shift=0.3)
    bounds = [0, *sorted(cuts), 12]
    parts = [
        loss_of(model, pad_rows(rows[a:b]), totals(rows), loss)
        for a, b in itertools.pairwise(bounds)
    ]
    split, one = gradient(model, sum(parts)), gradient(model, whole(model, rows, loss))
    assert relative(split, one) < 1e-6


@every_loss
def test_averages_of_each_part_would_change_the_gradient(loss):
    """The control: what training loops that average within micro-batches do."""
    model, rows = tiny_model(), random_rows(shift=0.3)
    parts = [rows[:2], rows[2:]]
    naive = sum(loss_of(model, pad_rows(p), totals(p), loss) / len(parts) for p in parts)
    one = gradient(model, whole(model, rows, loss))
    assert relative(gradient(model, naive), one) > 0.05


@every_loss
def test_rows_without_advantage_may_be_left_out(loss):
    model, rows = tiny_model(), random_rows(shift=0.3)
    informative = [row for row in rows if row.informative]
    assert 0 < len(informative) < len(rows)
    without = loss_of(model, pad_rows(informative), totals(rows), loss)
    assert relative(gradient(model, without), gradient(model, whole(model, rows, loss))) < 1e-6


@every_loss
def test_opposite_advantages_give_opposite_gradients_on_policy(loss):
    model, rows = tiny_model(), random_rows()
    flipped = [dataclasses.replace(row, advantages=-row.advantages) for row in rows]
    found = gradient(model, whole(model, flipped, loss))
    assert relative(found, -gradient(model, whole(model, rows, loss))) < 1e-5


def test_all_kinds_agree_on_policy():
    model, rows = tiny_model(), random_rows()
    ours = [gradient(model, whole(model, rows, LossSettings(kind))) for kind in KINDS]
    assert relative(ours[0], ours[1]) < 1e-5
    assert relative(ours[0], ours[2]) < 1e-5


def test_ratios_undo_what_a_sampler_in_another_precision_does():
    """Over all tokens that it could have drawn, the mean gradient is that of the exact sampler."""
    exact = torch.tensor([0.2, -0.4, 1.0, 0.1], requires_grad=True)
    rough = (exact.detach() + torch.tensor([0.3, -0.2, -0.1, 0.2])).log_softmax(0)
    advantages = torch.tensor([1.0, -0.5, 0.25, 2.0])

    def mean_gradient(kind, drawn_from):
        total = torch.zeros(4)
        for token in range(4):
            new = exact.log_softmax(0)[token].view(1, 1)
            args = rough[token].view(1, 1), advantages[token].view(1, 1), torch.tensor([[True]])
            loss = policy_loss(new, *args, Totals(1, 1), LossSettings(kind))
            total += drawn_from[token].exp() * torch.autograd.grad(loss, exact)[0]
        return total

    wanted = mean_gradient("unclipped", exact.detach().log_softmax(0))
    assert relative(mean_gradient("corrected", rough), wanted) < 1e-5
    assert relative(mean_gradient("unclipped", rough), wanted) > 0.05


def hand(kind="unclipped", aggregation="sequence-mean", **options):
    """Two rows, of two tokens and of one, with advantages 1 and -2."""
    new = torch.tensor([[-1.0, -2.0], [-0.5, float("nan")]])
    old = torch.tensor([[-1.0, -2.5], [-0.25, float("inf")]])
    mask = torch.tensor([[True, True], [True, False]])
    advantages = torch.tensor([[1.0, 1.0], [-2.0, float("nan")]])
    loss = LossSettings(kind, aggregation, **options)
    return float(policy_loss(new, old, advantages, mask, Totals(4, 10), loss))


def test_losses_worked_by_hand():
    # Rows' own terms: 1, 2 and -1. Totals speak of two rows and seven tokens more.
    assert hand(aggregation="sequence-mean") == pytest.approx(((1 + 2) / 2 - 1) / 4)
    assert hand(aggregation="token-mean") == pytest.approx((1 + 2 - 1) / 10)
    assert hand(aggregation="constant", constant=8.0) == pytest.approx((1 + 2 - 1) / 8)
    # Ratios 1, e^0.5 (clipped to 1.2) and e^-0.25 = 0.779 (clipped to 0.8, advantage negative).
    assert hand("clipped", "token-mean") == pytest.approx((-1 - 1.2 + 2 * 0.8) / 10)
    # The same ratios as weights, the second at most 1.5; e^-0.25 = 0.7788.
    assert hand("corrected", "token-mean", most_ratio=1.5) == pytest.approx(
        (1 + 1.5 * 2 - 0.778801) / 10
    )
    loose = {"clip_low": 0.9, "clip_high": 9.0}
    terms = -1 - 2.718281828**0.5 + 2 * 2.718281828**-0.25
    assert hand("clipped", "token-mean", **loose) == pytest.approx(terms / 10)


def test_a_kl_term_worked_by_hand():
    """One token at log-probability -1, sampled at -1.5, that the start model gave -2."""
    place = torch.tensor([[True, False]])
    new, old = torch.tensor([[-1.0, -1.0]]), torch.tensor([[-1.5, float("nan")]])
    start, gain = torch.tensor([[-2.0, float("inf")]]), torch.zeros(1, 2)
    for weighted, weight in ((False, 1.0), (True, math.exp(0.5))):
        loss = LossSettings(kl=0.25, kl_weighted=weighted)
        found = policy_loss(new, old, gain, place, Totals(1, 2), loss, start)
        assert float(found) == pytest.approx(0.25 * weight * (math.exp(-1) + 1 - 1) / 2)


def test_the_kl_term_is_added_to_a_corrected_loss():
    """As to any other: what it adds is what it is alone, its weight not truncated at 1.2."""
    place, new, old = torch.tensor([[True]]), torch.tensor([[-1.0]]), torch.tensor([[-1.5]])
    start, gain = torch.tensor([[-2.0]]), torch.tensor([[2.0]])
    loss = LossSettings("corrected", kl=0.25, most_ratio=1.2)
    found = policy_loss(new, old, gain, place, Totals(1, 1), loss, start)
    expected = 1.2 * 2.0 * 1.0 + 0.25 * math.exp(0.5) * math.exp(-1)
    assert float(found) == pytest.approx(expected)


def test_the_weighted_kl_term_has_the_gradient_of_the_divergence():
    """Averaged over what the policy draws, against autograd through the sum over all tokens."""
    torch.manual_seed(0)
    logits, start = torch.randn(7, requires_grad=True), torch.log_softmax(torch.randn(7), 0)
    law = torch.log_softmax(logits, 0)
    divergence = (law.exp() * (law - start)).sum()
    (exact,) = torch.autograd.grad(divergence, logits, retain_graph=True)
    found = {}
    for weighted in (True, False):
        loss = LossSettings(kl=1.0, kl_weighted=weighted)
        total = sum(
            law[token].exp().detach()
            * policy_loss(
                law[token].view(1, 1),
                law[token].detach().view(1, 1),
                torch.zeros(1, 1),
                torch.ones(1, 1, dtype=torch.bool),
                Totals(1, 1),
                loss,
                start[token].view(1, 1),
            )
            for token in range(7)
        )
        assert float(total.detach()) == pytest.approx(float(divergence.detach()), rel=1e-5)
        (found[weighted],) = torch.autograd.grad(total, logits, retain_graph=True)
    assert relative(found[True], exact) < 1e-5
    assert relative(found[False], exact) > 0.1  # the control: as first published


def test_rounding_is_no_divergence():
    for gap, moves in ((3e-5, False), (3e-3, True)):
        new = torch.tensor([[-1.0]], requires_grad=True)
        args = torch.tensor([[-1.0]]), torch.zeros(1, 1), torch.tensor([[True]]), Totals(1, 1)
        policy_loss(new, *args, LossSettings(kl=1.0), torch.tensor([[-1.0 + gap]])).backward()
        assert bool(new.grad != 0) == moves


def test_a_kl_term_without_a_start_model_is_refused():
    with pytest.raises(InvalidInput, match=r"reference.*kl = 0.1.*set kl = 0"):
        hand(kl=0.1)


@pytest.mark.parametrize(
    ("gain", "step", "moves"), [(1, 1, 0), (1, -1, 1), (-1, -1, 0), (-1, 1, 1)]
)
def test_clipping_stops_only_what_leads_further_away(gain, step, moves):
    new = torch.tensor([[-1.0 + step]], requires_grad=True)
    args = torch.tensor([[-1.0]]), torch.tensor([float(gain)]), torch.tensor([[True]])
    policy_loss(new, *args, Totals(1, 1), LossSettings("clipped")).backward()
    assert bool(new.grad.abs() > 0) == bool(moves)


def logits_gradient(model, batch, score):
    """Gradient of a loss of the model with respect to its logits, one place at a time: (n, W)."""
    caught = []
    hook = model.lm_head.register_forward_hook(
        lambda module, args, output: (output.retain_grad(), caught.append(output))[1]
    )
    loss = score(model, batch)
    hook.remove()
    loss.backward()
    return caught[0].grad.abs().sum(dim=-1), caught[0].shape[1]


def test_no_loss_falls_on_what_was_given():
    """Prompt, kept thoughts and padding have gradient 0; every token sampled has one."""
    model, rows = tiny_model(), random_rows(advantages=[1.0, -1.0, 0.5, 0.0])
    batch = pad_rows(rows)
    touched, width = logits_gradient(
        model, batch, lambda m, b: loss_of(m, b, totals(rows), LossSettings())
    )
    first = batch.input_ids.shape[1] - width
    for i, row in enumerate(rows):
        # The logits at a place predict the token after it.
        predicting = range(len(row.prompt) - 1 - first, len(row) - 1 - first)
        expected = [t in predicting and row.informative for t in range(width)]
        assert [bool(g > 0) for g in touched[i]] == expected


def test_a_loss_on_everything_read_is_seen_by_that_check():
    model, rows = tiny_model(), random_rows(advantages=[1.0, -1.0])
    batch = pad_rows(rows)
    careless = dataclasses.replace(
        batch,
        completion_mask=batch.attention_mask.bool(),
        advantages=torch.ones_like(batch.advantages),
    )
    careless.completion_mask[:, 0] = False
    touched, width = logits_gradient(
        model, careless, lambda m, b: loss_of(m, b, totals(rows), LossSettings())
    )
    first = batch.input_ids.shape[1] - width
    given = [float(touched[i, len(r.prompt) - 2 - first]) for i, r in enumerate(rows)]
    assert any(len(r.prompt) > 1 for r in rows)
    assert max(given) > 0


@pytest.mark.parametrize("shortest", [1, 4])
def test_logprobs_are_those_of_unpadded_rows(shortest):
    model, rows = tiny_model(), [r for r in random_rows(30) if len(r.prompt) >= shortest]
    assert min(len(row.prompt) for row in rows) == shortest
    batch = pad_rows(rows)
    found = completion_logprobs(model, batch, 0.8)
    for i, row in enumerate(rows):
        expected = logprobs_of(model, row.prompt, row.completion, 0.8)
        torch.testing.assert_close(found[i][batch.completion_mask[i]], expected)
    assert not found[~batch.completion_mask].any()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "ppo"),
        ("aggregation", "mean"),
        ("clip_low", 1.5),
        ("clip_high", -0.1),
        ("constant", 0.0),
        ("most_ratio", 0.9),
        ("temperature", 0.0),
    ],
)
def test_bad_settings_are_named(field, value):
    with pytest.raises(InvalidInput, match=field):
        LossSettings(**{field: value})
