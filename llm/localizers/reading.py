r"""What a localiser's reply says: read strictly first, then as leniently as was declared.

A reply is to end with the number of a step in ``\boxed{}``. Models that were never taught to box
often say it in other words. Lenient readings are off unless they are named, and each reply keeps
how it was read, so that a record shows how many steps rest on which reading.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, get_args

from cpi_theory.checks import InvalidInput, check_choice
from cpi_theory.seam import FailedLocalization, Reason
from llm.localizers.base import Answer, own_step
from llm.text.answers import boxed_span
from llm.text.rollouts import TextRollout

Reading = Literal["bare number", "step number", "first number"]
"""Lenient readings of a reply: it is nothing but a number; the last "Step k" in it; the first whole
number in it, whatever stands around."""

_MANY_DIGITS = 9
"""More digits than any number of a thought has: Python refuses to read integers of thousands."""

_BARE = re.compile(r"[\s*_`(\[{$.:#]*(?:step\s*)?([0-9]+)[\s*_`)\]}$.:]*", re.IGNORECASE)
_STEP = re.compile(r"\bstep\W{0,3}([0-9]+)\b(?!\.[0-9])", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.\\-])([0-9]+)\b(?!\.[0-9])")


def check_readings(readings: Sequence[str]) -> None:
    """Refuse readings that there are not, or one given twice.

    Raises:
        InvalidInput: naming those there are.
    """
    known = get_args(Reading)
    for i, reading in enumerate(readings):
        check_choice(f"readings[{i}]", reading, known)
        if reading in readings[:i]:
            raise InvalidInput(f"readings[{i}]", reading, "given twice", "name it once")


def read_reply(
    rollout: TextRollout, reply: str, cut: bool = False, readings: Sequence[Reading] = ()
) -> tuple[Answer, str]:
    """Read what a reply says of the rollout's first wrong thought, and how it was read.

    Args:
        rollout: what it speaks of.
        reply: its text, with the number of a thought of the whole solution in its last box.
        cut: whether it was cut off at a limit.
        readings: how a reply without a box may be read, tried in this order.

    Returns:
        The answer and its reading: "box", one of `readings`, or "" where no number could be read.
        It is refused without any (TRUNCATED if the reply was cut off, EMPTY if it says nothing,
        UNPARSABLE otherwise), if a box holds no integer (UNPARSABLE), for a 0 (NO_ERROR), or for
        the number of no thought of the rollout's own (OUT_OF_RANGE).
    """
    span = boxed_span(reply)
    if span is not None:
        # A box is a box: one that holds something else is not read again leniently.
        number = reply[slice(*span)].strip()
        if re.fullmatch("[0-9]+", number):
            return _step(rollout, number), "box"
        return FailedLocalization(Reason.UNPARSABLE), ""
    for reading in readings:
        found = _lenient(reading, reply, cut)
        if found is not None:
            return _step(rollout, found), reading
    if cut:
        return FailedLocalization(Reason.TRUNCATED), ""
    return FailedLocalization(Reason.UNPARSABLE if reply.strip() else Reason.EMPTY), ""


def _lenient(reading: Reading, reply: str, cut: bool) -> str | None:
    if reading == "bare number":
        # What was cut off might have gone on: with more digits, or with words that deny it.
        bare = None if cut else _BARE.fullmatch(reply)
        return None if bare is None else bare[1]
    if reading == "step number":
        steps = _STEP.findall(reply)
        return steps[-1] if steps else None
    first = _NUMBER.search(reply)
    return None if first is None else first[1]


def _step(rollout: TextRollout, number: str) -> Answer:
    if len(number) > _MANY_DIGITS:
        return FailedLocalization(Reason.OUT_OF_RANGE)
    if int(number) == 0:
        return FailedLocalization(Reason.NO_ERROR)
    # Prompts number the steps from 1.
    return own_step(rollout, int(number) - 1)
