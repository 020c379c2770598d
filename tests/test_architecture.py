"""docs/architecture.md and its picture are what the contracts and docstrings say today."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs"


def test_page_and_picture_are_up_to_date():
    spec = importlib.util.spec_from_file_location("architecture", FOLDER / "architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.page() == module.PAGE.read_text(), "run python docs/architecture.py"
    assert module.picture() == module.PICTURE.read_text(), "run python docs/architecture.py"
    layers = module.contracts()
    known = {f"{package}.{part}" for package, rows in layers.items() for r in rows for part in r}
    assert {module.SEAM, *module.IMPLEMENT} <= known
