"""What a release is made of: changelog, versions, builds that are compared, licences, pins."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest

from tools import lock, release

ROOT = Path(__file__).resolve().parent.parent

OLD = """# Changelog

## [Unreleased]

### Added
- Something.

## [0.1.0] - 2026-01-31

### Fixed
- Something else.
"""


def test_the_changelog_is_one():
    assert next(iter(release.versions((ROOT / "CHANGELOG.md").read_text()))) == "Unreleased"


def test_every_file_names_the_same_version():
    citation = re.search(r"(?m)^version: (.*)$", (ROOT / "CITATION.cff").read_text())
    assert citation[1] == release.version()
    release.number(release.version())


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("## 0.2.0", "no heading of a version"),
        ("## [0.2] - 2026-02-01", "not a semantic version"),
        ("## [0.2.0]", "0.2.0 has no date"),
        ("### Improved", "no section of a version"),
    ],
)
def test_what_no_changelog_has_is_named(line, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        release.versions(OLD.replace("### Added", f"{line}\n\n### Added", 1))


def test_versions_stand_from_the_newest_to_the_oldest():
    text = OLD.replace("0.1.0", "0.9.0") + "\n## [0.10.0] - 2026-03-01\n"
    with pytest.raises(ValueError, match="newest to the oldest"):
        release.versions(text)


def test_a_version_is_cut_everywhere(tmp_path):
    (tmp_path / "CHANGELOG.md").write_text(OLD)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "0.1.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 0.1.0\n")
    release.cut("0.2.0", tmp_path, datetime.date(2026, 2, 3))
    changelog = (tmp_path / "CHANGELOG.md").read_text()
    found = release.versions(changelog)
    assert found == {"Unreleased": "", "0.2.0": "2026-02-03", "0.1.0": "2026-01-31"}
    assert changelog.index("0.2.0") < changelog.index("- Something.")
    assert release.version(tmp_path) == "0.2.0"
    assert "cff-version: 1.2.0\nversion: 0.2.0" in (tmp_path / "CITATION.cff").read_text()
    for name in ("0.2.0", "0.1.9"):
        with pytest.raises(ValueError, match=r"not above 0\.2\.0"):
            release.cut(name, tmp_path)


def test_builds_that_differ_are_refused(tmp_path):
    for place, content in (("a", "same"), ("b", "same")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x.whl").write_text(content)
    release.compare(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "x.whl").write_text("other")
    (tmp_path / "b" / "y.tar.gz").touch()
    with pytest.raises(SystemExit, match=r"not reproducible: x\.whl, y\.tar\.gz"):
        release.compare(tmp_path / "a", tmp_path / "b")


def test_licences_are_read_from_a_bill_of_materials():
    document = """[
      {"name": "b", "version": "2", "licenses": [{"license": {"id": "MIT"}}]},
      {"name": "A", "version": "1", "licenses": [{"expression": "BSD-3-Clause AND MIT"}]},
      {"name": "c", "version": "3"},
      {"name": "d", "version": "4", "licenses": [{"license": {"name": "whole\\ntext"}}]},
      {"name": "e", "version": "5", "licenses": [
        {"license": {"name": "License :: OSI Approved :: MIT License"}},
        {"license": {"id": "MIT"}}]}
    ]"""
    rows = release.licences(json.loads(document))
    assert [row[0] for row in rows] == ["A", "b", "c", "d", "e"]
    unknown = release.UNKNOWN
    assert [row[2] for row in rows] == ["BSD-3-Clause AND MIT", "MIT", unknown, unknown, "MIT"]
    assert "| b | 2 | MIT |" in release.table(rows)


def entry(name, version, **download):
    return {"metadata": {"name": name, "version": version}, "download_info": download}


def test_pins_are_those_of_the_index_alone():
    installs = [
        entry("torch", "2.13.0+cpu"),
        entry("nvidia-cublas-cu12", "12.8"),
        entry("cpi-resets", "0.1.0", dir_info={}),
        entry("ast_serialize", "1"),
        entry("ast-serialize", "1"),
    ]
    assert lock.pins(installs) == ["ast-serialize==1", "torch==2.13.0"]


def test_what_a_new_lock_changes_is_said():
    before, after = f"{lock.HEAD}a==1\nb_c==2\nd==3\n", f"{lock.HEAD}a==1\nb-c==3\ne==4\n"
    assert lock.changes(before, after) == ["b-c: 2 -> 3", "d: 3 -> gone", "e: new -> 4"]


def test_every_dependency_is_pinned_once():
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    names = [re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines]
    assert len(set(names)) == len(names)
    assert all("==" in line for line in lines)
