"""A report as one page for browsers: no other file, no network, bounded in size."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments.documents.document import (
    Block,
    DataTable,
    Heading,
    Paragraph,
    Picture,
    Question,
    Report,
    Section,
    Verdicts,
    shown,
)
from experiments.documents.words import counted
from experiments.report.data import DataFile, embedded
from experiments.runs.files import Row

LIMIT = 5_000_000
"""Bytes of a page."""

_SENTENCES = 6
"""Sentences of a list that are seen before it is unfolded."""

_ROWS = (500, 100, 20)
"""Rows of a table that the page holds; the fewer, the larger the page would be."""


@dataclass(frozen=True)
class Link:
    """A page that lies beside the report.

    Attributes:
        address: relative to the report.
        text: what it is.
    """

    address: str
    text: str


@dataclass(frozen=True)
class Progress:
    """What is under way while the page is written.

    Attributes:
        lines: a sentence per run that is not finished.
        every: seconds after which the page loads itself again.
    """

    lines: tuple[str, ...]
    every: float


def as_html(
    report: Report,
    tables: Sequence[tuple[str, Sequence[Row]]] = (),
    links: Sequence[Link] = (),
    under_way: Progress | None = None,
    limit: int = LIMIT,
) -> str:
    """The page, of at most `limit` bytes as long as its sentences alone leave room for that.

    All texts are escaped, whoever wrote them. What makes the page too large gives way: first the
    data behind figures, the largest tables first, then rows of long tables and the largest figures.

    Args:
        report: what it says.
        tables: names and rows of the tables that figures are drawn from.
        links: pages beside it.
        under_way: what is being run meanwhile; None: nothing, and the page stays as it is.
        limit: bytes.
    """
    named = tuple(DataFile(name, len(rows), "") for name, rows in tables)
    for most in _ROWS:
        render = functools.partial(_render, links=links, under_way=under_way, most=most)
        bare = render(report, named)
        room = limit - _bytes(bare) - _MARGIN * len(tables)
        if room >= 0:
            return render(report, embedded(tables, room))
    return render(_without_largest(report, -room), named)


# What the page needs around the address of a table.
_MARGIN = 200


def _bytes(text: str) -> int:
    return len(text.encode())


def _without_largest(report: Report, over: int) -> Report:
    """The report without its largest figures, as many bytes of them as it is over the limit."""
    figures = [b for s in report.sections for b in s.blocks if isinstance(b, Picture)]
    gone: set[str] = set()
    for figure in sorted(figures, key=lambda f: _bytes(f.svg), reverse=True):
        if over <= 0:
            break
        gone.add(figure.path)
        over -= _bytes(figure.svg)
    return replace(report, sections=tuple(_bare(section, gone) for section in report.sections))


def _bare(section: Section, gone: set[str]) -> Section:
    blocks = tuple(
        replace(b, svg="") if isinstance(b, Picture) and b.path in gone else b
        for b in section.blocks
    )
    return replace(section, blocks=blocks)


def _render(
    report: Report,
    data: Sequence[DataFile],
    links: Sequence[Link],
    under_way: Progress | None,
    most: int,
) -> str:
    cards = [(question, report.answering(question)) for question in Question]
    cards.sort(key=lambda card: not card[1])  # what is answered comes first, in their order
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            cards=cards,
            parts=[(section, list(_parts(section, most))) for section in report.sections],
            made=[_part(block, most) for block in report.made],
            data=data,
            offered={one.name: one for one in data},
            links=links,
            under_way=under_way,
        )
    )


@functools.cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("experiments.report"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # a watch that outlives an update goes on with what it began with
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"shown": shown, "drawn": Markup, "counted": counted}
    found.tests["numeric_value"] = _numeric
    found.globals["text_of"] = lambda name: Markup(_source(name))
    return found


@functools.cache
def _source(name: str) -> str:
    """A file of ours that goes into the page as it is."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _numeric(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class _Part:
    """A block as the template sees it.

    Attributes:
        kind: of block.
        block: the block itself.
        anchor: of a heading.
        first, rest: sentences of a list that are seen at once, and those that are folded.
        cut: rows of a table that the page leaves out.
    """

    kind: str
    block: Block
    anchor: str = ""
    first: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    cut: int = 0


def _parts(section: Section, most: int) -> Iterator[_Part]:
    headings = 0
    for block in section.blocks[1:]:
        headings += isinstance(block, Heading)
        yield replace(_part(block, most), anchor=f"{section.run}.{headings}")


def _part(block: Block, most: int) -> _Part:
    if isinstance(block, Verdicts):
        said = block.sentences
        seen = len(said) if len(said) <= _SENTENCES + 2 else _SENTENCES
        return _Part("verdicts", block, first=said[:seen], rest=said[seen:])
    if isinstance(block, DataTable):
        kept = replace(block, rows=block.rows[:most])
        return _Part("table", kept, cut=len(block.rows) - len(kept.rows))
    kinds = {Heading: "heading", Paragraph: "paragraph", Picture: "picture"}
    return _Part(kinds[type(block)], block)
