"""``cpi-resets explore``: a page to look into the rollouts of a run."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.commands import COMMANDS
from experiments.console import give
from experiments.documents.words import counted
from experiments.errors import CannotWrite
from experiments.execution.settings import Execution
from experiments.explore import absent
from experiments.explore.config import PAGES, ExploreConfig
from experiments.explore.page import PAGE, Packed, pack, write_file, write_folder
from experiments.explore.series import Source
from experiments.runs.files import Row
from experiments.runs.store import Run

_DESCRIPTION = "run.json"

_KEEPING = ("train", "evaluate", "localize", "learn")
"""Commands whose runs have rollouts to show, if their settings say so."""


def run(config: ExploreConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Write a page for each run, and open them if that is wanted; 0 when done.

    Of several runs those that have nothing to show are named and left out.

    Raises:
        InvalidInput: no run has anything to show.
    """
    if not config.runs:
        remedy = "cpi-resets explore RUN, such as results/train"
        raise InvalidInput("runs", config.runs, "nothing to look into", remedy)
    if config.output is not None and len(config.runs) > 1:
        remedy = "leave --output out: each page then lies in the folder of its run"
        raise InvalidInput("output", config.output, "one place for several pages", remedy)
    pages: list[Row] = []
    refused: list[Row] = []
    for name in config.runs:
        try:
            row = _explored(find_run(name, output), config, console)
        except CannotWrite:
            raise
        except InvalidInput as error:
            refused.append({"run": name, "why": error.problem, "remedy": error.remedy})
            if len(refused) == len(config.runs):
                raise
            console.print(f"left out {name}: {error}", markup=False, soft_wrap=True)
        else:
            pages.append(row)
            if config.open:
                webbrowser.open(Path(row["page"]).resolve().as_uri())
    give(console, {"pages": pages, "left_out": refused})
    return 0


def _explored(run: Run, config: ExploreConfig, console: Console) -> Row:
    """Write the page of a run.

    Returns:
        What machines are told of it: the `run`, its `folder` and `command`, the `page` with all its
        `files` and their `bytes`, how many `prompts` (once for each update) and `rollouts` it
        shows, the same of each of its `series`, `notes`, and what is `left_out` of it, and why.
    """
    source = source_of(run, config)
    packed = pack(source, run.directory.name, config.most)
    if not packed.prompts:
        raise _nothing(run, source)
    files = _write(packed, config.output or run.directory / PAGE)
    for text in packed.damaged:
        console.print(f"left out {text}", markup=False, soft_wrap=True)
    more = "; there are more (--most)" if packed.left_out else ""
    said = f"{counted(packed.rollouts, 'rollout')} of {counted(packed.prompts, 'prompt')}{more}"
    console.print(f"{said}: {files[0]}", markup=False, soft_wrap=True)
    return _row(run, source, packed, files, config.most)


def _row(run: Run, source: Source, packed: Packed, files: Sequence[Path], most: int) -> Row:
    gone = [{"what": text, "why": "cannot be read"} for text in packed.damaged]
    if packed.left_out:
        what = "the prompts that come after those shown"
        gone.append({"what": what, "why": f"--most {most} bounds the rollouts of a page"})
    series = [
        named | counts for named, counts in zip(packed.index["series"], packed.counts, strict=True)
    ]
    return {
        "run": run.directory.name,
        "folder": str(run.directory),
        "command": source.kind,
        "page": str(files[0]),
        "files": [str(path) for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "prompts": packed.prompts,
        "groups": sum(one["groups"] for one in packed.counts),
        "rollouts": packed.rollouts,
        "series": series,
        "notes": list(source.notes),
        "left_out": gone,
    }


def _nothing(run: Run, source: Source) -> InvalidInput:
    """Why no prompt of a run is shown, though it is of a kind that could have some."""
    if source.damaged:
        return source.damaged[0]
    problem = " ".join(["has no prompt to show.", *source.notes]).rstrip(".")
    return InvalidInput("runs", run.directory, problem, absent.GIVE_OTHER)


def find_run(name: str, output: Path) -> Run:
    """The run in a folder, or of a name below the folder of runs.

    Raises:
        InvalidInput: there is none, or several below it.
    """
    places = (Path(name).expanduser(), output / name)
    for folder in places:
        if (folder / _DESCRIPTION).is_file():
            folder = folder.resolve()
            return Run.existing(folder.parent, folder.name)
    for folder in places:
        inside = sorted(path.parent for path in folder.glob(f"*/{_DESCRIPTION}"))
        if inside:
            raise _several(name, inside)
    remedy = "give the folder of a run, such as results/train"
    raise InvalidInput("runs", name, "holds no run", remedy)


def _several(name: str, inside: Sequence[Path]) -> InvalidInput:
    """A folder of runs was given: which of them can be opened, and how."""
    kinds = {folder: _command_of(folder) for folder in inside}
    shown = [folder for folder in inside if kinds[folder] in _KEEPING]
    there = counted(len(inside), "run")
    if not shown:
        problem = f"is a folder of {there}, none of a command that keeps rollouts"
        return InvalidInput("runs", name, problem, absent.GIVE_OTHER)
    named = ", ".join(f"{folder.name} ({kinds[folder]})" for folder in shown)
    others = f"; the others keep no rollouts: {len(inside) - len(shown)} of {there}"
    problem = f"is a folder of runs, not a run; it holds {named}"
    problem += others if len(shown) < len(inside) else ""
    return InvalidInput("runs", name, problem, f"open one: cpi-resets explore {shown[0]}")


def _command_of(folder: Path) -> str:
    """The command that made a run; a run that cannot be read: ""."""
    try:
        return _command(Run.existing(folder.parent, folder.name))
    except InvalidInput:
        return ""


def _command(run: Run) -> str:
    """The command that made a run, by the name of its settings; unknown ones: these themselves."""
    kind = run.config.get("type") if isinstance(run.config, dict) else None
    commands = {command.config: name for name, command in COMMANDS.items()}
    return commands.get(str(kind), str(kind))


def source_of(run: Run, config: ExploreConfig) -> Source:
    """What a run has to show.

    Raises:
        InvalidInput: nothing: it is of another command, or was made without rollouts.
    """
    from experiments.explore import texts
    from experiments.explore.tables import of_learn

    readers: dict[str, Callable[[], Source]] = {
        "train": lambda: texts.of_train(run),
        "evaluate": lambda: texts.of_evaluate(run),
        "localize": lambda: texts.of_localize(run),
        "learn": lambda: of_learn(run, config.seeds, config.updates),
    }
    command = _command(run)
    if command not in readers:
        raise absent.of_others(run, command)
    return readers[command]()


def _write(packed: Packed, path: Path) -> list[Path]:
    """Store the page; returns its files, the page itself first."""
    if path.suffix.lower() in PAGES:
        return write_file(packed, path)
    return write_folder(packed, path)
