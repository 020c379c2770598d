"""The thought MDP: how a stream of tokens is cut into thoughts, and when it ends.

An action is one thought. It ends with the delimiter, at the cap on tokens per thought, with the
end-of-sequence token, or as soon as it holds an answer in ``\\boxed{...}``; the latter two end the
rollout as well. Thoughts are cut out of one uninterrupted stream: asking the model for one thought
at a time and concatenating token ids gives the same distribution, in many more calls.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.seam import Ending

_BOX = re.compile(r"\\boxed\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace; one behind a backslash is a character of the content."""

_BLANK = re.compile(
    r"(?:[\s~{}$]|\\[,:;!>\s]|\\q?quad\b|\\(?:text[a-z]*|math[a-z]*|boxed)(?=\s*\{))*"
)
"""Content that prints nothing: blanks, empty braces, empty commands for text, empty boxes."""

Span = tuple[int, int]
"""Half-open range of token positions."""


class TextEnding(enum.Enum):
    """How the text of a rollout ended: the seam's endings, told apart by their cause."""

    ANSWERED = "answered"
    EOS = "eos"
    THOUGHT_LIMIT = "thought limit"
    TOKEN_LIMIT = "token limit"
    CUT = "cut"

    @property
    def complete(self) -> bool:
        """Whether the model itself ended the text."""
        return self.ending is Ending.TERMINAL

    @property
    def ending(self) -> Ending:
        """The seam's word for it."""
        return _ENDINGS[self]


_ENDINGS = {
    TextEnding.ANSWERED: Ending.TERMINAL,
    TextEnding.EOS: Ending.TERMINAL,
    TextEnding.THOUGHT_LIMIT: Ending.HORIZON,
    TextEnding.TOKEN_LIMIT: Ending.HORIZON,
    TextEnding.CUT: Ending.CUT,
}


@dataclass(frozen=True, slots=True)
class ThoughtFormat:
    """How thoughts are written and how many there may be.

    Limits count from the prompt's end, so a rollout from a reset state has what its parent had
    left: what follows a state does not depend on how the state was reached.

    Attributes:
        delimiter: text that ends a thought.
        max_thoughts: thoughts per solution, the horizon H.
        max_tokens: tokens per solution.
        thought_tokens: tokens per thought, after which it ends without a delimiter; None: no cap.
    """

    delimiter: str = "</thought>"
    max_thoughts: int = 20
    max_tokens: int = 5120
    thought_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.delimiter.strip():
            raise InvalidInput("delimiter", self.delimiter, "blank", "give a text such as </step>")
        check_count("max_thoughts", self.max_thoughts)
        check_count("max_tokens", self.max_tokens)
        if self.thought_tokens is not None:
            check_count("thought_tokens", self.thought_tokens)


@dataclass(slots=True)
class Segmenter:
    """Cuts one rollout into thoughts, token by token.

    Attributes:
        form: delimiter and limits.
        eos: ids that end the sequence.
        thoughts: thoughts kept before the first token that it takes.
        tokens: tokens kept before it.
        most: cut the rollout after so many thoughts of its own; None: let it run to its end.
        spans: thoughts so far, as ranges of the tokens taken.
        ended: how it ended, None while it goes on.
    """

    form: ThoughtFormat
    eos: frozenset[int]
    thoughts: int = 0
    tokens: int = 0
    most: int | None = None
    spans: list[Span] = field(default_factory=list)
    ended: TextEnding | None = None
    # Where the current thought starts, how many tokens were taken, and the text of this thought.
    _start: int = 0
    _length: int = 0
    _text: str = ""

    def push(self, token: int, piece: str) -> bool:
        """Take the next token with its text; True once the rollout has ended.

        Args:
            token: its id.
            piece: its text on its own, see :meth:`llm.text.vocabulary.Vocabulary.piece`.
        """
        self._length += 1
        # The order decides what a token that ends the text in two ways counts as: what the model
        # ended itself can earn a reward, what a limit ended cannot.
        if token in self.eos:
            # The id belongs to the thought that it ends; right behind a delimiter it is one of its
            # own.
            return self.end(TextEnding.EOS)
        self._text += piece  # of the current thought alone: a box does not reach over a delimiter
        if "}" in piece and holds_answer(self._text):
            return self.end(TextEnding.ANSWERED)
        if self._thought_is_over(piece):
            self._close()
            if self.thoughts + len(self.spans) >= self.form.max_thoughts:
                return self.end(TextEnding.THOUGHT_LIMIT)
        if self.tokens + self._length >= self.form.max_tokens:
            return self.end(TextEnding.TOKEN_LIMIT)
        # Last, and right behind a thought alone: a rollout that a limit has ended cannot go on.
        if self._start == self._length and len(self.spans) == self.most:
            return self.end(TextEnding.CUT)
        return False

    def _thought_is_over(self, piece: str) -> bool:
        # Only a token with its last character can complete the delimiter; the search is spared at
        # all others. The delimiter may be spread over several tokens, and end within one.
        if self.form.delimiter[-1] in piece and self.form.delimiter in self._text:
            return True
        cap = self.form.thought_tokens
        return cap is not None and self._length - self._start >= cap

    def _close(self) -> None:
        # No empty thought, as where the text ends right behind a delimiter.
        if self._length > self._start:
            self.spans.append((self._start, self._length))
        self._start, self._text = self._length, ""

    def end(self, ending: TextEnding) -> bool:
        """End here; what has been read since the last thought becomes one too."""
        self._close()
        self.ended = ending
        return True


def segment(segmenter: Segmenter, tokens: Sequence[int], piece: Callable[[int], str]) -> Segmenter:
    """Cut a token stream into thoughts; tokens after its end are not looked at.

    Args:
        segmenter: one that has taken nothing yet.
        tokens: ids sampled.
        piece: text of an id.

    Returns:
        `segmenter` after the last token it took; ``ended`` is None if the stream stops early.

    Source: arXiv 2605.25507 (a solution as a sequence of delimited thoughts).
    """
    for token in tokens:
        if segmenter.push(token, piece(token)):
            break
    return segmenter


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
