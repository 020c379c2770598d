"""The report: of the runs below a folder one page and every figure, once or again and again.

Pages ``explore.html`` are linked from it at its top: one in the report's own folder, and those in
the folders of runs, which the sections of these runs link, too.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.console import give
from experiments.documents.document import (
    Answer,
    Block,
    DataTable,
    Heading,
    Paragraph,
    Picture,
    Question,
    Report,
    Section,
    as_markdown,
)
from experiments.documents.words import counted
from experiments.execution.progress import Advance, progress
from experiments.exit_codes import DONE, REFUTED
from experiments.explore.page import PAGE
from experiments.report.config import ReportConfig
from experiments.report.figures import (
    INCOMPLETE,
    UNFIT,
    Job,
    drawn,
    jobs,
    origin_of,
    store_figure,
)
from experiments.report.page import Link, Progress, as_html
from experiments.report.runs import LeftOut, Shown, shown_runs, without_section
from experiments.report.under_way import progress_lines, state_of, with_partial_tables
from experiments.report.unseen import unseen, without_run
from experiments.runs.files import Row, atomic_write
from experiments.runs.store import Run
from experiments.train.report import published_answer

_TITLE = "Conservative policy iteration with resets: what was measured"

_PREFACE = (
    "Every sentence that states a number or a verdict is computed from the stored records; "
    "intervals are 95 % intervals. J is the expected return of a rollout, p the on-policy share "
    "of improvable (state, step) pairs, tau the level of improvability."
)


def write(config: ReportConfig, output: Path, console: Console) -> int:
    """Write figures and page once.

    Returns: 0 when done, 1 if something was left out because a stored file is damaged.

    Raises:
        InvalidInput: if there is no run to show.
        CorruptFile: if no run is whole.
    """
    damaged: list[LeftOut] = []
    shown = shown_runs(config, output, damaged.append)
    page = Page(output / config.name, shown, _teller(console), left_out=damaged)
    for text in damaged:
        page.said(f"left out {text}")
    target = Run.open(output, config.name, config, 0, replace=True)
    with target.lock():
        with progress(console, "figures", len(page.todo)) as advance:
            page.draw(lambda job: store_figure(job, target, config.formats()), advance)
        origin = origin_of(target, page.checksums())
        report = page.report()
        target.write_file("report.md", as_markdown(report).encode(), origin)
        path = target.write_file("report.html", page.html(report).encode(), origin)
        others = without_section(config, output)
        give(console, page.told(report, path, config.formats()) | {"without_section": others})
        files = [f"{job.name}.{end}" for job, _ in page.pictures for end in config.formats()]
        target.keep_only("figures", files)
    if others:
        console.print(f"there is no section for: {', '.join(others)}", soft_wrap=True)
    missing = without_run(page.shown)
    if missing:
        console.print(f"left out for want of a run: {', '.join(missing)}", soft_wrap=True)
    drawn = counted(len(page.pictures), "figure")
    console.print(f"{drawn} and the report: {path}", soft_wrap=True)
    return REFUTED if any(lost.damaged for lost in page.left_out) else DONE


def watch(config: ReportConfig, output: Path, console: Console) -> int:
    """Write the page whenever something has changed below the output folder, until Ctrl-C."""
    live, before = LivePage(config, output), None
    path = live.write()
    give(console, {"page": str(path), "watched": str(output)})
    console.print(f"written, open it: {path}", markup=False, soft_wrap=True)
    try:
        while True:
            state = state_of(output, config.name)
            if state != before:
                live.write()
                before = state
            time.sleep(config.watch)
    except KeyboardInterrupt:
        live.write(ended=True)
        raise


@dataclass
class LivePage:
    """The page of runs that are under way; no figure is stored as a file, and no lock is taken.

    Attributes:
        config: which runs are shown.
        output: where they are.
        every: seconds after which a browser loads it again.
        cache: pictures by what they were drawn from.
    """

    config: ReportConfig
    output: Path
    every: float = 20.0
    cache: dict[str, Picture] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.every = self.config.watch or self.every

    def write(self, lines: Sequence[str] = (), ended: bool = False) -> Path:
        """Write the page as things are now.

        Args:
            lines: what is to be said of the progress beside that of single runs.
            ended: whether nobody will write it again.
        """
        try:
            damaged: list[LeftOut] = []
            shown = shown_runs(self.config, self.output, damaged.append)
            text = self._text(shown, (*lines, *map(str, damaged)), ended)
        except InvalidInput as nothing:
            text = self._text([], (*lines, f"Nothing to show yet: {nothing}."), ended)
        path = self.output / self.config.name / "report.html"
        atomic_write(path, text.encode())
        return path

    def _text(self, stored: Sequence[Shown], lines: Sequence[str], ended: bool) -> str:
        shown = with_partial_tables(stored)
        page = Page(self.output / self.config.name, shown, lambda _: None)
        page.draw(lambda job: drawn(job, self.cache), lambda _: None)
        said = (*lines, *progress_lines(self.output, shown))
        return page.html(page.report(), None if ended else Progress(said, self.every))


def _teller(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False)


@dataclass
class Page:
    """A page that is being made.

    Attributes:
        folder: where it is stored.
        shown: the runs.
        said: told what is left out.
        pictures: figures that were drawn.
        left_out: what was left out of runs that are there.
    """

    folder: Path
    shown: Sequence[Shown]
    said: Callable[[str], None]
    pictures: list[tuple[Job, Picture]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    @functools.cached_property
    def todo(self) -> tuple[Job, ...]:
        """All figures that there could be."""
        return tuple(jobs(self.shown))

    def draw(self, draw: Callable[[Job], Picture], advance: Advance) -> None:
        """Draw every figure that can be drawn; what cannot is said and passed over."""
        for job in self.todo:
            missing = job.missing()
            if missing is not None:
                self._leave_out(LeftOut(job.name, missing))
            else:
                try:
                    self.pictures.append((job, draw(job)))
                except UNFIT as error:
                    self._leave_out(_lost(job.name, error, job.runs.values()))
            advance(1)

    def _leave_out(self, lost: LeftOut) -> None:
        self.left_out.append(lost)
        self.said(f"left out {lost}")

    def checksums(self) -> dict[str, str]:
        """Of every table of the runs that are shown, by names such as "train/bands"."""
        runs = [(one.name, one.run) for one in self.shown]
        return {f"{n}/{table}": run.checksum(table) for n, run in runs for table in run.tables()}

    def html(self, report: Report, under_way: Progress | None = None) -> str:
        """The page itself, with the tables behind its figures."""
        found = {name: at for job, _ in self.pictures for name, at in job.tables.items()}
        tables = [(name, run.read(table)) for name, (run, table) in found.items()]
        return as_html(report, tables, self._links(), under_way)

    def report(self) -> Report:
        """What the page says."""
        sections = tuple(self._section(one) for one in self.shown)
        rows = [_provenance(one) for one in self.shown]
        machines = tuple(dict.fromkeys(row["machine"] for row in rows if row["machine"]))
        answers, made = self.answers(), self._made(rows)
        return Report(_TITLE, _PREFACE, answers, _told_apart(sections), made, machines)

    def told(self, report: Report, path: Path, formats: Sequence[str]) -> Row:
        """What machines are told of the page: where it is, what is in it, and what is not.

        Args:
            report: what it says.
            path: where it is stored.
            formats: in which each figure is.
        """
        titles = {section.run: section.title for section in report.sections}
        runs = [
            {"run": one.name, "command": one.family.kind, "title": titles[one.name]}
            for one in self.shown
        ]
        answers = [asdict(one) | {"question": one.question.value} for one in report.answers]
        return {
            "page": str(path),
            "bytes": path.stat().st_size,
            "markdown": str(path.with_suffix(".md")),
            "figures": [
                {"figure": job.name, "run": job.of, "tables": list(job.tables)}
                | {"files": [str(path.parent / f"figures/{job.name}.{end}") for end in formats]}
                for job, _ in self.pictures
            ],
            "runs": runs,
            "answers": answers,
            "left_out": [asdict(one) for one in self.left_out],
            "without_run": without_run(self.shown),
        }

    def answers(self) -> tuple[Answer, ...]:
        """What the first screen says."""
        found = [answer for one in self.shown for answer in self._answers_of(one)]
        compared = {answer.run for answer in found if answer.question is Question.LEARNING}
        if any(one.family.kind == "train" and one.name in compared for one in self.shown):
            found.append(published_answer())
        return (*found, *(unseen(self.shown, self.left_out) if self.shown else ()))

    def _answers_of(self, one: Shown) -> Sequence[Answer]:
        # What its section cannot show, as a file is damaged, no headline may claim.
        if any(lost.damaged and lost.what == _section_of(one) for lost in self.left_out):
            return ()
        try:
            return one.family.answers(one.run)
        except UNFIT as error:
            self.left_out.append(_lost(f"the answer of {one.name}", error, [one.run]))
            return ()

    def _section(self, one: Shown) -> Section:
        try:
            blocks: list[Block] = one.family.section(one.run)
        except UNFIT as error:
            lost = _lost(_section_of(one), error, [one.run])
            self._leave_out(lost)
            title = f"A run of {one.family.kind}: {one.name}"
            blocks = [Heading(title), Paragraph(f"Left out: {lost.why}.")]
        pictures = [picture for job, picture in self.pictures if job.of == one.name]
        place = _before_tables(blocks)
        blocks[place:place] = pictures
        return Section(one.name, tuple(blocks), _rollouts(one))

    def _links(self) -> tuple[Link, ...]:
        own = [Link(PAGE, "Rollouts, one by one")] if (self.folder / PAGE).is_file() else []
        pages = [(one.name, page) for one in self.shown if (page := _rollouts(one))]
        return (*own, *(Link(page, f"Rollouts of {name}") for name, page in pages))

    def _made(self, rows: Sequence[Row]) -> tuple[Block, ...]:
        columns = ("run", "command", "what", "seed", "machine", "code")
        older = [one.name for one in self.shown if one.run.made_by_other_code()]
        text = "The command reproduce makes the runs of a profile again."
        if older:
            note = f"Made by other code than this report: {', '.join(older)}."
            self.said(note)
            text = f"{text} {note}"
        caption = "The runs of this page; the whole configuration and all versions of each are in "
        return (Paragraph(text), DataTable.of(rows, columns, f"{caption}its run.json."))


def _lost(what: str, error: Exception, runs: Iterable[Run]) -> LeftOut:
    """What an error keeps from being shown; a defect of ours is none of that, and raised again."""
    if isinstance(error, INCOMPLETE):
        return LeftOut.of(what, error)
    if all(run.made_by_this_code() for run in runs):
        raise error
    why = f"its records are not as this version writes them ({type(error).__name__}: {error})"
    return LeftOut(what, why)


def _section_of(one: Shown) -> str:
    return f"the section on {one.name}"


def _told_apart(sections: Iterable[Section]) -> tuple[Section, ...]:
    """The sections; to a title that several have each adds the name of its run."""
    sections = tuple(sections)
    titles = Counter(section.title for section in sections)
    return tuple(
        replace(one, blocks=(Heading(f"{one.title}: {one.run}"), *one.blocks[1:]))
        if titles[one.title] > 1
        else one
        for one in sections
    )


def _rollouts(one: Shown) -> str:
    """Where the page lies that shows the rollouts of a run, seen from the report; "": nowhere."""
    return f"../{one.name}/{PAGE}" if (one.run.directory / PAGE).is_file() else ""


def _before_tables(blocks: Sequence[Block]) -> int:
    """Where figures go: behind what is said first, before the first table or further heading."""
    ends = (n for n, b in enumerate(blocks) if n and isinstance(b, Heading | DataTable))
    return next(ends, len(blocks))


_MACHINE = (("processor", ""), ("cores", " cores"))


def _provenance(one: Shown) -> Row:
    config, environments = one.run.config, one.run.environments()
    last = environments[-1] if environments else {}
    hardware, commit = last.get("hardware") or {}, last.get("commit") or {}
    worlds = config.get("worlds") or config.get("world") or ()
    what = ", ".join([worlds] if isinstance(worlds, str) else map(str, worlds))
    return {
        "run": one.name,
        "command": one.family.kind,
        "what": what,
        "seed": one.run.seed,
        "machine": ", ".join(f"{hardware[n]}{unit}" for n, unit in _MACHINE if hardware.get(n)),
        "code": str(commit.get("id") or "")[:10] + (" (edited)" if commit.get("edited") else ""),
    }
