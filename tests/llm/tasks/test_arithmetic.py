from __future__ import annotations

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.task import Problem, StepChecker, Task
from llm.tasks.arithmetic.facts import Slips, slip_sizes, write
from llm.tasks.arithmetic.locating import ArithmeticLocalizationPrompt, trace
from llm.tasks.arithmetic.task import (
    FILLERS,
    OPERATIONS,
    REGIMES,
    ArithmeticTask,
    parse_question,
    thought,
)
from llm.tasks.splits import split_of

BY_HAND = Problem("hand", "1: +4 2: *3 3: -2 start 21 ;", "4", "exact")
SHORT = ArithmeticTask(horizon=3)  # 21 + 4 = 2, 2 * 3 = 6, 6 - 2 = 4 (mod 23)
RIGHT = ["then 1: +4 2 </thought>", "so 2: *3 6 </thought>", "and 3: -2 4 \\boxed{4}"]


def brute_force_error(question: str, thoughts: list[str]) -> int | None:
    """The rule again, by regular expressions and Python's own arithmetic."""
    steps = re.findall(r"\d+: ([-+*]\d+)", question)
    now = int(re.search(r"start (\d+)", question)[1])  # type: ignore[index]
    fillers = "|".join(FILLERS)
    for i, text in enumerate(thoughts):
        if i >= len(steps):
            return i
        now = eval(f"({now}{steps[i]}) % 23")
        end = rf" \\boxed\{{{now}\}}" if i == len(steps) - 1 else ""
        pattern = rf"({fillers}) {i + 1}: {re.escape(steps[i])} {now}{end}( </thought>)?"
        if not re.fullmatch(pattern, text):
            return i
    return None


def test_a_problem_worked_by_hand() -> None:
    assert SHORT.prompt(BY_HAND) == "Q 1: +4 2: *3 3: -2 start 21 ;"
    assert SHORT.first_error(BY_HAND, RIGHT) is None
    assert SHORT.verify(BY_HAND, " ".join(RIGHT)).reward == 1
    assert [t.split()[1:] for t in SHORT.solution(BY_HAND)] == [
        ["1:", "+4", "2", "</thought>"],
        ["2:", "*3", "6", "</thought>"],
        ["3:", "-2", "4", "\\boxed{4}"],
    ]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (0, "then 1: +4 3 </thought>"),
        (0, "then 1: +3 2 </thought>"),
        (0, "then 2: +4 2 </thought>"),
        (0, "1: +4 2 </thought>"),
        (0, "then 1: +4 2 \\boxed{2}"),
        (0, "then then 1: +4 2 </thought>"),
        (1, ""),
        (2, "and 3: -2 4 </thought>"),
        (2, "and 3: -2 4 \\boxed{5}"),
        (2, "and 3: -2 5 \\boxed{4}"),
    ],
)
def test_every_deviation_is_an_error_where_it_stands(step: int, text: str) -> None:
    thoughts = [*RIGHT[:step], text, *RIGHT[step + 1 :]]
    assert SHORT.first_error(BY_HAND, thoughts) == step


def test_the_first_of_several_errors_counts_and_a_thought_too_many_is_one() -> None:
    wrong = "so 2: *3 7 </thought>"
    assert SHORT.first_error(BY_HAND, [RIGHT[0], wrong, "and 3: -2 5 \\boxed{5}"]) == 1
    assert SHORT.first_error(BY_HAND, [*RIGHT, "so 4: +1 5 </thought>"]) == 3
    assert SHORT.first_error(BY_HAND, RIGHT[:1]) is None


def test_only_the_last_whole_box_is_the_answer() -> None:
    assert SHORT.verify(BY_HAND, "\\boxed{4} \\boxed{5}").reward == 0
    assert SHORT.verify(BY_HAND, "\\boxed{5} \\boxed{4}").reward == 1
    assert SHORT.verify(BY_HAND, "and 3: -2 4").answer is None


@given(st.sampled_from(sorted(REGIMES)), st.integers(0, 2**32), st.data())
def test_checker_agrees_with_brute_force_on_noisy_chains(
    regime: str, seed: int, data: st.DataObject
) -> None:
    task = REGIMES[regime]
    problem = task.problems("train", 1, seed)[0]
    exercise = parse_question(problem.question)
    facts = task.facts
    indices = np.array([[task.operations.index(o) for o in exercise.operations]])
    laws = facts.laws(Slips(slip=0.1, right=0.7, habit=0.2))
    values = write(laws, indices, np.array([exercise.start]), Key.of(seed).generator())[0]
    texts = [
        thought(data.draw(st.sampled_from(FILLERS)), i, o, int(v), i == task.horizon - 1)
        for i, (o, v) in enumerate(zip(exercise.operations, values, strict=True))
    ]
    broken = data.draw(st.integers(0, 30))
    if broken < len(texts):
        words = texts[broken].split()
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(
            st.sampled_from(["3:", "+1", "7", "then", "</thought>", "\\boxed{7}"])
        )
        texts[broken] = " ".join(words)
    assert task.first_error(problem, texts) == brute_force_error(problem.question, texts)


