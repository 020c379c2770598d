"""``cpi-resets reproduce``: every command that measures, and the figures, in order and resumable.

Killed at any point and started again, it redoes nothing that is finished: every command keeps what
it finished, and a command whose settings, code and stored files are as it left them is passed over.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.anatomy.command import AnatomyConfig
from experiments.commands import COMMANDS
from experiments.compare.config import CompareConfig
from experiments.config import load_config
from experiments.diagnose.config import DiagnoseConfig
from experiments.frontier.command import FrontierConfig
from experiments.learn.command import LearnConfig
from experiments.report.command import FiguresConfig
from experiments.runs.encoding import digest
from experiments.runs.files import Row
from experiments.runs.provenance import code_digest
from experiments.runs.store import Run
from experiments.runs.sweep import Execution
from experiments.train.command import TrainConfig
from experiments.verify.config import VerifyConfig

_CONFIGS = Path(__file__).parent / "configs" / "reproduce"
_PACKAGES = ("cpi_theory", "tabular", "llm", "experiments", "paper_figs")
_UNSTABLE = {"timings.jsonl", "run.json", ".lock"}
"""Files that say when and where something ran, not what came out."""


@dataclass(frozen=True)
class Profile:
    """Settings of every command.

    Attributes:
        verify, compare, learn, frontier, diagnose, train, anatomy, figures: see
            ``cpi-resets COMMAND --help``.
    """

    verify: VerifyConfig = field(default_factory=VerifyConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    frontier: FrontierConfig = field(default_factory=FrontierConfig)
    diagnose: DiagnoseConfig = field(default_factory=DiagnoseConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    anatomy: AnatomyConfig = field(default_factory=AnatomyConfig)
    figures: FiguresConfig = field(default_factory=FiguresConfig)


@dataclass(frozen=True)
class ReproduceConfig:
    """Run every command that measures, and the figures, continuing where an earlier run was.

    Attributes:
        profile: "quick" (a few minutes), "full", or a TOML file with a table per command. Runs are
            stored below the output folder, in a folder of the profile's name.
    """

    profile: str = "quick"

    def path(self) -> Path:
        """The profile's file.

        Raises:
            InvalidInput: if there is no such profile.
        """
        committed = {path.stem: path for path in sorted(_CONFIGS.glob("*.toml"))}
        given = Path(self.profile)
        if self.profile in committed:
            return committed[self.profile]
        if given.suffix != ".toml":
            remedy = f"choose among {', '.join(committed)}, or give a TOML file"
            raise InvalidInput("profile", self.profile, "no such profile", remedy)
        return given


def run(config: ReproduceConfig, output: Path, execution: Execution, console: Console) -> int:
    """Run every command of the profile that is not finished; the largest of their exit codes."""
    path = config.path()
    profile = load_config(Profile, path)
    root = output / path.stem
    record = Run.open(root, "reproduce", profile, seed=0)
    stages = [_Stage(f.name, getattr(profile, f.name), root) for f in fields(Profile)]
    code = 0
    with record.lock(), record.timed("reproduce"):
        for number, stage in enumerate(stages):
            before = stages[:number]
            code = max(code, _complete(stage, before, record, execution, console))
    return code


@dataclass(frozen=True)
class _Stage:
    """A command with its settings."""

    name: str
    settings: Any
    root: Path

    def files(self) -> list[Path]:
        """What it stored, but not when and where."""
        folder = str(getattr(self.settings, "name", self.name))
        found = sorted(path for path in self.root.glob(f"{folder}*/**/*") if path.is_file())
        return [path for path in found if path.name not in _UNSTABLE]

    def state(self, before: Sequence[_Stage]) -> Row:
        """Digests of all that it depends on or left behind.

        That is its settings, the code, and its files and those of the commands before it:
        whatever was edited, deleted or damaged since makes it run again.
        """
        files = [path for stage in (*before, self) for path in stage.files()]
        return {
            "settings": digest(self.settings),
            "code": code_digest(*_PACKAGES),
            "files": _content(files),
        }


def _complete(
    stage: _Stage,
    before: Sequence[_Stage],
    record: Run,
    execution: Execution,
    console: Console,
) -> int:
    """Exit code of one command, run now or, if it is finished, then."""
    name = stage.name
    finished = record.read(name) if record.has(name) else []
    if finished and finished[0]["state"] == stage.state(before):
        console.print(f"[bold]{name}[/bold]: already finished")
        return int(finished[0]["exit_code"])
    console.rule(f"[bold]{name}[/bold]: {COMMANDS[name].summary}")
    command = importlib.import_module(COMMANDS[name].module)
    with record.timed(name):
        code = int(command.run(stage.settings, stage.root, execution, console))
    record.write(name, [{"command": name, "exit_code": code, "state": stage.state(before)}])
    return code


def _content(paths: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
