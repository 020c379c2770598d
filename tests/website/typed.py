"""A documentation page as its reader types it: files are saved, commands are run, in order."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.cli import main

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s*# exit code (\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, title and text."""

    language: str
    title: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether a reader without a GPU, a cluster or a model of their own would run it."""
        return "not run" not in self.title and not self.title.startswith("part of")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = (ROOT / page).read_text()
    return [Block(*match) for match in _FENCE.findall(text)]


def commands(text: str) -> Iterator[tuple[list[str], int]]:
    """Words of each line of a shell block, continued lines joined, and its exit code."""
    for line in text.replace("\\\n", " ").splitlines():
        code = _EXIT.search(line)
        words = shlex.split(_EXIT.sub("", line), comments=True)
        if words:
            yield words, int(code[1]) if code else 0


def follow(page: str, folder: Path) -> int:
    """Do what a page says in a folder, which has the repository's settings files and nothing else.

    Returns:
        How many commands were run.
    """
    (folder / "experiments").mkdir()
    (folder / "experiments" / "configs").symlink_to(ROOT / "experiments" / "configs")
    known, count = set(sys.modules), 0
    sys.path.insert(0, str(folder))
    try:
        for block in filter(lambda block: block.runs, blocks(page)):
            if block.language in ("bash", "sh"):
                for words, code in commands(block.text):
                    _run(words, code, folder)
                    count += 1
            elif block.title:
                (folder / block.title).write_text(block.text)
            elif block.language == "python":
                exec(compile(block.text, page, "exec"), {"__name__": "typed"})
                count += 1
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:  # the reader's own `mine` is not the next page's
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
    return count


def _run(words: list[str], code: int, folder: Path) -> None:
    if words[0] == "cpi-resets":
        assert main(words[1:]) == code, shlex.join(words)
        return
    if words[0] == "python" and "__main__" not in (folder / words[1]).read_text():
        runpy.run_path(str(folder / words[1]))
        return
    if words[0] in ("python", "pytest"):
        words = [
            sys.executable,
            *(["-m"] if words[0] == "pytest" else []),
            *words[words[0] == "python" :],
        ]
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