@given(st.integers(0, 2**32))
def test_a_right_chain_earns_the_reward_and_a_single_slip_never_does(seed: int) -> None:
    problem = (task := REGIMES["natural"]).problems("train", 1, seed)[0]
    assert brute_force_error(problem.question, task.solution(problem)) is None
    assert task.verify(problem, " ".join(task.solution(problem))).reward == 1
    rng = Key.of(seed).generator()
    exercise = parse_question(problem.question)
    step, now = int(rng.integers(10)), exercise.start
    for i, operation in enumerate(exercise.operations):
        now = eval(f"({now}{operation}) % 23")
        if i == step:
            now = (now + int(rng.integers(1, 23))) % 23
    assert task.verify(problem, f"\\boxed{{{now}}}").reward == 0


@pytest.mark.parametrize(("regime", "hard", "within"), [("sparse", 4, 10), ("early", 3, 5)])
def test_regimes_have_exactly_so_many_hard_facts_where_they_say(
    regime: str, hard: int, within: int
) -> None:
    task = REGIMES[regime]
    places = [task.hard_places(p) for p in task.problems("test", 200, 3)]
    assert {len(p) for p in places} == {hard}
    assert max(p[-1] for p in places) == within - 1
    assert {h for p in places for h in p} == set(range(within))


def test_hard_steps_are_those_of_the_fact_table() -> None:
    task = ArithmeticTask(horizon=3)
    hard = {(o, v) for o, v in zip(*np.nonzero(task.facts.hard), strict=True)}
    path = [("+4", 21), ("*3", 2), ("-2", 6)]
    expected = tuple(i for i, (o, v) in enumerate(path) if (task.operations.index(o), v) in hard)
    assert task.hard_places(BY_HAND) == expected


def test_natural_mix_holds_a_fifth_of_hard_facts() -> None:
    task = REGIMES["natural"]
    assert task.facts.hard.sum() == round(0.2 * 11 * 23)
    steps = np.concatenate([task.hard_places(p) for p in task.problems("train", 1000, 0)])
    assert abs(len(steps) / 10_000 - 0.2) < 0.03  # values are not visited evenly


def test_splits_share_no_problem_even_across_tasks() -> None:
    tasks = [*REGIMES.values(), ArithmeticTask(horizon=2)]
    train = {p.id for t in tasks for s in range(3) for p in t.problems("train", 80, s)}
    test = {p.id for t in tasks for s in range(3) for p in t.problems("test", 40, s)}
    assert len(train) > 700
    assert not train & test


def test_problems_are_distinct_reproducible_and_a_longer_list_extends_a_shorter_one() -> None:
    task = ArithmeticTask(horizon=1)
    problems = task.problems("train", 150, 7)
    assert len({p.id for p in problems}) == 150
    assert task.problems("train", 40, 7) == problems[:40]
    assert task.problems("train", 40, 8) != problems[:40]
    assert all(split_of(p.question) == "train" for p in problems)
    with pytest.raises(InvalidInput, match="questions found"):
        task.problems("train", 11 * 23 + 1, 7)


def test_facts_depend_on_their_seed_alone_and_habits_are_wrong() -> None:
    facts = ArithmeticTask().facts
    assert np.array_equal(facts.hard, ArithmeticTask(hard_steps=4).facts.hard)
    assert not np.array_equal(facts.hard, ArithmeticTask(fact_seed=1).facts.hard)
    assert (facts.habits != facts.answers).all()
    assert facts.answers[facts.operations.index("*4"), 9] == 36 - 23


def test_writers_slip_as_often_as_they_should() -> None:
    task = ArithmeticTask()
    laws = task.facts.laws(Slips(right=0.3, habit=0.56, slip=0.01))
    assert np.allclose(laws.sum(axis=2), 1)
    o, v = (int(x[0]) for x in np.nonzero(task.facts.hard))
    law = laws[o, v]
    assert law[task.facts.answers[o, v]] == pytest.approx(0.3)
    assert law[task.facts.habits[o, v]] == pytest.approx(0.56)
    others = (task.facts.answers[o, v] + np.array(task.facts.sizes)) % 23
    others = others[others != task.facts.habits[o, v]]
    assert law[others] == pytest.approx([0.14 / 10] * 10)
    n = 20_000
    drawn = write(laws, np.full((n, 1), o), np.full(n, v), Key.of(0).generator())[:, 0]
    counts = np.bincount(drawn, minlength=23) / n
    assert np.abs(counts - law).max() < 4 * np.sqrt(0.25 / n)


