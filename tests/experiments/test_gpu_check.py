from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
import torch

from experiments.cli import main


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_measures_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gpu-check", "--folder", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "0 GPUs are visible to torch; run it where torch sees that GPU, or choose" in said
    assert "--device cpu with --smoke" in said  # cpu alone is refused
    assert list(tmp_path.iterdir()) == []


def test_a_large_model_is_not_measured_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu-check", "--device", "cpu"]) == 2
    assert "add --smoke" in capsys.readouterr().err


def test_a_device_that_is_none_is_not_answered_with_what_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["gpu-check", "--device", "cudax"]) == 2
    assert "choose --device cpu with --smoke" in capsys.readouterr().err


def test_the_check_itself_works_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gpu-check", "--device", "cpu", "--smoke", "--folder", str(tmp_path)]) == 0
    (file,) = tmp_path.iterdir()
    found = json.loads(file.read_text())
    assert file.name == f"gpu-{found['date']}-cpu-smoke.json"
    assert found["packages"]["torch"] == metadata.version("torch")
    assert found["tiny"]["steps"] == 2
    assert found["tiny"]["gradient_norm"] > 0
    toy = found["models"]["toy"]
    rollouts, training = toy["rollouts"]["transformers"], toy["training"]
    assert toy["rollouts"]["transformers_streaming"]["tokens"] == rollouts["tokens"]
    assert rollouts["requests"] == training["rows"] == 4
    assert 4 <= rollouts["tokens"] <= 64
    assert training["tokens"] == 4 * 80
    assert training["seconds_per_step"] > 0
    shared = toy["training_shared_prefixes"]
    assert training["forward_tokens"] == 4 * 80
    assert shared["forward_tokens"] == 2 * 64 + 4 * 15
    assert shared["gradient_norm"] == pytest.approx(training["gradient_norm"], rel=1e-3)
    drop_in = found["drop_in"]
    assert (drop_in["vllm"], drop_in["steps"]) == (False, 2)
    assert drop_in["tokens"] > 2 * 16
    assert 0 <= drop_in["reward"] <= 1
    assert drop_in["localizations"] >= 0 <= drop_in["refusals"]
    said = " ".join(capsys.readouterr().out.split())
    assert f"localizations {drop_in['localizations']}, refusals {drop_in['refusals']}" in said
