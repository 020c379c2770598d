r"""Hard pairs of a reference and a box, by kind, each kind with right and with wrong ones.

They are our own; ``python -m benchmarks.bench_answers`` counts the mistakes of math-verify on them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bench_answers import PAIRS, judged, ours, read_pairs
from llm.rewards.math_worker import equal
from llm.rewards.mathematics import MathJudge
from llm.rewards.verify import check_reference, same_mathematics

LINES = PAIRS.read_text().splitlines()
BY_KIND = defaultdict(list)
for _line, _pair in zip(LINES, read_pairs(PAIRS), strict=True):
    BY_KIND[json.loads(_line)["kind"]].append(_pair)
UNREADABLE = {"nan", "7''", r"5 \text{ R } 3"}
"""References that are refused when data are loaded."""


@pytest.mark.parametrize("kind", BY_KIND)
def test_pairs_are_judged_rightly(kind):
    done = judged(BY_KIND[kind], ours)
    assert done.mistakes(right=False) == []
    assert done.mistakes(right=True) == []
    assert max(done.seconds) < 6


def test_every_kind_has_right_and_wrong_pairs():
    assert sum(map(len, BY_KIND.values())) >= 150
    for pairs in BY_KIND.values():
        assert {pair.right for pair in pairs} == {True, False}


def test_the_references_can_be_read():
    for pairs in BY_KIND.values():
        for pair in pairs:
            if pair.reference not in UNREADABLE:
                check_reference("math", pair.reference)
                assert equal(pair.reference, f" {pair.reference} ")


def test_the_peer_is_asked_in_the_same_way():
    with MathJudge(60.0, "benchmarks.math_verify_worker") as peer:
        assert peer.equal("1/2", "0.5")
        assert not peer.equal("1/2", "0.6")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.2345678901", "1.23456789012", True),  # the longer rounds to the shorter
        ("1.23456789012", "1.2345678901", True),
        ("1.2345678901", "1.2345678902", False),
        ("1.234567", "1.23456712345", False),
        ("0.9999999999", "1", False),
        ("0.6666666666", "2/3", True),  # cut off
        ("0.6666666667", "2/3", True),  # rounded
        ("0.6666666668", "2/3", False),
        ("0.666667", "2/3", False),
    ],
)
def test_decimals_of_many_digits_stand_for_what_rounds_to_them(one, other, same):
    assert same_mathematics(one, other) == same_mathematics(other, one) == same


NOTATIONS = {
    "fraction": lambda v: f"{v.numerator}/{v.denominator}",
    "LaTeX": lambda v: rf"\frac{{{v.numerator}}}{{{v.denominator}}}",
    "sign in front": lambda v: f"-{-v.numerator}/{v.denominator}" if v < 0 else f"+{v}",
    "unreduced": lambda v: rf"\dfrac{{{6 * v.numerator}}}{{{6 * v.denominator}}}",
    "mixed": lambda v: (
        f"{'-' if v < 0 else ''}{abs(v) // 1} {abs(v) % 1}" if v % 1 and abs(v) > 1 else str(v)
    ),
    "named": lambda v: f"x = {v}",
    "with a unit": lambda v: rf"{v} \text{{ cm}}",
}
RATIONALS = st.fractions(min_value=-50, max_value=50, max_denominator=60)


@given(RATIONALS, RATIONALS, st.sampled_from(sorted(NOTATIONS)), st.sampled_from(sorted(NOTATIONS)))
def test_numbers_are_equal_if_they_are_however_they_are_written(one, other, how, otherwise):
    reference, answer = NOTATIONS[how](one), NOTATIONS[otherwise](one)
    assert same_mathematics(reference, answer)
    assert same_mathematics(reference, NOTATIONS[otherwise](other)) == (one == other)


@given(st.integers(1, 10**8), st.integers(-40, 40), st.integers(1, 10**8), st.integers(-40, 40))
def test_decimals_are_compared_relatively(digits, exponent, others, other_exponent):
    def written(mantissa, power):
        return f"{mantissa}e{power:+03d}", rf"{mantissa} \times 10^{{{power}}}"

    value = Fraction(digits) * Fraction(10) ** exponent
    other = Fraction(others) * Fraction(10) ** other_exponent
    for reference in written(digits, exponent):
        for answer in written(digits, exponent):
            assert same_mathematics(reference, answer)
        for answer in written(others, other_exponent):
            assert same_mathematics(reference, answer) == (value == other)


@given(st.integers(10, 10**6), st.integers(1, 10**6))
def test_a_few_digits_are_no_fraction_but_many_are(over, under):
    value = Fraction(over, under)
    fraction = f"{over}/{under}"
    assert same_mathematics(fraction, f"{float(value):.12e}")
    if Fraction(f"{float(value):.4e}") != value:
        assert not same_mathematics(fraction, f"{float(value):.4e}")
