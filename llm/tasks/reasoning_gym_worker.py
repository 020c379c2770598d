"""Procedural tasks of the package reasoning-gym, in a process of their own.

Here and nowhere else the package is imported, for three reasons. Some of its questions depend on
the order of Python's sets, which is fixed when a process starts. Some of its scorers take forever
on odd answers. And some evaluate answers as Python code: they may compute, but no more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from cpi_theory.checks import InvalidInput, choose_among
from llm.tasks.reasoning_gym import BLOCK

# Here, where the import counts for no call; which task it was for is said by the first call.
try:
    from reasoning_gym.factory import CURRICULA, DATASETS

    _missing = None
except ModuleNotFoundError as error:
    _missing = error.name

_EXTRA = "pip install 'cpi-resets[reasoning-gym]'"

_NOT_ONE = {"composite": "a mixture of tasks"}

_EXAMPLES = ("example_answer", "example_correct_answer", "possible_answer")

_FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "os.remove"),
    *("os.rmdir", "os.rename", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate"),
    *("subprocess.Popen", "shutil.rmtree", "socket.connect", "socket.bind", "ctypes.dlopen"),
)
"""Audit events of Python that an answer under evaluation must not cause."""

_scoring = False


def answer(request: str, task: str, settings: str, **more: Any) -> Any:
    """Answer a request of :class:`llm.tasks.reasoning_gym.ReasoningGymTask`.

    Args:
        request: "check", "item" or "score".
        task: name of the task.
        settings: its parameters and levels, as JSON.
        more: of the request.

    Raises:
        InvalidInput: naming a task, parameter or level that there is not, or a missing package.
    """
    if request == "check":
        return _check(task, settings)
    entry = _entry(task, settings, more["number"])
    if request == "item":
        return [entry["question"], _reference(entry)]
    return _score(_block(task, settings, more["number"] // BLOCK), entry, more["text"])


def _reference(entry: Mapping[str, Any]) -> str | None:
    """A right answer; some tasks have one among their metadata alone, and some none."""
    if entry["answer"] is not None:
        return str(entry["answer"])
    found = [entry["metadata"][name] for name in _EXAMPLES if name in entry["metadata"]]
    if not found:
        return None
    return found[0] if isinstance(found[0], str) else json.dumps(found[0])


def _check(task: str, settings: str) -> None:
    """Refuse a task whose scorer cannot tell a right answer from others."""
    source, entry, paid = _block(task, settings, 0), _entry(task, settings, 0), 0.0
    with contextlib.suppress(ValueError, TypeError):  # it refuses nonsense: all the better
        paid = _score(source, entry, "no answer")
    if paid >= 1:
        problem = "its scorer takes any answer for right"
        raise InvalidInput("task_name", task, problem, "choose another task")


def _score(source: Any, entry: Mapping[str, Any], text: str) -> float:
    global _scoring
    _scoring = True
    try:
        return float(source.score_answer(text, entry))
    finally:
        _scoring = False


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what evaluating an answer has no business with; see :func:`sys.addaudithook`."""
    if not _scoring:
        return
    # Modules are read while scorers run, and no answer needs to write.
    flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else 0
    writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    if writes or event in _FORBIDDEN:
        raise PermissionError(f"an answer may not cause {event}")


sys.addaudithook(_forbid)


@functools.lru_cache(maxsize=4096)
def _entry(task: str, settings: str, number: int) -> Mapping[str, Any]:
    block, index = divmod(number, BLOCK)
    entry: Mapping[str, Any] = _block(task, settings, block)[index]
    return entry


@functools.lru_cache(maxsize=8)
def _block(task: str, settings: str, block: int) -> Any:
    """The questions that the package makes from the seed ``BLOCK * block``."""
    if _missing is not None:
        missing = f"needs the package {_missing}, which is not installed"
        raise InvalidInput("task_name", task, missing, _EXTRA)
    if task in _NOT_ONE or task not in DATASETS:
        problem = _NOT_ONE.get(task, "no such task")
        known = sorted(DATASETS.keys() - _NOT_ONE.keys())
        raise InvalidInput("task_name", task, problem, choose_among(task, known))
    dataset, config = DATASETS[task]
    given = json.loads(settings)
    parameters = _parameters(task, config, given["parameters"])
    parameters = {**_of_levels(task, CURRICULA.get(task), given), **parameters}
    parameters |= {"seed": BLOCK * block, "size": BLOCK}
    try:
        return dataset(config=config(**parameters))
    except (AssertionError, ValueError, TypeError) as error:
        said = f"refused by {task}: {error}"
        raise InvalidInput("parameters", given["parameters"], said, "change them") from error
    except ImportError as error:
        missing = f"needs the package {error.name}, which is not installed"
        raise InvalidInput("task_name", task, missing, f"pip install {error.name}") from error


def _parameters(task: str, config: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, lists as tuples where the package has tuples."""
    fields = {f.name: f for f in dataclasses.fields(config) if f.name not in ("seed", "size")}
    for name in given:
        if name not in fields:
            problem = f"no parameter of {task}"
            remedy = choose_among(name, fields) if fields else "leave it out: it has no parameters"
            raise InvalidInput(f"parameters.{name}", given[name], problem, remedy)
    return {
        name: tuple(value) if isinstance(fields[name].default, tuple) else value
        for name, value in given.items()
    }


def _of_levels(task: str, curriculum: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the curriculum makes of levels; nothing where none is given."""
    if given["level"] is None and not given["levels"]:
        return {}
    if curriculum is None:
        remedy = "set parameters instead"
        raise InvalidInput("level", given["level"], f"{task} has no curriculum", remedy)
    course = curriculum()
    highest = max(len(attribute.levels) for attribute in course.attributes.values()) - 1
    if given["level"] is not None:
        if given["level"] > highest:
            remedy = f"choose one from 0 to {highest}"
            raise InvalidInput("level", given["level"], f"{task} has no such level", remedy)
        course.set_global_level(given["level"])
    for name, level in given["levels"].items():
        if name not in course.attributes:
            remedy = choose_among(name, course.attributes)
            raise InvalidInput(f"levels.{name}", level, f"no attribute of {task}", remedy)
        last = len(course.attributes[name].levels) - 1
        if not 0 <= level <= last:
            remedy = f"choose one from 0 to {last}"
            raise InvalidInput(f"levels.{name}", level, f"{task} has no such level", remedy)
        course.set_attr_level(name, level)
    made = dataclasses.asdict(course.generate_configuration())
    return {k: v for k, v in made.items() if k not in ("seed", "size")}
