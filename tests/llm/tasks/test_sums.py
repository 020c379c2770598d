from __future__ import annotations

import itertools
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.task import Demonstrator, Problem, StepChecker, Task
from llm.tasks.splits import split_of
from llm.tasks.sums.lines import Line, Terms, combine, first_wrong, read_line
from llm.tasks.sums.task import SumsTask, parse_question, write_question

BY_HAND = Problem("hand", "What is 47 - 15 - 20 + 82?", "94", "exact")
TASK = SumsTask(4, 2)
RIGHT = ["47 - 15 = 32", "32 - 20 = 12", "12 + 82 = \\boxed{94}"]

TERMS = st.lists(st.integers(-99, 99), min_size=2, max_size=6).map(tuple)


@st.composite
def right_solutions(draw: st.DrawFn) -> tuple[Terms, list[Line]]:
    """Any order of operations, any order within one, and both signs turned where that is right.

    Kept as signed terms with their true signs; a line whose signs are turned writes -p and -q.
    """
    terms = list(draw(TERMS))
    start, lines = tuple(terms), []
    while len(terms) > 1:
        first = terms.pop(draw(st.integers(0, len(terms) - 1)))
        second = terms.pop(draw(st.integers(0, len(terms) - 1)))
        last = not terms
        turn = -1 if not last and draw(st.booleans()) else 1
        line = combine(turn * first, turn * second, last)
        if draw(st.booleans()):  # the same operation with the sign inside the second number
            sign = "+" if line.sign == "-" else "-"
            line = Line(line.left, sign, -line.right, line.result, last)
        lines.append(line)
        terms.append(first + second)
    return start, lines


def completable(terms: Terms, lines: list[Line]) -> bool:
    """The rule again, by trying which terms every line takes, with which signs."""
    if not lines:
        return True
    line = lines[0]
    if eval(f"{line.left} {line.sign} ({line.right})") != line.result:
        return False
    if line.boxed != (len(terms) == 2):
        return False
    second = line.right if line.sign == "+" else -line.right
    for i, j in itertools.permutations(range(len(terms)), 2):
        rest = [term for k, term in enumerate(terms) if k not in (i, j)]
        for turn in (1, -1):
            taken = (turn * line.left, turn * second) == (terms[i], terms[j])
            answers = not line.boxed or line.result == terms[i] + terms[j]
            if taken and answers and completable((*rest, terms[i] + terms[j]), lines[1:]):
                return True
    return False


def reference(terms: Terms, lines: list[Line]) -> int | None:
    """The first line with which the beginning up to it stops being that of a right solution."""
    return next(
        (i for i in range(len(lines)) if not completable(terms, lines[: i + 1])),
        None,
    )


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def test_a_problem_worked_by_hand() -> None:
    assert parse_question(BY_HAND.question) == (47, -15, -20, 82)
    assert TASK.solution(BY_HAND) == RIGHT
    assert TASK.first_error(BY_HAND, RIGHT) is None
    assert TASK.in_format(BY_HAND, RIGHT)
    assert TASK.verify(BY_HAND, "\n".join(RIGHT)).reward == 1
    assert TASK.verify(BY_HAND, "\\boxed{94} no, \\boxed{95}").reward == 0
    assert TASK.verify(BY_HAND, "12 + 82 = 94").answer is None


@pytest.mark.parametrize(
    "lines",
    [
        ["15 + 20 = 35", "47 - 35 = 12", "12 + 82 = \\boxed{94}"],
        ["-15 - 20 = -35", "47 + 82 = 129", "129 - 35 = \\boxed{94}"],
        ["82 + 47 = 129", "129 - 20 = 109", "-15 + 109 = \\boxed{94}"],
        ["15 - 47 = -32", "82 - 20 = 62", "62 + 32 = \\boxed{94}"],
        ["47-15=32", "32 - -82 = 114", " 114 - 20 = \\boxed{ 94 } "],
    ],
)
def test_other_ways_to_the_answer_are_right(lines: list[str]) -> None:
    assert TASK.first_error(BY_HAND, lines) is None


