"""What made a run and where: code, versions, commit and hardware."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    *("cpi-resets", "numpy", "scipy", "numba", "matplotlib", "gymnasium", "joblib"),
    *("torch", "transformers", "tokenizers", "trl", "peft", "vllm", "sympy"),
    *("reasoning-gym", "verifiers"),
)


_ROOT = Path(__file__).resolve().parents[2]


# Packages that results come from.
_COMPUTING = ("cpi_theory", "tabular", "llm", "experiments")

# What decides results and how they are shown: code, the prompts of models, templates of pages.
_SOURCES = {".py", ".txt", ".html", ".css", ".js"}

ALL_PACKAGES = (*_COMPUTING, "paper_figs")
"""Those, and the one that draws them."""


@functools.cache
def code_digest(*packages: str) -> str:
    """Digest of the sources of these packages, prompts included: by default, of what computes."""
    total = hashlib.sha256()
    for package in packages or _COMPUTING:
        for path in sorted((_ROOT / package).rglob("*")):
            if path.suffix in _SOURCES:
                name = path.relative_to(_ROOT).as_posix()
                total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@functools.cache
def environment() -> dict[str, Any]:
    """Versions, commit (null outside a checkout) and hardware of this process."""
    return {"versions": _versions(), "commit": _commit(), "hardware": _hardware()}


def _versions() -> dict[str, str | None]:
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, Any] | None:
    """Commit of the checkout that this package is imported from, and whether it was edited."""
    top = _git(_ROOT, "rev-parse", "--show-toplevel")
    # An installed wheel may lie inside somebody else's checkout; its commit says nothing.
    if top is None or Path(top) != _ROOT:
        return None
    edited = _git(_ROOT, "status", "--porcelain", "--untracked-files=no")
    return {"id": _git(_ROOT, "rev-parse", "HEAD"), "edited": bool(edited)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _hardware() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
