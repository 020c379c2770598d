from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import experiments
from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.config import load_config
from experiments.runs.store import Run
from experiments.warm_start.config import WarmStartConfig
from llm.models.load import load_model
from llm.models.settings import ModelSettings
from llm.models.taught import localization_taught
from tests.llm.bytes import byte_folder

SMALL = """
held_out = 4
held_out_before = 2
every = 2

[recipe]
examples = 16
batch = 4
micro_batch = 2
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    file = tmp_path / "small.toml"
    file.write_text(SMALL)
    model = byte_folder(tmp_path / "bytes")
    return ["warm-start", "--config", str(file), "--model.path", str(model)]


def test_the_command_teaches_measures_and_says_what_was_taught(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "models" / "taught"
    here = ["--output", str(tmp_path / "runs"), "--into", str(into), "--localization", "0.25"]
    assert main([*arguments, *here]) == 0
    printed = capsys.readouterr().out
    assert "12 solutions, 4 localisations, of " in printed
    assert " tokens each on average" in printed
    assert "localisation was taught" in printed
    record = Run.existing(tmp_path / "runs", "warm-start")
    assert [row["update"] for row in record.read("losses")] == [1, 2, 3, 4]
    assert record.read("examples")[0]["localization_taught"] is True
    before, after = record.read("before")[0], record.read("after")[0]
    assert (before["problems"], after["problems"]) == (2, 4)
    assert after["in format"] == 0  # four updates teach no untrained model anything
    assert after["localization"]["asked"] == 4
    assert "solutions in format" in printed
    assert "0.00 [0.00, 0.49] of 4" in printed  # z^2 / (4 + z^2)
    assert "after: asked about 4 failures, the model named no step that can be read." in printed
    assert not (record.directory / "training").exists()
    # What the folder says survives being loaded and saved again, as after training.
    settings = ModelSettings(str(into))
    assert localization_taught(settings) is True
    model, vocabulary = load_model(settings)
    model.save_pretrained(tmp_path / "later")
    assert localization_taught(ModelSettings(str(tmp_path / "later"))) is True
    assert vocabulary.tokenizer.chat_template is not None
    assert main([*arguments, *here]) == 0  # everything is there
    assert "updates:" not in capsys.readouterr().err


def test_an_interrupted_warm_start_ends_as_a_whole_one(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*arguments, "--output", str(tmp_path / "whole")]) == 0
    from experiments.warm_start import command

    teach = command.Learner.teach

    def interrupted(self, folder, watch):  # type: ignore[no-untyped-def]
        def stop(update: int, loss: float) -> None:
            if update == 3:
                raise KeyboardInterrupt
            watch(update, loss)

        return teach(self, folder, stop)

    stopped = [*arguments, "--output", str(tmp_path / "stopped")]
    with monkeypatch.context() as patch:
        patch.setattr(command.Learner, "teach", interrupted)
        assert main(stopped) == 130
    assert (tmp_path / "stopped" / "warm-start" / "training" / "checkpoint-2").is_dir()
    assert main(stopped) == 0
    for table in ("examples", "before", "losses", "after"):
        stored = [
            (tmp_path / root / "warm-start" / f"{table}.jsonl").read_bytes()
            for root in ("whole", "stopped")
        ]
        assert stored[0] == stored[1]
    kept = [
        (tmp_path / root / "warm-start" / "model" / "model.safetensors").read_bytes()
        for root in ("whole", "stopped")
    ]
    assert kept[0] == kept[1]


def test_examples_of_a_file_and_adapters_that_are_merged(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data, text = tmp_path / "demos.jsonl", json.dumps({"prompt": "q", "completion": "a"})
    data.write_text((text + "\n") * 8)
    file = tmp_path / "data.toml"
    model = arguments[-1]
    file.write_text(f'data = "{data}"\n[model]\npath = "{model}"\n[model.lora]\nrank = 2\n')
    here = ["--output", str(tmp_path / "runs"), "--held-out", "0"]
    assert main(["warm-start", "--config", str(file), *here]) == 0
    assert "localisation was not taught" in capsys.readouterr().out
    record = Run.existing(tmp_path / "runs", "warm-start")
    assert not record.has("before")
    folder = record.directory / "model"
    assert (folder / "config.json").is_file()
    assert not (folder / "adapter_config.json").exists()
    assert localization_taught(ModelSettings(str(folder))) is False
    # Other data, other results: the run is made anew.
    data.write_text((text + "\n") * 16)
    shutil.rmtree(folder)
    assert main(["warm-start", "--config", str(file), *here]) == 0
    assert len(record.read("losses")) == 2


def test_of_other_models_nobody_knows_and_the_tiny_one_localises(tmp_path: Path) -> None:
    assert localization_taught(ModelSettings("tiny")) is True
    assert localization_taught(ModelSettings("somebody/model")) is None
    assert localization_taught(ModelSettings(str(byte_folder(tmp_path / "plain")))) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('world = "natural"', "writes no demonstrations"),
        ('world = "summs"', "world = 'summs': unknown; did you mean 'sums'"),
        ("localization = 1.5", "localization = 1.5"),
        ('data = "x.jsonl"\nlocalization = 0.5', "data is given"),
        ('data = "none.jsonl"', "no such file"),
        ("[recipe]\nexamples = 4", "batch = 8"),
    ],
)
def test_mistakes_are_refused(
    tmp_path: Path,
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    text: str,
    message: str,
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    model = ["--model.path", arguments[-1], "--output", str(tmp_path / "runs")]
    assert main(["warm-start", "--config", str(file), *model]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_what_cannot_be_taught_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["warm-start", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "model = None: which one is to be taught has to be said; name a pretrained" in said
    assert not list(tmp_path.iterdir())
    assert main(["warm-start", "--model", "tiny", "--output", str(tmp_path)]) == 2
    assert "knows its own task alone" in capsys.readouterr().err
    assert main(["warm-start", "--help"]) == 0
    said = " ".join(re.sub("[│\\s]+", " ", capsys.readouterr().out).split())
    assert "(default: none)" in said
    assert "(default: tiny)" not in said
    with pytest.raises(InvalidInput, match="no examples either"):
        WarmStartConfig(world=None)
    with pytest.raises(InvalidInput, match="loses small steps"):
        WarmStartConfig(model=ModelSettings("x", precision="bfloat16"))


def test_committed_settings_differ_in_what_they_teach() -> None:
    folder = Path(experiments.__file__).parent / "configs" / "warm-start"
    configs = {p.stem: load_config(WarmStartConfig, p) for p in folder.glob("smollm2-sums*.toml")}
    plain, located = configs["smollm2-sums"], configs["smollm2-sums-localization"]
    assert plain.localization == 0 < located.localization
    assert plain.name != located.name
