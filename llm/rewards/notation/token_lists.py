"""Cutting lists of tokens at signs and brackets."""

from __future__ import annotations

from collections.abc import Sequence

from llm.rewards.notation.tokens import CLOSERS, OPENERS, Token


def split(tokens: Sequence[Token], signs: Sequence[str]) -> tuple[list[list[Token]], list[str]]:
    """Return the parts between these signs outside of all brackets, and the signs, one fewer.

    Args:
        tokens: brackets matched.
        signs: texts of the marks to cut at, such as "," and "and".
    """
    parts: list[list[Token]] = [[]]
    found = []
    depth = 0
    for token in tokens:
        depth += token.is_mark(*OPENERS) - token.is_mark(*CLOSERS)
        if depth == 0 and token.is_mark(*signs):
            parts.append([])
            found.append(token.text)
        else:
            parts[-1].append(token)
    return parts, found


def is_enclosed(tokens: Sequence[Token]) -> bool:
    """Return whether a pair of brackets, or an environment, stands around all of the tokens."""
    depth = 0
    last = len(tokens) - 1
    if len(tokens) > 1 and tokens[-2].is_mark("\\end"):
        last -= 1  # the name of the environment is a token of its own
    for i, token in enumerate(tokens):
        depth += token.is_mark(*OPENERS) - token.is_mark(*CLOSERS)
        if depth == 0:
            # The first bracket is closed by the last token: (a)(b) has none around it all.
            return 0 < i == last
    return False


def without_braces(tokens: list[Token]) -> list[Token]:
    """Return the tokens without braces that only group all of them."""
    while tokens and tokens[0].is_mark("{") and is_enclosed(tokens):
        tokens = tokens[1:-1]
    return tokens


def without_start(tokens: list[Token]) -> list[Token]:
    """Return the tokens without a sign before all of them, as in "= 5"."""
    return tokens[1:] if tokens and tokens[0].is_mark("=", "~") else tokens


def without_stop(tokens: list[Token]) -> list[Token]:
    """Return the tokens without the punctuation mark that ends them."""
    return tokens[:-1] if tokens and tokens[-1].is_mark(".", ",", ";") else tokens


def text_of(tokens: Sequence[Token]) -> str:
    """Return the tokens with blanks between them."""
    return " ".join(token.text for token in tokens)
