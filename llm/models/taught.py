"""What a model was taught before reinforcement learning, as its own folder says.

It stands in the model's configuration, so that every folder that is saved from it says it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.models.settings import TINY_NAME, ModelSettings

_FIELD = "warm_start"


def note_taught(model: Any, what: Mapping[str, Any]) -> None:
    """Write down in a model's configuration what it was taught.

    Args:
        model: of transformers, without adapters.
        what: values that JSON can hold, "localization_taught" among them.
    """
    setattr(model.config, _FIELD, dict(what))


def localization_taught(settings: ModelSettings) -> bool | None:
    """Return whether a model was taught to name first errors; None where nobody wrote it down.

    Args:
        settings: which model. Of one on a hub nothing is known.
    """
    if settings.path == TINY_NAME:
        return True  # its folder is older than these notes
    file = Path(settings.resolved_path).expanduser() / "config.json"
    if not file.is_file():
        return None
    noted = json.loads(file.read_text()).get(_FIELD) or {}
    return noted.get("localization_taught")
