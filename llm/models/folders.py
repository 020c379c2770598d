"""Model folders that appear whole or not at all, however a process ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput
from llm.models.portable import make_portable
from llm.text.vocabulary import Vocabulary


def save_model(model: Any, vocabulary: Vocabulary, folder: Path) -> None:
    """Store model and tokenizer whole or not at all; what was there before is replaced.

    Adapters are stored as adapters.

    Args:
        model: a model of transformers, with or without adapters.
        vocabulary: its tokenizer.
        folder: in the Hugging Face format afterwards.

    Raises:
        OSError: the disk is full or refuses; what was there before is untouched.

    Source: Wolf et al. (2020), arXiv 1910.03771 (the format).
    """
    with folder_written_whole(folder) as temporary:
        # PEFT would ask a hub whether the vocabulary has grown, which it never does here.
        adapters = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        model.save_pretrained(temporary, **adapters)
        vocabulary.tokenizer.save_pretrained(temporary)
        make_portable(temporary)


@contextlib.contextmanager
def folder_written_whole(folder: Path) -> Iterator[Path]:
    """Give a new folder for writing that takes the place of `folder` when the block ends well.

    Nothing of it is left behind if the block raises.

    Args:
        folder: its parents are made where they are not there.

    Raises:
        OSError: the disk is full or refuses; what was there before is untouched.
    """
    # Beside the folder, where a rename stays within one file system and is one step.
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_errors(folder):
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.iterdir():
                if file.is_file():
                    file.chmod(0o644)  # weights are written for their owner alone
        swap(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise what the disk refuses in this block as an OSError, whichever library met it.

    Args:
        path: named in the error, as what could not be written.

    Raises:
        OSError: with the system's number, so that a full disk is known as such.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        # Its text alone holds the system's number.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from error
    except RuntimeError as error:
        # torch's writer stumbles over its own clean-up after the disk's refusal.
        if not isinstance(error.__context__, OSError):
            raise
        cause = error.__context__
        raise OSError(cause.errno, cause.strerror, str(path)) from error


_WEIGHTS = re.compile(r"(.+\.safetensors|(pytorch|adapter)_model.*\.bin)")
_BESIDE = re.compile(
    r"((adapter|generation|tokenizer|processor|preprocessor)_)?config\.json|.+\.index\.json"
    r"|(tokenizer|vocab|added_tokens|special_tokens_map)\.json|chat_template\.j\w+"
    r"|(tokenizer|spiece)\.model|merges\.txt|vocab\.txt|README\.md|LICENSE(\.\w+)?|\.gitattributes"
)
"""Files beside the weights in a model's folder in the Hugging Face format. What is missing here is
refused, not lost."""


def check_replaceable(field: str, folder: Path) -> None:
    """Refuse to write a model where something else would be lost.

    Args:
        field: the setting that names the folder, for messages.
        folder: may be missing, empty, or hold a model and nothing else.

    Raises:
        InvalidInput: it is a file, or holds what is no part of a model.
    """
    remedy = "choose a new or empty folder, or one that holds a model alone"
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InvalidInput(field, folder, "is a file", remedy)
    names = sorted(path.name for path in folder.iterdir())
    others = [name for name in names if not _BESIDE.fullmatch(name)]
    weights = [name for name in others if _WEIGHTS.fullmatch(name) and (folder / name).is_file()]
    others = [name for name in others if name not in weights] if weights else names
    if others:
        problem = f"holds {others[0]!r}, which would be lost"
        raise InvalidInput(field, folder, problem, remedy)


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
