r"""From tokens to a tree, by recursive descent: sums of products of powers of atoms.

What LaTeX prints decides: ``2^10`` is 2^1 followed by a 0, and a number cannot follow another
factor without a sign between them, so that "1 2" and "x2" are not read. A whole number before a
proper fraction makes a mixed number, as in school; ``\sin 2x`` is the sine of 2x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from llm.rewards.notation.token_lists import split, text_of
from llm.rewards.notation.tokens import CLOSED_BY, CLOSERS, OPENERS, Token, Unreadable
from llm.rewards.notation.trees import Node, Number, Symbol, Tree, negative, node
from llm.rewards.notation.vocabulary import ACCENTS, FUNCTIONS, OF_SEVERAL

FUNCTION_LETTERS = frozenset(("f", "g", "h", "F", "G", "H", "\\phi", "\\varphi", "\\psi"))
"""Letters that are a function and not a factor before an opening bracket."""

INVERSES = {name: f"arc{name}" for name in ("sin", "cos", "tan")}
MATRICES = ("matrix", "pmatrix", "bmatrix", "array", "smallmatrix")


def read_expression(tokens: Sequence[Token], tight: bool = False) -> Tree:
    """Read the tree of an expression.

    Args:
        tokens: all of it, brackets matched.
        tight: read a/bc as a/(bc) rather than as (a/b)c.

    Raises:
        Unreadable: if it is not one expression from its first to its last token.
    """
    parser = _Parser(tokens, tight)
    tree = parser.parted()
    if (rest := parser.next) is not None:
        raise Unreadable(f"{rest.text!r} where an expression should end")
    return tree


class _Parser:
    """Takes tokens off the front; each method reads one layer of the grammar."""

    def __init__(self, tokens: Sequence[Token], tight: bool) -> None:
        self.tokens, self.tight = list(tokens), tight
        self.at = 0
        self.bars = 0  # absolute values that are open

    # Tokens.

    @property
    def next(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def sees(self, *marks: str) -> bool:
        return self.next is not None and self.next.is_mark(*marks)

    def take(self) -> Token:
        token = self.next
        if token is None:
            raise Unreadable("an expression that breaks off")
        self.at += 1
        return token

    def took(self, *marks: str) -> Token | None:
        return self.take() if self.sees(*marks) else None

    def expect(self, mark: str) -> None:
        if not self.took(mark):
            raise Unreadable(f"no {mark!r} where one is needed")

    # Sums and products.

    def sum(self) -> Tree:
        terms = [self.term()]
        while sign := self.took("+", "-", "\\pm", "\\mp"):
            terms.append(_signed(sign, self.term()))
        return terms[0] if len(terms) == 1 else Node("+", tuple(terms))

    def term(self) -> Tree:
        if sign := self.took("+", "-", "\\pm", "\\mp"):
            return _signed(sign, self.term())
        left = self.factors()
        while sign := self.took("*", "/", "\\bmod"):
            # In a/bc only b is divided by; the tight reading takes bc whole, as many write it.
            if sign.text == "/" and not self.tight:
                left = node("/", left, self.signed(self.power))
                while self.starts_factor():
                    left = node("*", left, self.power())
            else:
                head = {"\\bmod": "bmod"}.get(sign.text, sign.text)
                left = node(head, left, self.signed(self.factors))
        return left

    def signed(self, read: Callable[[], Tree]) -> Tree:
        if sign := self.took("+", "-"):
            return _signed(sign, self.signed(read))
        return read()

    def factors(self) -> Tree:
        """Read factors without a sign between them."""
        start = self.next
        product = self.power()
        # Behind a bare whole number alone: 2 3/4 is a mixed number, 2^2 3/4 is none.
        if start is not None and start.text.isdecimal() and self.tokens[self.at - 1] is start:
            product = self.mixed(product)
        while self.starts_factor():
            product = node("*", product, self.power())
        return product

    def mixed(self, whole: Tree) -> Tree:
        r"""Read 1 3/4 or 1\frac34, if a fraction follows the whole number."""
        assert isinstance(whole, Number)
        ahead = self.tokens[self.at : self.at + 3]
        if [token.kind for token in ahead] == ["number", "mark", "number"] and ahead[0].spaced:
            part: Tree = read_expression(ahead, self.tight)
            self.at += 3
        elif self.sees("\\frac"):
            part = self.power()
        else:
            return whole
        match part:
            case Node("/", (Number(over), Number(under))) if 0 < over < under:
                return Number(whole.value + over / under)
        # 1 5/4 is no mixed number, and a product would need a sign; 2\frac{a}{b} is a product.
        if ahead[0].kind == "number":
            raise Unreadable(f"{ahead[0].text!r} beside a number")
        return node("*", whole, part)

    def starts_factor(self) -> bool:
        token = self.next
        # No number behind a factor: in "x2" or "1 2" a sign is missing, and which is a guess.
        if token is None or token.kind in ("number", "word"):
            return False
        # Inside of bars the next bar closes them.
        if token.kind == "symbol" or (token.text == "|" and not self.bars):
            return True
        return token.is_mark(*_FACTORS)

    # Powers and other things that follow an atom.

    def power(self) -> Tree:
        tree = self.atom()
        while True:
            if self.took("!"):
                # n!! is the double factorial, not (n!)!.
                double = self.sees("!") and self.next is not None and not self.next.spaced
                tree = node("!!" if double and self.took("!") else "!", tree)
            elif self.took("%"):
                tree = node("pct", tree)
            elif self.took("\\degree"):
                tree = node("deg", tree)
            elif self.took("^"):
                tree = self.raised(tree)
            elif self.took("**"):
                tree = node("^", tree, self.signed(self.power))
            else:
                return tree

    def raised(self, base: Tree) -> Tree:
        # 90^\circ are degrees and no power.
        circle = [token.text for token in self.tokens[self.at : self.at + 3]]
        if "\\circ" in (circle or [""])[:1] or circle == ["{", "\\circ", "}"]:
            self.at += 1 if circle[0] == "\\circ" else 3
            return node("deg", base)
        exponent = self.script()
        if self.sees("^"):  # an error in TeX as well
            raise Unreadable("two exponents beside each other")
        return node("^", base, exponent)

    def script(self) -> Tree:
        """Read what stands behind ^ or _: an argument, or in plain writing (n+1) or -1."""
        if self.sees("("):
            return self.atom()
        if self.took("-"):
            return negative(self.atom())
        return self.argument()

    def argument(self) -> Tree:
        """Read a group in braces or, as TeX has it, a single digit or sign."""
        token = self.take()
        if token.is_mark("{"):
            return self.until("}")
        if token.kind == "number":
            first, rest = token.text[0], token.text[1:]
            if not token.text.isdecimal():
                raise Unreadable(f"{token.text!r} where braces are needed")
            if rest:  # the other digits stand behind the script, as TeX prints them
                self.at -= 1
                self.tokens[self.at] = Token("number", rest, value=Fraction(int(rest)))
            return Number(Fraction(int(first)))
        self.at -= 1
        if token.kind == "symbol":
            self.at += 1
            return Symbol(token.text)
        return self.atom()

    def until(self, closer: str) -> Tree:
        # \choose and \over part what braces hold, as in TeX.
        tree = self.parted() if closer == "}" else self.sum()
        self.expect(closer)
        return tree

    def parted(self) -> Tree:
        r"""Read a sum, or two as in {n \choose k} and {1 \over 2}."""
        tree = self.sum()
        if sign := self.took("\\choose", "\\over"):
            return node("/" if sign.text == "\\over" else "binom", tree, self.sum())
        return tree

    # Atoms.

    def atom(self) -> Tree:
        token = self.take()
        if token.kind == "number":
            return Number(token.value, token.step)
        if token.kind == "symbol":
            return self.symbol(token)
        name = token.text.removeprefix("\\")
        if token.kind == "mark":
            if token.text in _BRACKETED:
                head, closer = _BRACKETED[token.text]
                inner = self.until(closer)
                return inner if head is None else node(head, inner)
            if name in FUNCTIONS:
                return self.function(name)
            if name in OF_SEVERAL:
                return Node(name, self.listed())
            if name in ACCENTS:
                return Symbol(f"{token.text}{{{text_of(self.group())}}}")
            if token.text in _READERS:
                return _READERS[token.text](self)
        raise Unreadable(f"{token.text!r} where a value should stand")

    def bar(self) -> Tree:
        self.bars += 1
        inner = self.sum()
        self.expect("|")
        self.bars -= 1
        return node("abs", inner)

    def norm(self) -> Tree:
        inner = self.sum()
        self.expect("\\|")
        return node("norm", inner)

    def symbol(self, token: Token) -> Tree:
        """Read a variable with its index, its primes and, for a function, its arguments."""
        name = token.text
        if self.took("_"):
            name += f"_{{{text_of(self.script_tokens())}}}"
        if name.startswith("\\mathbb") and self.took("^"):
            name += f"^{{{text_of(self.script_tokens())}}}"
        name += self.primes()
        if name[0] in FUNCTION_LETTERS or token.text in FUNCTION_LETTERS:
            # f^{-1}(x) is the inverse function and not 1/f(x).
            if [t.text for t in self.tokens[self.at : self.at + 5]] == ["^", "{", "-", "1", "}"]:
                self.at += 5
                name += "^{-1}"
            if self.sees("("):
                return Node("apply", (Symbol(name), *self.listed()))
        if self.sees("(") and self.has_arguments():
            return Node("apply", (Symbol(name), *self.listed()))
        return Symbol(name)

    def has_arguments(self) -> bool:
        """Return whether the bracket that comes next holds a list, so that it is no factor."""
        here = self.at
        parts, _ = split(self.group(), (",",))
        self.at = here
        return len(parts) > 1

    def primes(self) -> str:
        found = ""
        while True:
            ahead = [token.text for token in self.tokens[self.at : self.at + 4]]
            if ahead[:1] == ["'"]:
                self.at += 1
            elif ahead[:2] == ["^", "\\prime"]:
                self.at += 2
            elif ahead == ["^", "{", "\\prime", "}"]:
                self.at += 4
            else:
                return found
            found += "'"

    def script_tokens(self) -> list[Token]:
        if self.sees("{", "("):
            return self.group()
        return [self.take()]

    def group(self) -> list[Token]:
        """Read the tokens of the brackets, or the single token, that comes next."""
        first = self.take()
        if not first.is_mark(*OPENERS):
            return [first]
        depth, start = 1, self.at
        while depth:
            token = self.take()
            depth += token.is_mark(*OPENERS) - token.is_mark(*CLOSERS)
        return self.tokens[start : self.at - 1]

    def listed(self) -> tuple[Tree, ...]:
        """Read values in brackets with commas between them."""
        opener = self.take()
        if not opener.is_mark("(", "[", "\\{", "{"):
            raise Unreadable(f"{opener.text!r} where arguments should stand")
        values = [self.sum()]
        while self.took(","):
            values.append(self.sum())
        self.expect(CLOSED_BY[opener.text])
        return tuple(values)

    # Functions and what is written with commands of its own.

    def function(self, name: str) -> Tree:
        base = self.script() if self.took("_") else None
        exponent = self.script() if self.took("^") else None
        # The index may come behind the exponent: \log^2_3 x.
        if base is None and self.took("_"):
            base = self.script()
        # \sin^{-1} x is \arcsin x, but \sin^2 x is (\sin x)^2.
        if exponent == Number(Fraction(-1)) and name in INVERSES:
            name, exponent = INVERSES[name], None
        argument = self.function_argument()
        if name == "exp":
            tree: Node = node("^", Symbol("e"), argument)
        elif name == "log" and base is not None:
            tree = node("log", argument, base)
        elif base is not None:
            raise Unreadable(f"an index to {name}")
        else:
            tree = node(name, argument)
        return tree if exponent is None else node("^", tree, exponent)

    def function_argument(self) -> Tree:
        """Read a bracket right behind the name, or all factors up to the next function."""
        if self.sees("(", "[", "{", "|"):
            return self.atom()
        tree = self.power()
        # \sin 2x is the sine of both factors, \sin x \cos x a product of two functions.
        while self.starts_factor() and not self.sees(*_FUNCTIONS):
            tree = node("*", tree, self.power())
        return tree

    def fraction(self) -> Tree:
        return self.derivative() or node("/", self.argument(), self.argument())

    def derivative(self) -> Symbol | None:
        r"""Read ``\frac{dy}{dx}`` as a name: its letters are no factors that could be cancelled."""
        start = self.at
        groups: list[list[Token]] = []
        while self.sees("{") and len(groups) < 2:
            groups.append(self.group())
        over, under = groups if len(groups) == 2 else ([], [])
        if len(under) > 1 and over and over[0].text == under[0].text in ("d", "\\partial"):
            return Symbol(f"{text_of(over)}/{text_of(under)}")
        self.at = start
        return None

    def binomial(self) -> Tree:
        return node("binom", self.argument(), self.argument())

    def root(self) -> Tree:
        degree: Tree = Number(Fraction(2))
        if self.took("["):
            degree = self.until("]")
        # As in plain writing: sqrt(x + 1).
        inner = self.atom() if self.sees("(") else self.argument()
        return node("root", inner, degree)

    def series(self) -> Tree:
        r"""Read ``\sum_{k=1}^n`` or ``\prod`` and the term behind it."""
        head = self.tokens[self.at - 1].text.removeprefix("\\")
        self.expect("_")
        lower = self.script_tokens()
        if len(lower) < 3 or lower[0].kind != "symbol" or not lower[1].is_mark("="):
            raise Unreadable(f"no first index of \\{head}")
        self.expect("^")
        last = self.script()
        # The term is a product: of \sum_k k + 1 only k is summed.
        index, first = Symbol(lower[0].text), read_expression(lower[2:], self.tight)
        return node(head, self.term(), index, first, last)

    def integral(self) -> Tree:
        bounds: tuple[Tree, ...] = ()
        if self.took("_"):
            low = self.script()
            self.expect("^")
            bounds = (low, self.script())
        ends = [
            i
            for i in range(self.at, len(self.tokens) - 1)
            if self.tokens[i].text == "d" and self.tokens[i + 1].kind == "symbol"
        ]
        if not ends:
            raise Unreadable("an integral without its variable")
        # Up to the first d before a letter; nothing stands there in \int dx.
        inside = self.tokens[self.at : ends[0]]
        self.at = ends[0] + 2
        body = read_expression(inside, self.tight) if inside else Number(Fraction(1))
        return Node("int", (body, Symbol(self.tokens[self.at - 1].text), *bounds))

    def limit(self) -> Tree:
        self.expect("_")
        below = self.script_tokens()
        if len(below) < 3 or below[0].kind != "symbol" or not below[1].is_mark("\\to"):
            raise Unreadable("a limit of nothing")
        return node("lim", self.term(), Symbol(below[0].text), read_expression(below[2:]))

    def figure(self) -> Tree:
        r"""Read ``\angle ABC`` and ``\triangle ABC`` as names."""
        name = self.tokens[self.at - 1].text + " "
        while self.next is not None and self.next.kind == "symbol":
            name += self.take().text
        return Symbol(name)

    def matrix(self) -> Tree:
        kind = self.take().text
        if kind not in (*MATRICES, "vmatrix"):
            raise Unreadable(f"an environment {kind}")
        rows: list[tuple[Tree, ...]] = []
        while not self.took("\\end"):
            cells = [self.sum()]
            while self.took("&"):
                cells.append(self.sum())
            rows.append(tuple(cells))
            if not self.sees("\\end"):
                self.expect("\\\\")
        if self.take().text != kind:
            raise Unreadable("environments that cross")
        if len({len(row) for row in rows}) != 1:
            raise Unreadable("rows of different lengths")
        matrix = Node("matrix", tuple(Node("row", row) for row in rows))
        # Bars around a matrix make it its determinant.
        return node("det", matrix) if kind == "vmatrix" else matrix


_BRACKETED: dict[str, tuple[str | None, str]] = {
    "(": (None, ")"),
    "[": (None, "]"),
    "{": (None, "}"),
    "\\lfloor": ("floor", "\\rfloor"),
    "\\lceil": ("ceil", "\\rceil"),
}
_READERS: dict[str, Callable[[_Parser], Tree]] = {
    "|": _Parser.bar,
    "\\|": _Parser.norm,
    "\\frac": _Parser.fraction,
    "\\binom": _Parser.binomial,
    "\\sqrt": _Parser.root,
    "\\sum": _Parser.series,
    "\\prod": _Parser.series,
    "\\int": _Parser.integral,
    "\\lim": _Parser.limit,
    "\\angle": _Parser.figure,
    "\\triangle": _Parser.figure,
    "\\begin": _Parser.matrix,
}
_FUNCTIONS = tuple(f"\\{name}" for name in (FUNCTIONS | OF_SEVERAL))
_FACTORS = (
    *_FUNCTIONS,
    *_BRACKETED,
    *(sign for sign in _READERS if sign not in ("|", "\\|")),
    *(f"\\{name}" for name in ACCENTS),
)


def _signed(sign: Token, tree: Tree) -> Tree:
    match sign.text:
        case "-":
            return negative(tree)
        case "+":
            return tree
    return node(sign.text.removeprefix("\\"), tree)
