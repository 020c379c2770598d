"""Reports as values: blocks, answers to questions, and the same as Markdown.

A page for browsers is made of them by :mod:`experiments.report.page`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


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
    """A table of texts and numbers; floats are shown with three significant digits.

    Attributes:
        columns: their names.
        rows: a value per column each.
        caption: what it holds and what to look at.
        published: whether numbers of the paper are among them, which the page marks.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    caption: str = ""
    published: bool = False

    @classmethod
    def of(
        cls,
        rows: Sequence[dict[str, object]],
        columns: Sequence[str],
        caption: str = "",
        published: bool = False,
    ) -> DataTable:
        """The named columns of some records."""
        cells = tuple(tuple(row.get(c) for c in columns) for row in rows)
        return cls(tuple(columns), cells, caption, published)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        path: of its PNG file, relative to the report.
        svg: the same as an SVG element that needs no other file.
        caption: what it shows and what to look at.
        data: names ("run/table") of the tables that it is drawn from.
    """

    path: str
    svg: str
    caption: str
    data: tuple[str, ...] = ()


Block = Heading | Paragraph | Verdicts | DataTable | Picture


class Question(Enum):
    """What a report answers at its top, in this order."""

    BOUNDS = "Do the bounds hold, and how tight are they?"
    SAVINGS = "What do resets save?"
    LOCALIZER = "How good is the localiser?"
    LEARNING = "Who learns faster?"
    CREDIT = "What do advantage estimators follow?"
    WORTH = "Is it worth it here?"
    UNSEEN = "What was not seen?"


@dataclass(frozen=True)
class Answer:
    """A sentence about a question, as the records of one run decide it.

    Attributes:
        question: which.
        about: what it was measured on, in a few words.
        number: the number that decides it, with its interval where it has one.
        sentence: what that means.
        run: name of the run that it comes from; none: of all.
        published: whether it is the paper's.
        details: what the sentence sums up, one by one; a page shows them when they are asked for.
    """

    question: Question
    about: str
    number: str
    sentence: str
    run: str = ""
    published: bool = False
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """What a report says of one run.

    Attributes:
        run: its name.
        blocks: of them the first is the heading.
        page: a page of the run's own that lies beside the report, relative to it; none: "".
    """

    run: str
    blocks: tuple[Block, ...]
    page: str = ""

    @property
    def title(self) -> str:
        """Its heading."""
        first = self.blocks[0]
        return first.text if isinstance(first, Heading) else self.run


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        title: its heading.
        preface: how to read it.
        answers: what the first screen says.
        sections: one per run.
        made: how it was made, the last section.
        machines: where its runs were made.
    """

    title: str
    preface: str
    answers: tuple[Answer, ...] = ()
    sections: tuple[Section, ...] = ()
    made: tuple[Block, ...] = ()
    machines: tuple[str, ...] = ()

    def answering(self, question: Question) -> tuple[Answer, ...]:
        """The answers to one question."""
        return tuple(answer for answer in self.answers if answer.question is question)


def as_markdown(report: Report) -> str:
    """The report as Markdown; pictures are links to their files."""
    blocks: list[Block] = [Heading(report.title, 1), Paragraph(report.preface)]
    for question in Question:
        answers = report.answering(question)
        said = tuple(map(_answer, answers))
        blocks += [Heading(question.value, 3), Verdicts(said)] if said else []
    for section in report.sections:
        blocks += section.blocks
    return blocks_as_markdown([*blocks, *report.made])


def _answer(one: Answer) -> str:
    """An answer, and below it what it sums up."""
    said = f"{one.about}: {one.number}. {one.sentence}"
    return "\n  - ".join((said, *one.details))


def blocks_as_markdown(blocks: Sequence[Block]) -> str:
    """Blocks as Markdown."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


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
    table = "\n".join(f"| {line} |" for line in cells)
    return f"{table}\n\n*{block.caption}*" if block.caption else table


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
