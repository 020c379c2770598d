"""Another package by a name of ours: found, named, and in nobody's way where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from experiments import clashes as module
from experiments.clashes import clashes

ROOT = Path(module.__file__).resolve().parents[1]


def run(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
        check=False,
    )


def other_llm(folder: Path) -> Path:
    """A package as `pip install llm` would leave it."""
    (folder / "llm").mkdir(parents=True)
    (folder / "llm" / "__init__.py").write_text("def get_model(): ...\n")
    about = folder / "llm-0.28.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: llm\nVersion: 0.28\n")
    return folder


def test_there_is_none_here() -> None:
    assert clashes() == []


def test_a_package_that_is_found_first_is_named_by_every_command_and_by_doctor(
    tmp_path: Path,
) -> None:
    path = f"{other_llm(tmp_path)}{os.pathsep}{ROOT}"
    done = run("learn", "--seeds", "2", "--output", str(tmp_path / "runs"), path=path)
    assert done.returncode == 2
    assert f"package = 'llm': import llm finds {tmp_path / 'llm' / '__init__.py'}" in done.stderr
    assert "make an environment of its own" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
    done = run("doctor", path=path)
    assert done.returncode == 1
    assert "llm is broken: import llm finds" in " ".join(done.stdout.split())


def test_files_of_two_packages_in_one_folder_are_found(tmp_path: Path, monkeypatch) -> None:
    mixed = other_llm(tmp_path)
    monkeypatch.syspath_prepend(str(mixed))
    monkeypatch.delitem(sys.modules, "llm", raising=False)
    (clash,) = clashes(("llm",), root=mixed)
    assert clash.problem == f"llm 0.28 has written its files into the same folder {mixed / 'llm'}"


def test_an_installed_package_that_lies_elsewhere_is_no_clash(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(other_llm(tmp_path / "behind")))
    ours = tmp_path / "ours"
    (ours / "llm").mkdir(parents=True)
    (ours / "llm" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(ours))
    monkeypatch.delitem(sys.modules, "llm", raising=False)
    assert clashes(("llm",), root=ours) == []


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    (clash,) = clashes(("no_such_package",), root=tmp_path)
    assert "is not found" in clash.problem
