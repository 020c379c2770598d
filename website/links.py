"""Links and headings of Markdown, as GitHub reads them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_CODE = re.compile(r"^(```.*?^```$|~~~.*?^~~~$)|`[^`\n]+`", flags=re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"\]\(([^()\s]+)\)")


def change_links(text: str, change: Callable[[str], str]) -> str:
    """Put `change(target)` in the place of every link's target, code left alone."""
    spared: list[str] = []

    def spare(match: re.Match[str]) -> str:
        spared.append(match[0])
        return f"\0{len(spared) - 1}\0"

    bare = _CODE.sub(spare, text)
    changed = _TARGET.sub(lambda match: f"]({change(match[1])})", bare)
    return re.sub(r"\0(\d+)\0", lambda match: spared[int(match[1])], changed)


def targets(text: str) -> list[str]:
    """The targets of all links that stand outside of code."""
    found: list[str] = []
    change_links(text, lambda target: found.append(target) or target)  # type: ignore[func-returns-value]
    return found


def is_outside(target: str) -> bool:
    """Whether a link leads out of the project."""
    return re.match(r"[a-z]+:", target) is not None


def rooted(text: str, origin: str) -> str:
    """Make the links of a file relative to the root of the repository: they begin with "/".

    Args:
        text: of the file.
        origin: path of the file, from the root.
    """

    def change(target: str) -> str:
        if is_outside(target) or target.startswith("/"):
            return target
        path, hash_, anchor = target.partition("#")
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        return f"/{joined if path else origin}{hash_}{anchor}"

    return change_links(text, change)


def slug(heading: str) -> str:
    """The anchor of a heading: small letters, blanks as dashes, without punctuation."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def headings(text: str) -> Iterator[tuple[int, str]]:
    """Level and text of each heading, in order."""
    bare = re.sub(r"^(```|~~~).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    for match in re.finditer(r"^(#{1,6}) +(.+?) *#*$", bare, flags=re.MULTILINE):
        yield len(match[1]), match[2]


def anchors(text: str) -> set[str]:
    """What a link to this page may name behind "#": equal headings are numbered."""
    found: dict[str, int] = {}
    names = set()
    for _, heading in headings(text):
        name = slug(heading)
        seen = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{seen}" if seen else name)
    return names | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def sections(text: str, level: int = 2) -> list[tuple[str, str]]:
    """Heading and body of each section of a level; what precedes the first one has heading ""."""
    mark = "#" * level + " "
    parts, inside = [["", ""]], False
    for line in text.splitlines(keepends=True):
        inside ^= line.startswith(("```", "~~~"))
        if line.startswith(mark) and not inside:
            parts.append([line[len(mark) :].strip(), ""])
        else:
            parts[-1][1] += line
    return [(heading, body) for heading, body in parts]
