"""Saving MDPs to npz files and loading them: atomic, without pickle, exact tables included."""

from __future__ import annotations

import contextlib
import os
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from cpi_theory.checks import Exact, InvalidInput
from cpi_theory.files import written_whole
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP, RewardScaling
from tabular.mdp.policies import as_policy
from tabular.mdp.validation import Array

FORMAT = 1
Source = str | os.PathLike[str] | IO[bytes]
"""A file's name, or an open file."""
# What zipfile, numpy and the constructors of fractions and MDPs raise on bytes that are damaged.
_CORRUPT = (zipfile.BadZipFile, EOFError, KeyError, ValueError, TypeError, OSError)


def save(
    mdp: FiniteHorizonMDP | DiscountedMDP,
    path: str | os.PathLike[str],
    policy: ArrayLike | None = None,
) -> None:
    """Write an MDP to one npz file, completely or not at all; the same one gives the same bytes.

    Args:
        mdp: dense, sparse or exact; fractions are written as text.
        path: the file; its folder must exist. An older file is replaced in one step.
        policy: the base policy to keep with it, shape (H, S, A), or (S, A) for all layers.

    Raises:
        InvalidInput: if the policy does not fit.
        OSError: if the disk refuses; then nothing is left behind and an older file is intact.
    """
    parts = _pack(mdp)
    if policy is not None:
        parts["policy"] = _plain(as_policy(mdp, policy))
    with written_whole(Path(path)) as file:
        np.savez(file, **parts)


def load(path: Source) -> FiniteHorizonMDP | DiscountedMDP:
    """Load the MDP that :func:`save` wrote, checked like any other.

    Raises:
        InvalidInput: if there is no such file, it is damaged, or was not written by `save`.
    """
    return load_with_policy(path)[0]


def load_with_policy(path: Source) -> tuple[FiniteHorizonMDP | DiscountedMDP, Array | None]:
    """Load the MDP that :func:`save` wrote and the policy kept with it, None if there is none.

    Raises:
        InvalidInput: as :func:`load`.
    """
    parts = _parts(path)
    try:
        mdp = _unpack(parts)
        if "policy" not in parts:
            return mdp, None
        return mdp, as_policy(mdp, _restored(parts["policy"], mdp.exact))
    except _CORRUPT as error:
        raise _damaged(path, error) from error


def _parts(path: Source) -> dict[str, Array]:
    try:
        # Opened here: np.load leaves a file open that it cannot read.
        with _opened(path) as stream, np.load(stream, allow_pickle=False) as file:
            parts = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise InvalidInput("path", _name(path), "no such file", "check the name") from error
    except _CORRUPT as error:
        raise _damaged(path, error) from error
    if int(parts.get("format", 0)) != FORMAT:
        raise InvalidInput(
            "path", _name(path), "not an MDP in a known format", "write it with tabular.save"
        )
    return parts


def _damaged(path: Source, error: Exception) -> InvalidInput:
    said = str(error)
    if "allow_pickle" in said:  # numpy's advice to unpickle it would let a stranger's code run
        said = "it holds no plain arrays"
    problem = f"not a readable MDP file ({said})"
    return InvalidInput("path", _name(path), problem, "restore it or write it again")


def _opened(path: Source) -> contextlib.AbstractContextManager[IO[bytes]]:
    if isinstance(path, str | os.PathLike):
        return open(path, "rb")
    return contextlib.nullcontext(path)


def _name(path: Source) -> str:
    return str(path) if isinstance(path, str | os.PathLike) else "the file given"


def _pack(mdp: FiniteHorizonMDP | DiscountedMDP) -> dict[str, Any]:
    parts = {
        "format": FORMAT,
        "name": mdp.name,
        "reward_bound": _text(mdp.reward_bound),
        "rewards": _plain(mdp.rewards),
        "start": _plain(mdp.start),
        "exact": mdp.exact,
        **_pack_transitions(mdp.transitions),
    }
    scaling = [mdp.scaling.shift, mdp.scaling.scale, mdp.scaling.horizon]
    parts |= {"scaling": np.array(scaling, dtype=np.float64)}
    if isinstance(mdp, DiscountedMDP):
        return parts | {"discount": _text(mdp.discount)}
    return parts | {
        "horizon": mdp.horizon,
        "terminal": mdp.terminal,
        "observations": mdp.observations,
    }


def _pack_transitions(transitions: Any) -> dict[str, Any]:
    if isinstance(transitions, np.ndarray):
        return {"transitions": _plain(transitions)}
    layers = transitions if isinstance(transitions, tuple) else (transitions,)
    parts: dict[str, Any] = {"layers": len(layers) if isinstance(transitions, tuple) else 0}
    for h, layer in enumerate(layers):
        parts |= {f"{field}_{h}": getattr(layer, field) for field in ("data", "indices", "indptr")}
    return parts


def _unpack(parts: dict[str, Array]) -> FiniteHorizonMDP | DiscountedMDP:
    exact = bool(parts["exact"])
    rewards, start = (_restored(parts[field], exact) for field in ("rewards", "start"))
    transitions = _unpack_transitions(parts, rewards, exact)
    bound, name = _number(parts["reward_bound"], exact), str(parts["name"])
    if "discount" in parts:
        discount = _number(parts["discount"], exact)
        # Files of older versions have none.
        scaling = RewardScaling(*parts.get("scaling", np.empty(0)).tolist())
        return DiscountedMDP(transitions, rewards, start, discount, bound, name, scaling)
    return FiniteHorizonMDP(
        transitions,
        rewards,
        start,
        int(parts["horizon"]),
        bound,
        terminal=parts["terminal"],
        observations=parts["observations"],
        name=name,
        scaling=RewardScaling(*parts["scaling"].tolist()),
    )


def _unpack_transitions(parts: dict[str, Array], rewards: Array, exact: bool) -> Any:
    if "transitions" in parts:
        return _restored(parts["transitions"], exact)
    states, actions = rewards.shape[-2:]
    layers = int(parts["layers"])
    matrices = [
        sparse.csr_array(
            (parts[f"data_{h}"], parts[f"indices_{h}"], parts[f"indptr_{h}"]),
            shape=(states * actions, states),
        )
        for h in range(max(layers, 1))
    ]
    return matrices if layers else matrices[0]


def _plain(table: Array) -> Array:
    """A table without Python objects: fractions as text."""
    return table.astype(np.str_) if table.dtype.hasobject else table


def _restored(table: Array, exact: bool) -> Array:
    if exact:
        fractions = [Fraction(str(text)) for text in table.reshape(-1)]
        return np.array(fractions, dtype=object).reshape(table.shape)
    table.setflags(write=False)
    return table


def _text(number: Exact) -> str:
    # Hexadecimal: every bit of a float comes back.
    return str(number) if isinstance(number, Fraction) else float(number).hex()


def _number(text: Array, exact: bool) -> Exact:
    return Fraction(str(text)) if exact else float.fromhex(str(text))
