from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

import experiments
from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.config import load_config
from experiments.runs.store import Run
from experiments.tiny_model.config import TinyModelConfig
from experiments.worlds.language import WORLDS
from llm.evaluation.arithmetic import measure
from llm.models.settings import TINY_FOLDER
from llm.models.tiny import load
from llm.tasks.arithmetic.task import REGIMES
from llm.training.warm_start import Training

SMALL = """
problems = 8
regimes = ["natural", "early"]
every = 2

[recipe]
steps = 4
tokens = 300

[recipe.model]
width = 16
heads = 2
layers = 1
feed_forward = 16
"""


def test_the_command_trains_measures_saves_and_does_not_do_it_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, into = tmp_path / "small.toml", tmp_path / "models" / "small"
    file.write_text(SMALL)
    arguments = ["tiny-model", "--config", str(file), "--output", str(tmp_path)]
    assert main(arguments) == 0
    assert "step 4 of 4" in capsys.readouterr().out
    assert main([*arguments, "--into", str(into)]) == 0
    assert "step 4 of 4" not in capsys.readouterr().out
    measured = json.loads((into / "measurements.json").read_text())
    assert list(measured) == ["natural", "early"]
    assert measured["early"]["problems"] == 8
    model, _ = load(into)
    assert model.config.hidden_size == 16
    record = Run.existing(tmp_path, "tiny-model")
    assert [row["step"] for row in record.read("losses")] == [4]
    assert [row["regime"] for row in record.read("measurements")] == ["natural", "early"]


def test_an_interrupted_warm_start_keeps_all_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL.replace("steps = 4", "steps = 23"))
    arguments = ["tiny-model", "--config", str(file), "--output"]
    assert main([*arguments, str(tmp_path / "whole")]) == 0
    update, stopped = Training._update, tmp_path / "stopped"

    def interrupted(self: Training, *batch: object) -> float:
        if self.step == 13:
            raise KeyboardInterrupt
        return update(self, *batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_update", interrupted)
        assert main([*arguments, str(stopped)]) == 130
    assert not list(stopped.glob("*/*.jsonl"))
    assert main([*arguments, str(stopped)]) == 0
    for table in ("losses", "measurements"):
        stored = [
            (root / "tiny-model" / f"{table}.jsonl").read_bytes()
            for root in (tmp_path / "whole", stopped)
        ]
        assert stored[0] == stored[1]
    rows = Run.existing(stopped, "tiny-model").read("losses")
    assert [row["step"] for row in rows] == [20, 23]
    assert not (stopped / "tiny-model" / "training").exists()


def test_a_model_of_other_code_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    arguments = ["tiny-model", "--config", str(file), "--output", str(tmp_path)]
    for code, trained in (("before", True), ("before", False), ("after", True)):
        monkeypatch.setattr("experiments.runs.store.code_digest", lambda code=code: code)
        assert main(arguments) == 0
        assert ("step 4 of 4" in capsys.readouterr().out) == trained
    shutil.rmtree(tmp_path / "tiny-model" / "model")
    assert main(arguments) == 0
    assert "step 4 of 4" in capsys.readouterr().out


def test_regimes_are_the_worlds_that_are_trained_on() -> None:
    assert {name: WORLDS[name].task() for name in REGIMES} == dict(REGIMES)
    config = TinyModelConfig()
    assert {name: config.task(name) for name in REGIMES} == dict(REGIMES)


def test_refuses_unknown_regimes_and_those_that_do_not_fit_the_length() -> None:
    with pytest.raises(InvalidInput, match=r"regimes\[1\]"):
        TinyModelConfig(regimes=("natural", "late"))
    recipe = TinyModelConfig().recipe
    short = dataclasses.replace(recipe, demonstrations=recipe.demonstrations.of_length(3))
    with pytest.raises(InvalidInput, match="hard_steps"):
        TinyModelConfig(recipe=short)
    TinyModelConfig(recipe=short, regimes=("natural",))


def test_the_committed_model_does_what_its_measurements_say() -> None:
    recorded = json.loads((TINY_FOLDER / "measurements.json").read_text())
    assert set(recorded) == set(REGIMES)
    now = measure(*load(TINY_FOLDER), REGIMES["natural"], problems=150, seed=77)
    then = recorded["natural"]
    for name in ("sampled pass", "greedy pass", "without error"):
        error = (then[name] * (1 - then[name]) * (1 / 150 + 1 / then["problems"])) ** 0.5
        assert abs(now[name] - then[name]) < 4 * error
    assert now["localization"]["exact"] > 0.93
    assert then["localization"]["exact"] > then["localization"]["first hard step"] + 0.1


def test_the_recipe_that_comes_with_the_package_is_the_default_one() -> None:
    file = Path(experiments.__file__).parent / "configs" / "tiny-model" / "tiny-arithmetic.toml"
    assert load_config(TinyModelConfig, file).recipe == TinyModelConfig().recipe
