"""Model folders that programs on transformers 4 read as well as those on transformers 5.

Release 5 writes the tokenizer's class and the base of the rotary embeddings under new names.
Release 4, which vLLM, lm-eval and others may still run on, cannot open the one, and takes its
default for the other without a word: the model is then another one. Release 5 reads both spellings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_OLD_TOKENIZER = {"TokenizersBackend": "PreTrainedTokenizerFast"}


def make_portable(folder: Path) -> None:
    """Add the older spellings to the configuration files of a folder.

    Args:
        folder: in Hugging Face format, with or without a tokenizer or a model.

    Source: https://github.com/huggingface/transformers/blob/main/MIGRATION_GUIDE_V5.md
    """
    _edit(folder / "tokenizer_config.json", _older_tokenizer)
    _edit(folder / "config.json", _older_positions)


def _edit(file: Path, change: Any) -> None:
    if not file.is_file():
        return
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | change(settings), indent=2, sort_keys=True) + "\n")


def _older_tokenizer(settings: dict[str, Any]) -> dict[str, Any]:
    name = settings.get("tokenizer_class")
    return {"tokenizer_class": _OLD_TOKENIZER[name]} if name in _OLD_TOKENIZER else {}


def _older_positions(settings: dict[str, Any]) -> dict[str, Any]:
    rope = dict(settings.get("rope_parameters") or {})
    # Laws per kind of layer are of models that release 4 spelled in ways of their own.
    if "rope_theta" not in rope:
        return {}
    apart = {
        name: rope.pop(name) for name in ("rope_theta", "partial_rotary_factor") if name in rope
    }
    return apart | ({} if rope.get("rope_type") == "default" else {"rope_scaling": rope})
