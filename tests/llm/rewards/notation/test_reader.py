"""What boxes are read as, what is not read, and that nothing else than that ever happens."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.rewards.equality import Comparison, by_arithmetic
from llm.rewards.notation.reader import read
from llm.rewards.notation.statements import (
    Braces,
    Builder,
    Cases,
    Combined,
    Labelled,
    Phrase,
    Ratio,
    Relation,
    Row,
    Several,
    Value,
    Words,
)
from llm.rewards.notation.tokens import Unreadable, tokenize
from llm.rewards.notation.trees import Number, Symbol, node, rational

X, Y, REALS = Symbol("x"), Symbol("y"), Symbol("\\mathbb{R}")


def number(value):
    return Number(Fraction(value))


def value(what, unit=""):
    return Value(number(what) if isinstance(what, int | str | Fraction) else what, unit)


CASES = Cases(((value(X), Relation((value(X), value(0)), (">",))), (value(Y), Words(("else",)))))


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("1 3/4", value("7/4")),
        ("1,000", value(1000)),
        ("(1,000)", value(1000)),
        ("(100,200)", Row("(", (value(100), value(200)), ")")),
        ("0.1\\overline{6}", value("1/6")),
        ("1e-05", value("1/100000")),
        ("5 km", value(5, "km")),
        (r"8 \text{ square feet}", value(8, "ft^2")),
        (r"9 \mathrm{m/s^2}", value(9, "m / s^2")),
        (r"\$5 \text{ million}", value(5000000, "dollar")),
        ("1011_2", value(1011, "base 2")),
        (r"3 \pmod{7}", value(3, "mod 7")),
        ("50\\%", value(node("pct", number(50)))),
        (r"30^\circ", value(node("deg", number(30)))),
        (r"\mathrm{e}", value(Symbol("e"))),
        ("f'(x)", value(node("apply", Symbol("f'"), X))),
        (r"\frac{dy}{dx}", value(Symbol("d y/d x"))),
        (r"\frac12", value(node("/", number(1), number(2)))),
        (r"\sin 2x", value(node("sin", node("*", number(2), X)))),
        ("yes", Words(("yes",))),
        ("all odd numbers", Words(("all", "odd", "numbers"))),
        ("(B) 7", Labelled("B", value(7))),
        ("x = 5", Relation((value(X), value(5)), ("=",))),
        ("0 < x \\le 1", Relation((value(0), value(X), value(1)), ("<", "<="))),
        (r"\{1, 2\}", Braces((value(1), value(2)))),
        (r"\{x \mid x > 1\}", Builder(value(X), Relation((value(X), value(1)), (">",)))),
        ("[1, 2)", Row("[", (value(1), value(2)), ")")),
        ("1, 2 and 3", Several((value(1), value(2), value(3)), "and")),
        (r"\pm 2", Several((value(2), value(-2)))),
        ("x = 1, 2", Several(tuple(Relation((value(X), value(i)), ("=",)) for i in (1, 2)))),
        (r"\mathbb{R} \setminus \{0\}", Combined("\\setminus", value(REALS), Braces((value(0),)))),
        ("3:2", Ratio((number(3), number(2)))),
        ("9:30 \\text{ p.m.}", Ratio((number(9), number(30)), "pm")),
        ("not 5", Phrase((Words(("not",)), value(5)))),
        (r"\begin{cases} x & x > 0 \\ y & \text{else} \end{cases}", CASES),
    ],
)  # fmt: skip
def test_readings(text, statement):
    assert statement in read(text)
    assert read(f" {text} ") == read(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [("2e-1", ["1/5", None]), ("1e-1", ["1/10"]), ("2e-01", ["1/5"]), ("3e8", [3 * 10**8])],
)  # fmt: skip
def test_an_e_between_digits_may_be_the_constant(text, values):
    wanted = [None if v is None else Fraction(v) for v in values]
    assert [rational(one.tree) for one in read(text)] == wanted


def test_a_product_behind_a_stroke_is_read_both_ways():
    loose, tight = (one.tree for one in read("1/2x"))
    assert loose == node("*", node("/", number(1), number(2)), X)
    assert tight == node("/", number(1), node("*", number(2), X))


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "3+", "+", "3 4", "1 7/4", "x2", "2^10", "x^2^3", "3 # 4", "3 | 4"),
        *(r"3 \foo", "\\", "3]", "(3", "[3}", "{3", r"\frac{1}", r"\sqrt", r"\sum k", "|3", "3,,4"),
        *(r"3 \to 4", r"\] 3 \[", "3\n4", "nan", "NaN", "1e99999", "5 cm /", "5 cm^2 3", "x = "),
        *(r"\begin{pmatrix}1\\2&3\end{pmatrix}", r"\begin{pmatrix}1\end{bmatrix}", r"\int_0^1 x"),
        *(r"3 \pmod{}", r"\lim x", "3!!!!x y 4", "(" * 30 + "1" + ")" * 30, "٣", "3..", ", 3"),
    ],
)
def test_what_is_not_read(text):
    with pytest.raises(Unreadable):
        read(text)


PIECES = st.sampled_from(
    [
        *"0123456789xyzefi+-*/^_=<>()[]{},;:!|'%.$ ½²π",
        *(r"\frac", r"\sqrt", r"\text{or}", r"\text{ cm}", r"\mathrm{e}", r"\left(", r"\right)"),
        *(r"\begin{pmatrix}", r"\end{pmatrix}", "&", r"\\", r"\{", r"\}", r"\pm", r"\cup"),
        *(r"\mathbb{R}", r"\sum", r"\int", "d", r"\pmod", r"\overline", r"\circ", " and ", " is "),
    ]
)


@given(st.text() | st.lists(PIECES, max_size=25).map("".join))
def test_every_text_is_read_or_refused(text):
    with contextlib.suppress(Unreadable):
        readings = read(text)
        assert readings
        compare = Comparison(by_arithmetic).same
        assert all(compare(reading, reading) for reading in readings)


@given(st.integers(0, 10**30), st.integers(1, 12))
def test_decimals_are_exact(digits, places):
    text = f"{digits // 10**places}.{digits % 10**places:0{places}d}"
    (token,) = tokenize(text)
    assert token.value == Fraction(digits, 10**places)
    assert token.step == Fraction(1, 10**places)
