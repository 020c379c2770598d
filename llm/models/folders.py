"""Model folders that appear whole or not at all, however a process ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from llm.text.vocabulary import Vocabulary


def save_model(model: Any, vocabulary: Vocabulary, folder: Path) -> None:
    """Store model and tokenizer whole or not at all; what was there before is replaced.

    Adapters are stored as adapters.

    Args:
        model: a model of transformers, with or without adapters.
        vocabulary: its tokenizer.
        folder: in the Hugging Face format afterwards.

    Source: Wolf et al. (2020), arXiv 1910.03771 (the format).
    """
    # Beside the folder, where a rename stays within one file system and is one step.
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    vocabulary.tokenizer.save_pretrained(temporary)
    swap(temporary, folder)


def swap(temporary: Path, folder: Path) -> None:
    """Put a finished folder in the place of another.

    Between the two renames the old one is beside it under a name of its own, which
    :func:`recover` puts back.
    """
    old = _aside(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def recover(folder: Path) -> bool:
    """Put back what an end in mid-swap left aside; whether there is a whole folder then."""
    if not folder.exists() and _aside(folder).exists():
        _aside(folder).rename(folder)
    return folder.exists()


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
