"""A model as a plain folder that other programs read, verified against what it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cpi_theory.checks import InvalidInput
from llm.models.adapters import base_of, with_adapters
from llm.models.folders import folder_written_whole
from llm.models.law import Difference, Row, evaluating, plain_logprobs, probe_rows
from llm.models.load import context_of, load_model
from llm.models.portable import make_portable
from llm.models.settings import ModelSettings, Precision


def export(source: str, folder: Path, precision: Precision = "float32") -> Difference:
    """Write a model as a plain Hugging Face folder; adapters are merged into their base model.

    Args:
        source: as in :class:`~llm.models.settings.ModelSettings`.
        folder: takes the place of what is there, once its log-probabilities are verified.
        precision: of the weights that are written.

    Returns:
        How far log-probabilities of the written folder are from those of the source, where
        adapters are worked out beside the weights.

    Raises:
        InvalidInput: the source cannot be loaded or exported, or what was written is another law.
        OSError: the disk is full or refuses.
    """
    settings = ModelSettings(source)
    place = Path(settings.resolved_path).expanduser()
    if folder.resolve() == place.resolve():
        raise InvalidInput("to", folder, "is the model itself", "choose another folder")
    rows, expected = _law(settings, place)
    model, vocabulary = load_model(settings)
    with folder_written_whole(folder) as temporary:
        model.to(getattr(torch, precision)).save_pretrained(temporary)
        vocabulary.tokenizer.save_pretrained(temporary)
        make_portable(temporary)
        del model
        written, _ = load_model(ModelSettings(str(temporary), precision=precision))
        found = Difference.of(written, rows, expected)
        if not found.is_rounding:
            problem = (
                f"what was written gives log-probabilities that differ by {found.mean:.2g} nats in "
                f"the mean (rounding: {found.rounding:g})"
            )
            raise InvalidInput("model.path", source, problem, "export in float32, or report it")
    return found


def _law(settings: ModelSettings, place: Path) -> tuple[Sequence[Row], list[Tensor]]:
    """Rows, and the log-probabilities of their completions with adapters that are not merged."""
    base = base_of(place)
    model: Any
    model, vocabulary = load_model(settings if base is None else ModelSettings(base))
    rows = probe_rows(model, context_of(model, vocabulary))
    if base is not None:
        model = with_adapters(model, place)
    with evaluating(model), torch.no_grad():
        return rows, [plain_logprobs(model, *row) for row in rows]
