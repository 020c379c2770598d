"""A world of programming problems in a settings file, from preparation to an update."""

from __future__ import annotations

import dataclasses

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.config import load_config
from experiments.runs.fingerprint import fingerprint
from experiments.train.config import TrainConfig
from experiments.train.training import Training
from experiments.worlds.code import CodeWorld
from experiments.worlds.writing import Writing
from llm.text.answers import CodeBlock
from llm.text.boundaries import Line
from tests.experiments.data.test_command import settings
from tests.experiments.train.test_command import BUDGET, spec
from tests.llm.data.sources import livecodebench
from tests.llm.data.test_recipes import jsonl
from tests.llm.rewards.sandbox.sandboxed import needs_sandbox


@pytest.fixture
def prepared(tmp_path, capsys):
    """The settings that ``cpi-resets data prepare`` prints."""
    source = jsonl(tmp_path / "x.jsonl", [livecodebench(i) for i in range(1, 104)])
    asked = ["data", "prepare", "livecodebench_medium", "--from", str(source)]
    assert main([*asked, "--to", str(tmp_path / "lcb")]) == 0
    file = tmp_path / "settings.toml"
    file.write_text(settings(capsys.readouterr().out))
    return file


@needs_sandbox
@pytest.mark.parametrize("scoring", ["all passed", "format"])
def test_the_printed_world_trains(prepared, scoring):
    (world,) = load_config(TrainConfig, prepared).more
    world = dataclasses.replace(
        world,
        scoring=scoring,
        writing=Writing(answer=CodeBlock(), boundary=Line(), max_tokens=12),
    )
    short = dataclasses.replace(BUDGET, prompts=1, updates=1, held_out=2)
    training = Training(spec("GRPO", world=world, budget=short))
    assert [len(group.rollouts) for group in training.advance()] == [8]
    assert 0 <= training.record()["value"] <= 1


@needs_sandbox
def test_prompts_ask_for_a_block_whatever_the_boundary(prepared):
    (world,) = load_config(TrainConfig, prepared).more
    for boundary in (Line(), world.writing.boundary):
        asked = dataclasses.replace(world, writing=Writing(answer=CodeBlock(), boundary=boundary))
        task = asked.task()
        assert "```python" in task.prompt(task.problems("train", 1, 0)[0])
        assert asked.form().answer == CodeBlock()


def test_what_is_prepared_counts_as_part_of_a_run(prepared, tmp_path):
    (world,) = load_config(TrainConfig, prepared).more
    before = fingerprint(world)
    (tmp_path / "lcb" / "train.parquet").write_bytes(b"other")
    assert before.keys() == {world.folder}
    assert fingerprint(world) != before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"scoring": "most"}, "scoring = 'most'"),
        ({"evaluation": "train"}, "evaluation = 'train'"),
        ({"judges": 0}, "judges = 0"),
        ({"success": 0.0}, "success = 0"),
        ({"writing": Writing()}, "read out of a block of code"),
    ],
)
def test_settings_that_mean_nothing_are_refused(more, message):
    with pytest.raises(InvalidInput, match=message):
        CodeWorld("c", "folder", **more)
