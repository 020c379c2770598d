"""Settings of ``cpi-resets completion``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro

Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True)
class CompletionConfig:
    """Print a script that completes commands, options and their values in a shell.

    Put it into a file that the shell reads; the head of the script says which. It asks nothing of
    Python while you type, so write it anew after an update.

    Attributes:
        shell: bash, zsh or fish.
    """

    shell: tyro.conf.Positional[Shell] = "bash"
