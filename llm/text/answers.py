r"""How a solution gives its answer: where the text is over, and what is read as the answer.

A rule is data, like the boundaries of thoughts: engines apply it token by token, and the same rule
reads the answer out of the finished text, so that what ends a text is what is judged.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from cpi_theory.checks import InvalidInput

_BOX = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace; one behind a backslash is a character of the content."""

_BLANK = re.compile(
    r"(?:[\s~{}$]|\\[,:;!>\s]|\\q?quad\b|\\(?:text[a-z]*|math[a-z]*|boxed)(?=\s*\{))*"
)
"""Content that prints nothing: blanks, empty braces, empty commands for text, empty boxes."""

Span = tuple[int, int]
"""Half-open range of positions."""


@dataclass(frozen=True, slots=True)
class AnswerRule(ABC):
    """How a solution gives its answer; subclasses are frozen dataclasses whose fields say it all.

    Attributes:
        kind: the name of the subclass in JSON.
    """

    kind: ClassVar[str]

    @abstractmethod
    def over(self, text: str, piece: str) -> bool:
        """Return whether a text is over with its last token.

        Args:
            text: what has been written so far, the last token included.
            piece: text of that token.
        """

    @abstractmethod
    def read(self, text: str) -> str | None:
        """Return the answer in a finished text, blanks around it removed; None without one."""

    def asked(self) -> str:
        """Return the words that ask for an answer like this; empty where there are none."""
        return ""


@dataclass(frozen=True, slots=True)
class Box(AnswerRule):
    r"""The answer is the content of the last whole ``\boxed{...}`` that holds anything.

    Attributes:
        stops: whether the first such box ends the text; otherwise the end-of-sequence token alone
            does.

    Source: Hendrycks et al. (2021), arXiv 2103.03874 (answers in a box).
    """

    kind: ClassVar[str] = "box"

    stops: bool = True

    def over(self, text: str, piece: str) -> bool:
        """See :meth:`AnswerRule.over`."""
        # Only a closing brace can complete a box; the search is spared at all other tokens.
        return self.stops and "}" in piece and holds_answer(text)

    def read(self, text: str) -> str | None:
        """See :meth:`AnswerRule.read`."""
        span = boxed_span(text)
        return None if span is None else text[slice(*span)].strip()

    def asked(self) -> str:
        """See :meth:`AnswerRule.asked`."""
        return (
            "Once a step reaches the final answer, write the answer as \\boxed{...} and stop. If"
            " the problem offers lettered choices, the box holds the letter alone."
        )


@dataclass(frozen=True, slots=True)
class AnswerLine(AnswerRule):
    """The answer is the rest of the last line that begins with a label, such as "Answer: 12".

    Case and what Markdown puts around the label do not count: "**answer:** 12" is one too.

    Attributes:
        label: what the line begins with.
        stops: whether the end of the first such line ends the text; otherwise the end-of-sequence
            token alone does.
    """

    kind: ClassVar[str] = "line"

    label: str = "Answer:"
    stops: bool = True

    def __post_init__(self) -> None:
        if not self.label.strip() or "\n" in self.label:
            remedy = "give a text such as Answer:"
            raise InvalidInput("answer.label", self.label, "not the beginning of a line", remedy)

    def over(self, text: str, piece: str) -> bool:
        """See :meth:`AnswerRule.over`."""
        # The last line break of the last token: what comes behind it is no whole line yet.
        return self.stops and "\n" in piece and self.read(text[: text.rindex("\n")]) is not None

    def read(self, text: str) -> str | None:
        """See :meth:`AnswerRule.read`."""
        lines = (line.strip(_MARKUP) for line in _labelled(self.label.strip()).findall(text))
        return next((line for line in reversed(list(lines)) if line), None)

    def asked(self) -> str:
        """See :meth:`AnswerRule.asked`."""
        return (
            "Once a step has reached the final answer, write it on a line of its own that begins"
            f' with "{self.label}", and stop.'
        )


_MARKUP = " \t\r*_`#>"
"""Blanks, and signs of Markdown around a label or an answer."""


