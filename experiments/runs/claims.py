"""Folders of half-made work, such as checkpoints, that belong to what began it and nothing else."""

from __future__ import annotations

from pathlib import Path

from cpi_theory.checks import InvalidInput
from experiments.runs.encoding import canonical, plain
from experiments.runs.files import atomic_write
from experiments.runs.fingerprint import fingerprint
from experiments.runs.provenance import code_digest

STAMP = "made-by.json"
"""The file that says for what a folder was taken."""


def claim(folder: Path, spec: object) -> None:
    """Take a folder for the work that `spec` describes, with this code and the files it names.

    Raises:
        InvalidInput: if the folder was taken for anything else.
    """
    who = {"spec": plain(spec), "files": fingerprint(spec), "code": code_digest()}
    stamp, file = (canonical(who) + "\n").encode(), folder / STAMP
    if not file.exists():
        atomic_write(file, stamp)
    elif file.read_bytes() != stamp:
        remedy = "delete it, go on with what made it, or choose another --name or --output"
        raise InvalidInput("checkpoint", folder, "of other settings, data or code", remedy)
