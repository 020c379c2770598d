"""Every recipe makes problems of records in its source's schema; the rules say what they keep."""

from __future__ import annotations

import importlib.util
import json
import pickle

import pandas
import pytest

from cpi_theory.checks import InvalidInput
from llm.data.prepare import prepare
from llm.data.prepared import read_split
from llm.data.recipes import filters
from llm.data.recipes.catalogue import CATALOGUE, find_recipe
from llm.data.recipes.packed_tests import text_of_pickle, unpack
from llm.data.recipes.sources import Package
from llm.rewards.sandbox.cases import read_tests
from tests.llm.data.sources import ROWS, SCIKNOWEVAL, TWO_SPLITS, livecodebench, numinamath, packed


def jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def made(tmp_path, name, rows):
    """The manifest and the folder that come of records."""
    folder = tmp_path / "made"
    found = prepare(find_recipe(name), folder, jsonl(tmp_path / "export.jsonl", rows))
    return found, folder


def test_there_is_a_fixture_or_a_package_for_every_recipe():
    carried = {name for name, r in CATALOGUE.items() if isinstance(r.source, Package)}
    assert set(CATALOGUE) == {*ROWS, *TWO_SPLITS, *carried}
    assert carried == {"humaneval", "champ", "gsm8k_100", "reasoning_gym_chain_sum"}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_records_of_one_table(tmp_path, name):
    found, folder = made(tmp_path, name, ROWS[name])
    assert found["unreadable"] == found["repeated"] == []
    assert found["read"] == len(ROWS[name])
    for split, about in found["splits"].items():
        assert len(read_split(folder, split).problems) == about["rows"] > 0


@pytest.mark.parametrize("name", sorted(TWO_SPLITS))
def test_records_of_official_splits(tmp_path, name):
    for split, rows in TWO_SPLITS[name].items():
        jsonl(tmp_path / "export" / "main" / f"{split}-00000-of-00001.jsonl", rows)
    found = prepare(find_recipe(name), tmp_path / "made", tmp_path / "export")
    for split, rows in TWO_SPLITS[name].items():
        kept = [row for row in rows if row.get("level", "Level 5") == "Level 5"]
        assert found["splits"][split]["rows"] == len(kept)


@pytest.mark.parametrize(
    ("name", "answer", "kind"),
    [
        ("csqa", "B", "choice"),
        ("strategyqa", "yes", "exact"),
        ("sciknoweval_chemistry", "B", "choice"),
        ("mmlu_pro", "I", "choice"),
        ("theoremqa", "0.25", "math"),
        ("hmmt_nov_2025", "\\frac{1}{2}", "math"),
        ("aime_2025", "70", "math"),
    ],
)
def test_answers_and_their_kinds(tmp_path, name, answer, kind):
    _, folder = made(tmp_path, name, ROWS[name])
    (problem,) = read_split(folder, "test").problems
    assert (problem.answer, problem.kind) == (answer, kind)


def test_options_stand_in_the_question_under_the_letters_of_the_answer(tmp_path):
    _, folder = made(tmp_path, "gpqa", ROWS["gpqa"])
    (problem,) = read_split(folder, "test").problems
    assert f"{problem.answer}. this" in problem.question.splitlines()


def test_true_or_false_is_asked_for_and_open_questions_are_left_out(tmp_path):
    rows = [
        {**SCIKNOWEVAL, "type": "true_or_false", "question": "Is it?", "answer": "True"},
        {**SCIKNOWEVAL, "type": "open-ended-qa", "question": "Why?", "answer": "12"},
        {**SCIKNOWEVAL, "details": {"level": "L1"}},
    ]
    found, folder = made(tmp_path, "sciknoweval_chemistry", rows)
    assert found["dropped"] == {"checkable": 1, "level L3": 1}
    (problem,) = read_split(folder, "test").problems
    assert problem.answer == "true"
    assert problem.question.endswith("Answer true or false.")


def test_the_published_split_is_that_of_pandas(tmp_path):
    _, folder = made(tmp_path, "numinamath_olympiads", ROWS["numinamath_olympiads"])
    order = pandas.DataFrame({"i": range(1, 1511)}).sample(frac=1, random_state=42)["i"]
    for split, part in (
        ("train", order[:400]),
        ("test", order[400:500]),
        ("test_large", order[400:1400]),
    ):
        answers = [int(problem.answer) for problem in read_split(folder, split).problems]
        assert answers == list(part)


def test_training_and_testing_share_no_tests_of_programs(tmp_path):
    _, folder = made(tmp_path, "livecodebench_medium", ROWS["livecodebench_medium"])
    train, test = read_split(folder, "train"), read_split(folder, "test")
    assert len(train.problems) == 3
    assert not {p.id for p in train.problems} & {p.id for p in test.problems}
    for problem in train.problems:
        learned, held_out = read_tests(problem.answer), train.held_out[problem.id]
        assert len(learned.streams) == len(held_out.streams) == 2
        assert not learned.digests() & held_out.digests()
    assert all(len(read_tests(p.answer).streams) == 4 for p in test.problems)


def test_a_problem_with_one_test_is_not_for_training(tmp_path):
    rows = [livecodebench(i) for i in range(1, 102)]
    cases = json.loads(rows[0]["public_test_cases"])[:1]
    rows[0] |= {"public_test_cases": json.dumps(cases), "private_test_cases": "[]"}
    # Enough of them that some are for training, whatever the shuffle.
    alone = [
        {**rows[0], "question_id": f"q{i}", "question_content": f"Another {i} problem {i * 7}."}
        for i in range(200)
    ]
    found, _ = made(tmp_path, "livecodebench_medium", [*rows, *alone])
    assert found["dropped"]["too few tests to hold some out"] > 0


