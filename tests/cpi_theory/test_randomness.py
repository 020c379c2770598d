"""Keyed streams: stable numbers, and no two addresses that share one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key

parts = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.text(max_size=5)), max_size=5)


def test_streams_never_change():
    """Known answers: a change of any of these numbers changes every stored result."""
    key = Key.of(7).child(3, "base")
    assert key.path == (7, 3, 3293428512821946604)
    assert [int(k) for k in key.integers(2)] == [14036367443544503847, 2423897133755213707]
    assert key.generator().random() == pytest.approx(0.507913501326056, rel=1e-15)


@given(parts, st.integers(0, 50), st.integers(0, 50))
def test_a_longer_request_extends_a_shorter_one(path, few, more):
    key = Key.of(1).child(*path)
    longer = key.integers(few + more)
    assert longer.dtype == np.uint64
    np.testing.assert_array_equal(longer[:few], key.integers(few))


@given(parts, parts)
def test_different_addresses_are_different_streams(a, b):
    first, second = Key.of(1).child(*a), Key.of(1).child(*b)
    same = np.array_equal(first.integers(2), second.integers(2))
    assert same == (first == second)


def test_a_stream_is_not_its_child_zero():
    """numpy pads short entropy with zeros, so these used to be one stream."""
    paths = [
        (),
        (0,),
        (0, 0),
        (0, 0, 0),
        (0, 0, 0, 0),
        (1,),
        (1, 0),
        (0, 1),
        (1 << 32,),
        (0, 1 << 32),
    ]
    firsts = [int(Key.of(5).child(*path).integers(1)[0]) for path in paths]
    assert len(set(firsts)) == len(paths)


def test_children_do_not_depend_on_what_was_drawn():
    key = Key.of(3)
    before = key.child("a").integers(4)
    key.integers(100)
    key.generator().random(50)
    np.testing.assert_array_equal(key.child("a").integers(4), before)
    assert key.child("a", 1) == key.child("a").child(1)


def test_first_draws_of_neighbouring_streams_look_uniform():
    u = (
        np.array([Key.of(s).child(i).integers(1)[0] for s in range(50) for i in range(40)])
        / 2.0**64
    )
    counts = np.histogram(u, 20, (0, 1))[0]
    assert ((counts - 100) ** 2 / 100).sum() < 43.8  # chi-square, 19 degrees, 0.1 %


def test_keys_come_from_seeds_keys_and_generators():
    assert Key.of(np.int64(5)) == Key.of(5)
    assert Key.of(Key.of(5)) == Key.of(5)
    a, b = (np.random.default_rng(2) for _ in range(2))
    assert Key.of(a) == Key.of(b)
    assert Key.of(a) != Key.of(np.random.default_rng(2))  # each use draws once


@pytest.mark.parametrize("seed", [-1, 1 << 64, 1.5, "seed", None, True])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(InvalidInput, match=r"^seed = "):
        Key.of(seed)


@pytest.mark.parametrize("part", [-1, 1 << 64])
def test_indices_must_fit_64_bits(part):
    """Cut to 64 bits two addresses would become one."""
    with pytest.raises(InvalidInput, match="64"):
        Key.of(0).child(part)
    if part > 0:
        with pytest.raises(InvalidInput, match="64"):
            Key.of(part)


def test_purposes_are_told_apart_by_name():
    names = ["base", "suffix", "fresh", "locate", "step", "parent", "", "a", "b", "ab", "ba"]
    keys = [Key.of(0).child(name) for name in names] + [
        Key.of(0).child(*p) for p in itertools.permutations(["a", "b"], 2)
    ]
    assert len(set(keys)) == len(keys)
