"""Folders in the spelling of transformers 4 are the same model to transformers 5."""

from __future__ import annotations

import json

import pytest
from transformers import AutoConfig

from llm.models.folders import save_model
from llm.models.portable import make_portable
from tests.llm.rows import tiny_model
from tests.llm.words import vocabulary

LAWS = {
    "default": {"rope_type": "default", "rope_theta": 5e5},
    "linear": {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0},
    "in part": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.5},
}


@pytest.mark.parametrize("kind", LAWS)
def test_older_names_stand_beside_the_new_ones(tmp_path, kind):
    model = tiny_model(rope_parameters=LAWS[kind])
    save_model(model, vocabulary("a"), tmp_path / "m")
    stored = json.loads((tmp_path / "m" / "config.json").read_text())
    assert stored["rope_parameters"] == LAWS[kind]
    assert stored["rope_theta"] == 5e5
    assert stored.get("partial_rotary_factor") == LAWS[kind].get("partial_rotary_factor")
    scaling = {"rope_type": "linear", "factor": 4.0} if kind == "linear" else None
    assert stored.get("rope_scaling") == scaling
    assert AutoConfig.from_pretrained(tmp_path / "m").rope_parameters == LAWS[kind]
    named = json.loads((tmp_path / "m" / "tokenizer_config.json").read_text())
    assert named["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_what_has_no_older_name_stays(tmp_path):
    laws = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}
    files = {
        "config.json": {"rope_parameters": laws, "width": 3},
        "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"},
    }
    make_portable(tmp_path)  # nothing is there
    for name, settings in files.items():
        (tmp_path / name).write_text(json.dumps(settings))
    make_portable(tmp_path)
    for name, settings in files.items():
        assert json.loads((tmp_path / name).read_text()) == settings
