"""Who may import whom: read from the source, so that imports inside functions count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"cpi_theory", "tabular", "llm", "experiments", "paper_figs"}
LEARNING = {"torch", "transformers", "trl", "peft", "vllm", "jax", "datasets", "accelerate"}

MAY_IMPORT_OF_OURS = {
    "cpi_theory": {"cpi_theory"},
    "tabular": {"tabular", "cpi_theory"},
    "llm": {"llm", "cpi_theory"},
    "experiments": OURS,
    "paper_figs": {"paper_figs", "cpi_theory"},
}
MAY_NOT_IMPORT = {
    "cpi_theory": None,  # numpy and scipy only, see below
    "tabular": LEARNING | {"matplotlib", "rich", "tyro", "joblib"},
    "llm": {"numba", "matplotlib", "tyro"},
    "experiments": LEARNING,
    "paper_figs": LEARNING | {"numba", "joblib", "tyro", "gymnasium"},
}
THEORY_MAY_IMPORT = {"numpy", "scipy"}


def imported_modules(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in `source`; relative imports keep their dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, a.value) for a in node.args[:1] if _is_text(a))


def _is_text(node: ast.expr) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def violations(package: str, source: str) -> list[str]:
    """Imports in a module of `package` that the layout forbids, as "line: name"."""
    found = []
    for line, name in imported_modules(source):
        top = name.split(".")[0]
        if name.startswith("."):
            forbidden = True  # absolute imports only: a moved file keeps its meaning
        elif top in OURS:
            forbidden = top not in MAY_IMPORT_OF_OURS[package]
        elif package == "cpi_theory":
            forbidden = top not in THEORY_MAY_IMPORT | set(sys.stdlib_module_names)
        else:
            forbidden = top in (MAY_NOT_IMPORT[package] or set())
        if forbidden:
            found.append(f"{line}: {name}")
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(OURS))
def test_every_module_imports_only_what_its_package_may(package: str) -> None:
    assert modules(package)
    found = {
        str(path.relative_to(ROOT)): bad
        for path in modules(package)
        if (bad := violations(package, path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("cpi_theory", "import numba"),
        ("cpi_theory", "from tabular.mdp import FiniteHorizonMDP"),
        ("cpi_theory", "def f():\n    import torch"),
        ("cpi_theory", "import importlib\nimportlib.import_module('tabular')"),
        ("cpi_theory", "from . import seam"),
        ("cpi_theory", "import matplotlib.pyplot as plt"),
        ("tabular", "import llm"),
        ("tabular", "from experiments.runs import store"),
        ("tabular", "from torch import nn"),
        ("llm", "import numpy, tabular.mdp"),
        ("llm", "from experiments.runs.store import Run"),
        ("experiments", "import torch"),
        ("paper_figs", "from experiments.runs.store import Run"),
        ("paper_figs", "from tabular import evaluate"),
        ("paper_figs", "import llm"),
    ],
)
def test_the_checker_sees_a_violation(package: str, source: str) -> None:
    assert len(violations(package, source)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("cpi_theory", "import math\nfrom scipy import special\nfrom cpi_theory.seam import Group"),
        ("tabular", "import numba\nimport gymnasium\nfrom cpi_theory.checks import InvalidInput"),
        ("experiments", "from tabular import evaluate\nimport paper_figs.style\nimport llm"),
        (
            "paper_figs",
            "import matplotlib\nfrom cpi_theory.seam import Group",
        ),
    ],
)
def test_the_checker_lets_the_rest_pass(package: str, source: str) -> None:
    assert violations(package, source) == []


def loaded_by(code: str, names: set[str]) -> list[str]:
    """Which of `names` a fresh process has loaded after `code`."""
    script = f"import sys\n{code}\nprint(*sorted({names!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split() if done.stdout.strip() else []


def test_the_heart_loads_neither_kernels_nor_worlds() -> None:
    heavy = LEARNING | {"numba", "tabular", "matplotlib", "gymnasium", "scipy.stats"}
    assert loaded_by("import cpi_theory", heavy) == []


def test_the_help_text_loads_neither_kernels_nor_plots() -> None:
    heavy = LEARNING | {"numba", "matplotlib", "tabular", "gymnasium"}
    code = "from experiments.cli import main\nassert main(['--help']) == 0"
    assert loaded_by(code, heavy) == []
