"""Whether two models cut texts into the same tokens, told from their folders alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_FILE = "tokenizer.json"

_DECIDES = ("normalizer", "pre_tokenizer", "model", "added_tokens")
"""What of it decides where texts are cut; templates and padding do not."""


def tokenizer_digest(folder: Path) -> str | None:
    """Return a digest of how the tokenizer of a folder cuts texts.

    Args:
        folder: of a model in Hugging Face format.

    Returns:
        16 hexadecimal digits, the same for tokenizers that cut alike; None where that cannot be
        told: a model of the hub, or a tokenizer in another format.
    """
    try:
        whole = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(whole, dict):
        return None
    found = {name: whole.get(name) for name in _DECIDES}
    return hashlib.blake2b(json.dumps(_plain(found)).encode(), digest_size=8).hexdigest()


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """The same in one form: a merge is written as a pair, or by older versions as one text."""
    model = found.get("model")
    if not isinstance(model, dict) or "merges" not in model:
        return found
    merges = [" ".join(one) if isinstance(one, list) else one for one in model["merges"]]
    return found | {"model": model | {"merges": merges}}