@pytest.mark.parametrize(
    ("step", "lines"),
    [
        (0, ["47 - 15 = 33"]),  # the result
        (0, ["47 + 15 = 62"]),  # a sign misread
        (0, ["45 - 15 = 30"]),  # a number misread
        (0, ["47 - 47 = 0"]),  # a number taken twice
        (0, ["47 - 15 - 20 = 12"]),  # two operations in one line
        (0, ["47 - 15 = \\boxed{32}"]),  # an answer that leaves operations out
        (0, ["1. 47 - 15 = 32"]),
        (0, ["47 - 15 = 032"]),
        (0, ["47 - 15 = 32."]),
        (0, [""]),
        (0, ["So 47 - 15 is 32"]),
        (0, ["47 - 15 = " + "9" * 5000]),
        (0, ["٤٧ - 15 = 32"]),  # digits of another script
        (1, ["47 - 15 = 32", "47 - 20 = 27"]),  # not what is left
        (1, ["47 - 15 = 32", "32 - 15 = 17"]),  # taken before
        (1, ["15 + 20 = 35", "47 + 35 = 82"]),  # 35 is left to be subtracted
        (2, [*RIGHT[:2], "12 + 82 = 94"]),  # no box
        (2, [*RIGHT[:2], "12 + 82 = \\boxed{95}"]),
        (2, [*RIGHT[:2], "82 - 12 = \\boxed{70}"]),
        (2, [*RIGHT[:2], "-12 - 82 = \\boxed{-94}"]),  # the answer with its sign turned
        (3, [*RIGHT, "94 + 0 = \\boxed{94}"]),
    ],
)
def test_every_deviation_is_an_error_where_it_stands(step: int, lines: list[str]) -> None:
    assert TASK.first_error(BY_HAND, lines) == step


def test_a_line_that_can_be_read_in_two_ways_is_kept_in_both() -> None:
    # 5 and 3 are there with both signs: 5 + 3 = 8 may leave 8 or -8, and what follows says which.
    terms = (5, 3, -5, -3, 1)
    assert first_wrong(terms, ["5 + 3 = 8", "-5 - 3 = -8"]) is None
    assert first_wrong(terms, ["5 + 3 = 8", "8 - 5 = 3"]) is None
    assert first_wrong(terms, ["5 + 3 = 8", "-8 + 5 = -3", "-3 + 3 = 0"]) is None
    assert first_wrong(terms, ["5 + 3 = 8", "8 - 8 = 0"]) == 1


@given(right_solutions())
def test_right_solutions_in_any_order_have_no_error(solution: tuple[Terms, list[Line]]) -> None:
    terms, lines = solution
    assert lines[-1].result == sum(terms)
    for end in range(len(lines) + 1):
        assert first_wrong(terms, texts(lines[:end])) is None


@given(right_solutions(), st.data())
def test_any_wrong_result_is_found(solution: tuple[Terms, list[Line]], data: st.DataObject) -> None:
    terms, lines = solution
    place = data.draw(st.integers(0, len(lines) - 1))
    line = lines[place]
    off = data.draw(st.integers(-200, 200).filter(bool))
    wrong = Line(line.left, line.sign, line.right, line.result + off, line.boxed)
    assert first_wrong(terms, texts([*lines[:place], wrong, *lines[place + 1 :]])) == place


@given(right_solutions(), st.data())
def test_mutated_lines_are_judged_as_by_trying_all_ways(
    solution: tuple[Terms, list[Line]], data: st.DataObject
) -> None:
    terms, lines = solution
    place = data.draw(st.integers(0, len(lines) - 1))
    line = lines[place]
    numbers = st.sampled_from([*terms, *(-t for t in terms), line.left, line.right])
    left, right = data.draw(numbers), data.draw(numbers | st.integers(-99, 99))
    sign = data.draw(st.sampled_from("+-"))
    # Arithmetic that is right, so that only what it takes can be wrong.
    result = left + right if sign == "+" else left - right
    mutated = Line(left, sign, right, result, data.draw(st.booleans()))
    changed = [*lines[:place], mutated, *lines[place + 1 :]]
    assert first_wrong(terms, texts(changed)) == reference(terms, changed)


@given(right_solutions(), st.data())
def test_a_changed_character_is_an_error_or_says_the_same(
    solution: tuple[Terms, list[Line]], data: st.DataObject
) -> None:
    terms, lines = solution
    place = data.draw(st.integers(0, len(lines) - 1))
    text = lines[place].text
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from("0123456789+-=x{}.")) + text[at + 1 :]
    found = first_wrong(terms, [*texts(lines[:place]), changed])
    read = read_line(changed)
    if read is None:
        assert found == place
    else:
        assert found == reference(terms, [*lines[:place], read])


@given(TERMS, st.lists(st.text(alphabet="0123456789+-= \\boxed{}\n", max_size=25), max_size=7))
def test_no_text_breaks_the_checker(terms: Terms, lines: list[str]) -> None:
    found = first_wrong(terms, lines)
    assert found is None or 0 <= found < len(lines)


