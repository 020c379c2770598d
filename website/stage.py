"""The sources of the site: docs/ with links that lead to its pages, and all that is generated."""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from website import method_pages, reference, reset_pages
from website.links import ROOT, change_links, is_outside, rooted, sections, slug

SPECIAL = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "cpi_theory/resets": "resets/index.md",
}
"""Files outside of docs/ that are pages of the site, and a folder that has become pages."""

STATIC = ROOT / "website" / "static"
"""The style of the site, and what its search needs where pages are opened from disk."""

_SHOWN = 60_000
"""Characters of a linked file that its page shows."""

_LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".jsonl": "json", ".json": "json"}


def pages() -> dict[str, str]:
    """Every page and picture by its path in the site, links of pages still from the root."""
    found = {
        site: rooted((ROOT / path).read_text(), path)
        for path, site in SPECIAL.items()
        if path.endswith(".md")
    }
    for path in sorted((ROOT / "docs").rglob("*.md")):
        origin = str(path.relative_to(ROOT))
        found[site_path(origin)] = rooted(path.read_text(), origin)
    found["methods.md"] = _methods()
    for page in method_pages.PAGES:
        found |= dict(method_pages.files(page))
    found |= dict(reset_pages.files())
    found |= dict(reference.files())
    return found


def site_path(path: str) -> str:
    """Where a file of the repository stands in the site."""
    if path in SPECIAL:
        return SPECIAL[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}"


@cache
def _sections_of_methods() -> dict[str, str]:
    """Anchors of the overview's sections that have become pages, and the page of each."""
    found = {}
    for page in reversed(method_pages.PAGES):
        if page.row:
            found[slug(page.section)] = f"/site/methods/{page.slug}.md"
    found[slug("Reset policies that ask nobody")] = "/site/resets/unsurereset.md"
    return found


def _methods() -> str:
    """The overview without the sections that are pages, names of methods linked to theirs."""
    moved = _sections_of_methods()
    kept = [
        (f"## {heading}\n" if heading else "") + body
        for heading, body in sections(method_pages.overview())
        if slug(heading) not in moved
    ]
    text = "".join(kept)
    links = {name: page.slug for page in method_pages.PAGES for name in page.names}

    def linked(match: re.Match[str]) -> str:
        name = match[1]
        return f"[`{name}`](/site/methods/{links[name]}.md)" if name in links else match[0]

    rows = [
        re.sub(r"`([^`]+)`", linked, line) if line.startswith("| [") else line
        for line in text.splitlines()
    ]
    return "\n".join(rows) + "\n"


def stage(folder: Path) -> int:
    """Write the sources of the site into a folder, which is emptied first.

    Returns:
        How many pages there are.
    """
    shutil.rmtree(folder, ignore_errors=True)
    found = pages()
    shutil.copytree(STATIC, folder / STATIC.name)
    written: set[str] = set()
    linked: dict[str, None] = {}
    for path, text in found.items():
        if path.endswith(".md"):
            text = _resolved(text, path, found, linked)
        _write(folder / path, text)
    for path in linked:
        site = site_path(path)
        if (ROOT / path).suffix in (".png", ".svg"):
            (folder / site).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, folder / site)
        elif site_of_source(path) not in written:
            written.add(site_of_source(path))
            _write(folder / site_of_source(path), _source_page(path))
    return sum(path.endswith(".md") for path in found) + len(written)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def site_of_source(path: str) -> str:
    """The page that shows a file or folder of the repository."""
    return f"source/{path}.md"


def _resolved(text: str, page: str, found: Mapping[str, str], linked: dict[str, None]) -> str:
    """Turn links from the root into links between pages; files that are linked are collected."""

    def change(target: str) -> str:
        if is_outside(target) or not target.startswith("/"):
            return target
        path, hash_, anchor = target[1:].partition("#")
        site = _site(path, anchor, found, linked)
        if path == "docs/methods.md" and anchor in _sections_of_methods():
            site, hash_, anchor = _sections_of_methods()[anchor].removeprefix("/site/"), "", ""
        return posixpath.relpath(site, posixpath.dirname(page) or ".") + hash_ + anchor

    return change_links(text, change)


def _site(path: str, anchor: str, found: Mapping[str, str], linked: dict[str, None]) -> str:
    if path.startswith("site/"):
        return path.removeprefix("site/")
    path = path.rstrip("/")
    site = site_path(path)
    if site in found:
        return site
    if f"{site}/README.md" in found and not anchor:
        return f"{site}/README.md"
    linked[path] = None
    return site if path.endswith((".png", ".svg")) else site_of_source(path)


def _source_page(path: str) -> str:
    whole = ROOT / path
    return "\n".join(_listing(whole) if whole.is_dir() else _shown(whole)) + "\n"


def _listing(folder: Path) -> Iterator[str]:
    yield from (f"# {folder.relative_to(ROOT)}", "", "| file | |", "| --- | --- |")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            said = reference.summary(path) if path.suffix == ".py" else _size(path)
            yield f"| {path.relative_to(folder)} | {said.replace('|', chr(92) + '|')} |"


def _size(path: Path) -> str:
    if path.suffix != ".jsonl":
        return f"{path.stat().st_size:,} bytes"
    return f"{len(path.read_text().splitlines()):,} rows"


def _shown(path: Path) -> Iterator[str]:
    text = path.read_text()
    yield from (f"# {path.relative_to(ROOT)}", "", f"~~~~{_LANGUAGES.get(path.suffix, 'text')}")
    yield text[:_SHOWN].rstrip("\n")
    yield "~~~~"
    if len(text) > _SHOWN:
        yield f"\n... and {len(text) - _SHOWN:,} characters more."
