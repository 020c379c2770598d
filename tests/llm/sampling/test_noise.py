"""Keyed uniforms: uniform, independent of their order, different at every position."""

from __future__ import annotations

import numpy as np
from scipy import stats

from cpi_theory.randomness import Key
from llm.sampling.noise import uniforms

KEYS = Key.of(1).integers(4000)


def test_they_are_uniform_over_keys_and_over_positions():
    over_keys = uniforms(KEYS, 3)
    over_positions = np.array([uniforms(KEYS[:1], t)[0] for t in range(4000)])
    for sample in (over_keys, over_positions):
        assert stats.kstest(sample, "uniform").pvalue > 1e-3
        assert 0 <= sample.min() <= sample.max() < 1


def test_positions_and_neighbouring_keys_are_uncorrelated():
    numbered = np.arange(4000, dtype=np.uint64)  # the worst keys that a user could give
    rows = [uniforms(KEYS, 0), uniforms(KEYS, 1), uniforms(numbered, 0), uniforms(numbered + 1, 0)]
    correlation = np.corrcoef(rows) - np.eye(4)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(4000)


def test_each_depends_on_its_key_alone():
    order = np.random.default_rng(0).permutation(4000)
    assert np.array_equal(uniforms(KEYS[order], 5), uniforms(KEYS, 5)[order])