@cache
def _labelled(label: str) -> re.Pattern[str]:
    markup = rf"[{re.escape(_MARKUP)}]*"
    return re.compile(rf"^{markup}{re.escape(label)}(.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AnswerPattern(AnswerRule):
    r"""The answer is what a regular expression finds last: its first group, or all of the match.

    Attributes:
        pattern: a regular expression of Python, such as ``#### (.+)\n``; as a text is over with
            the first token that completes a match, it should say what comes behind the answer.
        stops: whether the first match ends the text; otherwise the end-of-sequence token alone
            does, and the end of the text may stand for what comes behind (``(?:\n|$)``).
    """

    kind: ClassVar[str] = "pattern"

    pattern: str
    stops: bool = True

    def __post_init__(self) -> None:
        check_pattern("answer.pattern", self.pattern)

    def over(self, text: str, piece: str) -> bool:
        """See :meth:`AnswerRule.over`."""
        del piece  # any token may complete a match
        return self.stops and self.read(text) is not None

    def read(self, text: str) -> str | None:
        """See :meth:`AnswerRule.read`."""
        found = [match[min(1, match.re.groups)] for match in re.finditer(self.pattern, text)]
        return next((one.strip() for one in reversed(found) if one and one.strip()), None)


@dataclass(frozen=True, slots=True)
class WholeText(AnswerRule):
    """The end-of-sequence token alone ends the text, and all of it is the answer."""

    kind: ClassVar[str] = "whole text"

    def over(self, text: str, piece: str) -> bool:
        """See :meth:`AnswerRule.over`."""
        del text, piece
        return False

    def read(self, text: str) -> str | None:
        """See :meth:`AnswerRule.read`."""
        return text.strip() or None


@dataclass(frozen=True, slots=True)
class CodeBlock(AnswerRule):
    """The answer is the content of the last whole fenced block, which holds a program.

    A block begins at the end of a line, with three backticks and perhaps the language, and ends at
    the beginning of one, with three backticks: marks of thoughts may stand before and behind it.
    Blocks of other languages, such as examples of output, do not count.

    Attributes:
        language: of the block.
        stops: whether the first such block ends the text; otherwise the end-of-sequence token alone
            does.
    """

    kind: ClassVar[str] = "code block"

    language: str = "python"
    stops: bool = True

    def __post_init__(self) -> None:
        if not self.language.isalnum():
            remedy = "give a name such as python"
            raise InvalidInput("answer.language", self.language, "not a language", remedy)

    def over(self, text: str, piece: str) -> bool:
        """See :meth:`AnswerRule.over`."""
        # A line is whole with its end: a fence may go on as the beginning of another block.
        return self.stops and "\n" in piece and self.read(text[: text.rindex("\n")]) is not None

    def read(self, text: str) -> str | None:
        """See :meth:`AnswerRule.read`; blanks at the beginning of lines are kept."""
        found: str | None = None
        block: list[str] | None = None
        counts = False
        for line in text.split("\n"):
            if block is not None and _CLOSING.match(line):
                content = "\n".join(block)
                found = content if counts and content.strip() else found
                block = None
            elif block is not None:
                block.append(line)
            elif opening := _OPENING.search(line):
                block, counts = [], opening[1].lower() in ("", self.language.lower(), "py")
        return found

    def asked(self) -> str:
        """See :meth:`AnswerRule.asked`."""
        return (
            "Once the steps have settled how it works, write the whole program in one fenced block"
            f" that begins with a line ```{self.language} and ends with a line ``` alone, write"
            " nothing but the program in it, and stop."
        )


_OPENING = re.compile(r"```[ \t]*(\w*)\s*$")
_CLOSING = re.compile(r"\s*```(?!\w)")

AnyAnswer = Box | AnswerLine | AnswerPattern | WholeText | CodeBlock
"""The rules that there are."""


def check_pattern(field: str, pattern: str) -> None:
    """Refuse what is no regular expression, or one that finds something in an empty text.

    Raises:
        InvalidInput: naming `field`.
    """
    try:
        empty = re.search(pattern, "") is not None
    except re.error as error:
        remedy = "give a regular expression of Python"
        raise InvalidInput(field, pattern, f"not a regular expression: {error}", remedy) from error
    if empty:
        raise InvalidInput(field, pattern, "matches nothing at all", "name at least one character")


def holds_answer(text: str) -> bool:
    """Return whether the text holds a whole ``\\boxed{...}`` with something in it."""
    return boxed_span(text) is not None


def boxed_span(text: str) -> Span | None:
    """Return where the content of the last whole ``\\boxed{...}`` stands, None without one.

    An empty box, as in "put your answer into \\boxed{}", is none.
    """
    # From the back: the last whole box is the answer, whatever stands before it.
    for box in reversed(list(_BOX.finditer(text))):
        # None where the text breaks off within the box.
        end = _closing_brace(text, box.end())
        if end is not None and not _BLANK.fullmatch(text, box.end(), end):
            return box.end(), end
    return None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.start()
    return None
