"""Stop rules: what ends a completion beside the end-of-sequence token and the limit on tokens.

A rule is data. It can be compared, pickled and written as JSON, so that an engine in another
process or on another machine can apply it without calling back. What changes from token to token is
kept in a tracker, of which every completion begins a fresh one.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cpi_theory.checks import InvalidInput, check_count, choose_among
from llm.text.answers import AnyAnswer, Box, holds_answer
from llm.text.boundaries import AnyBoundary, describe, read
from llm.text.thoughts import Segmenter, ThoughtFormat


class StopTracker(Protocol):
    """Takes each sampled id of one completion in turn; True once the completion is over."""

    def __call__(self, token: int, logprob: float = math.nan, /) -> bool:
        """Take the next id.

        Args:
            token: the id.
            logprob: of it at the sampling temperature, as completions have it; a rule that needs it
                refuses NaN.
        """
        ...


@dataclass(frozen=True, slots=True)
class StopRule(ABC):
    """When a completion is over; subclasses are frozen dataclasses whose fields say it all.

    Attributes:
        kind: the name of the subclass in JSON.
    """

    kind: ClassVar[str]

    @abstractmethod
    def begin(self, piece: Callable[[int], str], eos: frozenset[int]) -> StopTracker:
        """Begin a completion.

        Args:
            piece: gives the text of an id on its own, see
                :meth:`llm.text.vocabulary.Vocabulary.piece`.
            eos: ids that end a sequence.

        Returns:
            A tracker that has seen no token yet.
        """


@dataclass(frozen=True, slots=True)
class ThoughtStop(StopRule):
    """Ends a rollout of thoughts; see :mod:`llm.text.thoughts` for where one thought ends.

    The rollout is over with an end-of-sequence id, with an answer, at a limit of the format, or
    after `most` thoughts of its own.

    Attributes:
        form: boundary, answer and limits, which count from the end of the prompt.
        thoughts: thoughts that were kept before the first sampled token.
        tokens: tokens that were kept before it.
        most: thoughts to sample at most; None: as many as the format allows.
        before: text that was kept, where an answer may have begun in it.
    """

    kind: ClassVar[str] = "thoughts"

    form: ThoughtFormat
    thoughts: int = 0
    tokens: int = 0
    most: int | None = None
    before: str = ""

    def __post_init__(self) -> None:
        check_count("thoughts", self.thoughts, minimum=0)
        check_count("tokens", self.tokens, minimum=0)
        if self.most is not None:
            check_count("most", self.most)

    def segmenter(self, eos: frozenset[int]) -> Segmenter:
        """Return a segmenter that applies this rule and keeps the thoughts it finds.

        Args:
            eos: ids that end a sequence.
        """
        return Segmenter(self.form, eos, self.thoughts, self.tokens, self.most, self.before)

    def begin(self, piece: Callable[[int], str], eos: frozenset[int]) -> StopTracker:
        """See :meth:`StopRule.begin`."""
        segmenter = self.segmenter(eos)
        return lambda token, logprob=math.nan: segmenter.push(token, piece(token), logprob)


@dataclass(frozen=True, slots=True)
class BoxStop(StopRule):
    r"""Ends a reply with its first whole ``\boxed{...}`` that holds anything."""

    kind: ClassVar[str] = "box"

    def begin(self, piece: Callable[[int], str], eos: frozenset[int]) -> StopTracker:
        """See :meth:`StopRule.begin`."""
        del eos  # engines end a completion with it whatever the rule says
        text = ""

        def over(token: int, _logprob: float = math.nan, /) -> bool:
            nonlocal text
            last = piece(token)
            text += last
            # Only a closing brace can complete a box; the search through the text is left out
            # at all other tokens, or long replies would take quadratic time.
            return "}" in last and holds_answer(text)

        return over


_KINDS: Mapping[str, type[ThoughtStop] | type[BoxStop]] = {
    rule.kind: rule for rule in (ThoughtStop, BoxStop)
}


def describe_stop(rule: StopRule) -> dict[str, Any]:
    """Return a rule as JSON data: its kind and its fields."""
    fields = {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}
    if isinstance(rule, ThoughtStop):
        fields["form"] = _describe_form(rule.form)
        if not rule.before:  # as rules were written before there was a choice of boundaries
            del fields["before"]
    return {"kind": rule.kind, **fields}


def _describe_form(form: ThoughtFormat) -> dict[str, Any]:
    fields = {f.name: getattr(form, f.name) for f in dataclasses.fields(form)}
    boundary, answer = fields.pop("boundary"), fields.pop("answer")
    if boundary is not None:
        fields["boundary"] = describe(boundary)
    return fields if answer == Box() else {**fields, "answer": describe(answer)}


def _read_form(data: Mapping[str, Any]) -> ThoughtFormat:
    fields = dict(data)
    for name, union in (("boundary", AnyBoundary), ("answer", AnyAnswer)):
        if name in fields:
            fields[name] = read(f"stop.{name}", union, fields[name])
    return ThoughtFormat(**fields)


def read_stop(data: Mapping[str, Any]) -> ThoughtStop | BoxStop:
    """Return the rule that :func:`describe_stop` wrote.

    Raises:
        InvalidInput: the kind is unknown, or its fields are other ones or out of range.
    """
    fields = {name: value for name, value in data.items() if name != "kind"}
    found = _KINDS.get(str(data.get("kind")))
    if found is None:
        remedy = choose_among(data.get("kind"), _KINDS)
        raise InvalidInput("stop.kind", data.get("kind"), "unknown", remedy)
    try:
        if found is ThoughtStop:
            fields["form"] = _read_form(fields["form"])
        return found(**fields)
    except (TypeError, KeyError) as error:
        remedy = "give what describe_stop writes"
        raise InvalidInput(
            "stop", dict(data), f"not a rule of this kind: {error}", remedy
        ) from None
