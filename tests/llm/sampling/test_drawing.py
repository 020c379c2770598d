"""Tokens are drawn by inverting the distribution function, also over large vocabularies."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm.sampling.base import Sampling
from llm.sampling.drawing import draw

BELOW_ONE = float(np.nextafter(1.0, 0.0))


def drawn(weights, uniform):
    """The token drawn at one number from one row of weights, which need not add up to 1."""
    logits = torch.tensor(np.log(np.asarray(weights, np.float64)))[None]
    tokens, logprobs = draw(logits, Sampling(), np.array([uniform]))
    return int(tokens[0]), float(logprobs[0])


@given(
    ids=st.dictionaries(st.integers(0, 1199), st.integers(1, 9), min_size=1, max_size=9),
    size=st.integers(1200, 1300),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_the_id_is_the_one_in_whose_share_the_number_falls(ids, size, uniform):
    weights = np.zeros(size)
    for i, weight in ids.items():
        weights[i] = weight
    with np.errstate(divide="ignore"):
        token, logprob = drawn(weights, uniform)
    ends = np.cumsum(weights) / weights.sum()
    # Where the number falls on a border to the precision of float32, both sides are right.
    assert ends[token] >= uniform - 1e-6
    assert ends[token] - weights[token] / weights.sum() <= uniform + 1e-6
    assert logprob == pytest.approx(np.log(weights[token] / weights.sum()), abs=1e-6)


@pytest.mark.parametrize(
    ("uniform", "token"), [(0.0, 700), (0.249, 700), (0.251, 701), (0.751, 1290), (BELOW_ONE, 1290)]
)
def test_shares_worked_by_hand_in_two_blocks(uniform, token):
    weights = np.zeros(1300)
    weights[[700, 701, 1290]] = 1, 2, 1
    with np.errstate(divide="ignore"):
        assert drawn(weights, uniform)[0] == token


@pytest.mark.parametrize("only", [0, 255, 256, 511, 512, 999])
@pytest.mark.parametrize("uniform", [0.0, 0.5, BELOW_ONE])
def test_an_id_without_weight_is_never_drawn(only, uniform):
    weights = np.zeros(1000)
    weights[only] = 1
    with np.errstate(divide="ignore"):
        assert drawn(weights, uniform)[0] == only


def test_logits_that_are_not_numbers_give_an_id_that_exists_and_no_number():
    tokens, logprobs = draw(torch.full((2, 300), torch.nan), Sampling(), np.array([0.1, 0.9]))
    assert ((tokens >= 0) & (tokens < 300)).all()
    assert logprobs.isnan().all()


def test_frequencies_over_a_large_vocabulary_are_the_probabilities():
    generator = np.random.default_rng(0)
    logits = torch.tensor(generator.normal(size=700) * 2)
    count = 20_000
    uniform = (np.arange(count) + 0.5) / count
    tokens, _ = draw(logits.expand(count, -1), Sampling(), uniform)
    found = np.bincount(tokens.numpy(), minlength=700) / count
    # Evenly spaced numbers hit each share up to one of them at either border.
    assert np.abs(found - torch.softmax(logits, 0).numpy()).max() < 2 / count
