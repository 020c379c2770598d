"""What algebra decides: identities, and things that are nearly identities."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.rewards.algebra import decide
from llm.rewards.equality import NeedsAlgebra, by_arithmetic
from llm.rewards.notation.reader import read
from llm.rewards.notation.regions import region_of


def tree(text):
    return read(text)[0].tree


def region(text):
    return region_of(read(text)[0]).tree


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(x+y)^3", "x^3+3x^2y+3xy^2+y^3"),
        (r"\tan x", r"\frac{\sin x}{\cos x}"),
        (r"\arcsin x + \arccos x", r"\frac{\pi}{2}"),
        (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"),
        (r"\ln(xy)", r"\ln x + \ln y"),
        (r"(\sqrt{x})^2", "x"),
        ("(-1)^{2n}", "1^n"),
        (r"\cos(\pi n)", "(-1)^n"),
        (r"\frac{n!}{(n-2)!}", "n(n-1)"),
        (r"\sum_{k=1}^n (2k-1)", "n^2"),
        (r"\sum_{k=0}^n \binom{n}{k}", "2^n"),
        (r"\sum_{k=1}^n k^k", r"\sum_{j=1}^n j^j"),
        (r"\prod_{k=1}^n k", "n!"),
        (r"\int_0^x t^2 dt", r"\frac{x^3}{3}"),
        (r"\lim_{n\to\infty} (1+\frac{1}{n})^n", "e"),
        (r"\gcd(12, 18)", "6"),
        (r"|x|^2", "x^2"),
        (r"\sqrt[3]{-8}", "-2"),
        (r"\log_2 x", r"\frac{\ln x}{\ln 2}"),
        (r"\log 1000", "3"),
        (r"\log x", r"\ln x"),
        (r"e^{i\pi}+1", "0"),
        (r"\sin^2 1 + \cos^2 1 - 1", "0"),
        (r"\infty", r"\infty + 1"),
    ],
)
def test_identities(one, other):
    assert decide("equal", tree(one), tree(other))
    assert decide("equal", tree(other), tree(one))
    assert not decide("equal", tree(one), tree(f"{other} + 10^{{-30}}")) or "infty" in one


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("|x|", "x"),
        (r"\sqrt{x^2}", "x"),
        (r"\lfloor x \rfloor", "x"),
        (r"\gcd(a,b)", "1"),
        (r"\max(a,b)", "a"),
        ("f(x)", "f(y)"),
        (r"\sqrt{10^{30}+1}", "10^{15}"),
        (r"e^{\pi\sqrt{163}}", "262537412640768744"),
        ("e^{-200}", "0"),
        ("e^{-200}", "e^{-201}"),
        (r"\frac{1}{0}", r"\frac{2}{0}"),
        (r"\frac{0}{0}", "1"),
        (r"\infty - \infty", "0"),
        (r"\infty", r"-\infty"),
        ("x^{100000}", "x^{100001}"),
        (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
        (r"\begin{pmatrix}1&2\end{pmatrix}", "3"),
        ("n!!", "n!"),
    ],
)
def test_near_identities(one, other):
    assert not decide("equal", tree(one), tree(other))
    assert not decide("equal", tree(other), tree(one))


POLYNOMIALS = st.lists(st.integers(-9, 9), min_size=1, max_size=5)


@settings(max_examples=25)
@given(POLYNOMIALS, POLYNOMIALS, st.integers(0, 4), st.sampled_from([1, -1]))
def test_a_product_equals_its_expansion_and_nothing_beside_it(one, other, place, change):
    def written(coefficients):
        return "+".join(f"({c})x^{{{i}}}" for i, c in enumerate(coefficients))

    expanded = [0] * (len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            expanded[i + j] += a * b
    factors = tree(f"({written(one)})({written(other)})")
    assert decide("equal", factors, tree(written(expanded)))
    expanded[place % len(expanded)] += change
    assert not decide("equal", factors, tree(written(expanded)))


@pytest.mark.parametrize(
    ("one", "other", "multiple", "positive"),
    [
        ("x-y", "2x-2y", True, True),
        ("x-y", "y-x", True, False),
        ("x-y", "x+y", False, False),
        ("x", "x^2", False, False),
        ("x-x", "x", False, False),
        ("3", "6", True, True),
        ("3", "-6", True, False),
        ("3", "0", False, False),
    ],
)
def test_multiples(one, other, multiple, positive):
    assert decide("multiple", tree(one), tree(other)) == multiple
    assert decide("positive multiple", tree(one), tree(other)) == positive


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x \\ne 0", "(-\\infty,0)\\cup(0,\\infty)", True),
        ("[0,1]\\cup[1,2]", "[0,2]", True),
        ("[0,1)\\cup(1,2]", "[0,2]", False),
        ("[0,2]\\cap[1,3]", "[1,2]", True),
        ("x>1 and x<2", "(1,2)", True),
        ("x<1 or x>2", "\\mathbb{R}\\setminus[1,2]", True),
        ("\\mathbb{R}", "\\mathbb{Q}", False),
        ("(a,b+b)", "(a,2b)", True),
        ("(a,b)", "[a,b]", False),
        ("(\\frac{1-\\sqrt{5}}{2},1)", "(-\\frac{2}{1+\\sqrt{5}},1)", True),
    ],
)
def test_regions(one, other, same):
    assert decide("region", region(one), region(other)) == same


def test_a_decimal_of_many_digits_is_near_what_rounds_to_it():
    assert decide("near", tree(r"\sqrt{2}"), tree("1.4142135624"))
    assert not decide("near", tree(r"\sqrt{2}"), tree("1.4142135634"))


def test_arithmetic_leaves_the_rest_to_algebra():
    assert by_arithmetic("equal", tree("2^{100}/4"), tree("2^{98}"))
    assert not by_arithmetic("equal", tree("0.1"), tree("1/11"))
    for one, other in (("x", "y"), (r"\sqrt{4}", "2"), ("10^{10^{10}}", "1")):
        with pytest.raises(NeedsAlgebra):
            by_arithmetic("equal", tree(one), tree(other))
