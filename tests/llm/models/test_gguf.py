"""A GGUF file gives back the model and the tokenizer that were written into it."""

from __future__ import annotations

import gguf
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from cpi_theory.checks import InvalidInput
from llm.models.folders import save_model
from llm.models.gguf import GgufFile, byte_level_tokenizer, plain_llama
from llm.text.vocabulary import Vocabulary
from tests.llm.models.gguf_files import SPECIAL, TEMPLATE, byte_level, write_gguf
from tests.llm.rows import tiny_model

torch.set_num_threads(1)
INNER = byte_level()
# Blocks of GGUF's quantisation are of 32 numbers; one key head serves two query heads.
SHAPE = {
    "vocab_size": INNER.get_vocab_size(),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 12345.0},
}
IDS = torch.randint(3, INNER.get_vocab_size(), (2, 40), generator=torch.Generator().manual_seed(0))


def model_of(**changes):
    return tiny_model(**SHAPE | changes)


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def read(path):
    return plain_llama(GgufFile.open(path))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    return byte_level_tokenizer(GgufFile.open(write_gguf(path, model_of(), INNER)))


@pytest.mark.parametrize("tied", [False, True])
def test_the_model_is_the_one_that_was_written(tmp_path, tied):
    model = model_of(tie_word_embeddings=tied)
    found, _ = read(write_gguf(tmp_path / "m.gguf", model, INNER))
    for name, weight in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], weight)
    torch.testing.assert_close(logits(found), logits(model), atol=0, rtol=0)
    assert found.config.tie_word_embeddings == tied
    assert found.config.rms_norm_eps == 1e-5  # not the float32 next to it
    assert found.config.rope_parameters["rope_theta"] == 12345.0


def test_quantised_weights_are_near_and_leave_no_trace(tmp_path):
    kind = gguf.GGMLQuantizationType.Q8_0
    model = model_of()
    found, tokenizer = read(write_gguf(tmp_path / "m.gguf", model, INNER, kind=kind))
    assert not torch.equal(logits(found), logits(model))
    for name, weight in model.state_dict().items():
        off = (found.state_dict()[name] - weight).abs()
        # Each 32 weights have a step of 1/127 of the largest, which is stored in float16.
        if weight.ndim == 2:
            largest = weight.reshape(-1, 32).abs().amax(dim=1, keepdim=True)
            off = off.reshape(-1, 32) / largest.clamp(min=1e-9)  # rows of zeros among them
        assert float(off.max()) < (1 / 254 + 2**-11 if weight.ndim == 2 else 1e-9)
    save_model(found, Vocabulary(tokenizer), tmp_path / "plain")
    assert "quant" not in (tmp_path / "plain" / "config.json").read_text()
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    assert torch.equal(logits(again), logits(found))
    made = again.generation_config
    assert (made.bos_token_id, made.eos_token_id, made.pad_token_id) == (1, 2, 2)
    assert AutoTokenizer.from_pretrained(tmp_path / "plain").chat_template == TEMPLATE


@given(st.text())
def test_any_text_is_encoded_as_by_its_maker_and_comes_back(tokenizer, text):
    ids = tokenizer.encode(text)
    if not any(special in text for special in SPECIAL):
        assert ids == INNER.encode(text).ids
    assert tokenizer.decode(ids) == text


def test_special_tokens_have_their_roles(tokenizer):
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (2, 0)
    assert tokenizer.encode("<|im_start|>7<|im_end|>")[::2] == [1, 2]
    assert tokenizer.decode(tokenizer.encode("2024 , n't")) == "2024 , n't"
    assert len(tokenizer.encode("2024")) == 4  # learned as one word, but for the splitting


REFUSED = {
    "another architecture": ({"architecture": "gemma"}, "holds a model of type 'gemma'"),
    "scaled positions": ({"extra": [("rope.scaling.factor", 4.0)]}, "rope.scaling.factor is not"),
    "a part is turned": ({"extra": [("rope.dimension_count", 4.0)]}, "only a part of each head"),
    "another way of cutting": ({"pre": "llama-bpe"}, "gpt2/llama-bpe; known: gpt2/smollm"),
    "a weight is missing": ({"leave": ["blk.1.ffn_up.weight"]}, r"missing: .*layers\.1\.mlp\.up_"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_understood_is_refused(tmp_path, kind):
    changes, said = REFUSED[kind]
    path = write_gguf(tmp_path / "m.gguf", model_of(), INNER, **changes)
    with pytest.raises(InvalidInput, match=rf"m\.gguf: .*{said}"):
        read(path)


def test_weights_that_have_no_place_are_refused(tmp_path):
    rows = torch.ones(64, 32)
    more = {"model.layers.5.mlp.up_proj.weight": rows}
    with pytest.raises(InvalidInput, match=r"unexpected: model\.layers\.5"):
        read(write_gguf(tmp_path / "m.gguf", model_of(), INNER, more=more))


def test_a_file_that_breaks_off_is_refused_wherever_it_does(tmp_path):
    whole = write_gguf(tmp_path / "m.gguf", model_of(), INNER).read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(0, len(whole) - 1, len(whole) // 60), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match=r"cut\.gguf: no whole GGUF file"):
            GgufFile.open(cut)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("these are no weights, but it is long enough for a header")
    with pytest.raises(InvalidInput, match=r"no whole GGUF file.*magic"):
        GgufFile.open(tmp_path / "text")
    with pytest.raises(InvalidInput, match=r"cannot be read.*No such file"):
        GgufFile.open(tmp_path / "nowhere")
