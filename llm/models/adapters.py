"""Folders of adapters: which model they stand on, and the two as one."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput

CONFIG = "adapter_config.json"

_REMEDY = "give a folder that adapters were saved in, by train or by PEFT"


def base_of(folder: Path) -> str | None:
    """Return the model that a folder's adapters stand on; None for a folder without adapters.

    Raises:
        InvalidInput: their configuration cannot be read or names none.
    """
    file = folder / CONFIG
    if not file.is_file():
        return None
    try:
        base = json.loads(file.read_text()).get("base_model_name_or_path")
    except (OSError, ValueError) as error:
        raise InvalidInput("model.path", folder, f"{CONFIG} cannot be read", _REMEDY) from error
    if not base:
        remedy = f"name it as base_model_name_or_path in {CONFIG}"
        raise InvalidInput("model.path", folder, "does not say which model it stands on", remedy)
    return str(base)


def with_adapters(model: Any, folder: Path) -> Any:
    """Put a folder's adapters on the model that they stand on.

    Args:
        model: that model, which is changed.
        folder: of the adapters.

    Returns:
        A model of PEFT.

    Raises:
        InvalidInput: they are not whole, or those of another model.

    Source: Hu et al. (2021), arXiv 2106.09685 (LoRA).
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        with warnings.catch_warnings():
            # PEFT only warns, and leaves what is missing at its first values.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(model, folder).eval()
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, UserWarning) as error:
        problem = f"its adapters do not fit {model.name_or_path} ({' '.join(str(error).split())})"
        raise InvalidInput("model.path", folder, problem[:400], _REMEDY) from error


def merge(adapted: Any, folder: Path) -> Any:
    """Add adapters to the weights below them; what comes back is a plain model again.

    Args:
        adapted: of :func:`with_adapters`.
        folder: where the adapters came from, which the result is then said to come from.

    Raises:
        InvalidInput: a kind of adapters that is no change of weights.
    """
    if not hasattr(adapted.base_model, "merge_and_unload"):
        kind = adapted.peft_config["default"].peft_type
        problem = f"adapters of kind {getattr(kind, 'value', kind)} are no change of weights"
        raise InvalidInput("model.path", folder, problem, "give LoRA adapters, or a whole model")
    model = adapted.merge_and_unload()
    # Adapters trained on top of it stand on this folder, not on what is below it.
    model.name_or_path = model.config._name_or_path = str(folder.resolve())
    return model
