"""Programs are judged by all of their tests, of every sort."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from llm.rewards.sandbox import bubblewrap
from llm.rewards.sandbox.bubblewrap import check_sandbox
from llm.rewards.sandbox.cases import CodeTests, Stream, read_tests, same_output
from llm.rewards.sandbox.inside import decode, encode
from llm.rewards.sandbox.judge import LATE, RAISED, WRONG, Judgement, judge_program
from llm.rewards.sandbox.limits import Limits
from llm.rewards.sandbox.system_calls import REFUSED, seccomp_filter
from tests.llm.rewards.sandbox.sandboxed import checks, needs_sandbox, prints, returns

QUICK = Limits(cpu_seconds=2, wall_seconds=5.0)

SUMS = CodeTests(streams=tuple(Stream(f"{i} {i}\n", f"{2 * i}\n") for i in range(4)))


@needs_sandbox
def test_every_test_runs_and_two_numbers_come_out():
    """In the paper's release what comes after the first failure was not looked at."""
    source = "a, b = map(int, input().split())\nprint(a + b if a != 1 else 0)"
    found = judge_program(source, SUMS, QUICK)
    assert (found.passed, found.total, found.failures) == (3, 4, {WRONG: 1})
    assert (found.all_passed, found.fraction) == (0.0, 0.75)


@needs_sandbox
def test_standard_input_and_output_as_programs_use_them():
    source = (
        "import sys\n"
        "def main():\n    data = sys.stdin.buffer.read().split()\n"
        "    sys.stdout.write(str(sum(map(int, data))) + ' \\n\\n')\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    assert judge_program(source, SUMS, QUICK).all_passed
    large = CodeTests(streams=(Stream("1\n" * 200_000, "200000"),))
    assert judge_program(source, large, QUICK).all_passed


@needs_sandbox
def test_threads_and_deep_but_bounded_recursion_are_allowed():
    source = (
        "import sys, threading\nsys.setrecursionlimit(10**5)\nthreading.stack_size(1 << 26)\n"
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
        "t = threading.Thread(target=lambda: print(f(20000)))\nt.start()\nt.join()"
    )
    assert judge_program(source, prints("20000"), QUICK).all_passed


@needs_sandbox
def test_a_program_gets_the_same_reward_each_time():
    # Of seven outputs one is right, in every process the same one.
    tests = CodeTests(streams=tuple(Stream("", str(i)) for i in range(7)))
    found = [judge_program("print(hash('a') % 7)", tests, QUICK) for _ in range(2)]
    assert [one.passed for one in found] == [1, 1]


@needs_sandbox
@pytest.mark.parametrize(
    "source",
    [
        "def add(a, b):\n    return a + b",
        "class Solution:\n    def add(self, a: int, b: int) -> int:\n        return a + b",
        "print('noise')\ndef add(a, b):\n    print('more')\n    return a + b",
    ],
)
def test_functions_and_methods(source):
    tests = returns("add", ("[1, 2]", "3"), ("[[1], [2]]", "[1, 2]"), ('["a", "b"]', '"ab"'))
    assert judge_program(source, tests, QUICK).all_passed


@needs_sandbox
def test_tuples_count_as_lists_and_sets_do_not():
    tests = returns("f", ("[]", "[[1, 2], 3]"))
    assert judge_program("def f(): return ((1, 2), 3)", tests, QUICK).all_passed
    assert not judge_program("def f(): return {3}", returns("f", ("[]", "[3]")), QUICK).passed


@needs_sandbox
def test_checks_are_counted_one_by_one():
    check = (
        "import math\n\nMETADATA = {}\n\n"
        "def check(candidate):\n    assert True, 'tests nothing'\n"
        "    for i in range(4):\n        x = []\n        x.append(i)\n"
        "        assert candidate(x) == i + 1\n"
        "    if True:\n        assert math.fabs(candidate([9]) - 10) < 1\n"
    )
    tests = checks("f", check)
    assert judge_program("def f(x): return x[0] + 1", tests, QUICK) == Judgement(5, 5)
    found = judge_program("def f(x):\n    return 1 // (x[0] - 2) * 0 + x[0] + 1", tests, QUICK)
    assert (found.passed, found.total, found.failures) == (4, 5, {RAISED: 1})


@needs_sandbox
def test_checks_without_a_function_of_their_own():
    check = (
        "def assertion(out, exp, tol):\n    assert out == exp\n\n"
        "inputs = [[1], [2], [3]]\nresults = [2, 4, 6]\n"
        "for inp, exp in zip(inputs, results):\n    assertion(double(*inp), exp, 0)\n"
    )
    assert judge_program("def double(x): return 2 * x", checks("double", check), QUICK).passed == 3
    wrong = "def double(x): return 2 * x if x < 3 else 0"
    found = judge_program(wrong, checks("double", check), QUICK)
    assert (found.passed, found.total) == (2, 3)


@needs_sandbox
def test_checks_that_need_numpy_have_it_and_the_program_does_not():
    check = "import numpy as np\nassert np.allclose(f(1.0), 2.0)\n"
    assert judge_program("def f(x): return x + 1.0", checks("f", check), QUICK).all_passed
    assert not judge_program(
        "import numpy\ndef f(x): return x + 1", checks("f", check), QUICK
    ).passed


@needs_sandbox
@pytest.mark.parametrize(
    "source",
    ["    return helper(x)\n", "def f(x):\n    return helper(x)\n", "\n\n    return helper(x)"],
)
def test_a_preamble_comes_first_whether_it_is_continued_or_written_anew(source):
    preamble = 'def helper(x):\n    return x + 1\n\n\ndef f(x):\n    """One more."""\n'
    tests = checks("f", "def check(candidate):\n    assert candidate(helper(0)) == 2\n", preamble)
    assert judge_program(source, tests, QUICK).all_passed


@needs_sandbox
def test_each_test_has_its_time_and_all_of_them_together():
    slow = "import time\ntime.sleep(float(input()))\nprint('x')"
    tests = CodeTests(
        streams=(Stream("9", "x"), Stream("0", "x"), Stream("9.0", "x"), Stream("9.00", "x"))
    )
    limits = Limits(wall_seconds=1.0, total_seconds=60.0)
    found = judge_program(slow, tests, limits)
    assert (found.passed, found.failures) == (1, {LATE: 3})
    short = judge_program(slow, tests, Limits(wall_seconds=1.0, total_seconds=1.0))
    assert (short.passed, short.failures) == (0, {LATE: 4})


@needs_sandbox
@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (returns("f", ("[1", "2")), "not JSON"),
        (returns("f", ("[1]", "?")), "not JSON"),
        (checks("f", "def check(candidate)\n"), "do not run"),
        (checks("f", "import no_such_module\nassert f(1) == 1"), "do not run"),
    ],
)
def test_tests_that_are_broken_are_no_fault_of_the_program(tests, message):
    with pytest.raises(InvalidInput, match=message):
        judge_program("def f(x): return x", tests, QUICK)