@given(
    st.integers(2, 7),
    st.integers(1, 4),
    st.floats(0, 1),
    st.sampled_from(["train", "test"]),
    st.integers(0, 2**32),
)
def test_demonstrations_are_right_and_faulty_ones_fail_in_the_line_they_name(
    numbers: int, digits: int, minus: float, split: str, seed: int
) -> None:
    task = SumsTask(numbers, digits, minus)
    problem = task.problems(split, 1, seed)[0]
    right = task.demonstration(problem, Key.of(seed))
    assert task.first_error(problem, right.split("\n")) is None
    assert task.in_format(problem, right.split("\n"))
    assert task.verify(problem, right).reward == 1
    wrong = task.faulty(problem, Key.of(seed)).split("\n")
    error = task.first_error(problem, wrong)
    assert error is not None
    # Everything before the error is the demonstration, and all lines can be read.
    assert wrong[:error] == right.split("\n")[:error]
    assert all(read_line(line) for line in wrong)
    assert read_line(wrong[-1]).boxed  # type: ignore[union-attr]


def test_faulty_solutions_go_wrong_anywhere_and_in_every_way() -> None:
    task = SumsTask(5, 2)
    problem = task.problems("train", 1, 0)[0]
    drawn = [task.faulty(problem, Key.of(0).child(i)).split("\n") for i in range(400)]
    places = [task.first_error(problem, lines) for lines in drawn]
    # 400 draws over 4 lines: 100 each, give or take 4 standard deviations of 8.7.
    assert all(abs(places.count(place) - 100) < 35 for place in range(4))
    assert any(len(lines) < 4 for lines in drawn)  # operations left out
    rights = task.solution(problem)
    wrong = [
        (read_line(lines[p]), read_line(rights[p]))
        for lines, p in zip(drawn, places, strict=True)
        if p is not None
    ]
    assert any(a.result != a.right_result for a, _ in wrong)  # type: ignore[union-attr]
    assert any(a.sign != b.sign for a, b in wrong)  # type: ignore[union-attr]
    assert any(a.right != b.right for a, b in wrong)  # type: ignore[union-attr]


@given(st.integers(2, 6), st.integers(1, 3), st.integers(0, 2**32))
def test_problems_are_distinct_seeded_and_shared_by_no_two_splits(
    numbers: int, digits: int, seed: int
) -> None:
    task = SumsTask(numbers, digits)
    train, test = (task.problems(split, 8, seed) for split in ("train", "test"))
    assert train == task.problems("train", 12, seed)[:8]
    assert train != task.problems("train", 8, seed + 1)
    assert len({p.question for p in train + test} | {p.id for p in train + test}) == 32
    for split, problems in (("train", train), ("test", test)):
        for problem in problems:
            assert split_of(problem.question) == split
            terms = parse_question(problem.question)
            assert (len(terms), write_question(terms)) == (numbers, problem.question)
            assert all(len(str(abs(term))) == digits for term in terms)
            assert eval(re.sub(r"What is (.*)\?", r"\1", problem.question)) == int(problem.answer)


def test_the_share_of_subtractions_is_as_set() -> None:
    for minus in (0.0, 0.25, 1.0):
        problems = SumsTask(5, 2, minus).problems("train", 400, 0)
        signs = [term < 0 for p in problems for term in parse_question(p.question)[1:]]
        # 1600 signs: four standard deviations are 0.05 at most.
        assert abs(sum(signs) / len(signs) - minus) < 0.05


def test_it_is_what_it_says() -> None:
    assert isinstance(TASK, Task)
    assert isinstance(TASK, StepChecker)
    assert isinstance(TASK, Demonstrator)
    assert TASK.prompt(BY_HAND) == "What is 47 - 15 - 20 + 82?"


@pytest.mark.parametrize(
    "question",
    [
        "What is 47?",
        "What is 47 + 082?",
        "What is 47 - 0?",
        "What is -47 + 82?",
        "47 + 82",
        "What is 47 * 82?",
        "What is 47  + 82?",
    ],
)
def test_other_questions_are_refused(question: str) -> None:
    with pytest.raises(InvalidInput, match="not a sum"):
        TASK.first_error(Problem("x", question, "1"), ["47 + 82 = \\boxed{129}"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("numbers", 1), ("numbers", 21), ("digits", 0), ("digits", 16), ("minus", 1.5)],
)
def test_impossible_sizes_are_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=field):
        SumsTask(**{field: value})  # type: ignore[arg-type]


def test_exhausted_tasks_and_unknown_splits_are_refused() -> None:
    with pytest.raises(InvalidInput, match="questions found"):
        SumsTask(2, 1).problems("test", 200, 0)
    with pytest.raises(InvalidInput, match="split = 'dev'"):
        TASK.problems("dev", 1, 0)
