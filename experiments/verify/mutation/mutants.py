"""Every single-site mutation of a function, compiled and described.

A mutant differs from its function in one place: a constant, a sign, an operator, a factor or a
summand left out, a comparison, a branch, or a statement left out.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from cpi_theory.checks import InvalidInput

_SWAPS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}

_CALLS = {
    "min": "max",
    "max": "min",
    "floor": "ceil",
    "ceil": "floor",
    "any": "all",
    "all": "any",
    "argmin": "argmax",
    "argmax": "argmin",
}
_TRANSPARENT = ("sqrt", "log", "log1p", "exp", "abs")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One function, changed in one place.

    Attributes:
        original: the function it was made from.
        name: ``module.qualname`` of the original.
        line: line of the change in the original's file.
        column: where it starts in that line, without the function's own indentation.
        description: what became what, as source text.
        arithmetic: whether it changes a formula rather than a check or a statement.
        code: the mutant's code.
        defaults: the mutant's positional defaults.
        keyword_defaults: the mutant's keyword-only defaults.
    """

    original: FunctionType
    name: str
    line: int
    column: int
    description: str
    arithmetic: bool
    code: CodeType
    defaults: tuple[Any, ...] | None
    keyword_defaults: dict[str, Any] | None

    def __str__(self) -> str:
        return f"{self.name}:{self.line}:{self.column}: {self.description}"

    def function(self) -> FunctionType:
        """The mutant as a function of its own, in the module of the original."""
        function = FunctionType(
            self.code, self.original.__globals__, self.original.__name__, self.defaults
        )
        function.__kwdefaults__ = self.keyword_defaults
        return function

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Make the original itself behave as the mutant in this block, wherever it was imported."""
        function = self.original
        saved = function.__code__, function.__defaults__, function.__kwdefaults__
        function.__code__, function.__defaults__ = self.code, self.defaults
        function.__kwdefaults__ = self.keyword_defaults
        try:
            yield
        finally:
            function.__code__, function.__defaults__, function.__kwdefaults__ = saved


def mutants(function: Callable[..., Any]) -> tuple[Mutant, ...]:
    """All single-site mutants of a function written in Python.

    Raises:
        InvalidInput: if it has no source or closes over variables.
    """
    if not isinstance(function, FunctionType) or function.__closure__:
        raise InvalidInput("function", function, "not a plain function", "give a module's own")
    source = textwrap.dedent(inspect.getsource(function))
    tree = ast.parse(source)
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    return tuple(_compiled(function, tree, definition))


Location = tuple[ast.AST, str, int | None]
"""Where a node hangs: its parent, the parent's field, and the index in a list."""


def _compiled(
    function: FunctionType, tree: ast.Module, definition: ast.FunctionDef
) -> Iterator[Mutant]:
    for location, node, formula in list(_locations(definition)):
        texts = {before := ast.unparse(node)}
        for replacement, arithmetic in _alternatives(node):
            after = ast.unparse(replacement)
            if after in texts:  # x * x loses either factor to the same effect
                continue
            texts.add(after)
            _put(location, ast.copy_location(copy.deepcopy(replacement), node))
            ast.fix_missing_locations(tree)
            namespace = dict(function.__globals__)
            exec(compile(tree, inspect.getfile(function), "exec"), namespace)
            _put(location, node)
            mutated = namespace[definition.name]
            yield Mutant(
                original=function,
                name=f"{function.__module__}.{function.__qualname__}",
                line=int(getattr(node, "lineno", definition.lineno)),
                column=int(getattr(node, "col_offset", 0)),
                description=f"{_shorten(before)}  ->  {_shorten(after)}",
                arithmetic=arithmetic and formula,
                code=mutated.__code__,
                defaults=mutated.__defaults__,
                keyword_defaults=mutated.__kwdefaults__,
            )


def _shorten(text: str, limit: int = 200) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _locations(definition: ast.FunctionDef) -> Iterator[tuple[Location, ast.AST, bool]]:
    """Every node that may change, and whether it belongs to the formula.

    Defaults, statements that only check, and what decides about raising do not; docstrings and
    annotations never change.
    """
    arguments = definition.args
    for field in ("defaults", "kw_defaults"):
        for i, default in enumerate(getattr(arguments, field)):
            if default is not None:
                yield from _below((arguments, field, i), default, False)
    for i, statement in enumerate(definition.body):
        if not (i == 0 and ast.get_docstring(definition) is not None):
            yield from _below((definition, "body", i), statement, True)


