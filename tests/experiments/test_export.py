"""A trained run is exported by its name, and what cannot be meant is refused."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
import torch

from experiments.cli import main
from experiments.commands import COMMANDS
from experiments.export.command import find_model
from experiments.train.config import TrainConfig
from experiments.train.engines import training_curve
from experiments.train.spec import Checkpoints
from llm.models.load import load_model
from llm.models.settings import LoraSettings, ModelSettings
from tests.experiments.train.test_command import spec

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one training with adapters."""
    folder = tmp_path_factory.mktemp("run")
    model = dataclasses.replace(spec().model, lora=LoraSettings(4, 8))
    training_curve(spec("GRPO", model=model), Checkpoints(folder / "models", 3))
    return folder


def test_a_run_is_exported_and_says_how_it_is_used(trained, tmp_path, capsys):
    target = tmp_path / "plain"
    assert main(["export", str(trained), "--to", str(target), "--which", "last"]) == 0
    said = capsys.readouterr().out
    for line in (
        f"model: {target}, from {trained}/models/short-GRPO-0/last",
        f"  vllm serve {target}",
        f"  lm_eval --model hf --model_args pretrained={target} --tasks gsm8k",
        f'  lighteval accelerate "model_name={target}"',
    ):
        assert line in said
    plain, _ = load_model(ModelSettings(str(target)))
    whole, _ = load_model(ModelSettings(str(trained / "models" / "short-GRPO-0" / "last")))
    for name, weight in whole.state_dict().items():
        assert torch.equal(plain.state_dict()[name], weight)


def test_nothing_but_a_model_is_replaced(trained, tmp_path, capsys):
    notes, model = tmp_path / "notes", trained / "models" / "short-GRPO-0" / "last"
    notes.mkdir()
    (notes / "keep.txt").write_text("mine")
    gguf = tmp_path / "x.gguf"
    gguf.touch()
    data = tmp_path / "demos.jsonl"
    data.touch()
    files = {path for path in trained.rglob("*") if path.is_file()}
    for arguments, said in (
        (["export", str(trained), "--to", str(notes)], "holds 'keep.txt', which would be lost"),
        (["export", str(trained), "--to", str(trained)], "holds 'models', which would be lost"),
        (["export", str(model), "--to", str(model)], "is what is exported"),
        (["model", "smollm2", "--gguf", str(gguf), "--to", str(notes)], "holds 'keep.txt'"),
        (
            ["warm-start", "--model", str(model), "--data", str(data), "--into", str(notes)],
            f"into = {notes}: holds",
        ),
    ):
        assert main([*arguments]) == 2
        assert said in capsys.readouterr().err
    assert (notes / "keep.txt").read_text() == "mine"
    assert {path for path in trained.rglob("*") if path.is_file()} == files


def test_adapters_open_in_a_command(trained, tmp_path, capsys):
    model = str(trained / "models" / "short-GRPO-0" / "best")
    assert main(["anatomy", "--model.path", model, *ANATOMY, "--output", str(tmp_path)]) == 0


ANATOMY = ["--worlds", "sparse", "--prompts", "4", "--rollouts", "4", "--workers", "1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export"], "nothing to export"),
        (["export", "x"], "add --to DIR"),
        (["export", "./nowhere", "--to", "y"], "no such folder"),
    ],
)
def test_what_is_missing_is_named(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_example_names_a_training_of_train_without_options(tmp_path):
    """Which has several, so that the run alone names none."""
    source = Path(shlex.split(COMMANDS["export"].example)[0])
    store = Checkpoints(tmp_path / source.parent.relative_to("results"), 1)
    made = {store.of(one) for one in TrainConfig().specs()}
    assert len(made) > 1
    assert tmp_path / source.relative_to("results") in made


def test_models_are_found_in_runs(tmp_path, capsys):
    def model(*parts):
        folder = tmp_path.joinpath(*parts)
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
        return str(folder)

    warm = model("warm", "model")
    assert find_model(str(tmp_path / "warm"), "best") == warm
    assert find_model(warm, "last") == warm
    best = model("one", "models", "a-GRPO-0", "best")
    # What a training under way will replace is none of the run's.
    model("one", "models", ".a-GRPO-0.before", "a-GRPO-0", "best")
    assert find_model(str(tmp_path / "one"), "best") == best
    assert find_model(str(tmp_path / "one" / "models" / "a-GRPO-0"), "best") == best
    assert find_model("owner/name", "best") == "owner/name"
    assert main(["export", str(tmp_path / "one"), "--to", "y", "--which", "last"]) == 2
    assert "none named last" in capsys.readouterr().err
    model("one", "models", "a-SRPO-0", "best")
    assert main(["export", str(tmp_path / "one"), "--to", "y"]) == 2
    said = capsys.readouterr().err
    assert "several trainings: a-GRPO-0, a-SRPO-0" in said
