"""Tokenizers are told apart by what they do to texts."""

from __future__ import annotations

import json

import pytest

from llm.models.settings import TINY_FOLDER
from llm.models.tokenizers import tokenizer_digest

WHOLE = json.loads((TINY_FOLDER / "tokenizer.json").read_text())
PAIRS = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}


def digest(folder, **changes):
    (folder / "tokenizer.json").write_text(json.dumps(WHOLE | changes))
    return tokenizer_digest(folder)


def test_what_cuts_alike_has_the_same_digest(tmp_path):
    ours = tokenizer_digest(TINY_FOLDER)
    assert ours is not None
    assert len(ours) == 16
    assert digest(tmp_path) == digest(tmp_path, padding={"length": 3}, decoder=None) == ours
    older = PAIRS | {"merges": ["a b"]}
    assert digest(tmp_path, model=PAIRS) == digest(tmp_path, model=older) != ours


@pytest.mark.parametrize("name", ["normalizer", "pre_tokenizer", "model", "added_tokens"])
def test_what_cuts_otherwise_has_another(tmp_path, name):
    assert digest(tmp_path, **{name: {"type": "another"}}) != digest(tmp_path)


def test_where_there_is_nothing_to_read_nothing_is_known(tmp_path):
    assert tokenizer_digest(tmp_path / "some/model-of-a-hub") is None
    (tmp_path / "tokenizer.json").write_text("{")
    assert tokenizer_digest(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text("[]")
    assert tokenizer_digest(tmp_path) is None
