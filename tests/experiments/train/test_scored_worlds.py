"""Training where a scorer judges: graded rewards, levels of success, and scorers that fail."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import experiments
from experiments import cli
from experiments.config import load_config
from experiments.runs.store import Run
from experiments.train.config import TrainConfig
from experiments.train.report import train_section
from experiments.train.training import Training
from tests.experiments.train.test_command import BUDGET, spec

EXAMPLE = Path(experiments.__file__).parent / "configs" / "train" / "reasoning-gym.toml"

SETTINGS = """
worlds = ["mine"]
methods = ["GRPO"]
resamples = 20
[budget]
prompts = 1
updates = 1
held_out = 2
[[more]]
type = "DatasetWorld"
name = "mine"
source = "rows.jsonl"
reward = "marks:score"
success = 0.5
max_tokens = 12
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"Q start {i}", "answer": "?"} for i in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "mine.toml").write_text(SETTINGS)
    return tmp_path


def test_the_committed_example_with_reasoning_gym_trains_the_tiny_model():
    pytest.importorskip("reasoning_gym")
    config = load_config(TrainConfig, EXAMPLE)
    short = dataclasses.replace(BUDGET, prompts=1, updates=1, held_out=2)
    for world in config.more:
        training = Training(spec("GRPO", world=world, budget=short))
        collection = training.advance()
        assert [len(group.rollouts) for group in collection] == [8]
        assert 0 <= training.record()["value"] <= 1


def test_graded_rewards_reach_the_groups_and_the_level_decides_what_failed(folder, monkeypatch):
    (folder / "marks.py").write_text(
        "def score(problem, text):\n    return len(text) % 7 / 10 if text else 0\n"
    )
    (world,) = load_config(TrainConfig, folder / "mine.toml").more
    # Without a box the tiny model is cut off: all that it writes shall be judged.
    short = dataclasses.replace(world.writing, max_thoughts=1)
    training = Training(spec("GRPO", world=dataclasses.replace(world, writing=short)))
    rollouts = [r for group in training.advance() for r in group.rollouts]
    ended = [r for r in rollouts if r.text_ending.complete]
    assert training.simulator.success == 0.5
    assert all(r.failed == (r.reward < 0.5) for r in rollouts)
    assert all(r.reward == 0 for r in rollouts if not r.text_ending.complete)
    texts = [training.simulator.vocabulary.decode(r.tokens) for r in ended]
    assert [r.reward for r in ended] == [len(text) % 7 / 10 for text in texts]


def test_a_scorer_that_fails_in_training_ends_the_command_and_loses_nothing(folder, capsys):
    marks = folder / "marks.py"
    arguments = ["train", "--config", "mine.toml", "--workers", "1", "--output", "out"]
    marks.write_text("def score(problem, text):\n    raise KeyError(problem.id)\n")
    # By workers, whose errors have to find their way; each of them takes seconds to start.
    assert cli.main([*arguments, "--workers", "2"]) == 2
    said = capsys.readouterr().err
    assert "marks:score" in said
    assert "KeyError" in said
    # The id is a hash that stands in no file; question and line do.
    number = re.search(r"problem '\w+' \('Q start (\d)', rows\.jsonl, line (\d+)\)", said)
    assert number is not None
    assert int(number[1]) + 1 == int(number[2])
    assert not list(folder.rglob("curves.jsonl"))
    marks.write_text("def score(problem, text):\n    return 0.5\n")
    assert cli.main(arguments) == 0
    stored = (folder / "out" / "train" / "curves.jsonl").read_bytes()
    assert cli.main(arguments) == 0
    assert (folder / "out" / "train" / "curves.jsonl").read_bytes() == stored
    # A changed scorer is a changed run.
    marks.write_text("def score(problem, text):\n    return 0.25\n")
    assert cli.main(arguments) == 0
    assert (folder / "out" / "train" / "curves.jsonl").read_bytes() != stored


@pytest.mark.parametrize(("success", "share"), [(0.75, 0.0), (0.5, 1.0)])
def test_a_pass_is_a_reward_at_the_level_and_the_mean_reward_stands_beside_it(
    folder, capsys, success, share
):
    """Every text that is judged has 0.5: all pass or none, whatever the mean reward."""
    (folder / "marks.py").write_text("def score(problem, text):\n    return 0.5\n")
    settings = SETTINGS.replace("success = 0.5", f"success = {success}\nmax_thoughts = 1")
    (folder / "mine.toml").write_text(settings)
    arguments = ["train", "--config", "mine.toml", "--seeds", "1", "--output", "out"]
    assert cli.main([*arguments, "--workers", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    record = Run.existing(folder / "out", "train")
    curves = record.read("curves")
    assert any(row["mean_reward"] for row in curves)
    for row in curves:
        assert row["value"] == pytest.approx(share * row["mean_reward"] / 0.5)
        if row["greedy"] is not None:
            assert row["greedy"] == pytest.approx(share * row["greedy_mean_reward"] / 0.5)
    before, after = (curves[at]["mean_reward"] for at in (0, -1))
    sentence = f"the mean reward of sampled texts went from {before:.3f} to {after:.3f}"
    assert sentence in said
    assert any(sentence in str(block) for block in train_section(record))
    sampled = record.read("finals")[0]
    assert (sampled["before"], sampled["reward_before"]) == (curves[0]["value"], before)


def test_models_outlive_a_scorer_that_begins_to_raise(folder, capsys):
    marks, models = folder / "marks.py", folder / "out" / "train" / "models"
    marks.write_text("def score(problem, text):\n    return 0.5\n")
    settings = SETTINGS.replace("updates = 1", "updates = 2").replace(
        "success", "max_thoughts = 1\nsuccess"
    )
    (folder / "mine.toml").write_text(settings)
    arguments = ["train", "--config", "mine.toml", "--seeds", "1", "--output", "out"]
    arguments += ["--workers", "1"]
    assert cli.main(arguments) == 0
    before = {path: path.read_bytes() for path in models.rglob("*") if path.is_file()}
    marks.write_text("def score(problem, text):\n    raise KeyError('gone')\n")
    assert cli.main(arguments) == 2
    assert "KeyError" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in models.rglob("*") if path.is_file()} == before
    assert {path.name for path in before} >= {"finished.json", "log.jsonl", "model.safetensors"}
    # What the scorer as it was had judged is there without being made again.
    marks.write_text("def score(problem, text):\n    return 0.25\n")
    assert cli.main(arguments) == 0
    assert [path.name for path in models.iterdir()] == ["mine-GRPO-0"]
    stamp = models / "mine-GRPO-0" / "made-by.json"
    assert stamp.read_bytes() != before[stamp]
