"""Refusing sizes that this machine cannot hold, before anything of them is made."""

from __future__ import annotations

from cpi_theory.checks import InvalidInput
from experiments.runs.provenance import environment

_GIB = 2**30

ROW_BYTES = 200
"""What a record, or an object with some fields, takes at the very least: a low guess, so that
nothing is refused that fits."""


def machine_memory() -> float | None:
    """The memory of this machine in GiB; None: unknown."""
    found = environment()["hardware"].get("memory_gib")
    return None if found is None else float(found)


def check_held(field: str, value: object, least: float, what: str, memory: float | None) -> None:
    """Refuse a setting for which more would be held at once than there is memory.

    Args:
        field: the setting, for messages.
        value: its value.
        least: bytes that are held at the very least.
        what: what is held, in words.
        memory: of the machine, GiB; None: unknown.

    Raises:
        InvalidInput: naming the setting, what it takes and what there is.
    """
    needed = least / _GIB
    if memory is None or needed <= memory:
        return
    problem = f"{what}: {needed:,.0f} GiB at the very least, of {memory:g} here"
    raise InvalidInput(field, value, problem, "choose fewer")


def check_rows(field: str, value: int, rows: int, what: str, memory: float | None) -> None:
    """Refuse a setting for which so many records or objects would be held; see :func:`check_held`.

    Args:
        field: the setting, for messages.
        value: its value.
        rows: how many it asks for.
        what: what they are, in the plural.
        memory: of the machine, GiB; None: unknown.

    Raises:
        InvalidInput: naming the setting.
    """
    check_held(field, value, ROW_BYTES * rows, f"{rows:,} {what}", memory)


def check_runs(seeds: int, runs: int, memory: float | None, field: str = "seeds") -> None:
    """Refuse so many seeds that not even the list of their runs can be held.

    Args:
        seeds: of each kind of run.
        runs: kinds of run.
        memory: of the machine, GiB; None: unknown.
        field: the setting that holds the number of seeds.

    Raises:
        InvalidInput: naming that setting.
    """
    check_rows(field, seeds, seeds * runs, "runs in a list", memory)
