"""Loading, preparing and saving causal language models in Hugging Face format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cpi_theory.checks import InvalidInput, nearest
from cpi_theory.randomness import Key
from llm.models.adapters import CONFIG, base_of, merge, with_adapters
from llm.models.folders import recover
from llm.models.law import check_right_padding
from llm.models.memory import explain_out_of_memory
from llm.models.randomness import drawing
from llm.models.settings import SMOLLM2_FOLDER, SMOLLM2_NAME, TINY_NAME, ModelSettings
from llm.text.vocabulary import Vocabulary

_UNLIMITED = 1 << 20
"""Context in tokens of a recurrent model whose tokenizer sets no limit either."""


def load_model(
    settings: ModelSettings, needed: Sequence[str] = (), seed: int = 0
) -> tuple[Any, Vocabulary]:
    """Load a model, ready to be sampled from and trained, with its tokenizer.

    Args:
        settings: which and how.
        needed: texts that the tokenizer must be able to write, such as a delimiter.
        seed: of the adapters' first weights.

    Raises:
        InvalidInput: no such model, one that is incomplete or of a kind that is not known, a
            tokenizer that cannot end sequences or write what is needed, a device that is not
            there, or an architecture whose rows cannot be padded.
        OutOfMemory: the model does not fit.

    Source: Wolf et al. (2020), arXiv 1910.03771 (the format and the library).
    """
    device = find_device(settings.device, "model.device")
    if settings.path == SMOLLM2_NAME and not recover(SMOLLM2_FOLDER):
        remedy = "run make real-model, or cpi-resets model smollm2"
        raise InvalidInput("model.path", settings.path, "has not been written yet", remedy)
    settings = replace(settings, path=settings.resolved_path)
    _check_folder(settings.path)
    with explain_out_of_memory("model.path", settings.path):
        tokenizer, model = _load(settings)
        vocabulary = Vocabulary(tokenizer, _ends(model, tokenizer))
        _check_fits(model, vocabulary, settings)
        for text in needed:
            check_writes(vocabulary, text)
        # Adapters are drawn before the move, so that their first weights are the same on any
        # device.
        ready = prepare(model, settings, seed).to(device)
        check_right_padding(ready, context_of(ready, vocabulary))
        return ready, vocabulary


def _check_folder(path: str) -> None:
    """Refuse what is meant as a folder but is none, rather than ask a hub for it."""
    folder = Path(path).expanduser()
    # Names on a hub have one slash at most: "owner/name".
    local = path[:1] in ("/", ".", "~") or path.count("/") > 1
    remedy = "give a folder that a model was saved in, or the name of a model on the hub"
    if folder.is_file():
        problem = "is a file, where the folder of a model in Hugging Face format is needed"
        raise InvalidInput("model.path", path, problem, _instead_of(folder, remedy))
    if local:
        recover(folder)
    if folder.is_dir() and not any((folder / name).is_file() for name in ("config.json", CONFIG)):
        raise InvalidInput("model.path", path, "holds no config.json", remedy)
    if local and not folder.is_dir():
        raise InvalidInput("model.path", path, "no such folder", remedy)


def _instead_of(file: Path, remedy: str) -> str:
    """What to do with a file that is no model: one of another format may be made into a folder."""
    if file.suffix.lower() != ".gguf":
        return remedy
    return (
        f"{remedy}; of the file of SmolLM2-135M-Instruct, `cpi-resets model smollm2 --gguf FILE` "
        "writes that folder"
    )


def _load(settings: ModelSettings) -> tuple[Any, Any]:
    """Tokenizer and model; adapters are merged into the model that they stand on."""
    folder = Path(settings.path).expanduser()
    base = base_of(folder)
    if base is None:
        return _load_whole(settings)
    below = Path(base).expanduser()
    if below.is_absolute() and not recover(below):
        remedy = f"put it there, or name another place as base_model_name_or_path in {CONFIG}"
        problem = f"the model that its adapters stand on is not there ({base})"
        raise InvalidInput("model.path", settings.path, problem, remedy)
    _check_folder(base)
    tokenizer, model = _load(replace(settings, path=base))
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = _tokenizer(str(folder))
    return tokenizer, merge(with_adapters(model, folder), folder)


def _tokenizer(path: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path)


def _load_whole(settings: ModelSettings) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    quiet: Callable[[], None] = logging.disable_progress_bar
    quiet()  # a bar per load would bury what the commands say
    try:
        tokenizer = _tokenizer(settings.path)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            settings.path,
            dtype=getattr(torch, settings.precision),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # found out below, with a name
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _unusable(settings, f"cannot be loaded ({_reason(error)})") from error
    model, found = loaded
    if (folder := Path(settings.path).expanduser()).is_dir():
        # Adapters name the model that they stand on by this, from wherever they are opened.
        model.name_or_path = model.config._name_or_path = str(folder.resolve())
    # Either kind would be left at random values.
    if missing := sorted(found["missing_keys"]):
        raise _unusable(settings, f"lacks {len(missing)} weights, such as {missing[0]}")
    if other := sorted(found["mismatched_keys"], key=str):
        name, stored, wanted = other[0]
        problem = f"holds {name} of shape {tuple(stored)}, its config.json says {tuple(wanted)}"
        raise _unusable(settings, problem)
    return tokenizer, model


def _reason(error: Exception) -> str:
    """What a library says first, on one line: advice on its own options is left out."""
    said = []
    for line in filter(None, map(str.strip, str(error).splitlines())):
        said.append(line)
        if not _GOES_ON.search(line):
            break
    return " ".join(said) or repr(error)


_GOES_ON = re.compile(r"(:|,|\bor|\band)$")
"""How a line ends that the next one goes on with, as a list does."""


def _unusable(settings: ModelSettings, problem: str) -> InvalidInput:
    remedy = "give a whole causal language model in Hugging Face format, with its tokenizer"
    near = nearest(settings.path, (SMOLLM2_NAME, TINY_NAME))
    if near is not None:
        remedy = f"did you mean {near!r}? {remedy}"
    return InvalidInput("model.path", settings.path, problem, remedy)


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Ids that end a sequence: the tokenizer's and those in the model's generation settings."""
    # Chat models end a turn with another id than a text, and may say so there alone.
    declared = model.generation_config.eos_token_id
    ends = declared if isinstance(declared, list) else [declared]
    return sorted({int(i) for i in [*ends, tokenizer.eos_token_id] if i is not None})