def _below(
    location: Location, node: ast.AST, formula: bool
) -> Iterator[tuple[Location, ast.AST, bool]]:
    formula = formula and not _only_checks(node)
    yield location, node, formula
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "ctx"):
            continue
        if isinstance(value, ast.AST):
            yield from _below((node, field, None), value, formula)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from _below((node, field, i), item, formula)


def _only_checks(node: ast.AST) -> bool:
    """Whether a statement can do nothing but raise."""
    if isinstance(node, ast.If | ast.For):
        return not node.orelse and all(map(_only_checks, node.body))
    return isinstance(node, ast.Expr | ast.Raise)


def _put(location: Location, node: ast.AST) -> None:
    parent, field, index = location
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


Alternatives = Iterator[tuple[Any, bool]]


def _alternatives(node: ast.AST) -> Alternatives:
    """Replacements of one node, each with whether it is arithmetic."""
    for kind, rule in _RULES.items():
        if isinstance(node, kind):
            yield from rule(node)


def _of_constant(node: ast.Constant) -> Alternatives:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value), False
    elif isinstance(value, int):
        yield ast.Constant(value + 1), True
        yield ast.Constant(value - 1), True
    elif isinstance(value, float):
        yield ast.Constant(value * 2 if value else 1.0), True
        yield ast.Constant(value / 2 if value else -1.0), True


def _of_binary(node: ast.BinOp) -> Alternatives:
    swapped = _SWAPS.get(type(node.op))
    if swapped is not None:
        yield ast.BinOp(node.left, swapped(), node.right), True
    yield node.left, True
    yield node.right, True
    if isinstance(node.op, ast.Add | ast.Sub) and not _is_text(node):
        for factor in (ast.Mult, ast.Div):  # the coefficients 1 that nobody writes down
            yield (
                ast.BinOp(ast.BinOp(node.left, factor(), ast.Constant(2)), node.op, node.right),
                True,
            )
            yield (
                ast.BinOp(node.left, node.op, ast.BinOp(node.right, factor(), ast.Constant(2))),
                True,
            )


def _is_text(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides)


def _of_unary(node: ast.UnaryOp) -> Alternatives:
    yield node.operand, isinstance(node.op, ast.USub | ast.UAdd)


def _of_comparison(node: ast.Compare) -> Alternatives:
    for i, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            ops = [*node.ops[:i], other(), *node.ops[i + 1 :]]
            yield ast.Compare(node.left, ops, node.comparators), True


def _of_boolean(node: ast.BoolOp) -> Alternatives:
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield ast.BoolOp(other, node.values), False
    for value in node.values:
        yield value, False


def _of_conditional(node: ast.IfExp) -> Alternatives:
    yield node.body, True
    yield node.orelse, True


def _of_call(node: ast.Call) -> Alternatives:
    function = node.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    if name in _CALLS:
        yield ast.Call(_renamed(function, _CALLS[name]), node.args, node.keywords), True
    if name in ("min", "max") and not node.keywords:
        plain = [arg for arg in node.args if not isinstance(arg, ast.GeneratorExp | ast.Starred)]
        yield from ((arg, True) for arg in plain if len(node.args) > 1)
    if name in _TRANSPARENT and len(node.args) == 1:
        yield node.args[0], True


def _renamed(function: ast.expr, name: str) -> ast.expr:
    if isinstance(function, ast.Attribute):
        return ast.Attribute(function.value, name, function.ctx)
    return ast.Name(name, ast.Load())


def _of_statement(_node: ast.Expr | ast.Raise) -> Alternatives:
    yield ast.Pass(), False


def _of_test(node: ast.If | ast.While) -> Alternatives:
    negated = ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.If) and not isinstance(node.test, ast.Compare):
        yield ast.If(negated, node.body, node.orelse), False


def _of_update(node: ast.AugAssign) -> Alternatives:
    swapped = _SWAPS.get(type(node.op))
    if swapped is not None:
        yield ast.AugAssign(node.target, swapped(), node.value), True


_RULES: dict[Any, Callable[[Any], Alternatives]] = {
    ast.Constant: _of_constant,
    ast.BinOp: _of_binary,
    ast.UnaryOp: _of_unary,
    ast.Compare: _of_comparison,
    ast.BoolOp: _of_boolean,
    ast.IfExp: _of_conditional,
    ast.Call: _of_call,
    ast.Expr | ast.Raise: _of_statement,
    ast.If: _of_test,
    ast.AugAssign: _of_update,
}
