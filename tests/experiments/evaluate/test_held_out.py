"""Evaluations of what was learned from are refused, by question and by test."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cpi_theory.checks import InvalidInput
from experiments.evaluate.config import EvaluateConfig
from experiments.evaluate.held_out import check_held_out, check_tests
from experiments.worlds.code import CodeWorld
from experiments.worlds.language import DatasetWorld
from llm.data.prepare import prepare
from llm.data.prepared import read_split
from llm.data.recipes.catalogue import find_recipe
from tests.llm.data.sources import ROWS
from tests.llm.data.test_recipes import jsonl


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    source = jsonl(tmp_path / "l.jsonl", ROWS["livecodebench_medium"])
    prepare(find_recipe("livecodebench_medium"), tmp_path / "lcb", source)
    return tmp_path / "lcb"


def config(*worlds: CodeWorld | DatasetWorld, problems: int = 3) -> EvaluateConfig:
    """The first world is evaluated; the models have learned in the others."""
    names = tuple(world.name for world in worlds)
    return EvaluateConfig(benchmarks=names[:1], learned=names[1:], more=worlds, problems=problems)


def code(programs: Path, name: str, evaluation: str = "test") -> CodeWorld:
    # Scored by the format: nothing is run, so that no sandbox is needed.
    return CodeWorld(name, str(programs), evaluation, scoring="format")


def test_the_test_split_may_be_evaluated(programs: Path) -> None:
    check_held_out(config(code(programs, "a"), code(programs, "b"), problems=50))


def test_too_many_problems_are_named_as_the_setting_is(programs: Path) -> None:
    with pytest.raises(InvalidInput, match=r"problems = 5000: a: .*; ask for fewer"):
        check_held_out(config(code(programs, "a"), problems=5000))


def test_training_problems_may_be_evaluated_by_held_out_tests(programs: Path) -> None:
    check_held_out(config(code(programs, "a", "held-out tests")))


def test_tests_that_gave_rewards_are_refused_under_any_id(programs: Path) -> None:
    train = read_split(programs, "train").problems
    renamed = [dataclasses.replace(problem, id=f"mine-{problem.id}") for problem in train]
    with pytest.raises(InvalidInput, match="1 are evaluated by tests that they were trained on"):
        check_tests(train, renamed)
    kept = read_split(programs, "train").held_out
    judged = [dataclasses.replace(p, answer=kept[p.id].as_text()) for p in train]
    check_tests(train, judged)


def test_training_problems_of_another_world_are_refused_whatever_their_ids(
    programs: Path, tmp_path: Path
) -> None:
    """Two sources number their problems alike: neither may hide the other's."""
    asked = read_split(programs, "test").problems[:3]
    first = [{"id": str(i), "question": p.question, "answer": "1"} for i, p in enumerate(asked)]
    other = [{"id": str(i), "question": f"What is {i} + 1?", "answer": "1"} for i in range(3)]
    worlds = [
        DatasetWorld(name, str(jsonl(tmp_path / f"{name}.jsonl", rows)), test_share=0.0)
        for name, rows in (("first", first), ("other", other))
    ]
    everything = config(code(programs, "a"), *worlds, problems=100)
    with pytest.raises(InvalidInput, match="3 of 100 are among the training problems"):
        check_held_out(everything)
