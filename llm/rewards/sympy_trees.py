"""From trees to sympy's expressions and sets, with a limit on the digits of what is worked out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sympy

from llm.rewards.notation.trees import LARGEST, Node, Number, Symbol, Tree

LARGEST_ARGUMENT = 5000
"""Of factorials and binomial coefficients."""

LARGEST_EXPONENT = 20_000
"""Of anything but numbers, which have LARGEST bits."""

CONSTANTS = {
    "e": sympy.E,
    "i": sympy.I,
    "\\pi": sympy.pi,
    "\\infty": sympy.oo,
}
NUMBER_SETS = {
    "\\mathbb{R}": sympy.S.Reals,
    "\\mathbb{Z}": sympy.S.Integers,
    "\\mathbb{N}": sympy.S.Naturals,
    "\\mathbb{Q}": sympy.S.Rationals,
    "\\mathbb{C}": sympy.S.Complexes,
    "\\mathbb{R}^{+}": sympy.Interval.open(0, sympy.oo),
    "\\mathbb{Z}^{+}": sympy.S.Naturals,
}


class TooLarge(ValueError):
    """A number of more digits than are worked out."""


class Converter:
    """Turns trees into sympy's expressions.

    Attributes:
        base: of logarithms that do not name theirs.
    """

    def __init__(self, base: sympy.Expr) -> None:
        self.base = base
        self.bound: dict[str, sympy.Dummy] = {}

    def convert(self, tree: Tree) -> Any:
        """Return the expression of a tree.

        Raises:
            TooLarge: if it takes a number of too many digits.
            KeyError: if an operation is unknown.
        """
        match tree:
            case Number(value):
                return sympy.Rational(value.numerator, value.denominator)
            case Symbol(name):
                return self.bound.get(name) or CONSTANTS.get(name) or sympy.Symbol(name)
            # Nothing is known of f: f(x) is a variable by that name, and f(2) another.
            case Node("apply", (Symbol(name), *arguments)):
                return sympy.Symbol(f"{name}({', '.join(str(self.convert(a)) for a in arguments)})")
            case Node("sum" | "prod" | "int" | "lim"):
                return self._bound(tree)
            case Node("matrix", rows):
                return sympy.Matrix([list(map(self.convert, row.parts)) for row in rows])  # type: ignore[union-attr]
            case Node("log", (argument,)):
                return sympy.log(self.convert(argument), self.base)
        return OPERATIONS[tree.head](*map(self.convert, tree.parts))

    def _bound(self, tree: Node) -> Any:
        """An operation with a variable of its own."""
        body, variable, *limits = tree.parts
        assert isinstance(variable, Symbol)
        ends = [self.convert(limit) for limit in limits]
        inner = Converter(self.base)
        # The k of a sum is no k outside of it, and a dummy equals nothing but itself.
        own = sympy.Dummy(variable.name)
        inner.bound = {**self.bound, variable.name: own}
        term = inner.convert(body)
        match tree.head:
            case "sum":
                return sympy.Sum(term, (own, *ends)).doit()
            case "prod":
                return sympy.Product(term, (own, *ends)).doit()
            case "lim":
                # From both sides, but infinity has only one.
                return sympy.Limit(term, own, ends[0], "+-" if ends[0].is_finite else "-").doit()
        if not ends:  # an antiderivative, of the variable itself
            return sympy.integrate(term, own).xreplace({own: self.convert(variable)})
        return sympy.Integral(term, (own, *ends)).doit()


if TYPE_CHECKING:  # sympy has no types, and a class without a known base cannot be checked
    Function = object
else:
    Function = sympy.Function


class Gcd(Function):
    """The greatest common divisor of whole numbers."""

    @classmethod
    def eval(cls, *values: Any) -> Any:
        """Its value, once the arguments have theirs; sympy.gcd takes a and b for coprime."""
        return sympy.igcd(*values) if all(v.is_Integer for v in values) else None


class Lcm(Function):
    """The least common multiple of whole numbers."""

    @classmethod
    def eval(cls, *values: Any) -> Any:
        """Its value, once the arguments have theirs."""
        return sympy.ilcm(*values) if all(v.is_Integer for v in values) else None


def _power(base: Any, exponent: Any) -> Any:
    if exponent.is_Rational and base.is_Rational:
        # A power has about as many digits as its base, times the exponent.
        if abs(exponent) * (base.p.bit_length() + base.q.bit_length()) > LARGEST:
            raise TooLarge
    elif exponent.is_Rational and abs(exponent) > LARGEST_EXPONENT:
        raise TooLarge
    return base**exponent


def _root(radicand: Any, degree: Any) -> Any:
    """The real root of a negative number if the degree is odd."""
    # sympy's root of -8 is complex; in answers \sqrt[3]{-8} is -2.
    if degree.is_odd and radicand.is_negative:
        return -((-radicand) ** (1 / degree))
    return radicand ** (1 / degree)


def _limited(function: Callable[..., Any]) -> Callable[..., Any]:
    def limited(*arguments: Any) -> Any:
        if any(a.is_Rational and abs(a) > LARGEST_ARGUMENT for a in arguments):
            raise TooLarge
        return function(*arguments)

    return limited


def _sum(*terms: Any) -> Any:
    # One by one with +, which matrices have too.
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": _sum,
    "*": lambda one, other: one * other,
    "/": lambda over, under: over / under,
    "neg": lambda value: -value,
    "^": _power,
    "root": _root,
    "pct": lambda value: value / 100,
    "deg": lambda value: value * sympy.pi / 180,
    "!": _limited(sympy.factorial),
    "!!": _limited(sympy.factorial2),
    "binom": _limited(sympy.binomial),
    "abs": sympy.Abs,
    "norm": sympy.Function("norm"),
    "floor": sympy.floor,
    "ceil": sympy.ceiling,
    "max": sympy.Max,
    "min": sympy.Min,
    "gcd": Gcd,
    "lcm": Lcm,
    "bmod": sympy.Mod,
    "log": sympy.log,
    "ln": sympy.log,
    "lg": lambda value: sympy.log(value, 10),
    "det": lambda matrix: matrix.det(),
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "cot": sympy.cot,
    "sec": sympy.sec,
    "csc": sympy.csc,
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "tanh": sympy.tanh,
    "arcsin": sympy.asin,
    "arccos": sympy.acos,
    "arctan": sympy.atan,
}


def set_of(tree: Tree) -> sympy.Set:
    """Return the set of numbers that a tree describes.

    Raises:
        LookupError: if it describes none.
    """
    if isinstance(tree, Symbol):
        return NUMBER_SETS[tree.name]
    assert isinstance(tree, Node)
    head, parts = tree.head, tree.parts
    if head.startswith("interval"):
        low, high = map(Converter(sympy.E).convert, parts)
        # sympy is told which ends are open.
        return sympy.Interval(low, high, head[-2] == "(", head[-1] == ")")
    if head == "finite":
        return sympy.FiniteSet(*map(Converter(sympy.E).convert, parts))
    operation = {
        "union": sympy.Union,
        "intersection": sympy.Intersection,
        "difference": sympy.Complement,
    }[head]
    return operation(*map(set_of, parts))
