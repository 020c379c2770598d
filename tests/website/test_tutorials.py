"""Every tutorial and how-to does what it says when it is typed in an empty folder."""

from __future__ import annotations

import pytest

from tests.website.typed import ROOT, blocks, follow

PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [
        ROOT / "docs" / "start.md",
        *(ROOT / "docs" / "tutorials").glob("*.md"),
        *(ROOT / "docs" / "howto").glob("*.md"),
    ]
)
TYPED = [page for page in PAGES if any(block.runs for block in blocks(page))]


def test_there_are_tutorials():
    assert len(TYPED) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("page", TYPED)
def test_it_works_as_typed(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert follow(page, tmp_path) > 0
