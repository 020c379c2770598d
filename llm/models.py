"""Loading and saving causal language models in Hugging Face format."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from cpi_theory.checks import InvalidInput, check_count
from llm.vocabulary import Vocabulary

Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank adapters instead of training all weights.

    Attributes:
        rank, alpha: of the adapters.
        dropout: in training.
        targets: names of the layers that get one, or "all-linear".
    """

    rank: int = 64
    alpha: int = 64
    dropout: float = 0.0
    targets: str = "all-linear"

    def __post_init__(self) -> None:
        check_count("rank", self.rank)
        check_count("alpha", self.alpha)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model, where and how it is held.

    Attributes:
        path: a folder in Hugging Face format, or the name of a model on the hub.
        device: "cpu", "cuda", "cuda:1", ...; "auto": a GPU if there is one.
        precision: of the weights.
        lora: train low-rank adapters; None: all weights.
        checkpointing: recompute activations in the backward pass to save memory.
    """

    path: str
    device: str = "cpu"
    precision: Precision = "float32"
    lora: LoraSettings | None = None
    checkpointing: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise InvalidInput("model.path", self.path, "empty", "name a folder or a model")
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise InvalidInput(
                "precision", self.precision, "unknown", "choose float32, bfloat16 or float16"
            )


def load_model(settings: ModelSettings) -> tuple[Any, Vocabulary]:
    """The model, ready to be sampled from and trained, with its tokenizer.

    Raises:
        InvalidInput: no such model, one of a kind that is not known, a tokenizer that cannot end
            sequences, or a device that is not there.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = find_device(settings.device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(settings.path)
        model = AutoModelForCausalLM.from_pretrained(
            settings.path, dtype=getattr(torch, settings.precision)
        )
    except (OSError, ValueError) as error:
        raise InvalidInput(
            "model.path",
            settings.path,
            f"cannot be loaded ({str(error).splitlines()[0]})",
            "name a folder in Hugging Face format or a model that is on the hub or in its cache",
        ) from error
    vocabulary = Vocabulary(tokenizer)
    _check_fits(model, vocabulary, settings)
    return _prepared(model, settings).to(device), vocabulary


def _check_fits(model: Any, vocabulary: Vocabulary, settings: ModelSettings) -> None:
    known, ids = int(model.config.vocab_size), len(vocabulary.tokenizer)
    if ids > known:
        raise InvalidInput(
            "model.path",
            settings.path,
            f"its tokenizer has {ids} ids, its embedding {known}",
            "use the tokenizer that the model was trained with",
        )


def _prepared(model: Any, settings: ModelSettings) -> Any:
    if settings.checkpointing:
        model.gradient_checkpointing_enable()
    if settings.lora is None:
        return model
    from peft import LoraConfig, get_peft_model

    lora = settings.lora
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def find_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        InvalidInput: if it is no device, or a GPU that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInput("device", name, "not a device", "choose cpu, cuda or auto") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise InvalidInput(
            "device", name, f"{found} GPUs are visible to torch", "choose cpu, or auto"
        )
    return device


def save_model(model: Any, vocabulary: Vocabulary, folder: Path) -> None:
    """Store model and tokenizer whole or not at all; what was there before is replaced.

    Adapters are stored as adapters.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    vocabulary.tokenizer.save_pretrained(temporary)
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
