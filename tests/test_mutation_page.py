"""docs/measurements/mutation.md is what its record says, and its record what the checks reach."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from experiments.verify.mutation.targets import TARGETS

ROOT = Path(__file__).resolve().parent.parent


def load():
    spec = importlib.util.spec_from_file_location("mutation", ROOT / "docs" / "mutation.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_its_record_says():
    module = load()
    assert module.page() == module.PAGE.read_text(), "run python docs/mutation.py"


def test_every_bound_is_in_the_record_and_none_that_is_attained_has_a_hole():
    rows = [json.loads(line) for line in load().RECORD.read_text().splitlines()]
    assert [row["bound"] for row in rows] == list(TARGETS)
    assert all(row["sharper"] == 0 for row in rows if row["attained"])


def test_every_file_of_the_bounds_is_in_the_coverage():
    module = load()
    rows = [json.loads(line) for line in module.COVERAGE.read_text().splitlines()]
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "cpi_theory/bounds").glob("*.py")}
    assert {row["file"] for row in rows} == files, "run python docs/mutation.py --coverage"


def test_coverage_is_counted(tmp_path, monkeypatch):
    module = load()
    counts = {"num_statements": 20, "covered_lines": 19, "num_branches": 4, "covered_branches": 1}
    rows = module.covered({"files": {"b.py": {"summary": counts}, "a.py": {"summary": counts}}})
    assert [row["file"] for row in rows] == ["a.py", "b.py"]
    monkeypatch.setattr(module, "COVERAGE", tmp_path / "record.jsonl")
    module.COVERAGE.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = "\n".join(module.coverage())
    assert "38 of 40 lines (95.0 %) and 2 of 8 branches (25.0 %) of the 2 files" in said


def test_a_run_is_counted(tmp_path, monkeypatch):
    module = load()
    mutants = [
        {"target": "T1", "verdict": "false", "pinned": True},
        {"target": "T1", "verdict": "equivalent", "pinned": True},
        {"target": "T4", "verdict": "sharper", "pinned": False},
        {"target": "T4", "verdict": "loose", "pinned": False},
    ]
    (tmp_path / "mutants.jsonl").write_text("".join(json.dumps(m) + "\n" for m in mutants))
    rows = module.counted(tmp_path)
    assert [row["bound"] for row in rows] == ["T1", "T4"]
    assert module.score(rows) == "2 of 3 (66.7 %)"
    monkeypatch.setattr(module, "RECORD", tmp_path / "record.jsonl")
    module.RECORD.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "| T1 | 1 |  |  | 1 |  | yes |" in module.page()
    assert "of bounds that instances attain 1 of 1 (100.0 %), of the others 1 of 2" in module.page()