@needs_sandbox
def test_a_sandbox_that_cannot_be_made_is_no_fault_of_the_program(monkeypatch):
    monkeypatch.setattr(bubblewrap, "_NAMESPACES", ("--ro-bind", "/nowhere", "/x"))
    with pytest.raises(InvalidInput, match="bubblewrap ended with status 1; see that the machine"):
        judge_program("print(1)", prints("1"), QUICK)


@pytest.fixture
def afresh():
    """What was found out about this machine is forgotten, before and after."""
    for cached in (bubblewrap._bwrap, bubblewrap._trial):
        cached.cache_clear()
    yield
    for cached in (bubblewrap._bwrap, bubblewrap._trial):
        cached.cache_clear()


@pytest.mark.usefixtures("afresh")
def test_without_bubblewrap_nothing_is_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for run in (check_sandbox, lambda: judge_program("print(1)", prints("1"))):
        with pytest.raises(InvalidInput, match="not installed; install it: apt-get"):
            run()


@pytest.mark.usefixtures("afresh")
def test_where_namespaces_are_forbidden_it_says_how_to_allow_them(monkeypatch, tmp_path):
    refusing = tmp_path / "bwrap"
    refusing.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        InvalidInput, match=r"No permissions to create .*unprivileged_userns_clone=1"
    ):
        check_sandbox()


def test_a_processor_without_a_filter_is_refused():
    with pytest.raises(InvalidInput, match="processor = 'sparc'"):
        seccomp_filter("sparc")


@pytest.mark.parametrize("machine", sorted(REFUSED))
def test_a_filter_is_whole_instructions_and_short_enough_for_the_kernel(machine):
    program = seccomp_filter(machine)
    assert len(program) % 8 == 0
    assert len(program) // 8 <= 4096


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", sorted(REFUSED))
def test_numbers_of_system_calls_are_those_of_the_kernels_headers(machine):
    if not HEADERS[machine].exists():
        pytest.skip(f"needs {HEADERS[machine]} (linux-libc-dev)")
    text = HEADERS[machine].read_text()
    known = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", text)}
    assert {name: known[name] for name in REFUSED[machine]} == REFUSED[machine]


def test_this_machine_has_a_filter():
    if platform.machine() in REFUSED:
        assert seccomp_filter() == seccomp_filter(platform.machine())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.integers())
    ),
)


@settings(max_examples=50)
@given(VALUES)
def test_values_come_back_from_json_as_they_were(value):
    back = decode(json.loads(json.dumps(encode(value))))
    assert repr(back) == repr(value) or back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [object(), lambda: 0, range(3), map(abs, [])])
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match="cannot be compared"):
        encode(value)


@pytest.mark.parametrize(
    ("expected", "found", "same"),
    [
        ("1 2\n3", "1 2  \n3\n\n", True),
        ("1 2", "1  2", False),
        ("1\n2", "1 2", False),
        ("", "\n", True),
        (" 1", "1", False),
        ("1.0", "1", False),
    ],
)
def test_outputs_that_are_the_same(expected, found, same):
    assert same_output(expected, found) is same


@pytest.mark.parametrize(
    "text",
    ["", "[]", "5", "{}", '{"streams": [["a"]]}', '{"calls": [["[]", "1"]]}', '{"streams": 5}'],
)
def test_texts_that_hold_no_tests(text):
    with pytest.raises(InvalidInput):
        read_tests(text)


def test_tests_are_read_as_they_were_written():
    for tests in (SUMS, returns("f", ("[1]", "2")), checks("f", "assert f(1)", "import math\n")):
        assert read_tests(tests.as_text()) == tests
    with pytest.raises(InvalidInput, match="too few to hold some out"):
        prints("x").halves(0)


@pytest.mark.parametrize("field", ["cpu_seconds", "wall_seconds", "memory", "output"])
def test_limits_are_positive(field):
    with pytest.raises(InvalidInput, match=field):
        Limits(**{field: 0})
