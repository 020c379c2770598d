"""What other code or data left in the folder of a run, until the run has something of its own.

The old folder is renamed to a place beside its own and comes back if the new run ends without a
checkpoint: by an error at once, by a kill when the folder is asked for again. Each step is a rename
or the deletion of what nobody needs any more, so that a kill between any two of them loses nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

STATE = "state.pt"
"""What a run of the lean engine goes on from."""

FINISHED = "finished.json"
"""The records of a run that has ended, for a command that was killed before it stored them."""


def can_go_on(folder: Path) -> bool:
    """Whether a run has left a checkpoint there, or has ended."""
    if any((folder / name).exists() for name in (STATE, FINISHED)):
        return True
    if not any(folder.glob("checkpoint-*")):
        return False
    from llm.engines.trl.checks import last_checkpoint

    return last_checkpoint(folder) is not None


def set_aside(folder: Path) -> None:
    """Make room for a new run; :func:`settle` has come before, so nothing lies aside."""
    place = _aside(folder)
    place.parent.mkdir(exist_ok=True)
    folder.rename(place)


def settle(folder: Path) -> None:
    """Delete what was set aside if the run that took its place can go on, else put it back."""
    place = _aside(folder)
    if place.exists() and not can_go_on(folder):
        if folder.exists():
            shutil.rmtree(folder)
        place.rename(folder)
    shutil.rmtree(place.parent, ignore_errors=True)


def let_go(folder: Path) -> None:
    """Delete what was set aside once the run that took its place can go on."""
    if _aside(folder).exists() and can_go_on(folder):
        settle(folder)


def _aside(folder: Path) -> Path:
    # A level deeper than the folders of runs, so that nobody who lists these takes it for one.
    return folder.with_name(f".{folder.name}.before") / folder.name
