"""A plain Llama model and its tokenizer from a GGUF file, the format of llama.cpp.

What transformers makes of such a file refuses to be saved, and its tokenizer splits digits and
names special tokens otherwise than the file says. So the file is read here, and only what is known
to be understood: a key or weight that would change the computation is refused.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from cpi_theory.checks import InvalidInput

_ARCHITECTURE = "llama"

# llama.cpp's name of a law that cuts texts before they are encoded, and that law.
_SPLITS: Mapping[str, Callable[[], Any]] = {
    "smollm": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    ),
}

_CONTROL = 3
"""The type that GGUF gives to special tokens."""

_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}

_OF_A_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}

_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.weight")

_UNDERSTOOD = {
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
}
"""Keys of the architecture; any other, such as a scaling of positions, is refused."""


@dataclass(frozen=True, eq=False)
class GgufFile:
    """A GGUF file that has been opened.

    Attributes:
        path: where it is.
        fields: its metadata by key.
        tensors: its quantised weights, as the package gguf gives them.
    """

    path: Path
    fields: Mapping[str, Any]
    tensors: tuple[Any, ...]

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Read the metadata of a file; weights are read when they are asked for.

        Raises:
            InvalidInput: the package gguf is not installed, or the file is none, breaks off or
                holds a model of another architecture.

        Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (the format).
        """
        try:
            import gguf
        except ModuleNotFoundError as error:
            remedy = "run pip install 'cpi-resets[real]'"
            raise InvalidInput("gguf", str(path), "the package is not installed", remedy) from error
        try:
            reader = gguf.GGUFReader(path)
            fields = {key: field.contents() for key, field in reader.fields.items()}
        except OSError as error:
            problem, remedy = f"cannot be read ({error.strerror})", "check the path"
            raise InvalidInput("gguf", path, problem, remedy) from error
        # What the reader raises depends on where a file breaks off.
        except (ValueError, IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
            raise _refused(path, f"no whole GGUF file ({error or type(error).__name__})") from error
        file = cls(path, fields, tuple(reader.tensors))
        if (kind := file.get("general.architecture")) != _ARCHITECTURE:
            raise _refused(path, f"holds a model of type {kind!r}, not {_ARCHITECTURE!r}")
        return file

    def get(self, key: str) -> Any:
        """Return the value of a key.

        Raises:
            InvalidInput: if the file lacks it.
        """
        if key not in self.fields:
            raise _refused(self.path, f"has no key {key}")
        return self.fields[key]

    def token(self, role: str) -> str | None:
        """Return the token that plays a role (bos, eos, padding, unknown), if there is one."""
        place = self.fields.get(f"tokenizer.ggml.{role}_token_id")
        return None if place is None else str(self.get("tokenizer.ggml.tokens")[place])


def plain_llama(file: GgufFile) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Return model and tokenizer as if they had never been quantised: float32, without a trace.

    Args:
        file: of a Llama model with a byte-level tokenizer.

    Raises:
        InvalidInput: the file holds what is not understood, or lacks something.

    Source: Touvron et al. (2023), arXiv 2302.13971 (the architecture); the order of query and key
    rows is that of llama.cpp's convert_hf_to_gguf.py, undone.
    """
    tokenizer = byte_level_tokenizer(file)
    config = llama_config(file, tokenizer)
    quiet: Callable[[], None] = logging.disable_progress_bar
    quiet()
    load: Callable[..., Any] = LlamaForCausalLM.from_pretrained
    # From a dictionary, so that no first weights are drawn only to be overwritten.
    found = dict(_weights(file, config))
    plain, said = load(
        None,
        config=config,
        state_dict=found,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # found out below, with a name
    )
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if names := sorted(said[kind], key=str):
            problem = f"weights are not those of its shape ({kind.partition('_')[0]}: {names[0]})"
            raise _refused(file.path, problem)
    # Greedy sampling settings of the file's maker are no business of a model that is trained.
    make: Callable[..., GenerationConfig] = GenerationConfig
    plain.generation_config = make(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return plain.eval(), tokenizer


def llama_config(file: GgufFile, tokenizer: PreTrainedTokenizerFast) -> Any:
    """Return the configuration of the file's model, with the tokenizer's special ids.

    Raises:
        InvalidInput: a key is missing or not understood.
    """
    own = {
        key.removeprefix(f"{_ARCHITECTURE}."): value
        for key, value in file.fields.items()
        if key.startswith(f"{_ARCHITECTURE}.")
    }
    if other := sorted(own.keys() - _UNDERSTOOD):
        raise _refused(file.path, f"key {_ARCHITECTURE}.{other[0]} is not understood")

    def value(key: str) -> Any:
        return file.get(f"{_ARCHITECTURE}.{key}")

    width, heads = value("embedding_length"), value("attention.head_count")
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": _decimal(value("rope.freq_base")),
    }
    if own.get("rope.dimension_count", width // heads) != width // heads:
        raise _refused(file.path, "turns only a part of each head's dimensions")
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=value("feed_forward_length"),
        num_hidden_layers=value("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=own.get("attention.head_count_kv", heads),
        max_position_embeddings=value("context_length"),
        rms_norm_eps=_decimal(value("attention.layer_norm_rms_epsilon")),
        rope_parameters=rope,
        tie_word_embeddings=all(tensor.name != "output.weight" for tensor in file.tensors),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def byte_level_tokenizer(file: GgufFile) -> PreTrainedTokenizerFast:
    """Return the file's tokenizer, with its chat template.

    Raises:
        InvalidInput: a kind of tokenizer, or a way of cutting texts, that is not known.

    Source: Radford et al. (2019), "Language Models are Unsupervised Multitask Learners" (byte-level
    encoding).
    """
    kind, split = file.get("tokenizer.ggml.model"), file.get("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in _SPLITS:
        known = ", ".join(f"gpt2/{name}" for name in _SPLITS)
        raise _refused(file.path, f"its tokenizer is {kind}/{split}; known: {known}")
    tokens, kinds = file.get("tokenizer.ggml.tokens"), file.get("tokenizer.ggml.token_type")
    merges = [tuple(line.split(" ")) for line in file.get("tokenizer.ggml.merges")]
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    inner.pre_tokenizer = _SPLITS[split]()
    inner.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    inner.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    make: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    return make(
        tokenizer_object=inner,
        bos_token=file.token("bos"),
        eos_token=file.token("eos"),
        pad_token=file.token("padding"),
        unk_token=file.token("unknown"),
        clean_up_tokenization_spaces=False,
        model_max_length=file.get(f"{_ARCHITECTURE}.context_length"),
        chat_template=file.fields.get("tokenizer.chat_template"),
    )


def _weights(file: GgufFile, config: Any) -> Iterator[tuple[str, Tensor]]:
    """Weights in float32 under the names of transformers.

    Raises:
        InvalidInput: a name that is not known.
    """
    import gguf

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for tensor in file.tensors:
        block = _BLOCK.fullmatch(tensor.name)
        name = _WHOLE.get(tensor.name)
        if block is not None and block[2] in _OF_A_BLOCK:
            name = f"model.layers.{block[1]}.{_OF_A_BLOCK[block[2]]}.weight"
        if name is None:
            raise _refused(file.path, f"weight {tensor.name} is not understood")
        values = np.array(gguf.dequantize(tensor.data, tensor.tensor_type), np.float32)
        if block is not None and block[2] in heads:
            values = _halves_of_heads(values, heads[block[2]])
        yield name, torch.from_numpy(np.ascontiguousarray(values))


def _halves_of_heads(rows: np.ndarray, heads: int) -> np.ndarray:
    """Query or key rows in transformers' order, shape (heads * d, n) as before.

    Rotary embeddings turn pairs of a head's dimensions. llama.cpp stores the two of a pair next to
    each other, transformers in the two halves of the head.
    """
    pairs = rows.reshape(heads, -1, 2, rows.shape[1])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _decimal(value: float) -> float:
    """The number that was meant: GGUF holds 1e-5 as the float32 next to it."""
    return float(str(np.float32(value)))


def _refused(path: Path, problem: str) -> InvalidInput:
    remedy = "give a whole GGUF file of a Llama model with a tokenizer that is known here"
    return InvalidInput("gguf", path, problem, remedy)
