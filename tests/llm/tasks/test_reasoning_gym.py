"""Procedural tasks of reasoning-gym, all of them, with the package's own generators and scorers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("reasoning_gym")

from cpi_theory.checks import InvalidInput
from experiments.worlds.reasoning_gym import ReasoningGymWorld
from llm.prompts import Prompt
from llm.rewards.function_process import CallFailed
from llm.task import NO_REFERENCE, Problem, Task
from llm.tasks.reasoning_gym import ReasoningGymTask, split_of

ROOT = Path(__file__).parents[3]

# Sizes at which the slow ones are made at once.
EASY = {
    "knight_swap": {"min_nodes": 6, "max_nodes": 6, "min_pieces": 2, "max_pieces": 2},
    "futoshiki": {"min_board_size": 4, "max_board_size": 4},
    "zebra_puzzles": {"num_people": 3, "num_characteristics": 3},
}
# Without any right answer on record: the scorer alone knows.
UNKNOWN = {"boxnet", "rush_hour"}


def names():
    """All tasks, as the package lists them in the refusal of one that there is not."""
    with pytest.raises(InvalidInput, match="no such task") as caught:
        ReasoningGymTask("?")
    listed = caught.value.remedy.removeprefix("choose one of ").split(", ")
    return [name.strip("'") for name in listed]


def boxed(answer):
    return f"Thus it is \\boxed{{{answer}}}."


def judged(name):
    """Rewards of the reference answer, of a wrong one, and of no answer."""
    task = ReasoningGymTask(name, EASY.get(name, {}))
    (problem,) = task.problems("test", 1, 0)
    texts = (boxed(problem.answer), boxed("banana split"), "I do not know.")
    return problem, [task.verify(problem, text).reward for text in texts]


def test_every_task_of_the_package_pays_for_its_reference_and_less_for_nonsense():
    known = names()
    assert len(known) > 100
    refused, unpaid = {}, set()
    for name in known:
        try:
            problem, (right, wrong, nothing) = judged(name)
        except InvalidInput as error:
            refused[name] = error.problem
            continue
        assert problem.question
        assert (wrong < 0.5, nothing) == (True, 0.0), name
        if problem.answer == NO_REFERENCE:
            unpaid.add(name)
        else:
            assert right == 1.0, name
    assert refused == {"game_of_life_halting": "its scorer takes any answer for right"}
    assert unpaid == UNKNOWN


@pytest.fixture(scope="module")
def sums():
    return ReasoningGymTask("chain_sum", {"min_terms": 2, "max_terms": 2, "max_digits": 2})


def test_it_is_a_task(sums):
    assert isinstance(sums, Task)
    (problem,) = sums.problems("train", 1, 0)
    assert problem.question in sums.prompt(problem)


def test_splits_share_no_question_whatever_the_seeds():
    # 1 + 1 to 9 - 9: so few questions that seeds alone would not keep them apart.
    task = ReasoningGymTask(
        "chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    )
    train = {p.question for seed in range(3) for p in task.problems("train", 60, seed)}
    test = {p.question for seed in range(3) for p in task.problems("test", 30, seed)}
    assert not train & test
    assert len(train) > 80
    assert {split_of(question) for question in train} == {"train"}


def test_problems_are_distinct_and_a_longer_list_begins_with_the_shorter_one(sums):
    problems = sums.problems("train", 40, 5)
    assert len({p.question for p in problems}) == len({p.id for p in problems}) == 40
    assert sums.problems("train", 7, 5) == problems[:7]
    assert sums.problems("train", 7, 6) != problems[:7]


def test_a_task_that_runs_out_of_questions_says_how_many_there_are():
    digits = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    task = ReasoningGymTask("chain_sum", digits)
    with pytest.raises(InvalidInput, match=r"only \d+ questions of chain_sum"):
        task.problems("test", 500, 0)


def test_questions_are_the_same_in_every_process():
    """Of a task whose questions depend on the order of sets, that is on Python's hash seed."""
    code = (
        "from llm.tasks.reasoning_gym import ReasoningGymTask as T\nimport json\n"
        "p = T('ransom_note').problems('train', 3, 1)\n"
        "print(json.dumps([(x.id, x.question, x.answer) for x in p]))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    problems = ReasoningGymTask("ransom_note").problems("train", 3, 1)
    assert json.loads(said[0]) == json.loads(said[1])
    assert json.loads(said[0]) == [[p.id, p.question, p.answer] for p in problems]


def test_a_problem_of_another_process_is_judged_by_its_id_alone(sums):
    (problem,) = sums.problems("test", 1, 3)
    anew = ReasoningGymTask("chain_sum", sums.parameters)
    assert anew.verify(problem, boxed(problem.answer)).reward == 1.0
    with pytest.raises(InvalidInput, match="not of chain_sum"):
        anew.verify(Problem("gcd-1", "q", "1"), boxed(1))


def test_parameters_are_the_packages_and_come_before_levels(sums):
    def terms(**settings):
        problems = ReasoningGymTask("chain_sum", **settings).problems("train", 20, 0)
        counts = [p.question.count(" + ") + p.question.count(" - ") + 1 for p in problems]
        return min(counts), max(counts)

    # Level k of the curriculum has 2 to k + 2 terms; the defaults are 2 to 6.
    assert terms() == (2, 6)
    assert terms(level=0) == (2, 2)
    assert terms(level=2) == (2, 4)
    assert terms(level=0, levels={"num_terms": 1}) == (2, 3)
    assert terms(level=2, parameters={"min_terms": 4, "max_terms": 4}) == (4, 4)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"name": "nothing"}, "no such task"),
        ({"name": "composite"}, "a mixture of tasks"),
        ({"parameters": {"terms": 3}}, "no parameter of chain_sum"),
        ({"parameters": {"seed": 3}}, "no parameter of chain_sum"),
        ({"parameters": {"min_terms": 5, "max_terms": 2}}, "refused by chain_sum"),
        ({"parameters": {"min_terms": "many"}}, "refused by chain_sum"),
        ({"level": 99}, "no such level"),
        ({"level": -1}, ">= 0"),
        ({"levels": {"num_terms": 99}}, "no such level"),
        ({"levels": {"terms": 1}}, "no attribute of chain_sum"),
        ({"name": "list_functions", "level": 0}, "no curriculum"),
        ({"template": Prompt("mine", "no placeholder")}, "is missing"),
        ({"seconds": 0}, "positive"),
    ],
)
def test_bad_settings_are_refused_with_a_remedy(settings, problem):
    with pytest.raises(InvalidInput, match=problem) as caught:
        ReasoningGymTask(**{"name": "chain_sum", **settings})
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task_name": "chainsum"}, "task_name = 'chainsum': no such task"),
        ({"level": 99}, "level = 99: chain_sum has no such level"),
        ({"levels": {"num_terms": 99}}, "levels.num_terms = 99: "),
        ({"parameters": {"terms": 3}}, "parameters.terms = 3: "),
    ],
)
def test_a_refusal_names_the_field_of_the_settings_and_the_value_as_given(settings, said):
    world = ReasoningGymWorld(**{"name": "sums", "task_name": "chain_sum"} | settings)
    with pytest.raises(InvalidInput, match=f"^{re.escape(said)}"):
        world.task()


