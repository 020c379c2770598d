"""A report as a list of blocks, written as one self-contained HTML page and as Markdown."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A section title; level 1 is the document's."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Verdicts:
    """Sentences that the records decide, each its own line."""

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class DataTable:
    """A table of texts and numbers; floats are shown with three significant digits."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    @classmethod
    def of(cls, rows: Sequence[dict[str, object]], columns: Sequence[str]) -> DataTable:
        """The named columns of some records."""
        return cls(tuple(columns), tuple(tuple(row.get(c) for c in columns) for row in rows))


@dataclass(frozen=True)
class Picture:
    """A PNG with its caption and the path of its file, relative to the report."""

    path: str
    png: bytes
    caption: str


Block = Heading | Paragraph | Verdicts | DataTable | Picture


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """One page that needs no other file: pictures are inside it."""
    body = "\n".join(_html(block) for block in blocks)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_CSS}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def as_markdown(blocks: Sequence[Block]) -> str:
    """The same as Markdown; pictures are links to their files."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Verdicts):
        items = "".join(f"<li>{html.escape(s)}</li>" for s in block.sentences)
        return f"<ul>{items}</ul>"
    if isinstance(block, Picture):
        data = base64.b64encode(block.png).decode()
        caption = html.escape(block.caption)
        image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    head = "".join(f"<th>{html.escape(c)}</th>" for c in block.columns)
    lines = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(shown(v))}</td>" for v in row) + "</tr>"
        for row in block.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{lines}\n</tbody></table>"


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return "#" * block.level + " " + block.text
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Verdicts):
        return "\n".join(f"- {s}" for s in block.sentences)
    if isinstance(block, Picture):
        return f"![{block.caption}]({block.path})\n\n*{block.caption}*"
    lines = [block.columns, ("---",) * len(block.columns), *block.rows]
    cells = (" | ".join(shown(v).replace("|", "\\|") for v in line) for line in lines)
    return "\n".join(f"| {line} |" for line in cells)


def shown(value: object) -> str:
    """A value as people read it: three significant digits, nothing for what is missing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        large = 1000 <= abs(value) < 1e15
        return f"{value:,.0f}" if large else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin-top: 2rem; }
figure { margin: 1.5rem 0; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: 0.9rem; }
table { border-collapse: collapse; font-size: 0.85rem; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.6rem; text-align: left; }
td { font-variant-numeric: tabular-nums; }
"""
