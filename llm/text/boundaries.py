"""Where one thought ends and the next begins.

A boundary is data: it can be compared, pickled and written as JSON. Whichever it is, it decides at
each token by the tokens of the current thought so far and nothing else. Were it allowed to look at
what comes next, a state would know a part of its future, and a reset to it would not continue with
the law of the rollout that it came from. Hence a thought always *ends with* what marks its end:
with the line break, with the heading of the next step, with the token that was unlikely.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np

from cpi_theory.checks import InvalidInput, check_count, check_in_range, choose_among
from llm.text.answers import check_pattern

ThoughtTracker = Callable[[str, str, float], bool]
"""Takes each token of one thought: the thought's text so far with it, its own text, and its
log-probability at the sampling temperature; True once the thought is over."""


@dataclass(frozen=True, slots=True)
class Boundary(ABC):
    """What ends a thought; subclasses are frozen dataclasses whose fields say it all.

    Attributes:
        kind: the name of the subclass in JSON.
        eos_ends_text: whether the end-of-sequence token ends the text, or a thought alone.
        holds_answers: whether an answer stands within one thought; otherwise one may be spread
            over several, as where a thought is a few tokens.
    """

    kind: ClassVar[str]
    eos_ends_text: ClassVar[bool] = True
    holds_answers: ClassVar[bool] = False

    @abstractmethod
    def begin(self) -> ThoughtTracker:
        """Begin a thought."""

    def shown(self, text: str) -> str:
        """Return the text of a thought as a reader is shown it: without mark and outer blanks."""
        return text.strip()

    def unmarked(self, text: str) -> str:
        """Return a whole text without marks that an answer in it should not seem to hold."""
        return text

    def asked(self) -> str:
        """Return the words that ask for thoughts that end so; empty if nothing need be said."""
        return ""


@dataclass(frozen=True, slots=True)
class Delimiter(Boundary):
    """A thought ends with a text that the model was taught or is asked to write.

    Attributes:
        text: the delimiter. It may be spread over several tokens, and end within one.

    Source: arXiv 2605.25507 (a solution as a sequence of delimited thoughts).
    """

    kind: ClassVar[str] = "delimiter"
    holds_answers: ClassVar[bool] = True

    text: str = "</thought>"

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise InvalidInput("delimiter", self.text, "blank", "give a text such as </step>")

    def begin(self) -> ThoughtTracker:
        """See :meth:`Boundary.begin`."""
        text, last = self.text, self.text[-1]
        # Only a token with its last character can complete the delimiter; the search is spared at
        # all others.
        return lambda thought, piece, _: last in piece and text in thought

    def shown(self, text: str) -> str:
        """See :meth:`Boundary.shown`."""
        return text.replace(self.text, "").strip()

    def unmarked(self, text: str) -> str:
        """See :meth:`Boundary.unmarked`."""
        return text.replace(self.text, "\n")

    def asked(self) -> str:
        """See :meth:`Boundary.asked`."""
        return f"End every step with {self.text}."


@dataclass(frozen=True, slots=True)
class Published(Delimiter):
    """A delimiter, and the end-of-sequence token ends a thought alone, as in the paper's release.

    The text goes on behind it, in a request of its own, until it holds an answer or a limit is
    reached.

    Source: arXiv 2605.25507 (its released training code).
    """

    kind: ClassVar[str] = "published"
    eos_ends_text: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Line(Boundary):
    """A thought is a line; blank ones belong to the thought behind them."""

    kind: ClassVar[str] = "line"

    def begin(self) -> ThoughtTracker:
        """See :meth:`Boundary.begin`."""
        return lambda thought, piece, _: "\n" in piece and "\n" in thought.lstrip()

    def asked(self) -> str:
        """See :meth:`Boundary.asked`."""
        return "Write every step on a line of its own."


_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


@dataclass(frozen=True, slots=True)
class BlankLine(Boundary):
    """A thought is a paragraph: it ends with the first blank line behind it."""

    kind: ClassVar[str] = "blank line"

    def begin(self) -> ThoughtTracker:
        """See :meth:`Boundary.begin`."""
        return lambda thought, piece, _: (
            "\n" in piece and _BLANK_LINE.search(thought.lstrip()) is not None
        )

    def asked(self) -> str:
        """See :meth:`Boundary.asked`."""
        return "Leave a blank line after every step."


_END_OF_SENTENCE = re.compile(
    r"""
    \n                                          # a line break always
    | \?["')\]*]*$ | (?<!\d)!["')\]*]*$         # behind a digit ! is a factorial
    | (?<![\s(.][^\W\d_]) (?<!\d)                # no single letter as in "e.g." and no number ...
      (?<!\b(?:vs|cf|Dr|Mr|St|No)) (?<!\b(?:Mrs|etc|Fig)) (?<!\bEqn)
      \.["')\]*]*$
    | \d\.["')\]*]*\s                           # ... unless a blank says that it is over
    """,
    re.VERBOSE,
)
_BARE = re.compile(r"[\s\d.()*#\"'\[\]-]*")
"""What is no sentence yet: blanks, and the number or bullet of a list item."""


@dataclass(frozen=True, slots=True)
class Sentence(Boundary):
    """A thought is a sentence, or a line if that ends first.

    A full stop behind a digit ends a sentence once a blank follows ("3." may go on as "3.14"), so
    the token that brings the blank belongs to the sentence before it. Single letters and common
    abbreviations before a full stop, and numbers of list items, end none.
    """

    kind: ClassVar[str] = "sentence"

    def begin(self) -> ThoughtTracker:
        """See :meth:`Boundary.begin`."""
        return lambda thought, _piece, _: any(
            not _BARE.fullmatch(thought, 0, end.start())
            for end in _END_OF_SENTENCE.finditer(thought)
        )


_HEADING = r"(?:^|\n)\W*Step \d+\W*[:.]"


@dataclass(frozen=True, slots=True)
class Pattern(Boundary):
    r"""A thought ends with the first token that completes a match of a regular expression.

    A heading such as "Step 3:" so ends the thought before it and is shown to nobody; at the very
    beginning of a thought, where only blanks stand before it, it ends none.

    Attributes:
        pattern: a regular expression of Python, such as ``\nStep \d+:``.
    """

    kind: ClassVar[str] = "pattern"

    pattern: str = _HEADING

    def __post_init__(self) -> None:
        check_pattern("boundary.pattern", self.pattern)

    def begin(self) -> ThoughtTracker:
        """See :meth:`Boundary.begin`."""
        return lambda thought, _piece, _: self._mark(thought) is not None

    def shown(self, text: str) -> str:
        """See :meth:`Boundary.shown`."""
        mark = self._mark(text)
        return (text if mark is None else text[: mark.start()] + text[mark.end() :]).strip()

    def asked(self) -> str:
        """See :meth:`Boundary.asked`; words for another pattern are left to the user's prompt."""
        return 'Begin every step with its number: "Step 1:".' if self.pattern == _HEADING else ""

    def _mark(self, text: str) -> re.Match[str] | None:
        """The first match behind anything but blanks."""
        matches = re.finditer(self.pattern, text)
        return next((m for m in matches if text[: m.start()].strip()), None)


@dataclass(frozen=True, slots=True)
class EveryTokens(Boundary):
    """A thought is a fixed number of tokens.

    Attributes:
        count: that number.
    """

    kind: ClassVar[str] = "tokens"

    count: int = 64

    def __post_init__(self) -> None:
        check_count("boundary.count", self.count)

    def begin(self) -> ThoughtTracker:
        """See :meth:`Boundary.begin`."""
        return _counter(lambda _: True, self.count)


@dataclass(frozen=True, slots=True)
class CutPoints(Boundary):
    """A thought ends with a token at which the model was unsure: a cut point.

    The probability is that of the sampled token at the sampling temperature. It is a number of the
    engine, so that where it is the threshold but for rounding, another engine may cut elsewhere.

    Attributes:
        probability: a token that had less than this is a cut point.
        points: cut points per thought; it ends with the last of them.

    Source: Guo et al. (2025), arXiv 2505.23564 (segments of a fixed number of cut points).
    """

    kind: ClassVar[str] = "cut points"

    probability: float = 0.9
    points: int = 5

    def __post_init__(self) -> None:
        check_in_range("boundary.probability", self.probability, 1e-9, 1)
        check_count("boundary.points", self.points)

    def begin(self) -> ThoughtTracker:
        """See :meth:`Boundary.begin`."""
        # Completions keep float32, and what is cut again from them has to be cut alike.
        threshold = np.float32(math.log(self.probability))

        def unsure(logprob: float) -> bool:
            if math.isnan(logprob):
                remedy = "sample with an engine that gives one per token, or choose a boundary"
                raise InvalidInput("logprob", logprob, "a cut point needs it", remedy)
            return bool(np.float32(logprob) < threshold)

        return _counter(unsure, self.points)


def _counter(counts: Callable[[float], bool], limit: int) -> ThoughtTracker:
    """A tracker that ends a thought with so many tokens whose log-probability counts."""
    seen = 0

    def over(_thought: str, _piece: str, logprob: float) -> bool:
        nonlocal seen
        seen += counts(logprob)
        return seen >= limit

    return over


AnyBoundary = (
    Delimiter | Published | Line | BlankLine | Sentence | Pattern | EveryTokens | CutPoints
)
"""The boundaries that there are."""


def describe(value: Any) -> dict[str, Any]:
    """Return a boundary or a rule of answers as JSON data: its kind and its fields."""
    return {"kind": value.kind, **dataclasses.asdict(value)}


def read(field: str, union: Any, data: Mapping[str, Any]) -> Any:
    """Return what :func:`describe` wrote.

    Args:
        field: where it stands, for messages.
        union: the classes that it may be of.
        data: kind and fields.

    Raises:
        InvalidInput: the kind is unknown, or its fields are other ones or out of range.
    """
    kinds = {one.kind: one for one in get_args(union)}
    fields = {name: value for name, value in data.items() if name != "kind"}
    found = kinds.get(str(data.get("kind")))
    if found is None:
        remedy = choose_among(data.get("kind"), kinds)
        raise InvalidInput(f"{field}.kind", data.get("kind"), "unknown", remedy)
    try:
        return found(**fields)
    except TypeError as error:
        problem, remedy = f"not of this kind: {error}", "give what was written"
        raise InvalidInput(field, dict(data), problem, remedy) from None
