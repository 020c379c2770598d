"""The estimators that ``cpi-resets audit`` knows by name, and those that users name."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO
from cpi_theory.audit.batch import Estimator
from cpi_theory.audit.subject import Subject
from cpi_theory.checks import (
    ANYBODYS,
    InvalidInput,
    attribute_of,
    check_choice,
    choose_among,
    nearest,
    not_importable,
)
from cpi_theory.seam import Algorithm, scheduled
from experiments.methods import HALF_WAY, REVISING, TABULAR_METHODS, GroupMethod

Layout = Literal["group", "resets"]
"""Rollouts that a function is given: of each prompt a group from its start, or half of them from
there and the other half from a uniform step of a failure among those."""

OURS: Mapping[str, Callable[[int], Algorithm]] = {
    "grpo": lambda n: GRPO(n),
    "dr-grpo": lambda n: GRPO(n, "none"),
    "rloo": lambda n: GRPO(n, "leave-one-out"),
    "rrpo": lambda n: RRPO(base=_half(n), suffix=_half(n)),
    "rrpo-loo": lambda n: RRPO(base=_half(n), suffix=_half(n), normalization="leave-one-out"),
    "rrpo-published": lambda n: RRPO(base=_half(n), suffix=_half(n), parent="published"),
    "srpo": lambda n: SRPO(base=_half(n), suffix=_half(n)),
    "srpo-loo": lambda n: SRPO(base=_half(n), suffix=_half(n), normalization="leave-one-out"),
    "frontier": lambda n: FrontierGRPO(FirstErrorModel(1.0), base=_half(n), rollouts=2 * _half(n)),
}
"""This package's own, for groups of n rollouts in all."""

# Small worlds have no second attempts and do not tell the advantages of all steps.
_ELSEWHERE = (*REVISING, "CAPO, every step")

METHODS: Mapping[str, Algorithm] = {
    name: scheduled(method.algorithm, HALF_WAY)
    for name, method in TABULAR_METHODS.items()
    if isinstance(method, GroupMethod) and method.accuracy == 1 and name not in _ELSEWHERE
}
"""Methods that `learn` knows by name, with the groups that it gives them.

How exact a localiser is, a small world says itself.
"""

_VERL = "run make audit-peers, which makes an environment with verl 0.9.1 in .venv-verl"


def _half(rollouts: int) -> int:
    return max(2, rollouts // 2)


def expanded(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names with ``ours``, ``methods``, ``trl`` and ``verl`` written out, each once."""
    found: dict[str, None] = {}
    for name in names:
        found |= dict.fromkeys(_collective(name))
    return tuple(found)


def _collective(name: str) -> tuple[str, ...]:
    if name == "ours":
        return tuple(OURS)
    if name == "methods":
        return tuple(METHODS)
    if name == "trl":
        return tuple(f"trl:{one}" for one in _peer("trl").SETTINGS)
    if name == "verl":
        peer = _verl()
        return tuple(f"verl:{one}" for one in (*peer.names(), *peer.VARIANTS))
    return (name,)


def subject(name: str, rollouts: int, layout: Layout = "group", exact: bool = False) -> Subject:
    """The subject of a name, with groups of so many rollouts.

    Args:
        name: of :data:`OURS` or :data:`METHODS`, ``trl:NAME``, ``verl:NAME``, ``module:attribute``
            or ``file.py:attribute``; the attribute is an algorithm or a function of a batch.
        rollouts: of each prompt; a method and an algorithm of a user's own say themselves how many.
        layout: of the rollouts that a function is given.
        exact: give a function fractions.

    Raises:
        InvalidInput: if there is nothing by that name, or it is neither.
    """
    if name in OURS:
        return Subject(name, OURS[name](rollouts))
    if name in METHODS:
        return Subject(name, METHODS[name])
    attribute = _named(name)
    if hasattr(attribute, "plan") and not isinstance(attribute, type):
        return Subject(name, attribute)
    if not callable(attribute) or isinstance(attribute, type):
        remedy = "name an algorithm object, or a function of a batch"
        raise InvalidInput("estimators", name, f"is of the type {type(attribute).__name__}", remedy)
    algorithm = GRPO(rollouts) if layout == "group" else OURS["rrpo"](rollouts)
    return Subject(name, algorithm, attribute, exact)


@functools.cache
def _of_library(library: str, name: str) -> Any:
    if library == "trl":
        peer = _peer("trl")
        known = tuple(peer.SETTINGS)
    else:
        peer = _verl()
        known = (*peer.names(), *peer.VARIANTS)
    check_choice("estimators", f"{library}:{name}", tuple(f"{library}:{one}" for one in known))
    return peer.estimator(name)


def _named(name: str) -> Any:
    where, _, attribute = name.rpartition(":")
    if where in ("trl", "verl"):
        return _of_library(where, attribute)
    if not where:
        among = tuple(OURS) if nearest(name, OURS) else (*OURS, *METHODS)
        remedy = f"{choose_among(name, among)}, trl:NAME, verl:NAME, module:NAME or file.py:NAME"
        raise InvalidInput("estimators", name, "unknown", remedy)
    return attribute_of("estimators", name, module_of(where), attribute)


def _peer(name: str) -> ModuleType:
    # Torch, for those alone who ask for it.
    return importlib.import_module(f"llm.audit.{name}")


def _verl() -> ModuleType:
    peer = _peer("verl")
    if not peer.installed():
        raise InvalidInput("estimators", "verl", "verl is not installed here", _VERL)
    return peer


def module_of(where: str) -> ModuleType:
    """A module by its name, looked for in the current folder, too, or by its file.

    Raises:
        InvalidInput: if there is none.
    """
    file = source(where)
    if file is None:
        remedy = "give the name of a module, or the path of a file.py"
        raise InvalidInput("estimators", where, "there is no such module", remedy)
    try:
        return _loaded(where, file)
    except ANYBODYS as error:
        raise not_importable("estimators", where, error) from error


def _loaded(where: str, file: Path) -> ModuleType:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    name = f"audited_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InvalidInput("estimators", where, "no Python file", "give the path of a file.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source(where: str) -> Path | None:
    """The file of a module, by its name or path; None if there is none."""
    if where.endswith(".py"):
        return Path(where) if Path(where).is_file() else None
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        spec = importlib.util.find_spec(where)
    except ModuleNotFoundError:  # a package on the way to it
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def own_source(name: str) -> Path | None:
    """The file that an estimator of a user's own is in; None for those known by name."""
    where = name.rpartition(":")[0]
    return None if where in ("", "trl", "verl") else source(where)


def function_of(name: str) -> Estimator | None:
    """The function by that name, if it is one: it can be called without cpi-resets."""
    return None if name in OURS or name in METHODS else subject(name, 2).credit
