"""Links of the documentation lead somewhere, in the repository and in the site."""

from __future__ import annotations

import posixpath
import re

import pytest

from website.links import (
    anchors,
    change_links,
    headings,
    is_outside,
    rooted,
    sections,
    slug,
    targets,
)
from website.stage import ROOT

PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
)


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    lost = []
    for target in targets(rooted((ROOT / page).read_text(), page)):
        path, _, anchor = target.removeprefix("/").partition("#")
        if is_outside(target):
            continue
        if not (ROOT / path).exists() or (
            anchor and anchor not in anchors((ROOT / path).read_text())
        ):
            lost.append(target)
    assert lost == []


def test_links_of_the_site_lead_to_its_files_and_headings(site):
    folder, _ = site
    pages = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.md")}
    lost = []
    for page, text in pages.items():
        if page.startswith("source/"):
            continue  # shown as they are
        for target in targets(text):
            if is_outside(target):
                continue
            path, _, anchor = target.partition("#")
            there = (
                posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
            )
            if not (folder / there).exists() or (
                anchor and there in pages and anchor not in anchors(pages[there])
            ):
                lost.append((page, target))
    assert lost == []


def test_every_page_of_the_contents_exists_and_every_handwritten_one_is_there(site):
    folder, contents = site
    assert [page for page in contents if not (folder / page).exists()] == []
    assert len(contents) == len(set(contents))
    ours = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert ours - set(contents) == set(), "give it a place in website/navigation.py"


TEXT = """# One

A [link](a.md#b), `[code](no.md)` and [out](https://x.org).

## Two: *words*, `code`

```python
# No heading [x](no.md)
```

## Two: *words*, `code`
"""


def test_code_is_neither_link_nor_heading():
    assert targets(TEXT) == ["a.md#b", "https://x.org"]
    assert [heading for _, heading in headings(TEXT)] == ["One", *["Two: *words*, `code`"] * 2]
    assert change_links(TEXT, str.upper).count("(no.md)") == 2
    assert [heading for heading, _ in sections(TEXT)] == ["", *["Two: *words*, `code`"] * 2]


def test_anchors_are_those_of_github():
    assert slug("GRPO, Dr. GRPO, RLOO") == "grpo-dr-grpo-rloo"
    assert slug("T1 – `a_b` (x)") == "t1--a_b-x"
    assert anchors(TEXT) == {"one", "two-words-code", "two-words-code-1"}


def test_links_become_those_from_the_root():
    text = rooted("[a](../x/y.py) [b](#c) [d](e.md#f) [g](https://h.org)", "docs/sub/p.md")
    assert re.findall(r"\((.*?)\)", text) == [
        "/docs/x/y.py",
        "/docs/sub/p.md#c",
        "/docs/sub/e.md#f",
        "https://h.org",
    ]
