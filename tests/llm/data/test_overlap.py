"""Test problems that are training problems, or nearly so, are found; others are left alone."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from llm.data.overlap import QuestionIndex, check_apart, overlaps, similarity
from llm.data.prepare import prepare
from llm.data.prepared import read_split
from llm.data.recipes.catalogue import find_recipe
from llm.task import Problem
from tests.llm.data.sources import TWO_SPLITS
from tests.llm.data.test_recipes import carried, jsonl

LONG = (
    "A train leaves the station at noon and travels north at 60 miles an hour while another one "
    "leaves at the same time and travels south at 45 miles an hour. How far apart are they at 3?"
)


def problems(*questions, name="p"):
    return [Problem(f"{name}{i}", question, "1") for i, question in enumerate(questions)]


@pytest.mark.parametrize(
    ("other", "near"),
    [
        (LONG, True),
        (LONG.upper().replace(" ", "  "), True),
        (LONG.replace("How far apart are they", "What is the distance of both"), False),
        (LONG.replace("noon", "midday"), True),
        (LONG.replace("60", "70"), False),
        ("Something else with 60, 45 and 3.", False),
    ],
)
def test_what_is_nearly_the_same(other, near):
    found = overlaps(problems(LONG), problems(other, name="q"))
    assert bool(found) is near
    assert (similarity(LONG, other) >= 0.8) is near


def test_similarity_by_hand():
    # Runs: abc bcd / abc bce: one of three.
    assert similarity("a b c d", "a b c e") == pytest.approx(1 / 3)
    assert similarity("A b", "a  B") == 1.0
    assert similarity("a b 1", "a b 2") == 0.0


@given(st.text(max_size=80), st.text(max_size=80))
def test_similarity_is_symmetric_and_one_of_itself(one, other):
    assert similarity(one, other) == similarity(other, one)
    assert 0 <= similarity(one, other) <= 1
    assert similarity(one, one) == 1


def test_every_planted_pair_is_found_among_real_problems():
    """One word of each test problem of GSM8K is another one: MinHash loses none of the pairs."""
    recipe = carried("gsm8k_100")
    real = [recipe.columns(record) for record in recipe.source.records()]
    assert overlaps(real[:50], real[50:]) == []
    changed = [
        Problem(f"{p.id}'", p.question.replace(" the ", " that ", 1), p.answer) for p in real
    ]
    near = [
        p for p, c in zip(real, changed, strict=True) if similarity(p.question, c.question) >= 0.8
    ]
    found = overlaps(real, changed)
    assert len(near) > 80
    assert [pair.train for pair in found] == [p.id for p in near]


def test_the_most_similar_one_is_named():
    index = QuestionIndex()
    for problem in problems(LONG.replace("noon", "midday"), LONG):
        index.add(problem)
    found = index.nearest(Problem("q", LONG, "1"))
    assert found is not None
    assert (found.train, found.similarity) == ("p1", 1.0)


def test_an_evaluation_says_what_overlaps():
    with pytest.raises(InvalidInput, match=r"1 of 1 are among .* q0 \(p0, 1.00\)"):
        check_apart(problems(LONG), problems(LONG + " ", name="q"))
    with pytest.raises(InvalidInput, match=r"q0 \(p0, 0\.8"):
        check_apart(problems(LONG), problems(LONG.replace("noon", "midday"), name="q"))
    check_apart(problems(LONG), problems("Another one?", name="q"))


def test_preparation_leaves_near_duplicates_out_of_the_test_split(tmp_path):
    train = [{"question": LONG, "answer": "#### 1"}]
    test = [{"question": LONG.replace("noon", "midday"), "answer": "#### 1"}]
    jsonl(tmp_path / "x" / "train.jsonl", train)
    jsonl(tmp_path / "x" / "test.jsonl", [*test, *TWO_SPLITS["gsm8k"]["test"]])
    found = prepare(find_recipe("gsm8k"), tmp_path / "made", tmp_path / "x")
    (pair,) = found["near duplicates of training problems"]
    assert pair["train"] == read_split(tmp_path / "made", "train").problems[0].id
    assert found["splits"]["test"]["rows"] == 1


def test_without_the_library_preparation_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(InvalidInput, match=r"not installed; pip install 'cpi-resets\[data\]'"):
        overlaps(problems(LONG), problems(LONG))


def test_a_similarity_that_means_nothing_is_refused():
    with pytest.raises(InvalidInput, match=r"similarity = 0\.1"):
        overlaps([], [], 0.1)
