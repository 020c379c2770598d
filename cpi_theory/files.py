"""Writing files whole or not at all.

Here and not with the commands, because `tabular` and `llm` store files too and import nothing else
of this project.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp"
"""Ending of a file that is not whole yet; its name begins with a dot."""


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` when the block ends well.

    It is written under another name in the same folder, flushed to the disk and renamed, so that a
    reader sees the old content or the new one, wherever a process is killed or the power fails.
    Nothing is left behind if the block raises.

    Args:
        path: the file; its folder must exist.

    Raises:
        OSError: if the disk refuses; what was at `path` before is untouched.
    """
    # A name of its own, as two processes may write the same file at once.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            # Before the rename: some file systems store a name before the content behind it.
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
