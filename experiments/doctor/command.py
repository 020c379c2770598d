"""``cpi-resets doctor``: what of this environment is there, and what the rest would enable."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.console import give
from experiments.doctor import machine, packages
from experiments.doctor.config import DoctorConfig
from experiments.doctor.finding import Finding
from experiments.execution.settings import Execution
from experiments.exit_codes import DONE, REFUTED


def run(_config: DoctorConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Look at everything and say what is there; 1 if commands cannot run as it is, else 0."""
    found = examined(output)
    give(console, {"findings": [dataclasses.asdict(one) for one in found]})
    show(found, console)
    return REFUTED if any(one.fatal for one in found) else DONE


def examined(output: Path) -> list[Finding]:
    """All that is looked at; what our packages would find out, where they are ours alone."""
    ours = list(packages.ours())
    trusted = not any(one.fatal for one in ours)
    return [
        packages.python(),
        *ours,
        *packages.needed(),
        *packages.extras(),
        *([machine.accelerator(), machine.sandbox()] if trusted else []),
        *machine.size(),
        machine.disk(output),
        *machine.folders(output),
    ]


_COLORS = {"there": "green", "missing": "yellow", "broken": "red"}


def show(found: Sequence[Finding], console: Console) -> None:
    """A table of what is there, then a block for each part that is not."""
    table = Table("part", "", "found", box=None)
    for one in found:
        color = "red" if one.fatal else _COLORS[one.state]
        state = f"[{color}]{one.state}[/{color}]"
        table.add_row(escape(one.part), state, escape(one.found))
    console.print(table)
    for one in found:
        if one.state != "there":
            enables = f"it would enable: {one.enables}" if one.enables else ""
            console.print(f"\n{one.part} is {one.state}: {one.found}", markup=False)
            for line in filter(None, (enables, one.remedy)):
                console.print(f"  {line}", markup=False, soft_wrap=True)
    fatal = [one.part for one in found if one.fatal]
    ready = "all that every command needs is there"
    console.print(f"\nneeded: {', '.join(fatal)}" if fatal else f"\n{ready}", markup=False)
