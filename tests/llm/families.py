"""Tiny random models of many architectures: hybrid, recurrent, with sliding windows, and plain."""

from __future__ import annotations

import torch
import transformers

_SPECIAL = {
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
    "initializer_range": 0.3,  # laws far from uniform
}
_ATTENTION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_HEADS = _ATTENTION | {"head_dim": 16}
_SLIDING = _HEADS | {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
_DELTA = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_MAMBA2 = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_chunk_size": 4,
}
_STATES = {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2}
_ZAMBA = _ATTENTION | {"num_hidden_layers": 4, "mamba_d_state": 8}
_ZAMBA_LAYERS = ["mamba", "hybrid", "mamba", "hybrid"]

_GPT = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "attn_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "resid_pdrop": 0.0,
}

FAMILIES = {
    # Attention beside layers with convolution or recurrent states.
    "qwen3_5": ("Qwen3_5", "Qwen3_5TextConfig", _HEADS | _DELTA),
    "qwen3_next": (
        "Qwen3Next",
        "Qwen3NextConfig",
        _HEADS | _DELTA | _EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 16},
    ),
    "lfm2": (
        "Lfm2",
        "Lfm2Config",
        _ATTENTION | {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    ),
    "bamba": ("Bamba", "BambaConfig", _ATTENTION | _MAMBA2 | {"attn_layer_indices": [1]}),
    "granitemoehybrid": (
        "GraniteMoeHybrid",
        "GraniteMoeHybridConfig",
        _ATTENTION
        | _MAMBA2
        | {
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 16,
            "position_embedding_type": "rope",
        },
    ),
    "nemotron_h": (
        "NemotronH",
        "NemotronHConfig",
        _HEADS
        | _EXPERTS
        | {
            "num_hidden_layers": 3,
            "layers_block_type": ["mamba", "attention", "moe"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "ssm_state_size": 8,
            "n_groups": 1,
            "chunk_size": 4,
            "n_routed_experts": 4,
            "moe_shared_expert_intermediate_size": 16,
        },
    ),
    "falcon_h1": ("FalconH1", "FalconH1Config", _ATTENTION | _MAMBA2 | {"mamba_d_ssm": 64}),
    "jamba": (
        "Jamba",
        "JambaConfig",
        _ATTENTION
        | {
            "attn_layer_offset": 1,
            "attn_layer_period": 2,
            "expert_layer_offset": 1,
            "expert_layer_period": 2,
            "num_experts": 4,
            "mamba_d_state": 8,
        },
    ),
    "zamba": ("Zamba", "ZambaConfig", _ZAMBA | {"layers_block_type": _ZAMBA_LAYERS}),
    "zamba2": (
        "Zamba2",
        "Zamba2Config",
        _ZAMBA
        | {
            "layers_block_type": _ZAMBA_LAYERS,
            "mamba_ngroups": 1,
            "n_mamba_heads": 4,
            "chunk_size": 4,
            "num_mem_blocks": 1,
        },
    ),
    "olmo_hybrid": ("OlmoHybrid", "OlmoHybridConfig", _ATTENTION | _DELTA),
    "kimi_linear": (
        "KimiLinear",
        "KimiLinearConfig",
        _ATTENTION
        | _EXPERTS
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "linear_head_dim": 16,
            "linear_num_heads": 2,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "num_local_experts": 4,
            "mlp_layer_types": ["dense", "sparse"],
        },
    ),
    "minimax": (
        "MiniMax",
        "MiniMaxConfig",
        _HEADS
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "num_local_experts": 4,
            "block_size": 4,
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemma",
        "RecurrentGemmaConfig",
        {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "lru_width": 32,
            "attention_window_size": 8,
            "w_init_variance_scale": 2.0,
        },
    ),
    # Without attention.
    "mamba": ("Mamba", "MambaConfig", _STATES),
    "mamba2": (
        "Mamba2",
        "Mamba2Config",
        _STATES | {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 4},
    ),
    "falcon_mamba": ("FalconMamba", "FalconMambaConfig", _STATES),
    "rwkv": (
        "Rwkv",
        "RwkvConfig",
        {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 128},
    ),
    "xlstm": (
        "xLSTM",
        "xLSTMConfig",
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_heads": 2,
            "chunk_size": 16,
            "autocast_kernel_dtype": "float32",
        },
    ),
    # Sliding windows, here of 4 tokens: shorter than any row.
    "gemma2": ("Gemma2", "Gemma2Config", _HEADS | {"sliding_window": 4}),
    "gemma3": ("Gemma3", "Gemma3TextConfig", _SLIDING),
    "gemma4": (
        "Gemma4",
        "Gemma4TextConfig",
        _SLIDING | {"global_head_dim": 16, "hidden_size_per_layer_input": 8},
    ),
    "mistral": ("Mistral", "MistralConfig", _ATTENTION | {"sliding_window": 4}),
    "phi3": ("Phi3", "Phi3Config", _ATTENTION | {"sliding_window": 4}),
    "gpt_oss": ("GptOss", "GptOssConfig", _SLIDING | {"num_local_experts": 4}),
    "cohere2": ("Cohere2", "Cohere2Config", _SLIDING | {"logit_scale": 1.0}),
    "olmo3": ("Olmo3", "Olmo3Config", _SLIDING),
    "llama4": (
        "Llama4",
        "Llama4TextConfig",
        _HEADS | {"intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": 4},
    ),
    # Plain attention, with positions of each kind: rotary, learned, and by distance.
    "qwen2": ("Qwen2", "Qwen2Config", _ATTENTION),
    "gpt2": ("GPT2", "GPT2Config", _GPT | {"n_positions": 128}),
    "bloom": ("Bloom", "BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 2}),
    "openai-gpt": ("OpenAIGPT", "OpenAIGPTConfig", _GPT),
}

FURTHER = {
    "llama": ("Llama", "LlamaConfig", _ATTENTION),
    "gpt_neox": ("GPTNeoX", "GPTNeoXConfig", _ATTENTION),
    "opt": (
        "OPT",
        "OPTConfig",
        _ATTENTION | {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
    ),
}
"""More plain attention: what holds for all of it is tested on some of these too."""

REREAD = {"minimax", "nemotron_h", "openai-gpt", "recurrent_gemma", "rwkv", "xlstm", "zamba2"}
"""Those whose cache is one of their own, or goes on otherwise than a forward pass.

Nemotron-H and Zamba2 bound the step size of their state-space layers from below in a forward pass,
and do not where one token is read.
"""


def family_model(name: str, size: int, seed: int = 0):
    """An untrained model with a vocabulary of `size`."""
    kind, config, shape = (FAMILIES | FURTHER)[name]
    if name == "gemma4":
        shape = shape | {"vocab_size_per_layer_input": size}
    ending = "LMHeadModel" if kind in ("GPT2", "OpenAIGPT") else "ForCausalLM"
    settings = getattr(transformers, config)(vocab_size=size, **_SPECIAL | shape)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return getattr(transformers, kind + ending)(settings).eval()
