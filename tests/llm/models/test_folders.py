"""Loading and saving models: the messages for what cannot be used, and folders that stay whole."""

from __future__ import annotations

import contextlib
import errno
import json
import resource
import shutil

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cpi_theory.checks import InvalidInput
from llm.models.folders import check_replaceable, disk_errors, recover, save_model
from llm.models.load import check_writes, context_of, find_device, load_model
from llm.models.memory import OutOfMemory, explain_out_of_memory
from llm.models.settings import LoraSettings, ModelSettings
from llm.sampling.base import Request, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.training.checkpoint import load_state, save_state
from tests.llm.families import family_model
from tests.llm.rows import logprobs_of, tiny_model, weights
from tests.llm.words import END, vocabulary

torch.set_num_threads(1)
WORDS = vocabulary(END, *(f"w{i}" for i in range(28)))


@pytest.fixture
def folder(tmp_path):
    save_model(tiny_model(), WORDS, tmp_path / "model")
    return tmp_path / "model"


def load(folder, **options):
    return load_model(ModelSettings(str(folder), **options))


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_is_saved_is_what_is_loaded(folder):
    model, words = load(folder)
    assert torch.equal(weights(model), weights(tiny_model()))
    assert words.encode("w3 </thought>") == WORDS.encode("w3 </thought>")
    assert not model.training
    assert {p.name for p in folder.parent.iterdir()} == {"model"}


