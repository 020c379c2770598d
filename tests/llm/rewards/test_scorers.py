"""Scorers of users: what they return is the reward, and whatever they do wrong is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpi_theory.checks import InvalidInput
from llm.rewards.function_process import CallFailed, FunctionProcess
from llm.rewards.scorers import Scorer, scorer_source
from llm.task import Problem

PROBLEM = Problem("p7", "What?", "four", "scored")
HERE = "tests.llm.rewards.scorers_of_users"


def test_a_reward_is_what_the_function_returns():
    assert Scorer(f"{HERE}:length").judge(PROBLEM, None, "12345").reward == 0.5
    assert Scorer(f"{HERE}:same").judge(PROBLEM, None, "four").reward == 1.0
    assert Scorer(f"{HERE}:same").judge(PROBLEM, None, "five").reward == 0.0


def test_the_answer_on_record_is_that_of_the_last_box():
    verdict = Scorer(f"{HERE}:length").judge(PROBLEM, "4", r"so \boxed{4}")
    assert (verdict.reward, verdict.answer) == (1.0, "4")


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("raises", "KeyError: 'p7'"),
        ("sleeps", "took too long: 0.3 seconds"),
        ("ends", "exit status 3"),
        ("gives_text", "returned 'right'"),
        ("gives_nan", "returned nan"),
        ("gives_two", "returned 2"),
        ("gives_nothing", "returned None"),
        ("takes_more", "missing 1 required positional argument: 'more'"),
    ],
)
def test_a_scorer_that_fails_is_named_with_its_problem_and_the_remedy(function, problem):
    scorer = Scorer(f"{HERE}:{function}", 0.3 if function == "sleeps" else 10)
    scorer.check()
    with pytest.raises(InvalidInput) as caught:
        scorer.judge(PROBLEM, None, "text")
    assert problem in caught.value.problem
    assert f"{HERE}:{function}" in caught.value.field
    assert "'p7'" in caught.value.field
    assert "reward_seconds" in caught.value.remedy


def test_after_a_failure_the_next_call_is_answered_afresh():
    process = FunctionProcess(f"{HERE}:fails_at_first", 10)
    with pytest.raises(CallFailed, match="bad text"):
        process(problem=PROBLEM, text="bad")
    assert process(problem=PROBLEM, text="good") == 1.0
    process.close()
    assert process(problem=PROBLEM, text="good") == 1.0
    process.close()


def test_a_late_reply_answers_no_later_call(tmp_path, monkeypatch):
    (tmp_path / "late.py").write_text(
        "import time\n\ndef wait(seconds):\n    time.sleep(seconds)\n    return seconds\n"
    )
    monkeypatch.chdir(tmp_path)
    process = FunctionProcess("late:wait", 0.3)
    with pytest.raises(CallFailed, match="took too long"):
        process(seconds=0.6)
    assert process(seconds=0.0) == 0.0
    process.close()


def test_a_killed_process_is_replaced():
    process = FunctionProcess(f"{HERE}:length", 10)
    process.start()
    assert process._worker is not None
    process._worker.kill()
    process._worker.wait()
    with pytest.raises(CallFailed, match="exit status -9"):
        process(problem=PROBLEM, text="1")
    assert process(problem=PROBLEM, text="1") == pytest.approx(0.1)
    process.close()


def test_memory_can_be_limited(tmp_path, monkeypatch):
    (tmp_path / "hungry.py").write_text("def eat(size):\n    return len(bytes(size))\n")
    monkeypatch.chdir(tmp_path)
    process = FunctionProcess("hungry:eat", 10, memory=1 << 30)
    assert process(size=10) == 10
    with pytest.raises(CallFailed, match="MemoryError"):
        process(size=2 << 30)
    process.close()


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        ("no_such_module:f", "no module no_such_module"),
        (f"{HERE}.deeper:f", "no module"),
        ("length", "names no function"),
        ("a b:c", "names no function"),
        ("sys:exit", "no module sys"),
    ],
)
def test_what_names_no_function_is_refused_at_once(function, problem):
    with pytest.raises(InvalidInput, match=problem):
        Scorer(function)


def test_a_function_that_cannot_be_loaded_is_refused_before_anything_is_sampled(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_scorer.py").write_text("import no_such_thing\n")
    for function, problem in (
        ("broken_scorer:f", "No module named 'no_such_thing'"),
        (f"{HERE}:lenth", "has no lenth; did you mean 'length'"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            Scorer(function).check()


def test_a_misspelled_module_is_named_by_the_nearest_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_rewards.py").write_text("")
    with pytest.raises(InvalidInput, match=r"no module my_reward .*did you mean 'my_rewards'"):
        scorer_source("my_reward:score")


def test_modules_are_found_where_the_command_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "inner.py").write_text("def f(problem, text):\n    return 0.25\n")
    assert scorer_source("mine.inner:f") == tmp_path / "mine" / "inner.py"
    assert Scorer("mine.inner:f").judge(PROBLEM, None, "").reward == 0.25


def test_finding_a_module_does_not_run_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loud.py").write_text("raise SystemExit('was run')\n")
    assert scorer_source("loud:f").name == "loud.py"


def test_the_process_ends_with_the_one_that_started_it():
    root = Path(__file__).parents[3]
    code = (
        "from llm.rewards.function_process import FunctionProcess as F\n"
        f"f = F('{HERE}:length', 10); f.start(); print(f._worker.pid, flush=True)\n"
        "import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60
    )
    process = int(done.stdout)
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError("the worker goes on")
