"""The one place where answers are read out of texts.

One rule for every kind of problem: the answer is the content of the last whole ``\\boxed{...}``
that holds anything. What the text says elsewhere ("the answer is", a lone capital, yes or no) is
never an answer.
"""

from __future__ import annotations

import re

from llm.text.answers import boxed_span

_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit)\s*\{([^{}]*)\}")
_LONE_LETTER = re.compile(r"\(?([A-Za-z])[.):]?\)?")
_LABELLED = re.compile(r"(?:\(([A-Z])\)|([A-Z])[.):])\s.*", re.S)


def boxed(text: str) -> str | None:
    """Return the content of the last whole box with anything in it, blanks around it removed.

    None without.
    """
    span = boxed_span(text)
    return None if span is None else text[slice(*span)].strip()


def letter(text: str) -> str | None:
    """Return the letter of the choice in the last whole box, as a capital.

    The box holds a letter alone, perhaps in brackets, with a full stop or in a text command
    ("b", "(B)", "B."), or a capital so marked before the option's text ("B) the moon"). A word is
    never a letter: "because", "correct", "I think" and "A cat" are no choices.
    """
    content = boxed(text)
    return None if content is None else letter_in(content)


def letter_in(content: str) -> str | None:
    """Return the letter of a choice in an answer, as :func:`letter` reads it in a box."""
    plain = bare(content)
    if alone := _LONE_LETTER.fullmatch(plain):
        return alone[1].upper()
    if labelled := _LABELLED.fullmatch(plain):
        return labelled[1] or labelled[2]
    return None


def bare(content: str) -> str:
    """Return the content without dollar signs and text commands around it, blanks made single."""
    while True:
        # Wrappers may be nested, as in $\text{B}$: on until nothing more comes off.
        inner = content.strip().removeprefix("$").removesuffix("$").strip()
        if wrapped := _WRAPPER.fullmatch(inner):
            inner = wrapped[1]
        if inner == content:
            return " ".join(content.split())
        content = inner
