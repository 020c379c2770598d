"""Saving and loading: every kind of MDP comes back; damage is named; nothing is half-written."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from tabular.mdp import storage
from tabular.mdp.mdp import DiscountedMDP, RewardScaling
from tabular.mdp.scaling import rescale_discounted
from tabular.mdp.storage import load, load_with_policy, save
from tabular.strategies import discounted_mdps, finite_horizon_mdps, policies
from tabular.worlds.from_gymnasium import from_gymnasium

ANY = st.one_of(
    finite_horizon_mdps(aliasing=True),
    finite_horizon_mdps(exact=True),
    discounted_mdps(),
    discounted_mdps(exact=True),
)


def dense(mdp):
    layers = mdp.transitions if isinstance(mdp.transitions, tuple) else (mdp.transitions,)
    return [layer.toarray() if mdp.sparse else layer for layer in layers]


def assert_same(first, second):
    assert type(first) is type(second)
    assert (first.sparse, first.exact, first.name) == (second.sparse, second.exact, second.name)
    assert first.reward_bound == second.reward_bound
    assert first.scaling == second.scaling
    np.testing.assert_equal(dense(first), dense(second))
    for field in ("rewards", "start"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
    if isinstance(first, DiscountedMDP):
        assert first.discount == second.discount
        return
    assert (first.horizon, first.stationary) == (second.horizon, second.stationary)
    for field in ("terminal", "observations"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


@given(ANY)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_loaded_is_what_was_saved(tmp_path, mdp):
    save(mdp, tmp_path / "mdp.npz")
    assert_same(load(tmp_path / "mdp.npz"), mdp)


def test_scaling_and_sparsity_of_a_real_world_come_back(tmp_path):
    mdp = from_gymnasium("Taxi", 10)
    save(mdp, str(tmp_path / "taxi"))
    assert_same(load(str(tmp_path / "taxi")), mdp)


def test_scaling_of_a_discounted_world_comes_back(tmp_path):
    mdp = rescale_discounted([[[1.0], [1.0]]], [[-3.0, 1.0]], [1.0], 0.5)
    save(mdp, tmp_path / "loop")
    loaded = load(tmp_path / "loop")
    assert_same(loaded, mdp)
    assert loaded.scaling.original(0.0) == -6.0


def test_a_discounted_world_of_an_older_version_is_read(tmp_path):
    mdp = rescale_discounted([[[1.0], [1.0]]], [[-3.0, 1.0]], [1.0], 0.5)
    parts = storage._pack(mdp)
    del parts["scaling"]
    np.savez(tmp_path / "old.npz", **parts)
    assert load(tmp_path / "old.npz").scaling == RewardScaling()


@given(st.one_of(finite_horizon_mdps(), discounted_mdps(exact=True)), st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_policy_is_kept_with_its_mdp(tmp_path, mdp, data):
    policy = data.draw(policies(mdp))
    save(mdp, tmp_path / "mdp.npz", policy)
    loaded, kept = load_with_policy(tmp_path / "mdp.npz")
    assert_same(loaded, mdp)
    np.testing.assert_array_equal(kept, policy)
    assert_same(load(tmp_path / "mdp.npz"), mdp)


def test_a_file_may_have_no_policy_and_may_be_open(tmp_path):
    save(from_gymnasium("FrozenLake", 4), tmp_path / "lake.npz")
    with open(tmp_path / "lake.npz", "rb") as file:
        mdp, policy = load_with_policy(file)
    assert policy is None
    assert mdp.states == 18


def test_a_policy_that_does_not_fit_is_not_written(tmp_path):
    with pytest.raises(InvalidInput, match="policy shape"):
        save(from_gymnasium("FrozenLake", 4), tmp_path / "lake.npz", np.ones((3, 2)))
    assert not list(tmp_path.iterdir())


def test_a_policy_that_was_tampered_with_is_refused(tmp_path):
    mdp = from_gymnasium("FrozenLake", 4)
    np.savez(tmp_path / "bad.npz", **storage._pack(mdp), policy=np.full((5, 18, 4), 0.5))
    with pytest.raises(InvalidInput, match=r"bad\.npz': not a readable MDP file .*too much"):
        load_with_policy(tmp_path / "bad.npz")


def test_the_same_mdp_gives_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        save(from_gymnasium("Taxi", 10), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_missing_file(tmp_path):
    with pytest.raises(InvalidInput, match=r"no\.npz': no such file; check the name"):
        load(tmp_path / "no.npz")


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 cut short"])
def test_damaged_file(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(
        InvalidInput, match=r"not a readable MDP file .*; restore it or write"
    ) as caught:
        load(tmp_path / "bad.npz")
    assert "pickle" not in str(caught.value)  # numpy's advice, which lets a stranger's code run


def test_truncated_file(tmp_path):
    save(from_gymnasium("FrozenLake", 4), tmp_path / "lake.npz")
    whole = (tmp_path / "lake.npz").read_bytes()
    (tmp_path / "lake.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="not a readable MDP file"):
        load(tmp_path / "lake.npz")


def test_flipped_bits(tmp_path):
    save(from_gymnasium("FrozenLake", 4), tmp_path / "lake.npz")
    whole = bytearray((tmp_path / "lake.npz").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 8] = b"\xff" * 8
    (tmp_path / "lake.npz").write_bytes(bytes(whole))
    with pytest.raises(InvalidInput):
        load(tmp_path / "lake.npz")


def test_other_npz_files(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(InvalidInput, match=r"not an MDP in a known format; write it with"):
        load(tmp_path / "other.npz")
    np.savez(tmp_path / "part.npz", format=storage.FORMAT, exact=False)
    with pytest.raises(InvalidInput, match="not a readable MDP file"):
        load(tmp_path / "part.npz")


def test_pickles_are_not_executed(tmp_path):
    np.savez(tmp_path / "evil.npz", format=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInput, match="not a readable MDP file"):
        load(tmp_path / "evil.npz")


@pytest.mark.parametrize("stage", ["savez", "replace"])
def test_full_disk_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch, stage):
    path = tmp_path / "lake.npz"
    old = from_gymnasium("FrozenLake", 4)
    save(old, path)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((np, "savez", full) if stage == "savez" else (os, "replace", full)))
    with pytest.raises(OSError, match="No space left"):
        save(from_gymnasium("FrozenLake", 9), path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["lake.npz"]
    assert_same(load(path), old)
