"""States and rollouts of a language model, as token ids that are never tokenised again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Ending, Outcome, Rollout
from llm.task import Problem
from llm.text.answers import Span
from llm.text.thoughts import TextEnding

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TextState:
    """A problem's prompt and the thoughts that are kept.

    For the model, kept thoughts are part of the prompt: nothing that is sampled after them, and
    no loss, can tell them from it.

    Attributes:
        problem: what is asked.
        prompt: token ids of the prompt.
        kept: token ids of the kept thoughts.
        ends: where each kept thought ends in `kept`, ascending.
    """

    problem: Problem
    prompt: Tokens
    kept: Tokens = ()
    ends: tuple[int, ...] = ()

    @property
    def thoughts(self) -> tuple[Tokens, ...]:
        """The kept thoughts."""
        starts = (0, *self.ends)
        # The last start is where a next thought would begin: one more than there are ends.
        return tuple(self.kept[a:b] for a, b in zip(starts, self.ends, strict=False))

    @property
    def tokens(self) -> Tokens:
        """All that the model has read in this state."""
        return self.prompt + self.kept


@dataclass(frozen=True, slots=True)
class ThoughtStates(Sequence[TextState]):
    """The states before each thought of a rollout, made when they are looked at.

    Attributes:
        start: where the rollout started.
        tokens: ids sampled from there, length T.
        spans: the thoughts, as ranges of `tokens`.
    """

    start: TextState
    tokens: Tokens
    spans: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, index: int) -> TextState: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TextState, ...]: ...
    def __getitem__(self, index: int | slice) -> TextState | tuple[TextState, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        # A range takes negative indices and refuses those outside, as a list does.
        position = range(len(self))[index]
        start, before = self.start, len(self.start.kept)
        kept = start.kept + self.tokens[: self.spans[position][0]]
        # Spans count from the first sampled token, ends from the first kept one.
        ends = start.ends + tuple(before + end for _, end in self.spans[:position])
        return TextState(start.problem, start.prompt, kept, ends)

    @property
    def after(self) -> TextState:
        """The state after the last thought."""
        start, before = self.start, len(self.start.kept)
        ends = start.ends + tuple(before + end for _, end in self.spans)
        return TextState(start.problem, start.prompt, start.kept + self.tokens, ends)


@dataclass(frozen=True, slots=True, eq=False)
class TextRollout(Rollout):
    """One continuation of a text by thoughts.

    `states` and `actions` have one entry per thought; an action is the ids of its thought.

    Attributes:
        tokens: all ids sampled from the start state up to the end, length T. The spans of the
            thoughts cover them.
        logprobs: log-probability of each under the policy at the sampling temperature, before
            top-p, float32 (T,).
        spans: the thoughts, as ranges of `tokens`.
        text_ending: how the text ended. Only a complete text can earn a reward.
        answer: what the verifier read as the answer.
        discarded: ids sampled after the end and thrown away; they count as generated.
    """

    tokens: Tokens
    logprobs: NDArray[np.float32]
    spans: tuple[Span, ...]
    text_ending: TextEnding
    answer: str | None = None
    discarded: int = 0

    def __post_init__(self) -> None:
        Rollout.__post_init__(self)
        if len(self.logprobs) != len(self.tokens):
            raise InvalidInput(
                "logprobs", len(self.logprobs), f"{len(self.tokens)} tokens", "give one per token"
            )

    @property
    def outcome(self) -> Outcome:
        """What became of it; see :attr:`cpi_theory.seam.Rollout.outcome`."""
        if self.failed and self.text_ending is TextEnding.TOKEN_LIMIT:
            return Outcome.TOKEN_LIMIT
        if self.failed and self.text_ending.complete and self.answer is None:
            return Outcome.NO_ANSWER
        # Named, as a dataclass with slots is another class than the one that this is written in.
        return super(TextRollout, self).outcome

    def cut(self, begin: int = 0, end: int | None = None) -> TextRollout:
        """Return the thoughts from `begin` to before `end`.

        See :meth:`cpi_theory.seam.Rollout.cut`.
        """
        end = self.check_cut(begin, end)
        assert isinstance(self.states, ThoughtStates)
        # Spans, like states, are moved along, so that the part is a rollout from a later state.
        first, last = self.spans[begin][0], self.spans[end - 1][1]
        tokens = self.tokens[first:last]
        spans = tuple((a - first, b - first) for a, b in self.spans[begin:end])
        part = replace(
            self,
            states=ThoughtStates(self.states[begin], tokens, spans),
            actions=self.actions[begin:end],
            tokens=tokens,
            logprobs=self.logprobs[first:last],
            spans=spans,
            discarded=0,
        )
        # A suffix ends as the whole did and keeps its outcome.
        if end == len(self):
            return part
        # What is cut short has no outcome yet, and the state from which it could go on.
        return replace(
            part,
            reward=math.nan,
            failed=False,
            ended=Ending.CUT,
            text_ending=TextEnding.CUT,
            answer=None,
            last=self.states[end],
        )

    def behind(self, parent: Rollout, step: int) -> TextRollout:
        """Return the parent's thoughts before `step` and these behind them.

        See :meth:`cpi_theory.seam.Rollout.behind`; of what was thrown away this one's counts.
        """
        self.check_behind(parent, step)
        assert isinstance(parent, TextRollout)
        kept = parent.spans[step][0]
        tokens = parent.tokens[:kept] + self.tokens
        spans = parent.spans[:step] + tuple((kept + a, kept + b) for a, b in self.spans)
        return replace(
            self,
            states=ThoughtStates(parent.start, tokens, spans),
            actions=(*parent.actions[:step], *self.actions),
            tokens=tokens,
            logprobs=np.concatenate([parent.logprobs[:kept], self.logprobs]),
            spans=spans,
        )

    @property
    def start(self) -> TextState:
        """Where it started, also if it holds no thought."""
        assert isinstance(self.states, ThoughtStates)
        return self.states.start

    @property
    def thoughts(self) -> tuple[Tokens, ...]:
        """The thoughts sampled; those kept in the start state are ``start.thoughts``."""
        return tuple(self.tokens[a:b] for a, b in self.spans)
