"""Attention of one query by products, against torch's fused kernel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from llm.models.attention import attend, decoding
from tests.llm.families import family_model
from tests.llm.words import random_model


class Layer(torch.nn.Module):
    is_causal = True

    def __init__(self, shared):
        super().__init__()
        self.num_key_value_groups = shared


def masks(rows, heads, length, kind, random):
    if kind == "none":
        return None
    seen = torch.rand(rows, heads if "head" in kind else 1, 1, length, generator=random) < 0.6
    seen[..., -1] = True  # a token sees itself
    if kind.startswith("added"):
        return torch.where(seen, torch.rand(seen.shape, generator=random).double(), -torch.inf)
    return seen


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 3),
    groups=st.integers(1, 3),
    shared=st.integers(1, 3),
    length=st.integers(1, 9),
    queries=st.sampled_from([1, 1, 1, 4]),
    scaling=st.sampled_from([None, 0.3]),
    kind=st.sampled_from(["none", "seen", "seen by head", "added", "added by head"]),
    seed=st.integers(0, 99),
)
def test_one_query_by_products_is_what_the_fused_kernel_gives(
    rows, groups, shared, length, queries, scaling, kind, seed
):
    random = torch.Generator().manual_seed(seed)
    heads, length = groups * shared, length + queries
    query = torch.randn(rows, heads, queries, 4, generator=random, dtype=torch.float64)
    key = torch.randn(rows, groups, length, 4, generator=random, dtype=torch.float64)
    value = torch.randn(rows, groups, length, 5, generator=random, dtype=torch.float64)
    mask = masks(rows, heads, length, kind, random)
    given = (Layer(shared), query, key, value, mask)
    found, expected = (f(*given, scaling=scaling)[0] for f in (attend, sdpa_attention_forward))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


def test_in_bfloat16_it_is_no_further_from_the_truth():
    random = torch.Generator().manual_seed(0)
    shapes = ((16, 9, 1, 64), (16, 3, 90, 64), (16, 3, 90, 64))
    tensors = [torch.randn(*shape, generator=random).bfloat16() for shape in shapes]
    exact = sdpa_attention_forward(Layer(3), *(t.double() for t in tensors), None)[0]
    ours, fused = (
        (f(Layer(3), *tensors, None)[0].double() - exact).abs().mean()
        for f in (attend, sdpa_attention_forward)
    )
    # Where a processor's fused kernel is exact, too, both err by the last rounding alone.
    assert ours <= 1.01 * fused


def test_a_model_gets_its_own_attention_back():
    model = random_model(16)
    assert model.config._attn_implementation == "sdpa"
    with decoding(model):
        during = model.config._attn_implementation
    assert during != "sdpa"
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(RuntimeError, match="stop"), decoding(model):
        raise RuntimeError("stop")
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("chosen", ["eager", None])
def test_an_attention_of_another_choice_stays(chosen):
    model = random_model(16) if chosen else family_model("bloom", 16)
    if chosen:
        model.set_attn_implementation(chosen)
    before = model.config._attn_implementation
    with decoding(model):
        assert model.config._attn_implementation == before


def test_sampling_goes_through_it(monkeypatch):
    import llm.models.attention as module
    from llm.sampling.base import GREEDY, Request
    from llm.sampling.transformers.sampler import TransformersSampler
    from tests.llm.words import vocabulary

    engine = TransformersSampler(random_model(16), vocabulary(*(f"w{i}" for i in range(13))))
    asked = [Request((3, 4, 5), 6, i) for i in range(3)]
    expected = [c.tokens for c in engine.generate(asked, GREEDY)]
    seen = []

    def noted(layer, query, *rest, **options):
        seen.append(query.shape[2])
        return attend(layer, query, *rest, **options)

    monkeypatch.setitem(module.AttentionInterface._global_mapping, module._NAME, noted)
    assert [c.tokens for c in engine.generate(asked, GREEDY)] == expected
    assert seen.count(1) >= 5
