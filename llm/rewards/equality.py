"""Whether two statements say the same: lists, sets, intervals, equations, values with units.

Only values are compared by algebra, and algebra is left to whoever asks: see :data:`Decide`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from llm.rewards.notation import vocabulary as known
from llm.rewards.notation.assignments import (
    Assigned,
    as_point,
    assigned,
    names_a_quantity,
    same_name,
    spread_out,
)
from llm.rewards.notation.regions import region_of
from llm.rewards.notation.statements import (
    Braces,
    Builder,
    Cases,
    Labelled,
    Phrase,
    Ratio,
    Relation,
    Row,
    Several,
    Statement,
    Value,
)
from llm.rewards.notation.trees import (
    PI,
    Node,
    Number,
    Symbol,
    Tree,
    contains,
    is_carried_out,
    is_numeral,
    negative,
    node,
    rational,
)

Decide = Callable[[str, Tree, Tree], bool]
"""Answers a question about two trees:

- "equal": they have the same value for all values of their variables;
- "near": they are constants closer to each other than the step of the second, a numeral;
- "multiple": the second is a constant other than 0 times the first; "positive multiple" likewise;
- "region": they are the same set of numbers.
"""

_MIRRORED = {">": "<", ">=": "<="}
_SYMMETRIC = frozenset(("\\parallel", "\\perp", "\\sim", "\\cong", "\\equiv"))
_MEASURED = frozenset(("=", "!=", "<", "<=", ">", ">=", "~"))
"""Signs between values of which only the difference matters."""


class NeedsAlgebra(Exception):
    """A question that arithmetic cannot answer."""


def by_arithmetic(question: str, one: Tree, other: Tree) -> bool:
    """Decide what numerals alone decide.

    Raises:
        NeedsAlgebra: if that is not enough.
    """
    if one == other and question != "near":
        return True
    first, second = rational(one), rational(other)
    if first is None or second is None or question == "region":
        raise NeedsAlgebra
    match question:
        case "equal":
            return first == second
        case "near":
            return isinstance(other, Number) and abs(first - second) < (other.step or 1)
        case "multiple":
            # Numbers other than 0 are multiples of each other, and 0 of itself alone.
            return (first == 0) == (second == 0)
    return first * second > 0 or first == second


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares an answer with a reference.

    What only one of them adds may be left out: the name of what is found ("x = 5"), the letter of
    an option, a unit, a modulus. Where both give one, they must be the same.

    Attributes:
        decide: answers questions about trees.
    """

    decide: Decide

    def same(self, reference: Statement, answer: Statement) -> bool:
        """Return whether the answer says what the reference says.

        Args:
            reference: what is right.
            answer: what was given. The order matters: where the reference is a number, an answer
                may not leave a calculation to be done.

        Raises:
            NeedsAlgebra: if `decide` cannot answer a question, as :func:`by_arithmetic` may not.
        """
        reference, answer = spread_out(reference), spread_out(answer)
        if reference == answer:
            return True
        if isinstance(reference, Labelled) or isinstance(answer, Labelled):
            return self._labelled(reference, answer)
        if isinstance(reference, Relation) and isinstance(answer, Relation):
            same = self._relations(reference, answer)
        elif isinstance(reference, Relation) or isinstance(answer, Relation):
            same = self._valued(reference, answer)
        else:
            same = self._alike(reference, answer)
        return same or self._regions(reference, answer)

    def _pairwise(self, reference: Sequence[Statement], answer: Sequence[Statement]) -> bool:
        return len(reference) == len(answer) and all(map(self.same, reference, answer))

    def _labelled(self, reference: Statement, answer: Statement) -> bool:
        match reference, answer:
            # An option is known by its letter as well as by what it stands for, but not by another
            # letter.
            case Labelled(letter, content), Labelled(other, found):
                return letter == other and self.same(content, found)
            case Labelled(letter, content), _:
                return answer == Value(Symbol(letter)) or self.same(content, answer)
            case _, Labelled(letter, content):
                return reference == Value(Symbol(letter)) or self.same(reference, content)
        return False

    # What stands without a sign of equality or order.

    def _alike(self, reference: Statement, answer: Statement) -> bool:
        match reference, answer:
            case Value(), Value():
                return self._values(reference, answer)
            case Row(), Row():
                return _same_brackets(reference, answer) and self._pairwise(
                    reference.items, answer.items
                )
            case Phrase(), Phrase():
                return self._pairwise(reference.parts, answer.parts)
            case Builder(), Builder():
                pairs = (reference.element, answer.element), (reference.condition, answer.condition)
                return all(self.same(*pair) for pair in pairs)
            case Cases(), Cases():
                return len(reference.rows) == len(answer.rows) and all(
                    map(self._pairwise, reference.rows, answer.rows)
                )
            case (Ratio(), Ratio()) | (Ratio(), Value()) | (Value(), Ratio()):
                return self._ratios(reference, answer)
            case (Row(), Several()) | (Several(), Row()):
                return self._in_order(reference, answer)
            case (Row(), _) | (_, Row()):
                return False
        if isinstance(reference, Several | Braces) or isinstance(answer, Several | Braces):
            return self._lists(reference, answer)
        return False

    def _lists(self, reference: Statement, answer: Statement) -> bool:
        """Unordered lists: every item of one in the other, as often except in braces."""
        ours, theirs = _items(reference), _items(answer)
        if isinstance(reference, Several) and isinstance(answer, Several):
            point = as_point(reference)
            if point is not None and as_point(answer) is None:
                # Names give places: for x = 1, y = 2 the list 2, 1 is wrong.
                return self._pairwise(point.items, theirs)
        # Elements of a set count once: {1, 1, 2} is {1, 2}.
        if isinstance(reference, Braces) or isinstance(answer, Braces):
            return all(any(self.same(one, other) for other in theirs) for one in ours) and all(
                any(self.same(one, other) for one in ours) for other in theirs
            )
        if len(ours) != len(theirs):
            return False
        # An item that was matched is used up: the list 1, 1, 2 is not 1, 2, 2.
        left = list(theirs)
        for one in ours:
            found = next((i for i, other in enumerate(left) if self.same(one, other)), None)
            if found is None:
                return False
            del left[found]
        return True

    def _in_order(self, reference: Statement, answer: Statement) -> bool:
        """(1, 2) as x = 1, y = 2, or with its brackets left out."""
        if isinstance(reference, Several):
            point = as_point(reference)
            return point is not None and self.same(point, answer)
        assert isinstance(reference, Row)
        assert isinstance(answer, Several)
        point = as_point(answer)
        if point is not None:
            return self._pairwise(reference.items, point.items)
        return self._pairwise(reference.items, answer.items)

    def _ratios(self, reference: Statement, answer: Statement) -> bool:
        ours, theirs = _terms(reference), _terms(answer)
        units = reference.unit, answer.unit  # type: ignore[union-attr]
        if len(ours) != len(theirs) or (all(units) and units[0] != units[1]):
            return False
        # By products instead of quotients: terms may be 0, and numerals stay what is written.
        return all(
            self.decide("equal", node("*", ours[0], other), node("*", theirs[0], one))
            for one, other in zip(ours[1:], theirs[1:], strict=True)
        )

    # Values.

    def _values(self, reference: Value, answer: Value, carried_out: bool = True) -> bool:
        """Whether two values agree, with their units.

        Args:
            reference: the value of the reference answer.
            answer: the value that was given.
            carried_out: where the reference is a numeral, no calculation may be left to do.
        """
        if is_numeral(reference.tree) and not answer.unit:
            answer = _with_letter_as_unit(answer)
        units = {_unit(reference), _unit(answer)} - {""}
        if len(units) > 1 or (carried_out and _leaves_work(reference.tree, answer.tree)):
            return False
        # 10 mod 7 is 3 mod 7.
        if reference.unit.startswith("mod ") and _congruent(reference, answer):
            return True
        return any(
            self._equal(one, other) for one, other in _unfactored(reference.tree, answer.tree)
        )

    def _equal(self, one: Tree, other: Tree) -> bool:
        """Exactly equal, or equal to a decimal of many digits as far as it goes."""
        rounded = [
            (tree, decimal)
            for tree, decimal in ((one, other), (other, one))
            if isinstance(decimal, Number) and decimal.is_rounded
        ]
        if not rounded:
            return self.decide("equal", one, other)
        return any(self.decide("near", *pair) for pair in rounded)

    # Equations and inequalities.

    def _valued(self, reference: Statement, answer: Statement) -> bool:
        """Whether x = 5 says 5, or 6 * 7 = 42 says 42."""
        ours, theirs = assigned(reference), assigned(answer, names_a_quantity)
        if ours is None or theirs is None:
            return False
        # 6 * 7 = 42 = 43 would otherwise earn the reward of either number.
        if not self._consistent(ours) or not self._consistent(theirs):
            return False
        return any(self.same(one, other) for one in ours.sides for other in theirs.sides)

    def _consistent(self, chain: Assigned) -> bool:
        """Whether the sides of a chain are equal, or about equal, as it says."""
        sides = chain.sides
        for one, other, sign in zip(sides[:-1], sides[1:], chain.signs, strict=True):
            match one, other:
                case Value(), Value() if sign == "~":
                    if not self._about(one, other):
                        return False
                case Value(), Value():
                    if not self._values(one, other, carried_out=False):
                        return False
                case _:
                    if not self.same(one, other):
                        return False
        return True

    def _about(self, exact: Value, decimal: Value) -> bool:
        return isinstance(decimal.tree, Number) and self.decide("near", exact.tree, decimal.tree)

    def _relations(self, reference: Relation, answer: Relation) -> bool:
        """Whether both give the same value to the same name, or one is a multiple of the other."""
        ours, theirs = assigned(reference), assigned(answer)
        if ours and theirs and same_name(ours.name, theirs.name):
            return self._valued(reference, answer)
        # Where only the difference of the sides matters, terms may stand on either side.
        if not _MEASURED.issuperset(reference.signs):
            return self._same_sides(reference, answer)
        pairs, others = _differences(reference), _differences(answer)
        if not pairs or not others or len(pairs) != len(others):
            return False
        left = list(others)
        for sign, tree in pairs:
            # An inequality may be multiplied by positive numbers alone, an equation by any.
            question = "positive multiple" if sign in ("<", "<=") else "multiple"
            matching = [
                i for i, (s, t) in enumerate(left) if s == sign and self.decide(question, tree, t)
            ]
            if not matching:
                return False
            del left[matching[0]]
        return True

    def _same_sides(self, reference: Relation, answer: Relation) -> bool:
        """Whether the same things are parallel, similar, in each other."""
        if reference.signs != answer.signs:
            return False
        # AB \parallel CD is CD \parallel AB.
        turned = answer.sides[::-1] if _SYMMETRIC.issuperset(answer.signs) else answer.sides
        return any(self._pairwise(reference.sides, sides) for sides in (answer.sides, turned))

    def _regions(self, reference: Statement, answer: Statement) -> bool:
        """Whether both are the same set of numbers, unless they are two points."""
        # They were compared already. As intervals the points (2, 1) and (3, 1) are both empty, and
        # equal.
        if type(reference) is type(answer) and isinstance(reference, Row | Value | Braces):
            return False
        ours, theirs = region_of(reference), region_of(answer)
        # x > 3 is not y > 3.
        if ours is None or theirs is None or len({ours.name, theirs.name} - {None}) > 1:
            return False
        return self.decide("region", ours.tree, theirs.tree)


