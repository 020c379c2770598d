"""The thought MDP: how a stream of tokens is cut into thoughts, and when it ends.

An action is one thought. It ends at its boundary (:mod:`llm.text.boundaries`), at the cap on tokens
per thought, with the end-of-sequence token, or with the token that completes an answer
(:mod:`llm.text.answers`); the latter two end the rollout as well. Thoughts are cut out of one
uninterrupted stream: asking the model for one thought at a time and concatenating token ids gives
the same distribution, in many more calls.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.seam import Ending
from llm.text.answers import AnswerRule, Box, Span, WholeText
from llm.text.boundaries import Boundary, Delimiter, ThoughtTracker


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
        delimiter: text that ends a thought, where `boundary` names nothing else.
        max_thoughts: thoughts per solution, the horizon H.
        max_tokens: tokens per solution.
        thought_tokens: tokens per thought, after which it ends without its boundary; None: no cap.
        boundary: what ends a thought; None: the delimiter.
        answer: how a solution gives its answer, and whether that ends it.
    """

    delimiter: str = "</thought>"
    max_thoughts: int = 20
    max_tokens: int = 5120
    thought_tokens: int | None = None
    boundary: Boundary | None = None
    answer: AnswerRule = field(default_factory=Box)

    def __post_init__(self) -> None:
        if type(self.boundary) is Delimiter:
            # Equal formats compare equal, however the delimiter was given.
            object.__setattr__(self, "delimiter", self.boundary.text)
            object.__setattr__(self, "boundary", None)
        Delimiter(self.delimiter)
        check_count("max_thoughts", self.max_thoughts)
        check_count("max_tokens", self.max_tokens)
        if self.thought_tokens is not None:
            check_count("thought_tokens", self.thought_tokens)
        if not self.ends.eos_ends_text and not getattr(self.answer, "stops", False):
            problem = f"nothing would end a text whose boundary is {self.ends.kind!r}"
            raise InvalidInput("answer", self.answer, problem, "let the answer stop the text")

    @property
    def ends(self) -> Boundary:
        """What ends a thought."""
        return Delimiter(self.delimiter) if self.boundary is None else self.boundary


@dataclass(slots=True)
class Segmenter:
    """Cuts one rollout into thoughts, token by token.

    Attributes:
        form: boundary and limits.
        eos: ids that end the sequence.
        thoughts: thoughts kept before the first token that it takes.
        tokens: tokens kept before it.
        most: cut the rollout after so many thoughts of its own; None: let it run to its end.
        before: text kept before it, in which an answer may have begun.
        spans: thoughts so far, as ranges of the tokens taken.
        ended: how it ended, None while it goes on.
        found: thoughts that their boundary ended, and not a limit or the end of the text.
    """

    form: ThoughtFormat
    eos: frozenset[int]
    thoughts: int = 0
    tokens: int = 0
    most: int | None = None
    before: str = ""
    spans: list[Span] = field(default_factory=list)
    ended: TextEnding | None = None
    found: int = 0
    # Where the current thought starts, how many tokens were taken, the text of this thought, and
    # that in which an answer is looked for.
    _start: int = 0
    _length: int = 0
    _text: str = ""
    _answer_text: str = ""
    _ends: Boundary = field(init=False)
    _over: ThoughtTracker = field(init=False)

    def __post_init__(self) -> None:
        self._ends = self.form.ends
        self._over = self._ends.begin()
        self._answer_text = "" if self._ends.holds_answers else self.before

    def push(self, token: int, piece: str, logprob: float = math.nan) -> bool:
        """Take the next token with its text; True once the rollout has ended.

        Args:
            token: its id.
            piece: its text on its own, see :meth:`llm.text.vocabulary.Vocabulary.piece`.
            logprob: of it at the sampling temperature; few boundaries need it.
        """
        self._length += 1
        # The order decides what a token that ends the text in two ways counts as: what the model
        # ended itself can earn a reward, what a limit ended cannot.
        if token in self.eos:
            # The id belongs to the thought that it ends; right behind a boundary it is one of its
            # own.
            if self._ends.eos_ends_text:
                return self.end(TextEnding.EOS)
            over = True
        else:
            self._text += piece
            self._answer_text += piece
            if self.form.answer.over(self._answer_text, piece):
                return self.end(TextEnding.ANSWERED)
            over = self._thought_is_over(piece, logprob)
        if over:
            if self._answered_within_thought():
                return self.end(TextEnding.ANSWERED)
            self._close()
            if self.thoughts + len(self.spans) >= self.form.max_thoughts:
                return self.end(TextEnding.THOUGHT_LIMIT)
        if self.tokens + self._length >= self.form.max_tokens:
            return self.end(TextEnding.TOKEN_LIMIT)
        # Last, and right behind a thought alone: a rollout that a limit has ended cannot go on.
        if self._start == self._length and len(self.spans) == self.most:
            return self.end(TextEnding.CUT)
        return False

    def _thought_is_over(self, piece: str, logprob: float) -> bool:
        if self._over(self._text, piece, logprob):
            self.found += 1
            return True
        cap = self.form.thought_tokens
        return cap is not None and self._length - self._start >= cap

    def _answered_within_thought(self) -> bool:
        """Whether a thought that a delimiter has ended holds a line or pattern that it ends too."""
        answer = self.form.answer
        if not self._ends.holds_answers or isinstance(answer, Box | WholeText):
            return False
        return answer.over(self._ends.shown(self._text) + "\n", "\n")

    def _close(self) -> None:
        # No empty thought, as where the text ends right behind a boundary.
        if self._length > self._start:
            self.spans.append((self._start, self._length))
        self._start, self._text = self._length, ""
        self._over = self._ends.begin()
        if self._ends.holds_answers:
            self._answer_text = ""  # an answer does not reach over a delimiter

    def end(self, ending: TextEnding) -> bool:
        """End here; what has been read since the last thought becomes one too."""
        self._close()
        self.ended = ending
        return True


def segment(
    segmenter: Segmenter,
    tokens: Sequence[int],
    piece: Callable[[int], str],
    logprobs: Sequence[float] | None = None,
) -> Segmenter:
    """Cut a token stream into thoughts; tokens after its end are not looked at.

    Args:
        segmenter: one that has taken nothing yet.
        tokens: ids sampled.
        piece: text of an id.
        logprobs: of the ids at the sampling temperature, for boundaries that need them.

    Returns:
        `segmenter` after the last token it took; ``ended`` is None if the stream stops early.

    Source: arXiv 2605.25507 (a solution as a sequence of delimited thoughts).
    """
    for i, token in enumerate(tokens):
        if segmenter.push(token, piece(token), math.nan if logprobs is None else logprobs[i]):
            break
    return segmenter