def test_a_model_takes_no_place_but_that_of_a_model(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for free in (tmp_path / "nowhere", tmp_path / "empty", folder):
        check_replaceable("to", free)
    (tmp_path / "file").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.json").touch()
    (tmp_path / "run" / "models").mkdir(parents=True)
    (folder / "results.json").touch()
    for name, problem in (
        ("file", "is a file"),
        ("data", "holds 'config.json', which would be lost"),  # without weights no model
        ("run", "holds 'models', which would be lost"),
        ("model", "holds 'results.json', which would be lost"),
    ):
        with pytest.raises(InvalidInput, match=problem) as caught:
            check_replaceable("to", tmp_path / name)
        assert (caught.value.field, caught.value.value) == ("to", tmp_path / name)


def test_saving_replaces_the_folder(folder):
    (folder / "stale").touch()
    save_model(tiny_model(seed=1), WORDS, folder)
    assert torch.equal(weights(load(folder)[0]), weights(tiny_model(seed=1)))
    assert not (folder / "stale").exists()
    assert {p.name for p in folder.parent.iterdir()} == {"model"}


class Breaks:
    """A tokenizer that cannot be saved."""

    class tokenizer:
        @staticmethod
        def save_pretrained(folder):
            raise OSError("disk full")


def test_a_failed_save_leaves_what_was_there_and_nothing_else(folder):
    with pytest.raises(OSError, match="disk full"):
        save_model(tiny_model(seed=1), Breaks, folder)
    assert {p.name for p in folder.parent.iterdir()} == {"model"}
    assert torch.equal(weights(load(folder)[0]), weights(tiny_model()))
    save_model(tiny_model(seed=2), WORDS, folder)
    assert torch.equal(weights(load(folder)[0]), weights(tiny_model(seed=2)))


@contextlib.contextmanager
def little_room(size):
    """No file may grow beyond so many bytes: the system refuses as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_from_a_defect(folder):
    with little_room(4000), pytest.raises(OSError, match="model") as caught:
        save_model(tiny_model(seed=1), WORDS, folder)  # its weights take 7 kB
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(folder)
    assert {p.name for p in folder.parent.iterdir()} == {"model"}
    assert torch.equal(weights(load(folder)[0]), weights(tiny_model()))


def test_a_full_disk_while_a_state_is_stored(tmp_path):
    save_state({"a": torch.zeros(10)}, tmp_path / "state.pt")
    with little_room(40_000), pytest.raises(OSError, match=r"state\.pt") as caught:
        save_state({"a": torch.zeros(20_000)}, tmp_path / "state.pt")
    assert caught.value.errno == errno.EFBIG
    assert len(load_state(tmp_path / "state.pt")["a"]) == 10
    assert {p.name for p in tmp_path.iterdir()} == {"state.pt"}


def test_other_errors_of_saving_are_left_alone(tmp_path):
    with pytest.raises(RuntimeError, match="shape"), disk_errors(tmp_path):
        raise RuntimeError("shape")
    with pytest.raises(SafetensorError), disk_errors(tmp_path):
        raise SafetensorError("header too large")


def test_an_end_between_the_renames_is_recovered_from(folder):
    folder.rename(folder.with_name(".model.old"))
    assert torch.equal(weights(load(folder)[0]), weights(tiny_model()))
    assert recover(folder)
    assert not recover(folder.with_name("other"))


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/no/such/folder", "no such folder"),
        ("./nowhere", "no such folder"),
        ("a/b/c", "no such folder"),
    ],
)
def test_a_folder_that_is_not_there(path, problem):
    with pytest.raises(InvalidInput, match=f"model.path.*{problem}"):
        load(path)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidInput, match=r"holds no config\.json"):
        load(tmp_path)


BREAK = {
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "broken weights": lambda f: (f / "model.safetensors").write_bytes(b"12345678 broken"),
    "broken config": lambda f: (f / "config.json").write_text("{"),
    "unknown kind": lambda f: edit(f / "config.json", model_type="abacus"),
    "another size": lambda f: edit(f / "config.json", intermediate_size=40),
}


@pytest.mark.parametrize("kind", BREAK)
def test_a_folder_that_cannot_be_used(folder, kind):
    BREAK[kind](folder)
    with pytest.raises(InvalidInput, match=r"model\.path") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_what_a_library_says_is_whole(folder):
    """What it lists stands on further lines than the one that announces the list."""
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        InvalidInput, match=r"cannot be loaded \(.*one of: \(1\) .* \(3\) .*\.\); give"
    ):
        load(folder)


@pytest.mark.parametrize(("name", "hint"), [("smolm2", True), ("nothing-like-it", False)])
def test_a_mistyped_name_of_a_known_model(name, hint, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidInput, match="cannot be loaded") as caught:
        load(name)
    assert caught.value.remedy.startswith("did you mean 'smollm2'?") == hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.gguf", "is a file, where the folder .* `cpi-resets model smollm2 --gguf FILE`"),
        ("README.md", r"is a file, where the folder .*; give a folder that .* on the hub$"),
    ],
)
def test_a_file_in_the_place_of_a_folder(name, message, tmp_path, monkeypatch):
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        with pytest.raises(InvalidInput, match=message):
            load(path)


def test_weights_that_are_missing_are_not_made_up(folder):
    file = folder / "model.safetensors"
    stored = load_file(file)
    del stored["model.layers.0.mlp.up_proj.weight"]
    save_file(stored, file, {"format": "pt"})
    with pytest.raises(InvalidInput, match=r"lacks 1 weights.*up_proj"):
        load(folder)


def test_weights_of_another_shape_are_named(folder):
    edit(folder / "config.json", intermediate_size=40)
    with pytest.raises(InvalidInput, match=r"down_proj.*\(16, 24\).*config\.json says \(16, 40\)"):
        load(folder)


def test_a_tokenizer_of_another_model(folder):
    vocabulary(*(f"x{i}" for i in range(40))).tokenizer.save_pretrained(folder)
    with pytest.raises(InvalidInput, match="43 ids, its embedding 32"):
        load(folder)


def test_a_tokenizer_that_cannot_end(folder):
    edit(folder / "tokenizer_config.json", eos_token=None)
    config = folder / "generation_config.json"
    edit(config, eos_token_id=None)
    with pytest.raises(InvalidInput, match="cannot end"):
        load(folder)


def test_every_end_that_the_model_was_taught_counts(folder):
    edit(folder / "generation_config.json", eos_token_id=[5, 7])
    assert load(folder)[1].eos == {1, 5, 7}


def test_a_tokenizer_must_write_what_is_needed(folder):
    load_model(ModelSettings(str(folder)), needed=[END, "w3"])
    with pytest.raises(InvalidInput, match=r"can only write '<unk>'"):
        load_model(ModelSettings(str(folder)), needed=["<step>"])
    check_writes(WORDS, END)


def test_settings_reach_the_model(folder):
    plain = load(folder, precision="bfloat16")[0]
    assert plain.dtype == torch.bfloat16
    adapted = load(folder, precision="bfloat16", lora=LoraSettings(4, 8), checkpointing=True)[0]
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name and p.dtype == torch.float32 for name, p in trained.items())
    assert not any("lm_head" in name for name in trained)
    assert adapted.is_gradient_checkpointing


def test_adapters_are_saved_as_adapters(folder):
    adapted = load(folder, lora=LoraSettings(4, 8))[0]
    save_model(adapted, WORDS, folder.with_name("adapters"))
    names = {p.name for p in folder.with_name("adapters").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names
    assert "model.safetensors" not in names
    shutil.rmtree(folder.with_name("adapters"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there(folder):
    assert find_device("auto") == torch.device("cpu")
    with pytest.raises(InvalidInput, match=r"model\.device = 'cuda'.*0 GPUs are.*choose cpu"):
        load(folder, device="cuda")
    with pytest.raises(InvalidInput, match="not a device"):
        find_device("abacus")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_a_lack_of_memory_names_what_to_lower(error):
    said = r"micro_batch = 64: out of memory: this process held .* GiB .*; lower it"
    with pytest.raises(OutOfMemory, match=said), explain_out_of_memory("micro_batch", 64):
        raise error


def test_torchs_own_lack_of_memory_is_recognised():
    with pytest.raises(OutOfMemory), explain_out_of_memory("rows", 1):
        torch.empty(1 << 60)


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError, match="shape") as caught, explain_out_of_memory("rows", 1):
        raise RuntimeError("shape")
    assert not isinstance(caught.value, InvalidInput)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"path": ""}, "model.path"),
        ({"path": "x", "precision": "int3"}, "precision"),
    ],
)
def test_bad_settings_are_named(options, field):
    with pytest.raises(InvalidInput, match=field):
        ModelSettings(**options)


@pytest.mark.parametrize(
    "options", [{"rank": 0}, {"dropout": 1.5}, {"targets": ("q_proj", "lm_head")}]
)
def test_bad_adapters_are_named(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        LoraSettings(**options)


def test_adapters_hang_on_the_seed_alone(folder):
    def adapters(seed, before):
        torch.manual_seed(before)
        settings = ModelSettings(str(folder), lora=LoraSettings(4, 8))
        model, _ = load_model(settings, seed=seed)
        return torch.cat(
            [p.detach().flatten() for n, p in model.named_parameters() if "lora_A" in n]
        )

    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    assert torch.equal(adapters(0, 1), adapters(0, 2))
    assert not torch.equal(adapters(0, 1), adapters(1, 1))
    torch.random.set_rng_state(state)
    load(folder, lora=LoraSettings(4, 8))
    assert torch.equal(torch.random.get_rng_state(), state)  # torch's own goes on


@pytest.mark.parametrize("name", ["qwen3_5", "mamba", "rwkv", "gemma3"])
def test_hybrid_and_recurrent_models_are_loaded_and_sampled(name, tmp_path):
    save_model(family_model(name, 32), WORDS, tmp_path)
    model, words = load(tmp_path)
    done = TransformersSampler(model, words).generate([Request((3, 4), 5, 1)], Sampling())
    with torch.no_grad():
        expected = logprobs_of(model, (3, 4), done[0].tokens)
    torch.testing.assert_close(torch.from_numpy(done[0].logprobs), expected, atol=1e-4, rtol=0)


def test_the_context_is_what_model_or_tokenizer_know():
    assert context_of(family_model("rwkv", 32), WORDS) == 128
    assert context_of(family_model("gpt2", 32), WORDS) == 128
    recurrent, limited = family_model("mamba", 32), vocabulary("a")
    assert context_of(recurrent, WORDS) == 1 << 20
    limited.tokenizer.model_max_length = 2048
    assert context_of(recurrent, limited) == 2048


def test_layers_that_cannot_have_adapters_are_named(tmp_path):
    save_model(family_model("mamba", 32), WORDS, tmp_path)
    with pytest.raises(InvalidInput, match=r"lora.targets = 'all-linear': .*'out_proj' is incomp"):
        load(tmp_path, lora=LoraSettings(4, 8))
    with pytest.raises(InvalidInput, match=r"lora.targets = \('none',\)"):
        load(tmp_path, lora=LoraSettings(4, 8, targets=("none",)))
    model, _ = load(tmp_path, lora=LoraSettings(4, 8, targets=("in_proj", "x_proj")))
    assert any("x_proj.lora_A" in name for name, _ in model.named_parameters())
