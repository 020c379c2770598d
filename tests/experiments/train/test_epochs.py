"""Training problems in epochs: each once before any comes again."""

from __future__ import annotations

import dataclasses

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.train.spec import TrainBudget
from experiments.train.training import Training
from experiments.worlds.counts import asked_by
from experiments.worlds.language import DatasetWorld
from tests.experiments.train.test_command import spec
from tests.llm.data.test_recipes import jsonl


@pytest.fixture
def world(tmp_path):
    rows = [{"question": f"Is {i} a number?", "answer": str(i)} for i in range(1, 15)]
    train, test = (
        jsonl(tmp_path / "train.jsonl", rows[:7]),
        jsonl(tmp_path / "test.jsonl", rows[7:]),
    )
    return DatasetWorld("mine", str(train), str(test))


def drawn(world, updates, **changes):
    budget = TrainBudget(prompts=3, updates=1, held_out=1, order="epochs")
    training = Training(spec(world=world, budget=budget, **changes))
    return [[p.id for p in training.begin(update)] for update in range(1, updates + 1)]


def test_an_epoch_brings_no_problem_twice_and_its_order_is_its_own(world):
    found = drawn(world, 8)
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert len({*first, *second}) == 6  # one of seven is left over
    assert found[0] != found[2]
    assert {*found[0], *found[1]} != {*found[2], *found[3]} or found[:2] != found[2:4]
    assert found == drawn(world, 8)
    assert found != drawn(world, 8, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget.order", "epochs"], "without end"),
        (["--budget.order", "epochs", "--worlds", "mine"], "there are 7 training problems"),
        (["--worlds", "mine"], "budget.prompts = 8: the train split holds 7 problems; ask for"),
        (
            ["--worlds", "mine", "--budget.prompts", "2", "--budget.held-out", "8"],
            "budget.held_out = 8: the test split holds 7 problems; ask for fewer",
        ),
    ],
)
def test_what_the_problems_are_too_few_for_is_refused(options, message, world, tmp_path, capsys):
    file = tmp_path / "run.toml"
    file.write_text(
        f'[[more]]\ntype = "DatasetWorld"\nname = "mine"\nsource = "{world.source}"\n'
        f'test_source = "{world.test_source}"\n[budget]\nprompts = 8\n'
    )
    asked = ["train", "--config", str(file), "--methods", "GRPO", "--output", str(tmp_path / "out")]
    assert main([*asked, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "train" / "curves.jsonl").exists()


def test_a_task_that_runs_short_is_told_by_the_option(world):
    said = r"^prompts = 9: the test split holds 7 problems"
    with pytest.raises(InvalidInput, match=said), asked_by("prompts"):
        world.task().problems("test", 9, seed=0)
    with pytest.raises(InvalidInput, match=r"^split = 'dev'"), asked_by("prompts"):
        world.task().problems("dev", 1, seed=0)


def test_an_order_that_is_none():
    with pytest.raises(InvalidInput, match="order = 'random'"):
        dataclasses.replace(TrainBudget(), order="random")
