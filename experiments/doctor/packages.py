"""Packages: those that every command needs, those of the extras, and others of our names."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from experiments.clashes import clashes
from experiments.doctor.finding import Finding, State

OURS = "cpi-resets"

EXTRAS: Mapping[str, str] = {
    "llm": "all commands on language models: train, evaluate, diagnose --model, ...",
    "data": "cpi-resets data prepare: benchmarks by their recipes",
    "reasoning-gym": "tasks of reasoning-gym as worlds",
    "verifiers": "task sets of verifiers as worlds, and export --format verifiers",
    "inspect": "export --format inspect: rollouts in the viewer of Inspect",
    "vllm": "sampling with vLLM on a GPU (an environment of its own: its pins are strict)",
    "real": "cpi-resets model: SmolLM2 as a plain folder",
    "cluster": "--cluster: work on a Dask cluster",
    "bench": "make bench: timings beside peers",
    "dev": "make test and make lint",
    "docs": "make docs: the documentation as a site",
    "test": "tests of your own, such as cpi-resets new writes beside its files",
}
"""What each optional set of packages is for, by its name in pyproject.toml."""


def python() -> Finding:
    """The interpreter."""
    wanted = metadata.metadata(OURS)["Requires-Python"] or ""
    here = platform.python_version()
    if here in SpecifierSet(wanted):
        return Finding("Python", "there", f"{here}, {sys.executable}", needed=True)
    remedy = f"make an environment with Python {wanted}"
    return Finding("Python", "broken", f"{here}, not {wanted}", needed=True, remedy=remedy)


def ours() -> Iterator[Finding]:
    """This package, and others of the same names that stand in its way."""
    found = clashes()
    if not found:
        yield Finding(OURS, "there", metadata.version(OURS), needed=True)
    for clash in found:
        yield Finding(clash.name, "broken", clash.problem, needed=True, remedy=clash.remedy)


def requirements() -> list[Requirement]:
    """All that this distribution declares, extras included."""
    return [Requirement(text) for text in metadata.requires(OURS) or ()]


def needed() -> Iterator[Finding]:
    """Packages of all commands."""
    for requirement in requirements():
        if _is_always_needed(requirement):
            state, found = _problem(requirement) or ("there", _version(requirement))
            remedy = "" if state == "there" else f"pip install '{requirement}'"
            yield Finding(requirement.name, state, found, needed=True, remedy=remedy)


def extras() -> Iterator[Finding]:
    """Sets of optional packages."""
    declared = metadata.metadata(OURS).get_all("Provides-Extra") or []
    for name, enables in EXTRAS.items():
        if name not in declared:  # of an older installation
            continue
        own = [one for one in requirements() if name in _extras_of(one)]
        wrong = {one.name: problem for one in own if (problem := _problem(one)) is not None}
        remedy = f"pip install '{OURS}[{name}]'" if wrong else ""
        found = ", ".join(f"{package}: {text}" for package, (_, text) in wrong.items())
        state: State = "missing" if wrong else "there"
        yield Finding(f"[{name}]", state, found or _count(own), False, enables, remedy)


def _count(some: list[Requirement]) -> str:
    return f"{len(some)} package{'s' * (len(some) > 1)}"


def _is_always_needed(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _extras_of(requirement: Requirement) -> set[str]:
    """Extras that it belongs to; none: it is always needed."""
    marker = requirement.marker
    if marker is None or _is_always_needed(requirement):
        return set()
    return {name for name in EXTRAS if marker.evaluate({"extra": name})}


def _version(requirement: Requirement) -> str:
    return metadata.version(requirement.name)


def _problem(requirement: Requirement) -> tuple[State, str] | None:
    """What is wrong with a package: it is missing, or of a version that is not wanted."""
    try:
        version = _version(requirement)
    except metadata.PackageNotFoundError:
        return "missing", "not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return "broken", f"{version}, not {requirement.specifier}"