def _items(statement: Statement) -> tuple[Statement, ...]:
    return statement.items if isinstance(statement, Several | Braces) else (statement,)


def _same_brackets(one: Row, other: Row) -> bool:
    """Whether two rows have the same kind of brackets; it matters in pairs, [1, 2) and (1, 2)."""
    brackets = [(row.opener + row.closer).replace("\\langle\\rangle", "()") for row in (one, other)]
    return len(one.items) != 2 or brackets[0] == brackets[1]


def _terms(statement: Statement) -> tuple[Tree, ...]:
    if isinstance(statement, Ratio):
        return statement.terms
    assert isinstance(statement, Value)
    return statement.tree, Number(Fraction(1))


def _with_letter_as_unit(answer: Value) -> Value:
    """5m as 5 metres, where a number is wanted."""
    match answer.tree:
        case Node("*", (amount, Symbol(letter))) if letter in known.ITALIC_UNIT_LETTERS:
            return Value(amount, letter) if is_numeral(amount) else answer
    return answer


def _unit(value: Value) -> str:
    """The unit of a value; that of 45^\\circ is a factor too."""
    if isinstance(value.tree, Node) and value.tree.head in known.FACTORS.values():
        return value.tree.head
    return value.unit


def _leaves_work(reference: Tree, answer: Tree) -> bool:
    """Whether a number is wanted and the answer has still to be worked out; 90° may be pi / 2."""
    if isinstance(reference, Node) and reference.head == "deg" and contains(answer, PI):
        return False
    return is_numeral(reference) and not is_carried_out(answer)


