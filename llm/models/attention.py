"""Attention of one token per row on a CPU, where torch's fused kernel is made for many.

While a row is sampled, each token looks back alone: a product of a vector with its keys and one
with its values. In front of the fused kernel keys and values are copied for every head that shares
them, and of its blocks of queries one is real (``python -m benchmarks.bench_attention``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

_NAME = "one_query_by_products"
_FUSED = "sdpa"


@contextlib.contextmanager
def decoding(model: Any) -> Iterator[None]:
    """Attend by products where a row has one query, on a CPU; the model's own way comes back.

    Models that do not choose their attention by name, or have chosen another than torch's fused
    kernel, stay as they are.

    Args:
        model: a causal language model of transformers.
    """
    config = model.config
    if not (
        model.device.type == "cpu"
        and getattr(config, "_attn_implementation", None) == _FUSED
        and getattr(model, "_can_set_attn_implementation", lambda: False)()
    ):
        yield
        return
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(_FUSED)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend as torch's fused kernel does; by two products if there is one query per row.

    Args:
        module: the layer.
        query: shape (n, heads, T, d).
        key: shape (n, groups, L, d), of `heads / groups` heads each.
        value: shape (n, groups, L, e).
        attention_mask: what is seen (bool) or added to the scores, of a shape that broadcasts to
            (n, heads, T, L), or None: all is seen that is not behind.
        dropout: of the weights.
        scaling: of the scores, by default 1 / sqrt(d).
        options: for the fused kernel.

    Returns:
        Shape (n, T, heads, e), and None.

    Source: Vaswani et al. (2017), arXiv 1706.03762; Ainslie et al. (2023), arXiv 2305.13245 (heads
    that share keys).
    """
    if query.shape[2] != 1 or dropout or options.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **options
        )
    rows, heads, _, size = query.shape
    groups = key.shape[1]
    # In float32 at least, as the fused kernel adds up: bfloat16 would round a score of 20 to a
    # multiple of 1/8.
    wide = torch.promote_types(query.dtype, torch.float32)
    grouped = query.reshape(rows, groups, heads // groups, size).to(wide)
    scores = grouped @ key.transpose(-1, -2).to(wide)
    scores = scores * (size**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        # A mask for all heads, or one for each: those of a group stand together.
        seen = attention_mask.reshape(len(attention_mask), -1, 1, attention_mask.shape[-1])
        if seen.shape[1] > 1:
            seen = seen.reshape(len(seen), groups, heads // groups, -1)
        scores = (
            scores.masked_fill(~seen, -torch.inf) if seen.dtype == torch.bool else scores + seen
        )
    mixed = (scores.softmax(dim=-1) @ value.to(wide)).to(value.dtype)
    return mixed.reshape(rows, 1, heads, value.shape[-1]), None


AttentionInterface.register(_NAME, attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
