"""Problems from files: what is read, how it is split, and how bad records are named."""

from __future__ import annotations

import json

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from cpi_theory.checks import InvalidInput
from llm.data.problems import Fields, read_problems, split_problems
from llm.prompts import Prompt
from llm.task import Problem, Task
from llm.tasks.dataset import DatasetTask, load_task

RECORDS = [{"question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(10)]
NESTED = {
    "prompt": [{"role": "user", "content": "Which?\n(A) x (B) y"}],
    "reward_model": {"ground_truth": "B"},
    "extra": {"index": 7, "kind": "choice"},
}


def jsonl(path, records):
    path.write_text("".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in records))
    return str(path)


def test_jsonl_parquet_and_directories_hold_the_same_problems(tmp_path):
    lines = jsonl(tmp_path / "a.jsonl", ["\n", *RECORDS])
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    (tmp_path / "set").mkdir()
    jsonl(tmp_path / "set" / "train.jsonl", RECORDS)
    problems = read_problems(lines)
    assert [(p.question, p.answer) for p in problems] == [tuple(r.values()) for r in RECORDS]
    assert {p.kind for p in problems} == {"math"}
    assert len({p.id for p in problems}) == 10
    assert read_problems(str(tmp_path / "a.parquet")) == problems
    assert read_problems(str(tmp_path / "set")) == problems
    assert read_problems(str(tmp_path / "set") + "@train") == problems


def test_fields_are_mapped_into_nested_records(tmp_path):
    source = jsonl(tmp_path / "a.jsonl", [NESTED])
    fields = Fields("prompt.0.content", "reward_model.ground_truth", "extra.index", "extra.kind")
    question = "Which?\n(A) x (B) y"
    assert read_problems(source, fields) == [Problem("7", question, "B", "choice")]


@pytest.mark.parametrize(
    ("marker", "answer"),
    [("####", "1 + 1 #### so\n#### 2 "), ("\\boxed", r"\boxed{3}, no: \boxed{2}"), (None, 2)],
)
def test_answers_of_worked_solutions(tmp_path, marker, answer):
    source = jsonl(tmp_path / "a.jsonl", [{"question": "1 + 1", "answer": answer}])
    assert read_problems(source, Fields(answer_after=marker))[0].answer == "2"


@pytest.mark.parametrize(
    ("record", "fields", "message"),
    [
        ({"question": "q"}, {}, r"line 2, field answer = \['question'\]: no 'answer' there"),
        ({"question": "q", "answer": " "}, {}, "line 2, field answer = ' ': "),
        ({"question": "q", "answer": None}, {}, "line 2, field answer = None: empty"),
        ({"question": "", "answer": "1"}, {}, "line 2, field question = '': empty"),
        ({"question": "q", "answer": True}, {}, "field answer = True: neither a text nor a number"),
        ({"question": ["q"], "answer": "1"}, {}, r"field question = \['q'\]: neither"),
        ({"question": "q", "answer": "1"}, {"id": "id"}, "line 2, field id"),
        ({"question": "q", "answer": "1"}, {"id": "answer.0"}, "field answer.0 = 'str': no '0'"),
        ({"question": "q", "answer": r"\boxed{1}"}, {}, "take off its own box"),
        ({"question": "q", "answer": "{1"}, {}, "field answer = '{1': cannot stand in a box"),
        (
            {"question": "q", "answer": "moon", "k": "choice"},
            {"kind": "k"},
            "field answer = 'moon'",
        ),
        ({"question": "q", "answer": "1", "k": "code"}, {"kind": "k"}, "field k = 'code': no such"),
        (
            {"question": "q", "answer": "3 +"},
            {},
            r"line 2, field answer = '3 \+': cannot be read as mathematics: .* breaks off; ",
        ),
        ({"question": "q", "answer": r"3 \foo"}, {}, r"unknown command \\foo"),
        ({"question": "q", "answer": "NaN"}, {}, "field answer = 'NaN': .*not a number"),
        ('{"question": "q", "answer": NaN}\n', {}, "field answer = nan: not a finite number"),
        ('{"question": "q", "answer": -Infinity}\n', {}, "field answer = -inf: not a finite"),
        ({"question": "q", "answer": []}, {}, r"field answer = \[\]: empty"),
        ({"question": "q", "answer": ["1", None]}, {}, r"line 2, field answer\.1 = None: empty"),
        (
            {"question": "q", "answer": ["1", "2 +"]},
            {},
            r"field answer\.1 = '2 \+': cannot be read",
        ),
        (
            {"question": "q", "answer": ["#### 1", "2"]},
            {"answer_after": "####"},
            r"field answer\.1 = '2': no answer after",
        ),
        ({"question": "q", "answer": "1"}, {"answer_after": "####"}, "no answer after '####'"),
        ({"question": "q", "answer": "1 ####"}, {"answer_after": "####"}, "no answer after"),
        ({"question": "q", "answer": "1"}, {"answer_after": "\\boxed"}, "no answer after"),
        (
            {"question": "first ", "answer": "1"},
            {},
            "line 2, question = 'first': is that of .*line 1",
        ),
        ("{'question'}\n", {}, "line 2 = .*: not JSON: "),
        ("[1]\n", {}, r"line 2 = \[1\]: not a JSON object"),
    ],
)
def test_bad_records_are_named_by_file_line_and_field(tmp_path, record, fields, message):
    answer = {"####": "#### 0", "\\boxed": r"\boxed{0}"}.get(fields.get("answer_after"), "0")
    first = {"question": "first", "answer": answer, "id": 1, "k": "math"}
    source = jsonl(tmp_path / "bad.jsonl", [first, record])
    with pytest.raises(InvalidInput, match=message) as error:
        read_problems(source, Fields(**fields))
    assert "bad.jsonl" in str(error.value)


def test_a_field_may_hold_several_answers(tmp_path):
    records = [
        {"question": "One root of x^2 = 9?", "answer": ["3", -3]},
        {"question": "Half?", "answer": [0.5]},
        {"question": "Tiny?", "answer": 1e-05},
    ]
    source = jsonl(tmp_path / "a.jsonl", records)
    parquet.write_table(pyarrow.Table.from_pylist(records[1:2]), tmp_path / "a.parquet")
    roots, half, tiny = problems = read_problems(source)
    assert (roots.answer, roots.alternatives, roots.answers) == ("3", ("-3",), ("3", "-3"))
    assert half == Problem(half.id, "Half?", "0.5")
    assert read_problems(str(tmp_path / "a.parquet")) == [half]
    task = DatasetTask(tuple(problems))
    for problem, box, right in (
        (roots, "3", 1.0),
        (roots, "-3", 1.0),
        (roots, "9", 0.0),
        (roots, "3, -3", 0.0),
        (half, r"\frac12", 1.0),
        (tiny, "10^{-5}", 1.0),
        (tiny, "10^{-6}", 0.0),
    ):
        assert task.verify(problem, f"\\boxed{{{box}}}").reward == right
    solutions = [{"question": "q", "answer": [r"so \boxed{1}", r"or \boxed{2}"]}]
    marked = Fields(answer_after="\\boxed")
    assert read_problems(jsonl(tmp_path / "b.jsonl", solutions), marked)[0].answers == ("1", "2")
    long = Problem("p", "What is\n" + "1 + " * 40, "a", place="file.jsonl, line 3")
    assert long.called == f"problem 'p' ('What is {'1 + ' * 13}...', file.jsonl, line 3)"
    assert Problem("p", "q", "a").called == "problem 'p' ('q')"
    assert Problem("p", "q", "a") == Problem("p", "q", "a", place="file.jsonl, line 3")
    with pytest.raises(InvalidInput, match=r"problem 'p'.alternatives = ' ': empty"):
        Problem("p", "q", "1", alternatives=("2", " "))


def test_duplicated_questions_and_ids(tmp_path):
    again = {"question": "What  is 3 + 3?", "answer": "7"}
    source = jsonl(tmp_path / "a.jsonl", [*RECORDS, again])
    with pytest.raises(InvalidInput, match=r"line 11, question .*line 4 too; .*duplicates"):
        read_problems(source)
    assert read_problems(source, duplicates="first") == read_problems(
        jsonl(tmp_path / "b.jsonl", RECORDS)
    )
    same_id = [{"question": q, "answer": "1", "id": 5} for q in "ab"]
    with pytest.raises(InvalidInput, match=r"line 2, id = '5': is that of .*line 1 too"):
        read_problems(jsonl(tmp_path / "c.jsonl", same_id), Fields(id="id"))
    with pytest.raises(InvalidInput, match="duplicates = 'last'"):
        read_problems(source, duplicates="last")


def test_missing_empty_and_broken_sources(tmp_path):
    with pytest.raises(InvalidInput, match=r"none.jsonl: no such file"):
        read_problems(str(tmp_path / "none.jsonl"))
    problems = jsonl(tmp_path / "problems.jsonl", RECORDS)
    with pytest.raises(InvalidInput, match=r"test_source = .*none.jsonl: no such file"):
        load_task(problems, str(tmp_path / "none.jsonl"))
    with pytest.raises(InvalidInput, match="holds no problem"):
        read_problems(jsonl(tmp_path / "empty.jsonl", ["\n"]))
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(InvalidInput, match=r"bad.parquet: not a parquet file"):
        read_problems(str(tmp_path / "bad.parquet"))
    with pytest.raises(InvalidInput, match="not a kind of file that is read"):
        read_problems(jsonl(tmp_path / "a.csv", ["question,answer\n"]))
    (tmp_path / "set").mkdir()
    jsonl(tmp_path / "set" / "train.jsonl", RECORDS)
    with pytest.raises(InvalidInput, match="cannot be loaded as a data set"):
        read_problems(f"{tmp_path / 'set'}@validation")
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "\xe9"}\n')
    with pytest.raises(InvalidInput, match=r"line 1 = .*not JSON"):
        read_problems(str(tmp_path / "latin.jsonl"))


