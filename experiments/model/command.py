"""``cpi-resets model``: a pretrained model as a plain Hugging Face folder, verified."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from experiments.execution.settings import Execution
from experiments.model.config import ModelConfig
from llm.models.folders import check_replaceable
from llm.models.settings import SMOLLM2_NAME
from llm.models.smollm2 import find_file, write


def run(config: ModelConfig, _output: Path, _execution: Execution, console: Console) -> int:
    """Write the model and check it; 0 when done."""
    file = find_file() if config.gguf is None else config.gguf.expanduser()
    check_replaceable("to", config.folder)
    write(file, config.folder)
    name = SMOLLM2_NAME if config.to is None else str(config.folder)
    console.print(f"model: {config.folder}", soft_wrap=True)
    console.print(
        "verified: checksum, chat template, tokenizer, three answers, perplexity of a paragraph"
    )
    console.print(
        f'use it: cpi-resets diagnose --model {name}, or path = "{name}" in a [model] table',
        markup=False,
        soft_wrap=True,
    )
    return 0