def test_slips_modulo_23_are_off_by_squares_of_which_no_two_cancel() -> None:
    sizes = slip_sizes(OPERATIONS, 23)
    assert set(sizes) == {k * k % 23 for k in range(1, 23)}
    assert not {23 - size for size in sizes} & set(sizes)
    assert slip_sizes(("+1", "*5"), 23) == tuple(range(1, 23))  # 5 generates everything
    assert slip_sizes(("+1", "-2"), 23) == tuple(range(1, 12))
    assert slip_sizes(("*2",), 5) == (1, 2, 3, 4)  # 2 * 2 = -1


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_two_slips_never_make_a_wrong_chain_end_right(seed: int) -> None:
    task, rng = ArithmeticTask(), Key.of(seed).generator()
    operations = rng.integers(11, size=(200, 10))
    starts = rng.integers(23, size=200)
    slips = Slips(right=0.3, habit=0.56, slip=0.3)
    exact, noisy = task.facts.laws(Slips(right=1, habit=0, slip=0)), task.facts.laws(slips)
    steps = set(rng.choice(10, size=2, replace=False).tolist())
    laws = np.stack([noisy if h in steps else exact for h in range(10)])
    stated = write(laws, operations, starts, rng)
    true = task.facts.true_values(operations, starts)
    wrong = (stated != true).any(axis=1)
    assert wrong.sum() > 100
    assert (stated[wrong, -1] != true[wrong, -1]).all()


def test_a_writer_goes_on_from_what_it_wrote() -> None:
    task = ArithmeticTask()
    ops = np.array([[task.operations.index(o) for o in ("+4", "*3", "-2")]])
    exact = task.facts.laws(Slips(right=1, habit=0, slip=0))
    always = task.facts.laws(Slips(right=0, habit=1, slip=1))
    rng = Key.of(1).generator()
    assert write(exact, ops, np.array([21]), rng).tolist() == [[2, 6, 4]]
    one_slip = write(np.stack([always, exact, exact]), ops, np.array([21]), rng)[0].tolist()
    assert one_slip[0] != 2
    assert one_slip[1:] == [one_slip[0] * 3 % 23, (one_slip[0] * 3 - 2) % 23]


def test_traces_end_at_the_first_wrong_step_and_name_it() -> None:
    operations = ("+4", "*3", "-2")
    assert trace(operations, (2, 6, 4), (2, 7, 5)) == ("1: +4 2 2 right 2: *3 6 7 wrong \\boxed{2}")
    assert trace(operations[:1], (2,), (2,)) == "1: +4 2 2 right \\boxed{0}"


def test_a_localisation_shows_question_thoughts_and_sign() -> None:
    bare = [text.replace("</thought>", "").strip() for text in RIGHT]
    prompt = ArithmeticLocalizationPrompt(SHORT)
    expected = f"Q {BY_HAND.question} {' '.join(RIGHT)} <locate> start 21"
    assert prompt.render(BY_HAND, bare) == prompt.render(BY_HAND, RIGHT) == expected


def test_implements_the_protocols() -> None:
    assert isinstance(SHORT, Task)
    assert isinstance(SHORT, StepChecker)


@pytest.mark.parametrize(
    ("dials", "field"),
    [
        ({"modulus": 10}, "modulus"),
        ({"modulus": 3, "horizon": 2}, "modulus"),
        ({"horizon": 0}, "horizon"),
        ({"horizon": 21}, "horizon"),
        ({"horizon": 7, "modulus": 7}, "horizon"),
        ({"hard_steps": 11}, "hard_steps"),
        ({"hard_steps": 3, "hard_within": 2}, "hard_steps"),
        ({"hard_within": 5}, "hard_within"),
        ({"operations": ()}, "operations"),
        ({"operations": ("*23",)}, "operations"),
        ({"operations": ("/2",)}, "operations"),
        ({"hard_share": 1.5}, "hard_share"),
    ],
)
def test_refuses_dials_that_make_no_task(dials: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        ArithmeticTask(**dials)  # type: ignore[arg-type]


def test_refuses_slips_above_one_hard_steps_that_do_not_exist_and_unknown_splits() -> None:
    with pytest.raises(InvalidInput, match="habit"):
        Slips(right=0.6, habit=0.5)
    with pytest.raises(InvalidInput, match="hard_steps"):
        ArithmeticTask(hard_share=0, hard_steps=1).problems("train", 1, 0)
    with pytest.raises(InvalidInput, match="split"):
        SHORT.problems("valid", 1, 0)


@pytest.mark.parametrize("text", ["", "hello", "1: +4 start x ;", "2: +4 start 3 ;", "start 3 ;"])
def test_refuses_what_is_no_question(text: str) -> None:
    with pytest.raises(InvalidInput, match="question"):
        parse_question(text)