def _congruent(reference: Value, answer: Value) -> bool:
    """Whether both give the same residue class of the same modulus."""
    one, other = rational(reference.tree), rational(answer.tree)
    modulus = reference.unit.removeprefix("mod ")
    if (
        answer.unit != reference.unit
        or one is None
        or other is None
        or not modulus.isdecimal()
        or int(modulus) == 0
    ):
        return False
    return (one - other) % int(modulus) == 0


def _unfactored(reference: Tree, answer: Tree) -> list[tuple[Tree, Tree]]:
    """The pairs to compare: 50% is 1/2, and 50 where percentages are asked for; so with degrees.

    A number between 0 and 1 is a share itself: 0.5 is not 0.5%.
    """
    pairs = [(reference, answer)]
    match reference, answer:
        case Node(("pct" | "deg") as head, (inner,)), Node(other, (found,)) if head == other:
            return [(inner, found)]
        case Node("pct" | "deg", (inner,)), _ if not _is_share(answer):
            pairs.append((inner, answer))
        case _, Node("pct" | "deg", (inner,)) if not _is_share(reference):
            pairs.append((reference, inner))
    return pairs


def _is_share(tree: Tree) -> bool:
    value = rational(tree)
    return value is not None and 0 < abs(value) < 1


def _differences(relation: Relation) -> list[tuple[str, Tree]]:
    """Each sign of a chain with its left side minus its right one; > turned into <."""
    found: list[tuple[str, Tree]] = []
    sides = relation.sides
    for left, right, sign in zip(sides[:-1], sides[1:], relation.signs, strict=True):
        if not isinstance(left, Value) or not isinstance(right, Value) or sign not in _MEASURED:
            return []
        small, big = (right, left) if sign in _MIRRORED else (left, right)
        unit = left.unit or right.unit
        sign = _MIRRORED.get(sign, sign)
        found.append((f"{sign} {unit}".strip(), node("+", small.tree, negative(big.tree))))
    return found
