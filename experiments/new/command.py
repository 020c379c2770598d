"""``cpi-resets new``: a starting file for a class of one's own, with a test that passes at once."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from string import Template

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.console import give
from experiments.errors import CannotWrite
from experiments.execution.settings import Execution
from experiments.new.config import Kind, NewConfig
from experiments.runs.files import atomic_write

_USES: dict[Kind, str] = {
    "method": "cpi-resets audit --estimators {file}:METHOD      # what objective does it follow?",
    "reset": "ResetGRPO(reset={cls}()) trains with it, on worlds and language models alike",
    "world": "collect(SRPO(), {cls}(), STARTS, key=0) runs a method on it",
    "task": 'open_model({cls}(), ModelSettings("FOLDER")) has a language model work on it',
}


def run(config: NewConfig, _output: Path, _execution: Execution, console: Console) -> int:
    """Write both files and say how they are used; 0 when done.

    Raises:
        InvalidInput: there is no name, or a file is there already.
        CannotWrite: the folder cannot be written to.
    """
    if not config.name:
        raise InvalidInput("name", config.name, "none is given", "cpi-resets new KIND NAME")
    folder = config.to.expanduser()
    file, test = folder / f"{config.module}.py", folder / f"test_{config.module}.py"
    for path in (file, test):
        if path.exists():
            raise InvalidInput("name", path, "is there already", "choose another name or --to DIR")
    for path, which in ((file, config.kind), (test, f"test_{config.kind}")):
        _write(path, filled(which, config.cls, config.module))
    give(console, {"written": [str(file), str(test)]})
    use = _USES[config.kind].format(file=file, cls=config.cls)
    for line in (
        f"written: {file}, which says what to change",
        f"written: {test}; run it with python -m pytest {test}{_missing()}",
        f"use it: {use}",
    ):
        console.print(line, markup=False, soft_wrap=True)
    return 0


def _missing() -> str:
    return "" if find_spec("pytest") else " (which is not here yet: pip install pytest)"


def filled(template: str, cls: str, module: str) -> str:
    """The text of a template, with the names of a class and its module."""
    text = resources.files("experiments.new").joinpath("templates", f"{template}.txt").read_text()
    return Template(text).substitute(Class=cls, module=module)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, text.encode())
    except OSError as error:
        raise CannotWrite(path, error) from error
