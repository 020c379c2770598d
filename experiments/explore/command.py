"""``cpi-resets explore``: a page to look into the rollouts of a run."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.errors import CannotWrite, CorruptFile
from experiments.execution.settings import Execution
from experiments.explore.config import ExploreConfig
from experiments.explore.page import PAGE, Packed, pack, write_file, write_folder
from experiments.explore.series import Source
from experiments.runs.store import Run


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
    refused: list[InvalidInput] = []
    for name in config.runs:
        try:
            page = _explored(find_run(name, output), config, console)
        except (CannotWrite, CorruptFile):
            raise
        except InvalidInput as error:
            refused.append(error)
            if len(refused) == len(config.runs):
                raise
            console.print(f"left out {name}: {error}", markup=False, soft_wrap=True)
        else:
            if config.open:
                webbrowser.open(page.resolve().as_uri())
    return 0


def _explored(run: Run, config: ExploreConfig, console: Console) -> Path:
    """The page of a run, written."""
    packed = pack(source_of(run, config), run.directory.name, config.most)
    page = _write(packed, config.output or run.directory / PAGE)
    more = "; there are more (--most)" if packed.left_out else ""
    prompts = len(packed.index["columns"]["prompt"])
    said = f"{packed.rollouts} rollouts of {prompts} prompts{more}: {page}"
    console.print(said, markup=False, soft_wrap=True)
    return page


def find_run(name: str, output: Path) -> Run:
    """The run in a folder, or of a name below the folder of runs.

    Raises:
        InvalidInput: there is none.
    """
    for folder in (Path(name).expanduser(), output / name):
        if (folder / "run.json").is_file():
            folder = folder.resolve()
            return Run.existing(folder.parent, folder.name)
    remedy = "give the folder of a run, such as results/train"
    raise InvalidInput("runs", name, "holds no run", remedy)


def source_of(run: Run, config: ExploreConfig) -> Source:
    """What a run has to show.

    Raises:
        InvalidInput: nothing: it is of another command, or was made without rollouts.
    """
    from experiments.explore import texts
    from experiments.explore.tables import of_learn

    readers: dict[str, Callable[[], Source]] = {
        "TrainConfig": lambda: texts.of_train(run),
        "EvaluateConfig": lambda: texts.of_evaluate(run),
        "LocalizeConfig": lambda: texts.of_localize(run),
        "LearnConfig": lambda: of_learn(run, config.seeds, config.updates),
    }
    kind = run.config.get("type") if isinstance(run.config, dict) else None
    if kind not in readers:
        problem = "is a run of a command that keeps no rollouts"
        remedy = "give a run of train, evaluate --texts, localize --traces or learn"
        raise InvalidInput("runs", str(run.directory), problem, remedy)
    return readers[str(kind)]()


def _write(packed: Packed, path: Path) -> Path:
    if path.suffix in (".html", ".htm"):
        write_file(packed, path)
        return path
    return write_folder(packed, path)
