"""What is held of texts against a search through all of them."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from llm.sampling.transformers.pasts import Pasts, in_common

TEXTS = st.lists(st.integers(0, 2), min_size=1, max_size=7).map(tuple)


def kept(tokens):
    """Keys and values that say which ids they belong to, of two layers."""
    keys = torch.tensor(tokens, dtype=torch.float32)[None, :, None]
    return [(keys, -keys), (keys + 10, keys - 10)]


@given(texts=st.lists(TEXTS, max_size=8), asked=TEXTS)
def test_the_longest_common_beginning_is_found_but_for_the_last_id(texts, asked):
    pasts = Pasts()
    for text in texts:
        pasts.keep(text, kept(text), 1000)
    length, found = pasts.longest(asked)
    begins = [n for n in range(len(asked)) if any(t[:n] == asked[:n] for t in texts)]
    assert length == max(begins, default=0)
    if length:
        for (keys, values), (k, v) in zip(found, kept(asked[:length]), strict=True):
            assert torch.equal(keys, k)
            assert torch.equal(values, v)


@given(one=TEXTS, other=TEXTS)
def test_common_beginnings_are_counted(one, other):
    n = in_common(one, other)
    assert n == in_common(other, one)
    assert one[:n] == other[:n]
    assert n == min(len(one), len(other)) or one[n] != other[n]


@given(texts=st.lists(TEXTS, min_size=1, max_size=12), most=st.integers(7, 30))
def test_no_more_is_held_than_there_is_room_for(texts, most):
    pasts, expected = Pasts(), []
    for text in texts:
        pasts.keep(text, kept(text), most)
        expected = [t for t in expected if t != text] + [text]
        while sum(map(len, expected)) > most:
            expected.pop(0)
        assert list(pasts._held) == expected


def test_what_is_used_is_forgotten_last():
    pasts = Pasts()
    for text in ((1, 1, 1), (2, 2, 2)):
        pasts.keep(text, kept(text), 6)
    assert pasts.longest((1, 1, 0))[0] == 2
    pasts.keep((3, 3, 3), kept((3, 3, 3)), 6)
    assert pasts.longest((1, 1, 0))[0] == 2
    assert pasts.longest((2, 2, 0))[0] == 0
