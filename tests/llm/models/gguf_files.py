"""GGUF files written on the spot, by llama.cpp's own package."""

from __future__ import annotations

import json

import gguf
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
LEARNED = ["the weather in 1912, they say, was the best of the year 2024"] * 3


def byte_level():
    """A byte-level tokenizer that splits digits, as its maker would have trained it."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(LEARNED, trainer)
    return inner


def interleaved(rows, heads):
    """Row by row: the two dimensions of a pair next to each other, as llama.cpp wants them."""
    size, half = len(rows) // heads, len(rows) // heads // 2
    order = [h * size + j for h in range(heads) for i in range(half) for j in (i, i + half)]
    return rows[order]


NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(
    path, model, inner, architecture="llama", kind=None, extra=(), leave=(), more=None, pre="smollm"
):
    """Write a Llama model of transformers; matrices quantised as `kind`."""
    c, words = model.config, inner.get_vocab()
    tokens = sorted(words, key=words.get)
    out = gguf.GGUFWriter(path, architecture)
    for key, value in (
        ("block_count", c.num_hidden_layers),
        ("context_length", c.max_position_embeddings),
        ("embedding_length", c.hidden_size),
        ("feed_forward_length", c.intermediate_size),
        ("attention.head_count", c.num_attention_heads),
        ("attention.head_count_kv", c.num_key_value_heads),
    ):
        out.add_uint32(f"{architecture}.{key}", value)
    out.add_float32(f"{architecture}.rope.freq_base", c.rope_parameters["rope_theta"])
    out.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", c.rms_norm_eps)
    for key, value in extra:
        out.add_float32(f"{architecture}.{key}", value)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(pre)
    out.add_token_list(tokens)
    out.add_token_types([3 if t in SPECIAL else 1 for t in tokens])
    out.add_token_merges([" ".join(pair) for pair in merges_of(inner)])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_pad_token_id(2)
    out.add_unk_token_id(0)
    out.add_chat_template(TEMPLATE)
    for name, rows in tensors_of(model, more or {}):
        if name in leave:
            continue
        if kind is not None and rows.ndim == 2:
            out.add_tensor(name, gguf.quantize(rows, kind), raw_dtype=kind)
        else:
            out.add_tensor(name, rows)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def tensors_of(model, more):
    """Weights under GGUF's names, in its order of rows."""
    c = model.config
    heads = {"attn_q": c.num_attention_heads, "attn_k": c.num_key_value_heads}
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    for name, weight in (model.state_dict() | more).items():
        rows = weight.numpy().astype(np.float32)
        if name in whole:
            if name != "lm_head.weight" or not c.tie_word_embeddings:
                yield whole[name], rows
            continue
        layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
        if NAMES[part] in heads:
            rows = interleaved(rows, heads[NAMES[part]])
        yield f"blk.{layer}.{NAMES[part]}.weight", rows


def merges_of(inner):
    return json.loads(inner.to_str())["model"]["merges"]
