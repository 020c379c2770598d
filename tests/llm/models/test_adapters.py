"""Folders of adapters open as the model that they make of the one below, and can be exported."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cpi_theory.checks import InvalidInput
from experiments.runs.fingerprint import fingerprint
from experiments.worlds import language
from llm.models import export as exporting
from llm.models.adapters import base_of
from llm.models.export import export
from llm.models.folders import save_model
from llm.models.load import load_model
from llm.models.settings import LoraSettings, ModelSettings
from llm.sampling.engine import make_sampler
from llm.sampling.settings import SamplerSettings
from tests.llm.rows import logprobs_of, tiny_model, weights
from tests.llm.words import vocabulary

torch.set_num_threads(1)
WORDS = vocabulary(*(f"w{i}" for i in range(29)))
PROMPT, REST = (3, 4, 9), (5, 20, 7, 11)


def law(model):
    with torch.no_grad():
        return logprobs_of(model, PROMPT, REST)


def adapted(below, folder, seed=0, **changes):
    """Adapters that change the model below much, in a folder of their own; and their law."""
    lora = LoraSettings(4, 8)
    model, words = load_model(ModelSettings(str(below), lora=lora, **changes))
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    save_model(model, words, folder)
    return law(model)


@pytest.fixture
def below(tmp_path):
    save_model(tiny_model(), WORDS, tmp_path / "below")
    return tmp_path / "below"


@pytest.fixture
def folder(below, tmp_path):
    adapted(below, tmp_path / "adapters")
    return tmp_path / "adapters"


def test_adapters_open_on_the_model_that_they_were_trained_on(below, tmp_path):
    expected = adapted(below, tmp_path / "a")
    model, words = load_model(ModelSettings(str(tmp_path / "a")))
    assert type(model) is type(load_model(ModelSettings(str(below)))[0])  # a plain one
    torch.testing.assert_close(law(model), expected, atol=1e-5, rtol=0)
    assert (law(model) - law(tiny_model())).abs().max() > 0.1
    assert words.encode("w7") == WORDS.encode("w7")


def test_adapters_open_from_anywhere(below, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = adapted("./below", tmp_path / "a")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    torch.testing.assert_close(
        law(load_model(ModelSettings("../a"))[0]), expected, atol=1e-5, rtol=0
    )


def test_adapters_trained_on_adapters_stand_on_both(folder, tmp_path):
    expected = adapted(folder, tmp_path / "second", seed=1)
    assert base_of(tmp_path / "second") == str(folder)
    model, _ = load_model(ModelSettings(str(tmp_path / "second")))
    torch.testing.assert_close(law(model), expected, atol=1e-5, rtol=0)


def test_a_fingerprint_covers_all_that_adapters_stand_on(folder, below):
    assert language.points_to(ModelSettings(str(folder))).keys() == {str(folder), str(below)}
    before = fingerprint(ModelSettings(str(folder)))
    save_model(tiny_model(seed=1), WORDS, below)
    after = fingerprint(ModelSettings(str(folder)))
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {str(below)}


def test_a_model_below_that_is_gone_is_named(folder, below):
    shutil.rmtree(below)
    with pytest.raises(
        InvalidInput, match=rf"adapters': .*not there \({below}\); put it there, or"
    ):
        load_model(ModelSettings(str(folder)))


def edit(folder, **changes):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def drop_one(folder):
    file = folder / "adapter_model.safetensors"
    stored = load_file(file)
    stored.pop(sorted(stored)[0])
    save_file(stored, file)


BREAK = {
    "no base": (lambda f: edit(f, base_model_name_or_path=None), "which model it stands on"),
    "no JSON": (lambda f: (f / "adapter_config.json").write_text("{"), "cannot be read"),
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), "do not fit"),
    "a weight is missing": (drop_one, "do not fit .*missing adapter keys"),
    "another rank": (lambda f: edit(f, r=3), r"do not fit .*size mismatch"),
}


@pytest.mark.parametrize("kind", BREAK)
def test_adapters_that_cannot_be_used_are_refused(folder, kind):
    change, said = BREAK[kind]
    change(folder)
    with pytest.raises(InvalidInput, match=rf"model\.path = .*adapters.*: .*{said}"):
        load_model(ModelSettings(str(folder)))


def test_vllm_is_told_to_export_first(folder):
    settings = ModelSettings(str(folder))
    model, words = load_model(settings)
    with pytest.raises(InvalidInput, match="cpi-resets export"):
        make_sampler(SamplerSettings("vllm"), model, words, settings)


def test_what_is_exported_has_the_law_of_the_adapters(below, tmp_path):
    expected = adapted(below, tmp_path / "a")
    found = export(str(tmp_path / "a"), tmp_path / "plain")
    assert found.largest < 1e-4
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(below)  # it stands on nothing
    names = {path.name for path in (tmp_path / "plain").iterdir()}
    assert "model.safetensors" in names
    assert not any("adapter" in name for name in names)
    model, _ = load_model(ModelSettings(str(tmp_path / "plain")))
    torch.testing.assert_close(law(model), expected, atol=1e-5, rtol=0)
    config = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]


def test_a_whole_model_is_exported_as_it_is_and_in_another_precision(below, tmp_path):
    export(str(below), tmp_path / "same")
    model, _ = load_model(ModelSettings(str(tmp_path / "same")))
    assert torch.equal(weights(model), weights(tiny_model()))
    export(str(below), tmp_path / "half", "bfloat16")
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}


def test_another_law_is_not_exported(folder, tmp_path, monkeypatch):
    def spoilt(path):
        file = path / "model.safetensors"
        stored = load_file(file)
        stored["model.norm.weight"] = 1.1 * stored["model.norm.weight"]
        save_file(stored, file, {"format": "pt"})

    monkeypatch.setattr(exporting, "make_portable", spoilt)
    with pytest.raises(InvalidInput, match=r"log-probabilities that differ by"):
        export(str(folder), tmp_path / "plain")
    assert {path.name for path in tmp_path.iterdir()} == {"below", "adapters"}


def test_a_model_is_not_exported_onto_itself(folder):
    with pytest.raises(InvalidInput, match="is the model itself"):
        export(str(folder), folder)
