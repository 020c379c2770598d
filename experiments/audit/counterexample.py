"""A counterexample as a test file, to be pasted into the tests of whoever owns the estimator.

A function of a batch is tested without cpi-resets: the file holds the world, lists every outcome of
its groups and compares with the gradient. An algorithm of the seam is tested with it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from fractions import Fraction
from pathlib import Path

from cpi_theory.audit.forest import Node
from cpi_theory.audit.judgement import sentence
from cpi_theory.audit.shrinking import Claim, Counterexample
from cpi_theory.audit.worlds import size
from cpi_theory.checks import Exact
from experiments.audit import standalone
from experiments.audit.subjects import Layout, function_of


def as_test(name: str, claim: Claim, found: Counterexample, layout: Layout = "group") -> str:
    """The text of a test that fails as long as the estimator has the fault.

    Args:
        name: of the estimator.
        claim: that the counterexample refutes.
        found: it.
        layout: of the rollouts that a function is given.
    """
    alone = layout == "group" and claim in ("J", "weights") and function_of(name) is not None
    text = _alone(name, claim, found) if alone else _on_the_seam(name, claim, found, layout)
    ast.parse(text)  # what is handed out must at least be Python
    return text


def _about(name: str, found: Counterexample) -> str:
    horizon, states, prompts = size(found.forest)
    of = f"{prompts} prompt{'s' * (prompts > 1)}, {states} state{'s' * (states > 1)}"
    steps = f"{horizon} step{'s' * (horizon > 1)}"
    return (
        f"Smallest known world on which {importable(name)} is not what it should be: "
        f"{of}, {steps}.\n\n"
        f"Groups of {found.rollouts} rollouts. Found by `cpi-resets audit`:\n"
        f"{_wrapped(sentence(found.judgement))}."
    )


def importable(name: str) -> str:
    """An estimator's name without the folder of its file, which is this machine's affair."""
    where, colon, attribute = name.rpartition(":")
    return f"{Path(where).stem if where.endswith('.py') else where}{colon}{attribute}"


def _wrapped(text: str, width: int = 96) -> str:
    return textwrap.fill(text, width)


def _alone(name: str, claim: Claim, found: Counterexample) -> str:
    body = inspect.getsource(standalone).split('"""', 2)[2]
    head, core = body.split("# --- world ---\n")
    roots = ",\n    ".join(_written(root) for root in found.forest.roots)
    world = (
        f"PROMPTS = [\n    {roots},\n]\n"
        f"GROUP = {found.rollouts}\n"
        f"TOGETHER = {claim == 'J'}  # else each prompt's update may have a factor of its own\n\n"
    )
    imports = head.split("# --- stand-ins ---\n")[0]
    return f'"""{_about(name, found)}\n"""{imports}{bound(name)}\n\n{world}{core}'


def bound(name: str) -> str:
    """Lines of a test file that bind `estimator` to a function of that name."""
    where, _, attribute = name.rpartition(":")
    if where in ("trl", "verl"):
        # Adapters need the library alone, so that the test is of its code and of nothing else.
        module = importlib.import_module(f"llm.audit.{where}")
        code = inspect.getsource(module).split('"""', 2)[2]
        code = code.replace("from __future__ import annotations\n", "")
        return (
            f"# How the library's own code is called.{code}\n\nestimator = estimator({attribute!r})"
        )
    where, _, attribute = importable(name).rpartition(":")
    return (
        f"# {where} must be importable where this test runs: installed, beside this file, or by\n"
        "# PYTHONPATH=FOLDER with the folder that it is in.\n"
        f"from {where} import {attribute} as estimator"
    )


def _written(node: Node) -> str:
    """A node as a literal: (observation, whether chance, edges)."""
    edges = ", ".join(
        f"({_number(e.probability)}, {_number(e.reward)}, "
        f"{'None' if e.child is None else _written(e.child)}, {e.truncated})"
        for e in node.edges
    )
    return f"({node.observation!r}, {node.chance}, [{edges}])"


def _number(number: Exact) -> str:
    exact = Fraction(number)
    if exact.denominator == 1:
        return str(exact.numerator)
    return f"F({exact.numerator}, {exact.denominator})"


def _on_the_seam(name: str, claim: Claim, found: Counterexample, layout: Layout) -> str:
    return _SEAM.format(
        about=_about(name, found),
        roots=",\n        ".join(_built(root) for root in found.forest.roots),
        success=_number(found.forest.success),
        precision=_number(found.forest.precision),
        name=name,
        rollouts=found.rollouts,
        layout=layout,
        claim=claim,
    )


def _built(node: Node) -> str:
    edges = "".join(
        f"Edge({_number(e.probability)}, {_number(e.reward)}, "
        f"{'None' if e.child is None else _built(e.child)}, {e.truncated}), "
        for e in node.edges
    )
    return f"Node(({edges}), {node.observation!r}, {node.chance})"


_SEAM = '''"""{about}
"""

from fractions import Fraction as F

from cpi_theory.audit.forest import Edge, Forest, Node
from cpi_theory.audit.judgement import judge, sentence
from cpi_theory.audit.law import law
from cpi_theory.audit.shrinking import holds
from experiments.audit.subjects import subject

WORLD = Forest(
    "smallest",
    (
        {roots},
    ),
    success={success},
    precision=F({precision}),
)


def test_the_expected_update_follows_what_it_should():
    found = judge(law(subject({name!r}, {rollouts}, {layout!r}), WORLD))
    assert holds({claim!r}, found), sentence(found)
'''


def file_name(name: str, about: str = "") -> str:
    """Name of the test file of an estimator, or of another one that is about something of it."""
    return "test_" + "".join(c if c.isalnum() else "_" for c in name + about) + ".py"
