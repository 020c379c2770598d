"""``cpi-resets export``: a trained model as a plain folder, and how other programs read it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.execution.settings import Execution
from experiments.export.config import ExportConfig
from llm.models.adapters import CONFIG
from llm.models.export import export
from llm.models.folders import recover


def run(config: ExportConfig, _output: Path, _execution: Execution, console: Console) -> int:
    """Write the folder, verify it and say how to use it; 0 when done."""
    if not config.source:
        remedy = "cpi-resets export RUN_OR_FOLDER --to DIR"
        raise InvalidInput("source", config.source, "nothing to export", remedy)
    if config.to is None:
        raise InvalidInput("to", config.to, "no folder to write", "add --to DIR")
    source, folder = find_model(config.source, config.which), config.to.expanduser().resolve()
    found = export(source, folder, config.precision)
    # An instruct model that is asked without its template is another model.
    chat = " --apply_chat_template" if (folder / "chat_template.jinja").exists() else ""
    lines = [
        f"model: {folder}, from {source}",
        f"verified: log-probabilities are those of the source up to {found.largest:.1g} nats",
        *("", "Serve it, measure it:"),
        f"  vllm serve {folder}",
        f"  lm_eval --model hf --model_args pretrained={folder} --tasks gsm8k{chat}",
        f'  lighteval accelerate "model_name={folder}" "gsm8k"',
        f"  python convert_hf_to_gguf.py {folder}      # of llama.cpp",
    ]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0


def find_model(source: str, which: str) -> str:
    """Return the model that is meant by a run, by one of its trainings or by a model's folder.

    Args:
        source: one of these; what is no folder is taken for the name of a model.
        which: "best" or "last" of a training.

    Raises:
        InvalidInput: a run of several trainings, or one that has not stored that model.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir() or _holds_model(folder):
        return source
    if _holds_model(folder / "model"):  # of a warm start
        return str(folder / "model")
    trainings = sorted(p for p in folder.glob("models/*") if p.is_dir()) or [folder]
    if len(trainings) > 1:
        names = ", ".join(path.name for path in trainings)
        remedy = f"name one of them, such as {trainings[0]}"
        raise InvalidInput("source", folder, f"holds several trainings: {names}", remedy)
    model = trainings[0] / which
    recover(model)
    if not _holds_model(model):
        remedy = "name a model's folder or a run of train that has ended, or choose the other model"
        raise InvalidInput("source", folder, f"holds no model, and none named {which}", remedy)
    return str(model)


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", CONFIG))
