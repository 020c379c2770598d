"""``cpi-resets export``: models and rollouts for other programs, and how these read them."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.execution.settings import Execution
from experiments.export.config import ExportConfig
from experiments.export.inspect_log import write_logs
from experiments.export.stored import read_written, stored_run
from experiments.export.traces import write_traces
from experiments.runs.store import ignore_all
from llm.models.adapters import CONFIG
from llm.models.export import export
from llm.models.folders import check_replaceable, recover
from llm.models.settings import Precision


def run(config: ExportConfig, _output: Path, _execution: Execution, console: Console) -> int:
    """Write what is wanted and say how to use it; 0 when done."""
    if not config.source:
        remedy = "cpi-resets export RUN_OR_FOLDER --to DIR"
        raise InvalidInput("source", config.source, "nothing to export", remedy)
    if config.to is None:
        raise InvalidInput("to", config.to, "no folder to write", "add --to DIR")
    folder = config.to.expanduser().resolve()
    if config.format == "model":
        lines = export_model(find_model(config.source, config.which), folder, config.precision)
    else:
        lines = export_rollouts(config.source, folder, config.format)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0


def export_rollouts(source: str, folder: Path, form: str) -> list[str]:
    """Write the rollouts of a run of evaluate; returns what to say.

    Args:
        source: the run.
        folder: for the files, one per model and benchmark.
        form: "inspect" or "verifiers".

    Raises:
        InvalidInput: the run has no texts, or the other program's package is not installed.
    """
    written = read_written(source)
    if form == "inspect":
        paths = write_logs(written, folder)
        use = [f"  inspect view --log-dir {folder}"]
    else:
        paths = write_traces(written, folder)
        use = [f"  {line}" for line in _reading(paths[0].parent)]
    lines = [f"written: {path}" for path in paths]
    if stored_run(source).private:
        ignore_all(folder)
        lines.append(f"{folder} holds texts that must not be passed on: git ignores it")
    return [*lines, "", "Look at it:", *use]


def _reading(folder: Path) -> list[str]:
    """Lines of Python that read a folder of traces with the package that they are for."""
    return [
        "from pathlib import Path",
        "from verifiers.v1.configs.agent import WireAgentConfig",
        "from verifiers.v1.state import State",
        "from verifiers.v1.task import WireTaskData",
        "from verifiers.v1.trace import Trace",
        "from verifiers.v1.utils.trace_store import read_episodes",
        "",
        "kind = Trace[WireTaskData, State, WireAgentConfig]",
        f"episodes = read_episodes(Path({str(folder)!r}), kind)",
        'print(len(episodes), "problems, of the first", len(episodes[0].traces), "attempts")',
    ]


def export_model(source: str, folder: Path, precision: Precision) -> list[str]:
    """Write a model and verify it; returns what to say.

    Args:
        source: the model.
        folder: where it is written.
        precision: of its weights.

    Raises:
        InvalidInput: something else would be lost by it.
    """
    check_replaceable("to", folder)
    if folder == Path(source).expanduser().resolve():
        raise InvalidInput("to", folder, "is what is exported", "choose another folder")
    found = export(source, folder, precision)
    # An instruct model that is asked without its template is another model.
    chat = " --apply_chat_template" if (folder / "chat_template.jinja").exists() else ""
    return [
        f"model: {folder}, from {source}",
        f"verified: log-probabilities are those of the source up to {found.largest:.1g} nats",
        *("", "Serve it, measure it:"),
        f"  vllm serve {folder}",
        f"  lm_eval --model hf --model_args pretrained={folder} --tasks gsm8k{chat}",
        f'  lighteval accelerate "model_name={folder}" "gsm8k"',
        f"  python convert_hf_to_gguf.py {folder}      # of llama.cpp",
    ]


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
    found = sorted(p for p in folder.glob("models/*") if p.is_dir())
    # A hidden one holds what a training that is under way will replace.
    trainings = [p for p in found if not p.name.startswith(".")] or [folder]
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
