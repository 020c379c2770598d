"""Prompts as text files, filled in strictly.

A file holds placeholders such as ``{{question}}``. Single braces mean nothing, so prompts can
speak of ``\\boxed{}``; what is filled in is never searched for placeholders again.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from cpi_theory.checks import InvalidInput, choose_among

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text with placeholders.

    Attributes:
        name: where it comes from, for messages.
        text: the text.
    """

    name: str
    text: str

    @property
    def placeholders(self) -> frozenset[str]:
        """Names of the placeholders."""
        return frozenset(_PLACEHOLDER.findall(self.text))

    def check(self, needed: Collection[str], optional: Collection[str] = ()) -> Prompt:
        """Return this prompt, once it has the placeholders that it needs and no others.

        Raises:
            InvalidInput: naming the prompt, or its file, and the placeholder.
        """
        for names, problem, remedy in (
            (set(needed) - self.placeholders, "is missing", "write it where its text is to stand"),
            (
                self.placeholders - {*needed, *optional},
                "nothing will fill it",
                f"use {' and '.join(sorted({*needed, *optional})) or 'no placeholder'}",
            ),
        ):
            if names:
                placeholder = "{{" + sorted(names)[0] + "}}"
                raise InvalidInput(
                    f"placeholder of prompt {self.name}", placeholder, problem, remedy
                )
        return self

    def fill(self, **values: str) -> str:
        """Return the text with every placeholder replaced.

        Raises:
            InvalidInput: if a placeholder has no value or a value no placeholder.
        """
        for names, problem in (
            (self.placeholders - values.keys(), "nothing to fill it with"),
            (values.keys() - self.placeholders, "not in the prompt"),
        ):
            if names:
                raise InvalidInput(
                    f"placeholder of prompt {self.name}",
                    sorted(names)[0],
                    problem,
                    f"use exactly {sorted(values)}",
                )
        # By a function: a string would have its backslashes read as escapes, and LaTeX is full of
        # them.
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)

    def fill_some(self, **values: str) -> str:
        """Return the text filled in; values that it has no placeholder for are left out.

        Raises:
            InvalidInput: if a placeholder has no value.
        """
        return self.fill(**{name: v for name, v in values.items() if name in self.placeholders})


@cache
def shipped(name: str) -> Prompt:
    """Read a prompt that comes with the package.

    Raises:
        InvalidInput: listing the prompts there are.
    """
    there = {f.name.removesuffix(".txt"): f for f in files(__name__).iterdir()}
    there = {stem: f for stem, f in there.items() if f.name.endswith(".txt")}
    if name not in there:
        raise InvalidInput("prompt", name, "no such prompt", choose_among(name, sorted(there)))
    return Prompt(name, there[name].read_text(encoding="utf-8"))


def from_file(path: Path) -> Prompt:
    """Read a prompt of the user's own.

    Raises:
        InvalidInput: if the file is not there.
    """
    if not path.is_file():
        raise InvalidInput("prompt file", path, "no such file", "give the path of a text file")
    return Prompt(str(path), path.read_text(encoding="utf-8"))