def _check_fits(model: Any, vocabulary: Vocabulary, settings: ModelSettings) -> None:
    known, ids = model.get_input_embeddings().num_embeddings, len(vocabulary.tokenizer)
    # An embedding may have rows to spare, as where it is padded to a multiple; not too few.
    if ids > known:
        raise InvalidInput(
            "model.path",
            settings.path,
            f"its tokenizer has {ids} ids, its embedding {known}",
            "use the tokenizer that the model was trained with",
        )


def check_writes(vocabulary: Vocabulary, text: str) -> None:
    """Refuse a tokenizer that has no ids for a text.

    Raises:
        InvalidInput: naming the text.
    """
    ids = vocabulary.encode(text, special=False)
    # Piece by piece, as stop rules look for it.
    pieces = "".join(vocabulary.piece(i) for i in ids)
    if text not in pieces:
        raise InvalidInput(
            "tokenizer",
            text,
            f"it can only write {pieces!r} for that",
            "choose another delimiter, or a tokenizer that knows it",
        )


def prepare(model: Any, settings: ModelSettings, seed: int = 0) -> Any:
    """Give a model its adapters and activation checkpointing, as the settings say.

    Args:
        model: a causal language model.
        settings: which adapters, and whether to keep activations.
        seed: of the adapters' first weights; torch's own random stream is left alone.

    Raises:
        InvalidInput: if the layers that shall get adapters are not there or cannot have any.

    Source: Hu et al. (2021), arXiv 2106.09685 (LoRA); Chen et al. (2016), arXiv 1604.06174
    (recomputed activations).
    """
    if settings.checkpointing:
        # The reentrant kind gives no gradient where inputs need none, as below adapters.
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if settings.lora is None:
        return model
    from peft import LoraConfig, get_peft_model

    lora = settings.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
    )
    with drawing(Key.of(seed).child("adapters"), model.device):
        try:
            # Loaded models are in evaluation mode, new layers are not.
            return get_peft_model(model, config).eval()
        except ValueError as error:  # no such layer, or one that cannot have any
            remedy = "name layers of this model that can have adapters"
            raise InvalidInput("lora.targets", lora.targets, str(error), remedy) from error


def find_device(name: str, field: str = "device") -> torch.device:
    """Return the device of that name.

    Args:
        name: cpu, cuda, cuda:1, ..., or auto: a GPU if there is one.
        field: the setting that holds it, for messages.

    Raises:
        InvalidInput: if it is no device, or a GPU that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInput(field, name, "not a device", "choose cpu, cuda or auto") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        visible = f"{found} GPU{'s' * (found != 1)}"
        problem = f"{visible} {'is' if found == 1 else 'are'} visible to torch"
        raise InvalidInput(field, name, problem, "choose cpu, or auto")
    return device


def context_of(model: Any, vocabulary: Vocabulary) -> int:
    """Return the longest sequence in tokens that a model was made for.

    Recurrent models have none; their tokenizers may know how long the texts were that they learned
    from.
    """
    config = model.config.get_text_config(decoder=True)
    # Architectures have no common name for it.
    for name in ("max_position_embeddings", "context_length", "max_sequence_length", "seq_length"):
        if isinstance(known := getattr(config, name, None), int):
            return known
    return min(int(vocabulary.tokenizer.model_max_length), _UNLIMITED)
