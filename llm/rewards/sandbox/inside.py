"""What runs in the sandbox: a program, the functions that it defines, or the checks of a data set.

Run there as a script, with nothing but the standard library. A program and the checks of its
results run in two sandboxes and exchange plain values through the process that started both: what a
program does to its own interpreter changes nothing where it is judged.
"""

from __future__ import annotations

import os
import resource
import sys

# Of what takes long to import, a mode imports what it needs: a program is a process of its own for
# every test.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Mapping
    from typing import Any

PROGRAM, CHECK = "/box/program.py", "/box/check.py"


def encode(value: Any) -> Any:
    """Return a value as JSON can hold it: plain numbers, texts and the containers of Python.

    Raises:
        TypeError: for any other value.
    """
    if value is None or isinstance(value, str | bool | int | float):
        # Subclasses become what they are of: nobody else knows the class.
        return value if value is None else _plain(value)
    if isinstance(value, list):
        return [encode(one) for one in value]
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(one)] for key, one in value.items()]}
    for name, kind in _CONTAINERS.items():
        if isinstance(value, kind):
            return {name: [encode(one) for one in value]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": list(value)}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    raise TypeError(f"a value of type {type(value).__name__} cannot be compared")


_CONTAINERS: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}


def _plain(value: Any) -> Any:
    kind = next(kind for kind in (bool, int, float, str) if isinstance(value, kind))
    return kind(value)


def decode(data: Any) -> Any:
    """Return the value that :func:`encode` wrote.

    Raises:
        ValueError, TypeError: if it did not.
    """
    if isinstance(data, list):
        return [decode(one) for one in data]
    if not isinstance(data, dict):
        return data
    ((name, parts),) = data.items()
    if name == "dict":
        return {decode(key): decode(one) for key, one in parts}
    if name == "bytes":
        return bytes(parts)
    if name == "complex":
        return complex(*parts)
    return _CONTAINERS[name](decode(one) for one in parts)


def limit(limits: str) -> None:
    """Set limits that this process cannot take back, such as "CPU=10,AS=1000000000"."""
    for part in limits.split(","):
        name, value = part.split("=")[0], int(part.split("=")[1])
        # A second more for a program that does not heed the first signal.
        hard = value + (name == "CPU")
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, hard))


def function_of(space: Mapping[str, Any], name: str) -> Callable[..., Any]:
    """Return the function of a program that is tested: its own, or one of its class Solution.

    Raises:
        NameError: if there is none.
    """
    found = space.get(name)
    if not callable(found):
        solution = space.get("Solution")
        found = getattr(solution(), name, None) if isinstance(solution, type) else None
    if not callable(found):
        raise NameError(f"the program defines no function {name!r}")
    return found  # type: ignore[no-any-return]


class Wire:
    """Lines of JSON to and from whoever started this process.

    The program's own output goes nowhere, and its input is empty.
    """

    def __init__(self) -> None:
        self._source, self._sink = os.fdopen(os.dup(0), "rb"), os.dup(1)
        nothing = os.open("/dev/null", os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)

    def read(self) -> Any:
        """Return the next line's value; None at the end."""
        import json

        line = self._source.readline()
        return json.loads(line) if line else None

    def write(self, value: Any) -> None:
        """Send a value."""
        import json

        data = json.dumps(value).encode() + b"\n"
        while data:
            data = data[os.write(self._sink, data) :]


def serve(wire: Wire, name: str) -> None:
    """Run a program and call its function as often as asked."""
    space: dict[str, Any] = {"__name__": "program"}
    try:
        exec(compile(_read(PROGRAM), "program.py", "exec"), space)
        function = function_of(space, name)
    except Exception as error:  # noqa: BLE001 - anybody's code: the one who asked is told
        wire.write({"raised": _said(error)})
        return
    wire.write({"ready": True})
    while (arguments := wire.read()) is not None:
        try:
            wire.write({"value": encode(function(*map(decode, arguments)))})
        except Exception as error:  # noqa: BLE001 - as above
            wire.write({"raised": _said(error)})


class Failed(Exception):
    """A call of the program under test that gave nothing."""


def counted(source: str, name: str) -> ast.Module:
    """Return a program whose tests are counted, each of them whatever became of others.

    Tests are the asserts, and the statements that call the function under test and keep no result,
    alone or in loops and branches, of a function ``check`` if there is one, or else of the module.

    Args:
        source: the program.
        name: of the function under test, which `check` may call "candidate" too.
    """
    import ast

    tree = ast.parse(source)
    checks = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "check"]
    tested: Any = checks[-1] if checks else tree
    tested.body = [_counted(statement, (name, "candidate")) for statement in tested.body]
    return ast.fix_missing_locations(tree)


def _counted(statement: ast.stmt, names: tuple[str, ...]) -> ast.stmt:
    import ast

    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return statement
    if isinstance(statement, ast.For | ast.While | ast.If | ast.With):
        for part in ("body", "orelse"):
            inner = [_counted(one, names) for one in getattr(statement, part, [])]
            setattr(statement, part, inner)
        return _guarded(statement, counts=False)
    if isinstance(statement, ast.Assert):
        # Some data sets end with asserts of a constant, which test nothing.
        constant = isinstance(statement.test, ast.Constant) and bool(statement.test.value)
        return _guarded(statement, counts=not constant)
    calls = isinstance(statement, ast.Expr) and any(
        isinstance(node, ast.Name) and node.id in names for node in ast.walk(statement)
    )
    return _guarded(statement, counts=calls)


def _guarded(statement: ast.stmt, counts: bool) -> ast.stmt:
    """A statement in a ``try`` that counts it as passed, if it is a test, or as failed."""
    import ast

    guard = ast.parse("try:\n    pass\nexcept Exception:\n    __failed__()").body[0]
    assert isinstance(guard, ast.Try)
    guard.body = [statement]
    guard.orelse = ast.parse("__passed__()").body if counts else []
    return guard


def check(wire: Wire, name: str) -> None:
    """Run the checks of a data set on a function that lives in another process."""
    counts = {"passed": 0, "failed": 0}

    def count(what: str) -> Callable[[], None]:
        def one_more() -> None:
            counts[what] += 1

        return one_more

    def candidate(*arguments: Any) -> Any:
        wire.write({"call": encode(list(arguments))})
        reply = wire.read()
        if "value" not in reply:
            raise Failed(reply)
        return decode(reply["value"])

    import json
    import random

    random.seed(0)
    space: dict[str, Any] = {"__name__": "check"}
    preamble, tests = json.loads(_read(CHECK))
    exec(compile(preamble, "preamble.py", "exec"), space)
    space |= {name: candidate, "__passed__": count("passed"), "__failed__": count("failed")}
    exec(compile(counted(tests, name), "check.py", "exec"), space)
    if callable(space.get("check")):
        space["check"](candidate)
    wire.write({"done": counts})


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def main() -> None:
    """Do what the arguments say: a mode, limits as JSON, and the name of a function."""
    mode, limits, name = sys.argv[1:]
    limit(limits)
    sys.path.append("/packages")
    sys.argv[1:] = []
    if mode == "run":
        space = {"__name__": "__main__"}
        exec(compile(_read(PROGRAM), "program.py", "exec"), space)
    else:
        {"serve": serve, "check": check}[mode](Wire(), name)


if __name__ == "__main__":
    main()
