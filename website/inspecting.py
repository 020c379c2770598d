"""Source and docstrings of objects, as a page shows them."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType
from typing import Any

from website.links import ROOT

Source = type | Callable[..., Any]


def doc(source: Source) -> str:
    """The docstring as Markdown: names of Sphinx's roles become code, sections stay as they are."""
    return inspect.cleandoc(source.__doc__ or "")


def path(source: Source) -> str:
    """Its file, from the root of the repository."""
    return str(Path(inspect.getsourcefile(source) or "").resolve().relative_to(ROOT))


def code(source: Source, entry: str, ran: Collection[str] | None = None) -> str:
    """What a class does when its method `entry` runs: that method and those of its own it calls.

    A function is shown whole. Docstrings are left out: pages show them apart.

    Args:
        source: a class, or a function.
        entry: name of a method.
        ran: names of methods that ran; others are not shown. None: shown as far as they are called.
    """
    text = textwrap.dedent(inspect.getsource(source))
    if not isinstance(source, type):
        return _without_docstrings(text)
    (tree,) = ast.parse(text).body
    assert isinstance(tree, ast.ClassDef)
    methods = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if entry not in methods:  # inherited: the class itself is what there is to see
        return _without_docstrings(text)
    used = _reached(methods, entry)
    used = used if ran is None else {name for name in used if name in ran}
    parts = [_lines(text, node) for name, node in methods.items() if name in used]
    return "\n\n".join(_without_docstrings(textwrap.dedent(part)) for part in parts)


def methods_run(source: type, run: Callable[[], object]) -> set[str]:
    """Names of the methods of a class that `run` comes through."""
    file, found = inspect.getsourcefile(source), set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == file:
            found.add(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return found


def _reached(methods: dict[str, ast.FunctionDef], entry: str) -> set[str]:
    """Names of the methods that `entry` comes to by `self.name`."""
    found, open_ = set(), [entry]
    while open_:
        name = open_.pop()
        found.add(name)
        for node in ast.walk(methods[name]):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
                and node.attr in methods
                and node.attr not in found
            ):
                open_.append(node.attr)
    return found


def _lines(text: str, node: ast.FunctionDef) -> str:
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def _without_docstrings(text: str) -> str:
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            said = node.body[0]
            # An entry per line, so that the numbers of other lines stay what they are.
            lines[said.lineno - 1 : said.end_lineno] = [None] * (  # type: ignore[list-item]
                (said.end_lineno or said.lineno) - said.lineno + 1
            )
    return "\n".join(line for line in lines if line is not None).strip("\n")
