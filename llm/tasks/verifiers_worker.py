"""Single-turn task sets of the package verifiers, in a process of their own.

Here and nowhere else the package is imported: its rewards are anybody's code, and asynchronous.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
from typing import Any

from cpi_theory.checks import InvalidInput, import_named

_EXTRA = "pip install 'cpi-resets[verifiers]'"
_OUT = "one prompt and one reply are what a world here has"

# Imported with the worker, where it counts for no call.
try:
    import verifiers.v1 as vf

    _missing = None
except ModuleNotFoundError as error:
    _missing = error.name


def answer(request: str, taskset: str, settings: str, **more: Any) -> Any:
    """Answer a request of :class:`llm.tasks.verifiers.VerifiersTask`.

    Args:
        request: "problems" or "score".
        taskset: "module:Class".
        settings: fields of its configuration, as JSON.
        more: of the request.

    Raises:
        InvalidInput: the package or the task set is missing, or is none of a single turn.
    """
    if _missing is not None:
        problem = f"needs the package {_missing}, which is not installed"
        raise InvalidInput("verifiers task set", taskset, problem, _EXTRA)
    tasks = _tasks(taskset, settings)
    if request == "problems":
        return [_problem(task) for task in tasks]
    return asyncio.run(_score(tasks[more["number"]], more["text"]))


@functools.lru_cache(maxsize=8)
def _tasks(taskset: str, settings: str) -> list[Any]:
    cls = _class(taskset)
    try:
        config = _config_of(cls)(**json.loads(settings))
    except ValueError as error:  # of pydantic, which names the fields
        raise InvalidInput("arguments", settings, str(error), "correct them") from error
    source = cls(config)
    if not source.bounded:
        problem, remedy = "has tasks without end", "give it a finite load()"
        raise InvalidInput("verifiers task set", taskset, problem, remedy)
    if cls.toolsets(config):
        problem = "has tools"
        raise InvalidInput("verifiers task set", taskset, problem, f"use another: {_OUT}")
    tasks = list(source)
    for number, task in enumerate(tasks):
        _check(f"task {number} of {taskset}", task)
    return tasks


def _class(taskset: str) -> Any:
    cls = import_named("verifiers task set", taskset)
    if not (isinstance(cls, type) and issubclass(cls, vf.Taskset)):
        problem, remedy = "no class of verifiers.v1.Taskset", "name one"
        raise InvalidInput("verifiers task set", taskset, problem, remedy)
    return cls


def _config_of(cls: Any) -> Any:
    from verifiers.v1.utils.generic import concrete_type

    return concrete_type(cls, vf.TasksetConfig) or vf.TasksetConfig


def _check(place: str, task: Any) -> None:
    """Refuse what a single prompt and a single reply cannot be."""
    data = task.data
    turns = [] if isinstance(data.prompt, str) else list(data.prompt or [])
    runtime = [fn.__name__ for fn in task.hooks("reward") if _needs(fn, "runtime")]
    for problem, found in (
        ("needs a container", task.NEEDS_CONTAINER),
        ("has tools", type(task).toolsets(task.config)),
        ("has no prompt", not data.prompt),
        ("has a prompt of several turns", len(turns) > 1),
        ("has a prompt that is no user's text", [t for t in turns if not _is_text(t)]),
        ("is judged in a runtime", runtime),
        ("is judged by another model", task.plugged_judges()),
        ("has no reward", not task.hooks("reward")),
    ):
        if found:
            raise InvalidInput(place, type(task).__name__, problem, f"use another: {_OUT}")


def _needs(function: Any, name: str) -> bool:
    parameter = inspect.signature(function).parameters.get(name)
    return parameter is not None and parameter.default is inspect.Parameter.empty


def _is_text(message: Any) -> bool:
    return message.role == "user" and isinstance(message.content, str)


def _problem(task: Any) -> dict[str, str | None]:
    answer = getattr(task.data, "answer", None)
    return {
        "id": task.key,
        "system": task.data.system_prompt,
        "question": task.data.prompt_text,
        "answer": answer if isinstance(answer, str) else None,
    }


async def _score(task: Any, text: str) -> float:
    """The sum of the weighted rewards of a reply."""
    system = task.data.system_prompt
    said = [] if system is None else [vf.SystemMessage(content=system)]
    said += [vf.UserMessage(content=task.data.prompt_text), vf.AssistantMessage(content=text)]
    trace = vf.Trace(
        task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
        agent=vf.AgentInfo(config=vf.AgentConfig()),
        nodes=[
            vf.MessageNode(parent=i - 1 if i else None, message=one, sampled=i == len(said) - 1)
            for i, one in enumerate(said)
        ],
    )
    await task.score(trace)
    return float(trace.reward)