def test_functions_are_called_with_an_argument_per_line():
    row = livecodebench(3, function="add")
    row["public_test_cases"] = json.dumps(
        [{"input": "[1, 2]\n5", "output": "7", "testtype": "functional"}]
    )
    from llm.data.records import Record

    problem = find_recipe("livecodebench_medium").columns(Record("x", "row", 1, row))
    tests = read_tests(problem.answer)
    assert tests.function == "add"
    assert tests.calls[0].arguments == "[[1, 2], 5]"
    assert "class Solution" in problem.question


@pytest.mark.parametrize(
    ("rule", "kept", "dropped"),
    [
        (filters.short, "1" * 60, "1" * 61),
        (filters.balanced, "\\frac{1}{(2)}", "\\frac{1}{2"),
        (filters.balanced, "f(x)", ")1("),
        (filters.letter_or_number, "D", "n"),
        (filters.letter_or_number, "2n", "F"),
        (filters.no_words, "\\sqrt{2}ab", "2 cats"),
        (filters.no_text, "5", "5\\text{ m}"),
        (filters.no_junk, "-5", ": 5"),
        (filters.no_percent_or_about, "5", "5%"),
        (filters.no_percent_or_about, "5", "~5"),
        (filters.no_unit, "5x", "5 cm"),
        (filters.no_unit, "3m+2", "5 \\mathrm{kg} 3 kg"),
        (filters.no_or, "x=1", "1 or 2"),
        (filters.formula_or_yes_no, "2^n*sqrt(3)", "at least 2"),
        (filters.formula_or_yes_no, "No", "n times"),
    ],
)
def test_rules_on_answers(rule, kept, dropped):
    assert rule(kept)
    assert not rule(dropped)
    assert rule.__doc__.startswith("Keep ")


@pytest.mark.parametrize(
    ("written", "repaired"),
    [
        ("\\dfrac{1}{2}", "\\frac{1}{2}"),
        ("\\left(1,2\\right)", "(1,2)"),
        ("$5$.", "5"),
        ("10\\,000", "10000"),
        ("\\leftarrow", "\\leftarrow"),
    ],
)
def test_small_repairs_of_latex(written, repaired):
    assert filters.repaired(written) == repaired


def test_each_rule_is_counted_and_what_cannot_be_read_is_named(tmp_path):
    rows = [*ROWS["numinamath_olympiads"], numinamath(9001, "7", "aops_forum")]
    rows += [numinamath(9002, "5 or 6"), {**numinamath(9003, "5"), "solution": "no box"}]
    rows += [numinamath(9004, "5++"), numinamath(1, "1")]
    found, _ = made(tmp_path, "numinamath_olympiads", rows)
    assert found["dropped"] == {"source is 'olympiads'": 1, "no_or": 1}
    nameless, named = found["unreadable"]
    assert (nameless["name"], nameless["problem"]) == ("line 1513", "no box")
    assert named["name"].startswith("numinamath-")
    assert named["value"] == "5++"
    assert len(found["repeated"]) == 1


def test_private_tests_are_unpacked_without_unpickling():
    assert unpack("[]") == "[]"
    assert unpack(packed('[{"input": "\u2028"}]')) == '[{"input": "\u2028"}]'


class Trap:
    def __reduce__(self):
        return (open, ("/nonexistent", "w"))


@pytest.mark.parametrize("value", [Trap(), ["a", "b"], 5, ("x",), b"x"])
def test_a_pickle_of_anything_else_is_refused(value):
    with pytest.raises(InvalidInput, match="a pickle"):
        text_of_pickle(pickle.dumps(value))


@pytest.mark.parametrize("text", ["!!", "aGVsbG8=", packed("x")[:-8]])
def test_what_cannot_be_unpacked_is_refused(text):
    with pytest.raises(InvalidInput, match=r"unpacked|pickle"):
        unpack(text)


def test_unpacked_tests_have_a_limit(monkeypatch):
    monkeypatch.setattr("llm.data.recipes.packed_tests.LARGEST", 1000)
    with pytest.raises(InvalidInput, match="unpacks to more"):
        unpack(packed("0" * 10_000))


@pytest.mark.parametrize("seed", range(5))
def test_halves_hold_every_test_once(seed):
    tests = read_tests(json.dumps({"streams": [[str(i % 7), str(i % 7)] for i in range(20)]}))
    first, second = tests.halves(seed)
    assert len(first.streams) == 4
    assert first.digests() | second.digests() == tests.digests()
    assert not first.digests() & second.digests()


def carried(name):
    """The manifest of a benchmark that a package carries."""
    recipe = find_recipe(name)
    if importlib.util.find_spec(recipe.source.module) is None:
        pytest.skip(f"needs the package {recipe.source.distribution}, which is not installed")
    return recipe


@pytest.mark.parametrize(
    ("name", "splits", "unreadable"),
    [
        ("humaneval", {"test": 164}, 0),
        ("champ", {"test": 160}, 3),
        ("gsm8k_100", {"test": 100}, 0),
        ("reasoning_gym_chain_sum", {"train": 400, "test": 96}, 0),
    ],
)
def test_benchmarks_that_packages_carry(tmp_path, name, splits, unreadable):
    found = prepare(carried(name), tmp_path)
    assert {split: about["rows"] for split, about in found["splits"].items()} == splits
    assert len(found["unreadable"]) == unreadable
