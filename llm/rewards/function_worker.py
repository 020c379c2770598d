"""Calls one function for another process, which says what with.

Run as a script by :mod:`llm.rewards.function_process`. It reads pickles, the first of them where to
find the function and the others its arguments, and writes a line of JSON for each: what the
function returned, how it failed, or what it refused.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any


def called(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of a call, as JSON can hold it.

    Args:
        function: what is called.
        arguments: by name.

    Returns:
        ``{"value": ...}``; ``{"refused": [field, value, problem, remedy]}`` for an
        :class:`~cpi_theory.checks.InvalidInput`; or else ``{"raised": "ValueError: ..."}``.
    """
    from cpi_theory.checks import InvalidInput

    try:
        return {"value": function(**arguments)}
    except InvalidInput as error:
        return {"refused": [error.field, _plain(error.value), error.problem, error.remedy]}
    except Exception as error:  # noqa: BLE001 - anybody's code: the one who asked is told all of it
        return {"raised": f"{type(error).__name__}: {error}"}


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers stay numbers, what JSON does not know is written out."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return value


def load(target: str) -> Callable[..., Any]:
    """Return the function that "module:function" names."""
    from cpi_theory.checks import import_named

    found: Callable[..., Any] = import_named("function", target)
    return found


def serve(source: Any, sink: Any) -> None:
    """Answer calls until there are no more.

    Args:
        source: file of pickles: the set-up, then the arguments of each call.
        sink: file of replies.
    """

    def reply(said: Mapping[str, Any]) -> None:
        # Numbers of numpy and the like become those of JSON.
        sink.write(json.dumps(said, default=float) + "\n")
        sink.flush()

    setup = pickle.load(source)
    sys.path[:] = setup["path"]
    if setup["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (setup["memory"], setup["memory"]))
    found = called(load, {"target": setup["target"]})
    function = found.pop("value", None)
    reply(found)
    if function is None:
        return
    while True:
        try:
            arguments = pickle.load(source)
        except EOFError:
            return
        # Ends a call that goes on after the process that would have ended it has died.
        signal.alarm(int(setup["seconds"]) + 60)
        said = called(function, arguments)
        signal.alarm(0)
        try:
            reply(said)
        except (TypeError, ValueError):  # no JSON; nothing has been written yet
            reply({"raised": f"TypeError: returned a {type(said['value']).__name__}"})


if __name__ == "__main__":
    replies = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # whatever is printed meanwhile is no reply
        serve(sys.stdin.buffer, replies)
