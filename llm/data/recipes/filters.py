r"""Rules by which benchmarks leave records out, each a function with a name of its own.

The rules on answers of competition problems are those that the paper's release applies to
NuminaMath: its reference solutions are scraped, and what stands in their last box is often no
answer that could be compared.
"""

from __future__ import annotations

import re

from llm.data.recipes.recipe import AnswerFilter, Filter
from llm.data.records import Record

LONGEST = 60
"""Characters of an answer of NuminaMath that is kept."""

_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{3,}")
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|operatorname)\b")
_UNIT = re.compile(
    r"(?<![A-Za-z\\])(?:mm|cm|dm|km|m|kg|g|mg|s|h|min|ml|l|N|J|W|V)(?![A-Za-z])(?:\^\{?[23]\}?)?\s*$"
)
_QUANTITY = re.compile(r"[\d})]\s*(?:\\[,;! ])?\s*$")
_OR = re.compile(r"(?<![A-Za-z])or(?![A-Za-z])")
_JUNK = re.compile(r"^[^0-9A-Za-z\\({\[+\-.|]")


def field_is(field: str, *values: str) -> Filter:
    """Keep records whose field is one of these texts."""
    wanted = " or ".join(map(repr, values))
    return Filter(
        f"{field} is {wanted}", f"`{field}` is {wanted}", lambda row: row.text(field) in values
    )


def short(answer: str) -> bool:
    """Keep answers of at most 60 characters."""
    return len(answer) <= LONGEST


def balanced(answer: str) -> bool:
    """Keep answers whose braces and parentheses close in order."""
    plain = answer.replace("\\{", "").replace("\\}", "")
    return all(_closes(plain, *pair) for pair in ("{}", "()"))


def _closes(text: str, opening: str, closing: str) -> bool:
    depth = 0
    for sign in text:
        depth += (sign == opening) - (sign == closing)
        if depth < 0:
            return False
    return depth == 0


def letter_or_number(answer: str) -> bool:
    """Keep answers that are a lone letter from A to E, or that hold a digit."""
    return re.fullmatch("[A-E]", answer.strip()) is not None or re.search(r"\d", answer) is not None


def no_words(answer: str) -> bool:
    """Keep answers without a run of three or more letters, LaTeX commands aside."""
    return _WORD.search(_COMMAND.sub(" ", answer)) is None


def no_text(answer: str) -> bool:
    r"""Keep answers without ``\text``, ``\mathrm`` and the like."""
    return _WRAPPER.search(answer) is None


def no_junk(answer: str) -> bool:
    """Keep answers that begin with a sign an answer can begin with."""
    return _JUNK.search(answer.strip()) is None


def no_percent_or_about(answer: str) -> bool:
    """Keep answers without a percent sign or a tilde."""
    return "%" not in answer and "~" not in answer


def no_unit(answer: str) -> bool:
    """Keep answers that do not end in a unit of measurement."""
    # A letter alone may be a variable: a unit follows a number.
    found = _UNIT.search(answer)
    return (
        found is None or re.search(r"[\d})]\s*(?:\\[,;! ])?\s*$", answer[: found.start()]) is None
    )


def no_or(answer: str) -> bool:
    """Keep answers that do not offer two, with "or" between them."""
    return _OR.search(answer) is None


_FUNCTIONS = re.compile(r"sqrt|floor|ceil|log|ln|sum|max|min|sin|cos|tan|gcd|mod", re.IGNORECASE)


def formula_or_yes_no(answer: str) -> bool:
    """Keep numbers, formulas and yes or no: other words could be put in many ways."""
    plain = _COMMAND.sub(" ", _FUNCTIONS.sub(" ", answer))
    return answer.strip().casefold() in ("yes", "no") or re.search("[A-Za-z]{2}", plain) is None


def _named(*rules: object) -> tuple[AnswerFilter, ...]:
    return tuple(
        AnswerFilter(rule.__name__, str(rule.__doc__).splitlines()[0], rule)  # type: ignore[attr-defined,arg-type]
        for rule in rules
    )


COMPETITION_ANSWERS = _named(
    short,
    balanced,
    letter_or_number,
    no_words,
    no_text,
    no_junk,
    no_percent_or_about,
    no_unit,
    no_or,
)
"""Rules on answers of NuminaMath, in the order in which they are applied."""

PLAIN_ANSWERS = _named(formula_or_yes_no)
"""Rule on answers of CHAMP, which are written for people."""

_REPAIRS = (
    (re.compile(r"\\[dt]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:left|right)(?![A-Za-z])"), ""),
    (re.compile(r"\\[!,;: ]"), ""),
    (re.compile(r"\\(?:displaystyle|bf)(?![A-Za-z])"), ""),
    (re.compile(r"\^\\circ|\^\{\\circ\}"), r"^{\\circ}"),
    (re.compile(r"[.,;\s]+$"), ""),
    (re.compile(r"^\$+|\$+$"), ""),
)


def repaired(answer: str) -> str:
    r"""Return an answer with small repairs of its LaTeX: sizes, spaces, dollar signs, a full stop.

    ``\dfrac`` and ``\tfrac`` become ``\frac``; ``\left``, ``\right`` and thin spaces are dropped.
    """
    for pattern, instead in _REPAIRS:
        answer = pattern.sub(instead, answer.strip())
    return answer.strip()


def holds(field: str, about: str) -> Filter:
    """Keep records with something in a field, which may be empty in others.

    Args:
        field: of the record.
        about: what it says of the record, in the manifest.
    """
    return Filter(about, f"`{field}` is not empty", lambda row: not _empty(row, field))


def lacks(field: str, about: str) -> Filter:
    """Keep records with nothing in a field; see :func:`holds`."""
    return Filter(about, f"`{field}` is empty", lambda row: _empty(row, field))


def _empty(row: Record, field: str) -> bool:
    value = row.values.get(field)
    return value is None or value in ("", [], {})