def test_unknown_splits_are_refused(sums):
    with pytest.raises(InvalidInput, match="choose one of 'train', 'test'"):
        sums.problems("validation", 1, 0)


def test_a_missing_package_is_named_with_what_installs_it(tmp_path, monkeypatch):
    """An installation without one of the packages that reasoning-gym needs."""
    (tmp_path / "magiccube.py").write_text(
        "raise ModuleNotFoundError('no module', name='magiccube')\n"
    )
    # In the worker the working directory comes first.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="needs the package magiccube") as caught:
        # Another time limit: another worker, which has not imported the package yet.
        ReasoningGymTask("chain_sum", seconds=21.5)
    assert "cpi-resets[reasoning-gym]" in caught.value.remedy
    assert "chain_sum" in str(caught.value)


def test_an_answer_on_which_the_scorer_fails_is_worth_nothing_and_logged(caplog):
    task = ReasoningGymTask("prime_factorization")
    (problem,) = task.problems("test", 1, 0)
    assert task.verify(problem, boxed("two and three")).reward == 0.0
    assert "invalid literal" in caplog.text
    assert "prime_factorization" in caplog.text
    assert task.verify(problem, boxed(problem.answer)).reward == 1.0


def test_an_answer_that_takes_forever_is_worth_nothing_and_the_next_is_judged():
    # One of the scorers that evaluate answers as Python code.
    task = ReasoningGymTask("binary_matrix", seconds=1.5)
    (problem,) = task.problems("test", 1, 0)
    assert task.verify(problem, boxed("9**9**9**9")).reward == 0.0
    assert task.verify(problem, boxed(problem.answer)).reward == 1.0


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('touch FILE')",
        "open('FILE', 'w')",
        "__import__('subprocess').run(['touch', 'FILE'])",
        "__import__('os').mkdir('FILE')",
        "__import__('os').open('FILE', 0o102)",
    ],
)
def test_an_answer_that_is_evaluated_cannot_touch_the_machine(tmp_path, code):
    task = ReasoningGymTask("binary_matrix")
    (problem,) = task.problems("test", 1, 0)
    assert task.verify(problem, boxed(code.replace("FILE", str(tmp_path / "x")))).reward == 0.0
    assert not (tmp_path / "x").exists()
    assert task.verify(problem, boxed(problem.answer)).reward == 1.0


@pytest.mark.parametrize("wrapped", ["$ANSWER$", r"\text{ANSWER}", " ANSWER "])
def test_dollar_signs_and_text_commands_around_an_answer_do_not_count(sums, wrapped):
    (problem,) = sums.problems("test", 1, 0)
    text = boxed(wrapped.replace("ANSWER", problem.answer))
    assert sums.verify(problem, text).reward == 1.0


def test_partial_scores_are_rewards():
    """The package pays 1/100 for an expression that is none of the target."""
    task = ReasoningGymTask("countdown")
    (problem,) = task.problems("test", 1, 0)
    assert 0 < task.verify(problem, boxed("1 + 1")).reward < 1


def test_a_question_that_cannot_be_made_says_so(sums, monkeypatch):
    def fails(self, request, **more):
        raise CallFailed("took too long", "20 seconds")

    monkeypatch.setattr(ReasoningGymTask, "_ask", fails)
    with pytest.raises(InvalidInput, match=r"could not be made with .*: took too long"):
        sums.problems("train", 1, 0)
