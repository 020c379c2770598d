"""The state of a lean training run in one file that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from cpi_theory.checks import InvalidInput
from cpi_theory.files import written_whole
from llm.models.folders import disk_errors


def save_state(state: dict[str, Any], file: Path) -> None:
    """Store a :meth:`llm.engines.lean.LeanTrainer.state_dict` and what goes with it.

    Args:
        state: tensors, numbers and texts, in dictionaries and lists.
        file: takes the place of what is there, in one step, once all is on the disk. Tensors keep
            their shapes and precision.

    Raises:
        OSError: the disk is full or refuses; what was there before is untouched.
    """
    with disk_errors(file), written_whole(file) as stream:
        torch.save(state, stream)


def load_state(file: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load what was stored.

    Args:
        file: of :func:`save_state`.
        device: where tensors are put, in the shapes they were stored in.

    Raises:
        InvalidInput: if it cannot be read.
    """
    try:
        # Weights only: unpickling anything else could run code from the file.
        state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        problem = f"cannot be read ({type(error).__name__})"
        remedy = "delete it, and the run starts anew"
        raise InvalidInput("checkpoint", file, problem, remedy) from error
    return state
