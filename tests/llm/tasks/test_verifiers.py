"""Task sets of verifiers: the package's own classes load and judge, or are refused by name."""

from __future__ import annotations

import pytest

pytest.importorskip("verifiers")

from cpi_theory.checks import InvalidInput
from llm.task import NO_REFERENCE, Task
from llm.tasks.verifiers import TaskSet, load_task_set

HERE = "tests.llm.tasks.task_sets"


@pytest.fixture(scope="module")
def sums():
    return load_task_set(TaskSet(f"{HERE}:Sums", {"count": 20}))


def test_its_tasks_are_problems_of_two_splits(sums):
    assert isinstance(sums, Task)
    train, test = sums.problems("train", 16, 0), sums.problems("test", 4, 0)
    assert not {p.id for p in train} & {p.id for p in test}
    questions = {p.question: p.answer for p in (*train, *test)}
    assert questions == {f"Add.\n\n{i} + {i}?": str(2 * i) for i in range(20)}
    assert test[0].question in sums.prompt(test[0])


def test_its_weighted_rewards_judge_each_task_by_its_own(sums):
    for problem in sums.problems("train", 16, 0):
        rewards = [
            sums.verify(problem, text).reward
            for text in (
                problem.answer,
                f"a long way to say that it is {problem.answer}",
                "no",
                "a long way to say no such thing",
            )
        ]
        assert rewards == [1.0, 0.75, 0.25, 0.0]


def test_a_prompt_may_be_one_message_and_have_no_reference():
    for name in ("OneTask", "OneMessage"):
        (problem,) = TaskSet(f"{HERE}:{name}").problems
        assert (problem.question, problem.answer) == ("What?", NO_REFERENCE)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("SeveralTurns", "several turns"),
        ("Pictures", "no user's text"),
        ("NoPrompt", "no prompt"),
        ("Containers", "needs a container"),
        ("Runtimes", "judged in a runtime"),
        ("Tools", "has tools"),
        ("NoReward", "has no reward"),
        ("Endless", "without end"),
        ("Empty", "holds no task"),
        ("Nothing", "has no Nothing; "),
        ("SumTask", "no class of verifiers"),
    ],
)
def test_what_is_not_of_a_single_turn_is_refused_by_name(name, problem):
    with pytest.raises(InvalidInput, match=problem) as caught:
        TaskSet(f"{HERE}:{name}").check()
    assert HERE in str(caught.value)
    assert caught.value.remedy


def test_unknown_arguments_are_refused():
    with pytest.raises(InvalidInput, match="cnt"):
        TaskSet(f"{HERE}:Sums", {"cnt": 3}).check()


@pytest.mark.parametrize(
    ("name", "problem"),
    [("RaisingReward", "KeyError: 'lost'"), ("TooMuch", "rewards sum to 2")],
)
def test_rewards_that_fail_are_errors_that_name_the_task(name, problem):
    taskset = TaskSet(f"{HERE}:{name}")
    with pytest.raises(InvalidInput, match=problem) as caught:
        taskset.judge(taskset.problems[0], None, "text")
    assert taskset.problems[0].id in str(caught.value)
    assert "starts anew" in caught.value.remedy


def test_an_edited_file_is_another_task_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "edited_task_set.py"
    path.write_text(f"from {HERE} import Sums as Kept\n")
    with pytest.raises(InvalidInput, match="has no Sums; "):
        TaskSet("edited_task_set:Sums").check()
    path.write_text(f"from {HERE} import Sums\n")
    TaskSet("edited_task_set:Sums").check()


def test_rewards_that_take_too_long_are_errors():
    known = TaskSet(f"{HERE}:SlowReward")
    hasty = TaskSet(f"{HERE}:SlowReward", seconds=3.0)
    with pytest.raises(InvalidInput, match="took too long: 3 seconds"):
        hasty.judge(known.problems[0], None, "text")
