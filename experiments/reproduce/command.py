"""``cpi-resets reproduce``: every command that measures, and the report, in order and resumable.

While it works the report shows what there is, and which command is running. Killed at any point and
started again, it redoes nothing that is finished: every command keeps what it finished, and one
whose settings, code and stored files are as it left them is passed over.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.commands import COMMANDS
from experiments.config import load_config
from experiments.console import part
from experiments.execution.settings import Execution
from experiments.explore.config import ExploreConfig
from experiments.explore.page import PAGE
from experiments.report.making import LivePage
from experiments.reproduce.config import ReproduceConfig
from experiments.reproduce.profile import Profile
from experiments.runs.encoding import digest
from experiments.runs.files import Row
from experiments.runs.fingerprint import fingerprint
from experiments.runs.provenance import ALL_PACKAGES, code_digest
from experiments.runs.store import Run

# Files that say when and where something ran or how fast, not what came out.
_UNSTABLE = {"timings.jsonl", "log.jsonl", "finished.json", "run.json", ".lock", PAGE}


def run(config: ReproduceConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run every command of the profile that is not finished; the largest of their exit codes."""
    path = config.path()
    profile = load_config(Profile, path)
    root = output / path.stem
    record = Run.open(root, "reproduce", profile, seed=0)
    stages = [_Stage(f.name, getattr(profile, f.name), root) for f in fields(Profile)]
    live = LivePage(profile.report, root)
    code = 0
    with record.lock(), record.timed("reproduce"):
        for number, stage in enumerate(stages):
            begins = functools.partial(_tell, live, stage, number, len(stages), console)
            code = max(code, _complete(stage, stages[:number], record, execution, console, begins))
    return code


def _tell(live: LivePage, stage: _Stage, number: int, count: int, console: Console) -> None:
    """Say in the page which command begins; that the page cannot be written stops no command."""
    line = f"{stage.name} is running, command {number + 1} of {count}: "
    try:
        if stage.name != "report":
            live.write([f"{line}{COMMANDS[stage.name].summary}."])
    except InvalidInput as error:
        console.print(f"the page is not up to date: {error}", markup=False)


@dataclass(frozen=True)
class _Stage:
    """A command with its settings."""

    name: str
    settings: Any
    root: Path

    def files(self) -> list[Path]:
        """What it stored, but not when and where."""
        if isinstance(self.settings, ExploreConfig):
            # Its pages lie with the runs that they show, which are none the worse without them.
            return [path for path in sorted(self.root.glob(f"*/{PAGE}")) if path.is_file()]
        folder = str(getattr(self.settings, "name", self.name))
        found = sorted(path for path in self.root.glob(f"{folder}*/**/*") if path.is_file())
        return [path for path in found if path.name not in _UNSTABLE]

    def state(self, before: Sequence[_Stage]) -> Row:
        """Digests of all that it depends on or left behind.

        That is its settings with the files that they name, the code, and its files and those of
        the commands before it: whatever was edited, deleted or damaged since makes it run again.
        """
        files = [path for stage in (*before, self) for path in stage.files()]
        return {
            "settings": digest([self.settings, fingerprint(self.settings)]),
            "code": code_digest(*ALL_PACKAGES),
            "files": _content(files, self.root),
        }


def _complete(
    stage: _Stage,
    before: Sequence[_Stage],
    record: Run,
    execution: Execution,
    console: Console,
    begins: Callable[[], None],
) -> int:
    """Exit code of one command, run now or, if it is finished, then."""
    name = stage.name
    finished = record.read(name) if record.has(name) else []
    if finished and finished[0]["state"] == stage.state(before):
        console.print(f"[bold]{name}[/bold]: already finished")
        return int(finished[0]["exit_code"])
    console.rule(f"[bold]{name}[/bold]: {COMMANDS[name].summary}")
    begins()
    command = importlib.import_module(f"{COMMANDS[name].folder}.command")
    with record.timed(name), part(console, name):
        code = int(command.run(stage.settings, stage.root, execution, console))
    record.write(name, [{"command": name, "exit_code": code, "state": stage.state(before)}])
    return code


def _content(paths: Iterable[Path], root: Path) -> str:
    total = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root).as_posix()
        total.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
