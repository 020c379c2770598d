"""What a model's sizes say of its memory and arithmetic, without its weights.

The model is built on torch's meta device, which allocates nothing, so that its parameters are
counted and not worked out, whatever its architecture.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cpi_theory.checks import InvalidInput
from llm.models.adapters import base_of
from llm.models.load import context_of
from llm.models.settings import LoraSettings, ModelSettings

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "Qwen/Qwen2.5-14B-Instruct": {
        "model_type": "qwen2",
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "vocab_size": 152_064,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen2.5-0.5B-Instruct": {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "max_position_embeddings": 32_768,
        "tie_word_embeddings": True,
    },
    "allenai/Olmo-3-7B-Instruct": {
        "model_type": "olmo3",
        "hidden_size": 4096,
        "intermediate_size": 11_008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 100_278,
        "max_position_embeddings": 65_536,
        "sliding_window": 4096,
        "tie_word_embeddings": False,
    },
    "HuggingFaceTB/SmolLM2-135M-Instruct": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49_152,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
}
"""The fields of ``config.json`` that sizes follow from, of models that can be planned for offline.

Source: the model cards of those names, and Yang et al. (2024), arXiv 2412.15115 (Qwen2.5).
"""

_STANDS_FOR = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}


@dataclass(frozen=True)
class Layer:
    """A linear layer: its name in the model, inputs and outputs."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class Architecture:
    """The sizes of a model.

    Attributes:
        name: what it was asked for as.
        source: where its sizes come from, in words.
        parameters: number of weights.
        multiplied: those that each token is multiplied with, so two operations each: all but an
            input embedding that is not the output layer too.
        layers, width: blocks, and numbers between them.
        queries, keys: numbers per token of all query heads, and of all key heads, of a block;
            0 where it does not say.
        words: size of the vocabulary.
        context: longest sequence, in tokens.
        linear: the linear layers of the blocks.
    """

    name: str
    source: str
    parameters: int
    multiplied: int
    layers: int
    width: int
    queries: int
    keys: int
    words: int
    context: int
    linear: tuple[Layer, ...]

    def cache_bytes(self, size: int) -> int:
        """Bytes of keys and values of one token, each number taking `size`."""
        return 2 * self.layers * self.keys * size

    def adapter_parameters(self, lora: LoraSettings) -> int:
        """Weights of low-rank adapters: rank times inputs and outputs of each adapted layer.

        Source: Hu et al. (2021), arXiv 2106.09685.
        """
        chosen = [layer for layer in self.linear if _adapted(layer.name, lora.targets)]
        return sum(lora.rank * (layer.inputs + layer.outputs) for layer in chosen)

    def kept_numbers(self, whole: bool) -> int:
        """Numbers per token and block that a backward pass needs: all of a block, or its input.

        A linear layer keeps what comes in and hands on what goes out; norms, positions and the
        product of two branches keep about as much again as the width.
        """
        if not whole:
            return self.width
        outputs = sum(layer.outputs for layer in self.linear) // max(self.layers, 1)
        inputs = sum(layer.inputs for layer in self.linear) // max(self.layers, 1)
        # What several layers read is kept once; the inputs of query, key, value and both branches
        # are two tensors of the width instead of five.
        return outputs + max(inputs - 3 * self.width, 0) + 2 * self.width


def _adapted(name: str, targets: str | tuple[str, ...]) -> bool:
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)


def read_architecture(settings: ModelSettings) -> Architecture:
    """The sizes of a model: of its folder, of :data:`SHAPES`, or from the hub.

    Raises:
        InvalidInput: there is no such folder, and neither sizes nor a hub that has them.
    """
    name = _base(settings.resolved_path)
    folder = Path(name).expanduser()
    known = SHAPES.get(_STANDS_FOR.get(settings.path, name))
    if (folder / "config.json").is_file():
        return _measured(settings.path, "its config.json", _config(str(folder), settings.path))
    if known is not None:
        return replace(_known(_STANDS_FOR.get(settings.path, name)), name=settings.path)
    return _measured(settings.path, "its config.json on the hub", _config(name, settings.path))


@functools.cache
def _known(name: str) -> Architecture:
    from transformers import AutoConfig

    # A release may be told to fill in the rest: sizes do not depend on it.
    config = AutoConfig.for_model(**SHAPES[name])
    return _measured(name, "sizes that come with cpi-resets", config)


def _base(path: str) -> str:
    """The model that adapters stand on, or the model itself."""
    seen = {path}
    while (base := base_of(Path(path).expanduser())) is not None and base not in seen:
        seen.add(path := base)
    return path


def _config(name: str, asked: str) -> Any:
    from transformers import AutoConfig

    if name[:1] in ("/", ".", "~") or name.count("/") != 1:
        remedy = (
            f"make the model first, if another command writes it; or give a folder with a "
            f"config.json, or one of {', '.join(SHAPES)}"
        )
        if not (Path(name).expanduser() / "config.json").is_file():
            raise InvalidInput("model.path", asked, "no config.json there", remedy)
    try:
        return AutoConfig.from_pretrained(str(Path(name).expanduser()) if name[:1] == "~" else name)
    except (OSError, ValueError, KeyError) as error:
        problem = (
            "no config.json to be had: no such folder, and the hub has none or cannot be reached"
        )
        remedy = f"give a folder that holds one, or one of {', '.join(SHAPES)}"
        raise InvalidInput("model.path", asked, problem, remedy) from error


def _measured(name: str, source: str, config: Any) -> Architecture:
    from transformers import AutoModelForCausalLM

    make: Callable[..., Any] = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        model = make(config)
    text = config.get_text_config(decoder=True)
    inside, head = model.get_input_embeddings(), model.get_output_embeddings()
    parameters = sum(p.numel() for p in model.parameters())
    tied = head is not None and head.weight is inside.weight
    heads = getattr(text, "num_attention_heads", 0) or 0
    width = int(text.hidden_size)
    size = getattr(text, "head_dim", None) or (width // heads if heads else 0)
    linear = tuple(
        Layer(name, module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    return Architecture(
        name,
        source,
        parameters,
        parameters - (0 if tied else inside.weight.numel()),
        int(text.num_hidden_layers),
        width,
        heads * size,
        (getattr(text, "num_key_value_heads", None) or heads) * size,
        inside.num_embeddings,
        _context(model),
        linear,
    )


def _context(model: Any) -> int:
    class Unlimited:
        """A tokenizer that sets no limit."""

        model_max_length = 1 << 30

    class Words:
        tokenizer = Unlimited

    words: Any = Words
    return context_of(model, words)


def prompt_lengths(settings: ModelSettings, prompts: Sequence[str]) -> list[int] | None:
    """Tokens of each prompt; None where the tokenizer does not lie in a folder here."""
    from transformers import AutoTokenizer

    folder = Path(_base(settings.resolved_path)).expanduser()
    if not (folder / "tokenizer_config.json").is_file():
        return None
    tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
    return [len(tokenizer(prompt)["input_ids"]) for prompt in prompts]
