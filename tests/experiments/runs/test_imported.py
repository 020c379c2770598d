"""What a user's module imports from beside it: a part of what results were made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.runs.imported import named_sources, with_imports


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script beside helpers and a package, in a folder that is not the working directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name, text in {
        "elsewhere/here.py": "",
        "mine.py": "import helper\nimport numpy as np\nimport here\nfrom pkg import part\n",
        "helper.py": "from helper_of import f\nimport mine\nimport cpi_theory\n",
        "helper_of.py": "f = 1\n",
        "unused.py": "",
        "cpi_theory.py": "",
        "pkg/__init__.py": "",
        "pkg/part.py": "from . import sibling\nfrom .deep.end import f\nfrom ..nowhere import g\n",
        "pkg/sibling.py": "import pkg.late\n",
        "pkg/late.py": "",
        "pkg/deep/__init__.py": "",
        "pkg/deep/end.py": "from ..other import f\n",
        "pkg/other.py": "f = 1\n",
        "pkg/untouched.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path


def names(folder: Path, file: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in with_imports(folder / file)}


def test_imports_are_followed_where_python_would_find_them(folder: Path) -> None:
    assert with_imports(folder / "mine.py")[0] == folder / "mine.py"
    package = {f"pkg/{name}.py" for name in ("__init__", "part", "sibling", "late", "other")}
    package |= {"pkg/deep/__init__.py", "pkg/deep/end.py"}
    own = {"mine.py", "helper.py", "helper_of.py", "elsewhere/here.py"}
    assert names(folder, "mine.py") == own | package
    assert names(folder, "pkg/deep/end.py") == {
        "pkg/deep/end.py",
        "pkg/deep/__init__.py",
        "pkg/__init__.py",
        "pkg/other.py",
    }


def test_what_is_installed_or_no_python_is_left_alone(folder: Path) -> None:
    inside = folder / "site-packages"
    inside.mkdir()
    (inside / "installed.py").write_text("")
    (folder / "uses.py").write_text("import sys, json, installed\n")
    assert names(folder, "uses.py") == {"uses.py"}
    (folder / "broken.py").write_text("import helper\ndef f(:\n")
    assert names(folder, "broken.py") == {"broken.py"}
    assert list(named_sources("a:f", folder / "helper_of.py")) == ["a:f"]
