"""HumanEval for real: every canonical solution passes, and what its tests can tell apart fails."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from llm.rewards.sandbox.cases import read_tests
from llm.rewards.sandbox.limits import Limits
from llm.rewards.sandbox.pool import JudgePool
from tests.llm.data.test_recipes import carried
from tests.llm.rewards.sandbox.sandboxed import needs_sandbox

pytestmark = [needs_sandbox, pytest.mark.slow]

LIMITS = Limits(cpu_seconds=2, wall_seconds=10.0, total_seconds=20.0)


@pytest.fixture(scope="module")
def pool():
    made = JudgePool(LIMITS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def records():
    return list(carried("humaneval").source.records())


def judged(pool, records, programs):
    """The judgements of programs, one for each problem."""
    columns = carried("humaneval").columns
    judging = [
        pool.submit(program, read_tests(columns(record).answer))
        for record, program in zip(records, programs, strict=True)
    ]
    return [one.result() for one in judging]


def test_all_164_canonical_solutions_pass(pool, records):
    whole = [r.values["prompt"] + r.values["canonical_solution"] for r in records]
    found = judged(pool, records, whole)
    assert [one.all_passed for one in found] == [1.0] * 164
    assert all(one.fraction == 1.0 and not one.failures for one in found)


def test_a_body_alone_goes_on_behind_its_prompt(pool, records):
    some = records[::8]
    found = judged(pool, some, [r.values["canonical_solution"] for r in some])
    assert [one.all_passed for one in found] == [1.0] * 21


SWAPS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class OneOperator(ast.NodeTransformer):
    """Swaps the first operator of one function."""

    def __init__(self):
        self.swapped = False

    def generic_visit(self, node):
        if type(node) in SWAPS and not self.swapped:
            self.swapped = True
            return SWAPS[type(node)]()
        return super().generic_visit(node)


def mutated(record):
    """The canonical program with one other operator; None if it has none."""
    tree = ast.parse(record.values["prompt"] + record.values["canonical_solution"])
    change = OneOperator()
    function = next(
        node
        for node in reversed(tree.body)
        if isinstance(node, ast.FunctionDef) and node.name == record.values["entry_point"]
    )
    change.visit(function)
    return ast.unparse(ast.fix_missing_locations(tree)) if change.swapped else None


def passes_plainly(record, program):
    """Whether a program passes as HumanEval runs it: one process, up to the first failure.

    These programs are ours: nothing has to be kept from them.
    """
    source = f"{program}\n{record.values['test']}\ncheck({record.values['entry_point']})\n"
    limit = (
        "import resource as r\nr.setrlimit(r.RLIMIT_CPU, (2, 3))\n"
        "r.setrlimit(r.RLIMIT_AS, (1 << 30, 1 << 30))\n"
    )
    command = [sys.executable, "-S", "-c", limit + source]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def test_one_mutated_operator_fails_where_the_tests_can_tell(pool, records):
    programs = [mutated(record) for record in records]
    chosen = [(r, p) for r, p in zip(records, programs, strict=True) if p is not None]
    assert len(chosen) > 140
    # A third of them: each is judged twice, by ours and by the data set's own rules.
    chosen = chosen[::3]
    found = judged(pool, [r for r, _ in chosen], [p for _, p in chosen])
    plain = [passes_plainly(record, program) for record, program in chosen]
    assert [one.all_passed == 1.0 for one in found] == plain
    # Most are told apart, and many of these pass some of the tests.
    assert sum(plain) < 10
    assert sum(0 < one.fraction < 1 for one in found) > 15
