"""Counterexamples as files: self-contained JSON that says everything needed to check them again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from cpi_theory.checks import Exact, InvalidInput
from experiments.runs.encoding import plain
from experiments.runs.files import read_bytes
from experiments.verify.claims import Reading
from experiments.verify.instances import BoundInstance
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP

_FORMAT = 1


@dataclass(frozen=True)
class Counterexample:
    """An inequality of a theorem that failed on an instance.

    Attributes:
        instance: where; None for a statement about samples, which needs no world.
        theorem: of the reading that failed.
        says: part of the statement.
        alpha: step size.
        mutant: the mutant of a bound that it refutes, as text; None for the bound as it is.
        pair: two candidates that the search for hard ones found, and where it failed.
    """

    instance: BoundInstance | None
    theorem: str
    says: str
    alpha: Exact
    mutant: str | None = None
    pair: tuple[int, float, float] | None = None

    def matches(self, reading: Reading) -> bool:
        """Whether a reading is of the inequality that failed."""
        return (reading.theorem, reading.says) == (self.theorem, self.says)


def to_json(found: Counterexample, reading: Reading) -> dict[str, Any]:
    """JSON data of a counterexample, with the two sides as they were found."""
    return {
        "format": _FORMAT,
        "theorem": found.theorem,
        "says": found.says,
        "mutant": found.mutant,
        "alpha": _number(found.alpha),
        "bound": _number(reading.bound),
        "truth": _number(reading.truth),
        "instance": None if found.instance is None else instance_to_json(found.instance),
    }


def instance_to_json(instance: BoundInstance) -> dict[str, Any]:
    """JSON data of an instance: its tables, sparse ones by their entries."""
    mdp = instance.mdp
    tables = mdp.transitions
    layers = tables if isinstance(tables, tuple) else (tables,)
    return {
        "label": instance.label,
        **_ending(mdp),
        "reward_bound": _number(mdp.reward_bound),
        "transitions": [_sparse(t) for t in layers] if mdp.sparse else _dense(tables),
        "rewards": _dense(mdp.rewards),
        "start": _dense(mdp.start),
        "policy": _dense(instance.policy),
        "candidate": _dense(instance.candidate),
        "weight": _dense(np.asarray(instance.weight)),
        "alphas": [_number(alpha) for alpha in instance.alphas],
        "share": _number(instance.share),
    }


def _ending(mdp: FiniteHorizonMDP | DiscountedMDP) -> dict[str, Any]:
    if isinstance(mdp, DiscountedMDP):
        return {"horizon": None, "discount": _number(mdp.discount)}
    return {"horizon": mdp.horizon, "terminal": np.asarray(mdp.terminal).tolist()}


def read_counterexample(path: Path) -> Counterexample:
    """A stored counterexample.

    Raises:
        InvalidInput: if the file is not there or of another format.
    """
    content = read_bytes(path)
    try:
        data = json.loads(content)
        if data["format"] != _FORMAT:
            raise InvalidInput("format", data["format"], f"{path} is of another version", "redo it")
        return Counterexample(
            instance=data["instance"] and instance_from_json(data["instance"]),
            theorem=data["theorem"],
            says=data["says"],
            alpha=_read(data["alpha"]),
            mutant=data["mutant"],
            pair=data.get("pair") and tuple(data["pair"]),
        )
    except InvalidInput:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        remedy = "give a file of verify, such as results/verify/counterexamples/NAME.json"
        problem = f"is no counterexample ({type(error).__name__}: {error})"
        raise InvalidInput("replay", path, problem, remedy) from error


def instance_from_json(data: dict[str, Any]) -> BoundInstance:
    """The instance that :func:`instance_to_json` stored; its tables are checked again."""
    tables = data["transitions"]
    transitions: Any = _read_dense(tables) if isinstance(tables, dict) else _read_sparse(tables)
    rest = (_read_dense(data["rewards"]), _read_dense(data["start"]))
    bound = _read(data["reward_bound"])
    mdp: FiniteHorizonMDP | DiscountedMDP
    if data["horizon"] is None:
        mdp = DiscountedMDP(transitions, *rest, _read(data["discount"]), bound)
    else:
        terminal = np.array(data["terminal"])
        mdp = FiniteHorizonMDP(transitions, *rest, data["horizon"], bound, terminal)
    return BoundInstance(
        label=data["label"],
        mdp=mdp,
        policy=_read_dense(data["policy"]),
        candidate=_read_dense(data["candidate"]),
        weight=_read_dense(data["weight"]),
        alphas=tuple(_read(alpha) for alpha in data["alphas"]),
        share=_read(data["share"]),
    )


def _number(value: Any) -> Any:
    """A fraction as "a/b", which is exact; a float as itself, which JSON keeps exactly too."""
    return f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else plain(value)


def _read(value: Any) -> Any:
    return Fraction(value) if isinstance(value, str) else value


def _dense(array: Any) -> dict[str, Any]:
    return {"shape": list(array.shape), "entries": [_number(v) for v in array.ravel().tolist()]}


def _read_dense(data: dict[str, Any]) -> Any:
    entries = [_read(value) for value in data["entries"]]
    exact = any(isinstance(value, Fraction) for value in entries)
    dtype: Any = object if exact else np.float64
    return np.array(entries, dtype=dtype).reshape(data["shape"])


def _sparse(matrix: Any) -> dict[str, Any]:
    entries = sparse.coo_array(matrix)
    rows, columns = entries.coords
    return {
        "shape": list(matrix.shape),
        "rows": rows.tolist(),
        "columns": columns.tolist(),
        "entries": entries.data.tolist(),
    }


def _read_sparse(layers: list[dict[str, Any]]) -> Any:
    tables = [
        sparse.csr_array((d["entries"], (d["rows"], d["columns"])), shape=d["shape"])
        for d in layers
    ]
    return tables if len(tables) > 1 else tables[0]
