r"""From text to tokens, each of them known: an unknown command or sign makes a text unreadable.

LaTeX and plain writing are both accepted (``\frac{1}{2}``, ``1/2``, ``½``). Whether a comma or a
letter "e" belongs to a number, and which letters make a word, is decided here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import Literal

from llm.rewards.notation import vocabulary as known

CLOSED_BY = {
    "(": ")",
    "[": "]",
    "{": "}",
    "\\{": "\\}",
    "\\lfloor": "\\rfloor",
    "\\lceil": "\\rceil",
    "\\langle": "\\rangle",
    "\\begin": "\\end",
}
OPENERS, CLOSERS = frozenset(CLOSED_BY), frozenset(CLOSED_BY.values())
RELATIONS = (
    *("=", "<", ">", "<=", ">=", "!=", "~", "\\equiv", "\\in", "\\notin", "\\subset"),
    *("\\subseteq", "\\parallel", "\\perp", "\\sim", "\\cong"),
)
SET_SIGNS = ("\\cup", "\\cap", "\\setminus")
DEEPEST = 25
"""Brackets inside each other; the readers are recursive."""

LARGEST_EXPONENT = 3000
"""Of ten, in a number: numbers are kept exactly, and Python prints no more than 4300 digits."""


class Unreadable(ValueError):
    """A text that is not wholly understood; says what was stumbled over."""


@dataclass(frozen=True, slots=True)
class Token:
    r"""The smallest part of a notation.

    Attributes:
        kind: a number, a variable or constant, a word, or any other sign or command.
        text: how it is written, with one spelling for what means the same ("\le" and "≤": "<=").
        spaced: a blank stands before it.
        value: of a number.
        step: the unit in the last place of a decimal; 0 for other numbers.
    """

    kind: Literal["number", "symbol", "word", "mark"]
    text: str
    spaced: bool = False
    value: Fraction = Fraction(0)
    step: Fraction = Fraction(0)

    def is_mark(self, *texts: str) -> bool:
        """Return whether this is one of these signs or commands."""
        return self.kind == "mark" and self.text in texts


_BLANK = re.compile(
    rf"""\s+ | ~ | \\(?:[,:;!>\s]|\Z) | \\(?:{"|".join(known.SPACES)})(?![A-Za-z])
    | \\(?:{"|".join(known.MEASURED_SPACES)})\*?\s*\{{[^{{}}]*\}}""",
    re.VERBOSE,
)
# 1,234 or 1{,}234 or 1\ 234: groups of three digits, with one kind of sign between them.
_GROUPED = re.compile(
    r"""[1-9]\d{0,2}
    (?: (?:,\d{3})+ (?!\d|,\d)
      | (?:(?:\{,\}|,\s*\\!\s*)\d{3})+ (?!\d)
      | (?P<blank>\\[,:;!\ ]|~|\ )\d{3} (?:(?P=blank)\d{3})* (?!\d|\s*[/_]) )
    (?:\.\d+)?""",
    re.VERBOSE | re.ASCII,
)
_DECIMAL_COMMA = re.compile(r"\d+\{,\}\d+", re.ASCII)
# 0.1\overline{6}: digits that do not repeat, and those that do.
_PERIODIC = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar|dot)\s*\{(\d+)\}", re.ASCII)
# The look-ahead keeps 2e3.5 from being read as 2000 and a half.
_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(?:([eE])([-+]?\d+)(?![\d.]))?", re.ASCII)
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([a-z]*)\*?\}(?:\{[lcr|]*\})?")
_ALPHABET = re.compile(r"\\(?:mathbb|mathcal|mathscr|mathfrak)\s*(?:\{\s*([A-Z])\s*\}|([A-Z]))")
_RUN = re.compile(r"[A-Za-z]+")
_CALLED = re.compile(rf"(?:{'|'.join(sorted(known.NAMES_BEFORE_BRACKETS))})(?=\()")
_UPRIGHT_RUN = re.compile(r"[A-Za-z](?:[A-Za-z]|['.’-](?=[A-Za-z]))*")
_SIGN = re.compile(r"\*\*|<=|>=|!=|->|\.\.\.|[-+*/^_=<>()\[\]{},;:!|'%&.£€¥]")
_JOINED = re.compile(rf"({'|'.join(sorted(known.FUNCTIONS, key=len, reverse=True))})([a-z])")


def tokenize(text: str, scientific: bool = True) -> list[Token]:
    """Return the tokens of a text.

    Args:
        text: content of a box.
        scientific: read "2e-1" as 0.2 rather than as 2e - 1; see :func:`is_ambiguous`.

    Raises:
        Unreadable: if some of it is unknown.
    """
    return _classified(list(_Lexer(_in_latex(text), scientific).tokens()))


def is_ambiguous(text: str) -> bool:
    """Return whether an "e" in the text may stand for a power of ten or for the constant."""
    return re.search(r"\d\s*e[-+]\d", text) is not None


def check_brackets(tokens: Sequence[Token]) -> None:
    """Refuse brackets that do not match, except as in half-open intervals, or too many.

    Raises:
        Unreadable: naming the bracket.
    """
    opened: list[str] = []
    for token in tokens:
        if token.is_mark(*OPENERS):
            opened.append(token.text)
        elif token.is_mark(*CLOSERS):
            # [0, 1) is an interval, so round and square brackets may close each other.
            wanted = CLOSED_BY[opened.pop()] if opened else None
            if wanted != token.text and {wanted, token.text} != {")", "]"}:
                raise Unreadable(f"{token.text!r} closes nothing")
        if len(opened) > DEEPEST:
            raise Unreadable(f"more than {DEEPEST} brackets inside each other")
    if opened:
        raise Unreadable(f"{opened[-1]!r} is not closed")


def _in_latex(text: str) -> str:
    """The text with its other characters written in LaTeX, and without dollar signs around."""
    # Before NFKC, which makes a plain 2 of the raised one: x² would become x2.
    for table, sign in ((known.SUPERSCRIPTS, "^"), (known.SUBSCRIPTS, "_")):
        runs = re.split(f"([{''.join(table)}]+)", text)
        for i in range(1, len(runs), 2):
            runs[i] = f"{sign}{{{''.join(table[digit] for digit in runs[i])}}}"
        text = "".join(runs)
    return _without_dollars("".join(map(_character, text)).replace("{:}", ":"))


def _character(sign: str) -> str:
    if sign in known.UNICODE:
        return f"{known.UNICODE[sign]} "
    plain = unicodedata.normalize("NFKC", sign)
    over, line, under = plain.partition("⁄")  # as in ½
    return f"\\frac{{{over}}}{{{under}}}" if line else plain


def _without_dollars(text: str) -> str:
    r"""Signs around formulas, $..$ and \(..\), become blanks; a $ before an amount is currency."""
    text = re.sub(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", r" \1\2 ", text, flags=re.DOTALL)
    signs = list(re.finditer(r"(?<!\\)\$", text))
    if len(signs) % 2 == 0:
        return re.sub(r"(?<!\\)\$", " ", text)
    if len(signs) == 1:
        return re.sub(r"(?<!\\)\$(?=\s*[\d.])", r"\\$", text)
    return text


class _Lexer:
    """Reads tokens off the front of a text."""

    def __init__(self, text: str, scientific: bool, upright: bool = False) -> None:
        self.text, self.scientific, self.upright = text, scientific, upright
        self.at = 0
        self.brackets: list[str] = []
        self.spaced = False

    def tokens(self) -> Iterator[Token]:
        while self.at < len(self.text):
            if blank := _BLANK.match(self.text, self.at):
                self.at, self.spaced = blank.end(), True
                continue
            for token in self._next():
                self._follow(token)
                yield replace(token, spaced=token.spaced or self.spaced)
                self.spaced = False

    def _follow(self, token: Token) -> None:
        """Keep count of the brackets in which a comma separates."""
        if token.is_mark("(", "[", "\\{"):
            self.brackets.append(token.text)
        elif token.is_mark(")", "]", "\\}") and self.brackets:
            self.brackets.pop()

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def _next(self) -> Iterator[Token]:
        here = self.text[self.at]
        # A dot right before a digit begins a decimal: .5.
        if "0" <= here <= "9" or re.match(r"\.\d", self.text[self.at : self.at + 2]):
            yield self._number()
        elif here == "\\":
            yield from self._command()
        elif function := self._take(_CALLED):
            yield Token("mark", f"\\{function[0]}")
        elif run := self._take(_UPRIGHT_RUN if self.upright else _RUN):
            yield Token("word" if self.upright else "symbol", run[0].replace(".", ""))
        elif sign := self._take(_SIGN):
            yield Token("mark", {"->": "\\to"}.get(sign[0], sign[0]))
        else:
            raise Unreadable(f"unknown sign {here!r}")

    def _number(self) -> Token:
        # The longer notations first: each begins with what is a number by itself.
        if periodic := self._take(_PERIODIC):
            return _periodic(*periodic.groups())
        grouped = _GROUPED.match(self.text, self.at)
        if grouped and self._is_one_number(grouped[0]):
            self.at = grouped.end()
            return _decimal(re.sub(r"[^\d.]", "", grouped[0]))
        if decimal := self._take(_DECIMAL_COMMA):
            return _decimal(decimal[0].replace("{,}", "."))
        return self._plain()

    def _is_one_number(self, digits: str) -> bool:
        """Whether commas group the digits; in brackets they separate, but for groups like 000."""
        # (1,234) is a point; (1,000) is a number, for nobody writes a coordinate as 000.
        inside = bool(self.brackets) and re.fullmatch(r"[\d,]+", digits)
        return not inside or any(group.startswith("0") for group in digits.split(",")[1:])

    def _plain(self) -> Token:
        found = self._take(_NUMBER)
        assert found is not None
        mantissa, sign, exponent = found.groups()
        if sign == "e" and not self._is_power_of_ten(mantissa, exponent):
            self.at, exponent = found.end(1), None
        if exponent is None and re.match(r"\.(?![\d.])", self.text[self.at : self.at + 2]):
            self.at += 1  # the full stop of "15."
        return _decimal(mantissa, exponent)

    def _is_power_of_ten(self, mantissa: str, exponent: str) -> bool:
        """Whether "2e-1" is 0.2: nobody writes 1e - 7, 2.5e - 1 or 2e - 05 for a difference."""
        sure = exponent[0] not in "+-" or len(exponent) > 2 or "." in mantissa or mantissa == "1"
        return sure or self.scientific

    def _command(self) -> Iterator[Token]:
        if environment := self._take(_ENVIRONMENT):
            yield Token("mark", f"\\{environment[1]}")
            yield Token("mark", environment[2])
        elif alphabet := self._take(_ALPHABET):
            yield Token("symbol", f"\\{alphabet[0][1:7]}{{{alphabet[1] or alphabet[2]}}}")
        else:
            yield from self._named()

    def _named(self) -> Iterator[Token]:
        found = self._take(_COMMAND)
        if found is None:
            raise Unreadable("a backslash at the end")
        name = found[0][1:]
        if name in known.UPRIGHT:
            yield from self._upright()
        elif name in known.IGNORED:
            # \left. and \right. print no bracket.
            self._take(re.compile(r"\s*\.") if name in ("left", "right") else re.compile(""))
        elif name in known.ALIASES:
            yield Token("mark", known.ALIASES[name])
        elif name in known.GREEK:
            yield Token("symbol", found[0])
        elif name in known.COMMANDS:
            yield Token("mark", found[0].replace("\\%", "%"))
        elif name not in known.STYLES:
            raise Unreadable(f"unknown command {found[0]}")

    def _upright(self) -> Iterator[Token]:
        r"""What stands in ``\text{...}``; without braces the command is only a style."""
        opened = re.compile(r"\s*\{").match(self.text, self.at)
        if opened is None:
            if not re.compile(r"\s*[A-Za-z0-9\\]").match(self.text, self.at):
                raise Unreadable("a command for text without text")
            return
        start, depth, self.at = opened.end(), 1, opened.end()
        for brace in re.finditer(r"\\.|[{}]", self.text[start:]):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if depth == 0:
                inner = self.text[start : start + brace.start()]
                self.at = start + brace.end()
                lexer = _Lexer(inner, self.scientific, upright=True)
                yield from lexer.tokens()
                # A blank at the end of the text stands before what comes next.
                self.spaced = lexer.spaced
                return
        raise Unreadable("'{' is not closed")


def _decimal(mantissa: str, exponent: str | None = None) -> Token:
    power = int(exponent or 0)
    if abs(power) > LARGEST_EXPONENT:
        raise Unreadable(f"an exponent as large as {exponent}")
    whole, _, part = mantissa.partition(".")
    # Exactly: in floating point 0.1 is not 1/10.
    step = Fraction(10) ** (power - len(part))
    value = int(whole + part) * step
    text = mantissa if exponent is None else f"{mantissa}e{exponent}"
    return Token("number", text, value=value, step=step if part else Fraction(0))


def _periodic(whole: str, part: str, period: str) -> Token:
    r"""0.1\overline{6} is (16 - 1) / 90."""
    nines = (10 ** len(period) - 1) * 10 ** len(part)
    value = Fraction(int(whole + part + period) - int((whole + part) or 0), nines)
    return Token("number", f"{whole}.{part}({period})", value=value)


def _classified(tokens: list[Token]) -> list[Token]:
    """The tokens with every run of letters made a word, variables, or a name."""
    whole = all(token.text.isalpha() for token in tokens)
    done: list[Token] = []
    for is_sentence, group in groupby(tokens, key=_in_sentence):
        runs = list(group)
        if not is_sentence:
            done += (_name(run) or run for run in runs)
            continue
        if _is_factor(runs[0], done):
            done += _letters(runs.pop(0), False, done[-2:])
        prose = _is_prose([run.text for run in runs], whole)
        for run in runs:
            done += _letters(run, prose, done[-2:])
    return done


def _in_sentence(token: Token) -> str:
    """A kind of letters that are not classified yet; empty for other tokens."""
    is_run = token.kind in ("symbol", "word") and token.text[0] != "\\"
    return token.kind if is_run and _name(token) is None else ""


def _is_factor(run: Token, before: Sequence[Token]) -> bool:
    """Whether letters stand right behind a number or a bracket, as in 2x and (n+1)n."""
    attached = bool(before) and not run.spaced and _ends_value(before[-1:])
    return attached and run.kind == "symbol" and len(run.text) < 3


def _is_prose(runs: Sequence[str], whole: bool) -> bool:
    """Whether runs of letters beside each other are text and not products of variables.

    Args:
        runs: the letters.
        whole: there is nothing else to read.
    """
    lower = [run.lower() for run in runs]
    return (
        any(len(run) > 4 and not _JOINED.fullmatch(run) for run in lower)
        or not known.PROSE.isdisjoint(lower)
        or ((len(runs) > 1 or whole) and not known.SHORT_PROSE.isdisjoint(lower))
        or (whole and any(len(run) > 2 and not _JOINED.fullmatch(run) for run in lower))
    )


def _name(run: Token) -> Token | None:
    """The sign or constant that a run of letters names, as "or", "sin" and "inf" do."""
    text = run.text
    no_name = known.NAMES_AND_WORDS if run.kind == "word" else known.NAMES_BEFORE_BRACKETS
    if text not in known.PLAIN_NAMES or text in no_name:
        return None
    name = known.PLAIN_NAMES[text]
    return replace(run, kind="symbol" if name in ("\\pi", "\\infty") else "mark", text=name)


def _letters(run: Token, prose: bool, before: Sequence[Token]) -> list[Token]:
    """What a run of letters is, given the one or two tokens before it."""
    letters = run.text
    # Behind a value letters are a unit if they are known (12cm), upright (5 \text{m}), or a word of
    # its own (3 apples).
    is_unit = (_ends_value(before) or _continues_unit(before)) and (
        letters in known.UNITS
        or (run.kind == "word" and letters in known.UNIT_LETTERS)
        or (run.spaced and len(letters) > 2)
    )
    is_unit |= _continues_unit(before) and letters in known.UNIT_LETTERS
    if prose or is_unit or (run.kind == "word" and len(letters) > 1) or len(letters) > 4:
        return [replace(run, kind="word", text=_lowered(letters))]
    if joined := _JOINED.fullmatch(letters):  # "sinx"
        return [replace(run, kind="mark", text=f"\\{joined[1]}"), Token("symbol", joined[2])]
    rest = (Token("symbol", letter) for letter in letters[1:])
    return [replace(run, kind="symbol", text=letters[0]), *rest]


def _ends_value(before: Sequence[Token]) -> bool:
    return bool(before) and (
        before[-1].kind in ("number", "word") or before[-1].is_mark(*CLOSERS, "%")
    )


def _continues_unit(before: Sequence[Token]) -> bool:
    """Whether a unit has begun, as in km/h."""
    return len(before) == 2 and before[0].kind == "word" and before[1].is_mark("/", "*")


def _lowered(word: str) -> str:
    """The word in lower case, unless it may be a name of points or an abbreviation."""
    if len(word) > 3 or word.lower() in known.PROSE or word[1:].islower():
        return word.lower() if len(word) > 1 else word
    return word
