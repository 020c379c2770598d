"""The machine: cores, memory, disk, folders, GPUs, the sandbox, shells."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import joblib

from cpi_theory.checks import InvalidInput
from experiments.doctor.finding import Finding, State
from experiments.runs.provenance import environment

_GIB = 2**30
_LITTLE_DISK, _LITTLE_MEMORY = 5, 4
"""GiB that the tiny model and all of `make run` fit into with room to spare."""


def size() -> Iterator[Finding]:
    """Cores and memory."""
    hardware = environment()["hardware"]
    cores = joblib.cpu_count()
    yield Finding("cores", "there", f"{cores} of {hardware['cores']}: {hardware['processor']}")
    memory = hardware["memory_gib"]
    if memory >= _LITTLE_MEMORY:
        yield Finding("memory", "there", f"{memory:.1f} GiB")
        return
    remedy = "lower --workers, and do not train with the extra llm"
    text = f"{memory:.1f} GiB; training takes up to {_LITTLE_MEMORY}"
    yield Finding("memory", "broken", text, remedy=remedy)


def disk(output: Path) -> Finding:
    """Room where runs are stored."""
    folder = _existing(output)
    free = shutil.disk_usage(folder).free / _GIB
    text = f"{free:.1f} GiB free in {folder.resolve()}"
    if free >= _LITTLE_DISK:
        return Finding("disk", "there", text)
    remedy = f"free at least {_LITTLE_DISK} GiB, or choose another --output"
    return Finding("disk", "broken", text, remedy=remedy)


def folders(output: Path) -> Iterator[Finding]:
    """Folders that are written to."""
    asked: list[tuple[str, Path, bool, str]] = [
        ("folder of runs", output, True, "storing results; another one by --output"),
        ("temporary folder", Path(tempfile.gettempdir()), True, "work of processes"),
        ("cache of kernels", _kernels(), False, "compiling once and not at every start"),
    ]
    if importlib.util.find_spec("huggingface_hub") is not None:
        asked.append(("cache of models", _models(), False, "models and data by names on a hub"))
    for part, folder, needed, enables in asked:
        where = _existing(folder)
        problem = _refused(where)
        if problem is None:
            yield Finding(part, "there", str(folder.expanduser().absolute()), needed, enables)
        else:
            remedy = f"make {where.resolve()} writable, or choose another"
            yield Finding(part, "broken", problem, needed, enables, remedy)


def _kernels() -> Path:
    """Where numba keeps what it has compiled."""
    import numba

    return Path(vars(numba.config)["CACHE_DIR"] or Path(__file__).resolve().parents[2] / "tabular")


def _models() -> Path:
    """Where models from a hub lie."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.expanduser().absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _refused(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder.resolve()} cannot be written to ({error.strerror})"


def accelerator() -> Finding:
    """What PyTorch runs on."""
    enables = "training and sampling of models of more than some million parameters in useful time"
    remedy = "on a machine with a GPU, install a PyTorch that is built for its CUDA"
    if importlib.util.find_spec("torch") is None:
        return Finding("GPU", "missing", "PyTorch is not installed", False, enables, remedy)
    from llm.throughput.models import describe

    try:
        about = describe("cuda")
    except InvalidInput as error:
        found = f"{error.problem}; PyTorch {metadata.version('torch')}"
        return Finding("GPU", "missing", found, False, enables, remedy)
    cuda = f"CUDA {about['cuda']}, {about['memory_gib']} GiB"
    return Finding("GPU", "there", f"{about['devices']} x {about['name']}, {cuda}", False, enables)


def sandbox() -> Finding:
    """Bubblewrap."""
    from llm.rewards.sandbox.bubblewrap import check_sandbox

    enables = "CodeWorld and benchmarks of code: programs of a model run in a sandbox"
    try:
        check_sandbox()
    except InvalidInput as error:
        state: State = "missing" if shutil.which("bwrap") is None else "broken"
        return Finding("bubblewrap", state, error.problem, False, enables, error.remedy)
    return Finding("bubblewrap", "there", str(shutil.which("bwrap")), False, enables)