def problems_of(questions):
    return [Problem(f"id {q}", f"question {q}", "1") for q in questions]


@given(
    st.lists(st.integers(), unique=True, min_size=2, max_size=40),
    st.floats(0.01, 0.5),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_splits_are_disjoint_seeded_and_blind_to_order(questions, share, seed, random):
    problems = problems_of(questions)
    train, test = split_problems(problems, share, seed)
    assert sorted(train + test, key=problems.index) == problems
    assert len(test) == max(round(share * len(problems)), 1)
    shuffled = random.sample(problems, len(problems))
    again = split_problems(shuffled, share, seed)
    assert [set(part) for part in again] == [set(train), set(test)]


def test_the_seed_of_a_split_matters_and_shares_may_be_whole():
    problems = problems_of(range(50))
    assert split_problems(problems, 0.2, 0) != split_problems(problems, 0.2, 1)
    assert split_problems(problems, 0.0) == (problems, [])
    assert split_problems(problems, 1.0) == ([], problems)
    with pytest.raises(InvalidInput, match="too few to split"):
        split_problems(problems[:1], 0.2)
    with pytest.raises(InvalidInput, match="test_share"):
        split_problems(problems, 1.2)


def test_a_task_asks_and_judges(tmp_path):
    task = load_task(jsonl(tmp_path / "a.jsonl", RECORDS), delimiter="</step>")
    assert isinstance(task, Task)
    train, test = task.problems("train", 8, 3), task.problems("test", 2, 3)
    assert {p.id for p in train} | {p.id for p in test} == {p.id for p in task.train + task.test}
    assert task.problems("train", 5, 3) == train[:5]
    assert task.problems("train", 8, 4) != train
    text = task.prompt(train[0])
    assert train[0].question in text
    assert "</step>" in text
    assert "{{" not in text
    right, wrong = (f"Thus \\boxed{{{int(train[0].answer) + d}}}" for d in (0, 1))
    assert [task.verify(train[0], t).reward for t in (right, wrong)] == [1.0, 0.0]
    with pytest.raises(InvalidInput, match="count = 9: the train split holds 8"):
        task.problems("train", 9, 0)
    with pytest.raises(InvalidInput, match="split = 'valid'"):
        task.problems("valid", 1, 0)


def test_a_test_source_must_not_overlap(tmp_path):
    train = jsonl(tmp_path / "train.jsonl", RECORDS[:6])
    task = load_task(train, jsonl(tmp_path / "test.jsonl", RECORDS[6:]))
    assert (len(task.train), len(task.test)) == (6, 4)
    with pytest.raises(InvalidInput, match="question = 'What is 5"):
        load_task(train, jsonl(tmp_path / "test.jsonl", RECORDS[5:]))
    one, other = problems_of([1]), [Problem("id 1", "another", "1")]
    with pytest.raises(InvalidInput, match="id = 'id 1'"):
        DatasetTask(tuple(one), tuple(other))


def test_a_template_without_the_question_is_refused():
    with pytest.raises(InvalidInput, match="question"):
        DatasetTask((), (), Prompt("mine", "Solve it. {{delimiter}}"))
    with pytest.raises(InvalidInput, match="hint"):
        DatasetTask((), (), Prompt("mine", "{{question}} {{hint}} {{delimiter}}"))
