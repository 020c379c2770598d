"""Log-probabilities of tokens and their gradient, against the law of all tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import llm.models.law as law
from llm.models.law import logprobs_of_tokens


def by_the_whole_law(logits, tokens, temperature):
    laws = torch.log_softmax(logits.float() / temperature, dim=-1)
    return laws.gather(1, tokens[:, None])[:, 0]


def both(logits, tokens, temperature, weights):
    found = []
    for way in (logprobs_of_tokens, by_the_whole_law):
        leaf = logits.clone().requires_grad_()
        logprobs = way(leaf, tokens, temperature)
        (logprobs * weights).sum().backward()
        found.append((logprobs.detach(), leaf.grad))
    return found


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(0, 9),
    vocabulary=st.integers(1, 7),
    temperature=st.sampled_from([1.0, 0.6, 1.7]),
    scale=st.sampled_from([0.1, 3.0, 60.0]),
    seed=st.integers(0, 999),
)
def test_values_and_gradients_are_those_of_the_whole_law(
    rows, vocabulary, temperature, scale, seed
):
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(rows, vocabulary, generator=random)
    tokens = torch.randint(vocabulary, (rows,), generator=random)
    weights = torch.randn(rows, generator=random)
    before, law._ROWS = law._ROWS, 4  # so that some rows are worked on after others
    try:
        ours, expected = both(logits, tokens, temperature, weights)
    finally:
        law._ROWS = before
    for mine, other in zip(ours, expected, strict=True):
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=2e-5)


def test_the_gradient_of_bfloat16_logits_is_one_rounding_away():
    random = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(70, 500, generator=random)).bfloat16()
    tokens, weights = torch.randint(500, (70,), generator=random), torch.randn(70)
    (ours, gradient), _ = both(logits, tokens, 1.0, weights)
    _, exact = both(logits.float(), tokens, 1.0, weights)
    torch.testing.assert_close(ours, exact[0], atol=2e-5, rtol=2e-5)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient, exact[1].bfloat16(), atol=1e-6, rtol=0.01)


def test_a_row_by_hand():
    # softmax(0, log 3) = (1/4, 3/4): at the second token the gradient is (-1/4, 1/4).
    logits = torch.tensor([[0.0, torch.tensor(3.0).log()]], requires_grad=True)
    (found,) = logprobs_of_tokens(logits, torch.tensor([1])).exp().unbind()
    assert found.item() == pytest.approx(0.75)
    logprobs_of_tokens(logits, torch.tensor([1])).sum().backward()
    assert logits.grad.tolist() == [pytest.approx([-0.25, 0.25])]


def test_nothing_of_the_size_of_the_logits_is_held_beside_them():
    held = []
    logits = torch.randn(40, 100, requires_grad=True)
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda t: held.append(t.numel()) or t, lambda t: t
    )
    with hooks:
        logprobs_of_tokens(logits, torch.zeros(40, dtype=torch.int64), 0.5)
    assert sorted(held) == [40, 40, 4000]
