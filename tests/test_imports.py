"""What the import contracts cannot say: imports by name, and what an import loads."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from experiments.commands import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cpi_theory", "tabular", "llm", "experiments", "paper_figs")
LEARNING = {"torch", "transformers", "trl", "peft", "vllm", "jax", "datasets", "accelerate"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def imports_by_name(module: str) -> list[str]:
    """Modules of ours that `module` imports by a name in a text, as the command line does."""
    path = ROOT / (module.replace(".", "/") + ".py")
    source = path.read_text() if path.exists() else ""
    if "import_module(" not in source:
        return []
    texts = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
    named = [text for text in texts if isinstance(text, str) and text.split(".")[0] in PACKAGES]
    if "COMMANDS" in source:
        parts = [part for part in ("config", "command") if re.search(rf"\.{part}\b", source)]
        named += [f"{c.folder}.{part}" for c in COMMANDS.values() for part in parts]
    return [name for name in named if name != module]


def cycle(edges: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_with_imports_by_name_either(graph: grimp.ImportGraph) -> None:
    modules = [m for m in graph.modules if m.split(".")[0] in PACKAGES]
    edges = {
        m: graph.find_modules_directly_imported_by(m) | set(imports_by_name(m)) for m in modules
    }
    assert any(imports_by_name(m) for m in modules)
    assert cycle(edges) == []


def test_a_circle_would_be_seen() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def test_the_theory_imports_nothing_but_numpy_and_scipy(graph: grimp.ImportGraph) -> None:
    allowed = {"numpy", "scipy", "lazy_loader", "cpi_theory"} | set(sys.stdlib_module_names)
    found = {
        imported.split(".")[0]
        for module in graph.modules
        if module.split(".")[0] == "cpi_theory"
        for imported in graph.find_modules_directly_imported_by(module)
    }
    assert {"numpy", "scipy"} <= found <= allowed


def loaded_by(code: str, names: set[str]) -> list[str]:
    """Which of `names` a fresh process has loaded after `code`."""
    script = f"import sys\n{code}\nprint(*sorted({names!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split() if done.stdout.strip() else []


def test_the_theory_loads_neither_kernels_nor_worlds() -> None:
    heavy = LEARNING | {"numba", "tabular", "matplotlib", "gymnasium", "scipy.stats"}
    assert loaded_by("import cpi_theory", heavy) == []


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["verify", "--help"]])
def test_help_loads_neither_kernels_nor_models_nor_plots(arguments: list[str]) -> None:
    code = f"from experiments.cli import main\nassert main({arguments!r}) == 0"
    assert loaded_by(code, LEARNING | {"numba", "matplotlib"}) == []


# What the extra `llm` brings, itself or through what it needs.
OF_THE_EXTRA = sorted(
    LEARNING | {"tokenizers", "sympy", "jinja2", "yaml", "httpx", "tenacity", "pandas", "requests"}
)


@pytest.mark.parametrize("name", ["verify", "compare", "audit", "learn", "frontier", "diagnose"])
def test_commands_of_tabular_worlds_need_nothing_of_language_models(name: str) -> None:
    code = f"""
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OF_THE_EXTRA!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Hidden())
import experiments.{name}.config, experiments.{name}.command
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
