"""A tokenizer of single bytes, with or without a chat template, and a tiny model for it."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llm.models.folders import save_model
from llm.text.vocabulary import Vocabulary

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_vocabulary(template: str | None = TEMPLATE) -> Vocabulary:
    """Ids 0 and 1 are padding and end; then one id per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    table = {word: i for i, word in enumerate(["<pad>", "<eos>", *alphabet])}
    inner = Tokenizer(models.BPE(table, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<eos>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = template
    return Vocabulary(tokenizer)


def byte_model(size: int, seed: int = 0, width: int = 32) -> LlamaForCausalLM:
    """An untrained model."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config).eval()


def byte_folder(folder: Path, template: str | None = TEMPLATE) -> Path:
    """A folder with such a model."""
    vocabulary = byte_vocabulary(template)
    save_model(byte_model(len(vocabulary.tokenizer)), vocabulary, folder)
    return folder
