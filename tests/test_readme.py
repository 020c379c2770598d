"""What the README and CONTRIBUTING tell a reader to type works as typed."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    *("README.md", "CONTRIBUTING.md"),
    *("docs/language_models.md", "docs/trl.md", "docs/data.md", "docs/your_own_model.md"),
)
EXAMPLES = [
    pytest.param(code, id=f"{page}-{i}")
    for page in PAGES
    for i, code in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    )
]


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code, tmp_path, monkeypatch):
    """Saved as a module, as a reader would save it, in a folder of the reader's."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"example_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


@pytest.mark.parametrize("page", [*PAGES, "docs/theory.md"])
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text())
    missing = [t for t in targets if not ((ROOT / page).parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    targets = set(re.findall(r"`?make ([a-z-]+)", (ROOT / page).read_text()))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert targets - {"run", "test"} <= rules
