"""``cpi-resets completion``: a script that completes commands, options and names in a shell."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from experiments.completion.config import CompletionConfig
from experiments.completion.options import usages
from experiments.completion.scripts import script
from experiments.console import give
from experiments.execution.settings import Execution


def run(config: CompletionConfig, _output: Path, _execution: Execution, console: Console) -> int:
    """Print the script; 0 when done."""
    text = script(config.shell, usages())
    give(console, {"script": text})
    console.print(text, markup=False, soft_wrap=True, end="")
    return 0
