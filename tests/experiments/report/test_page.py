"""The page: it needs nothing else, escapes everything, stays within its size, and works."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from experiments.cli import main
from experiments.documents.document import (
    Answer,
    DataTable,
    Heading,
    Paragraph,
    Picture,
    Question,
    Report,
    Section,
    Verdicts,
    as_markdown,
)
from experiments.report import page as module
from experiments.report.page import LIMIT, Link, Progress, as_html
from experiments.runs.store import Run

RECORDS = Path(__file__).resolve().parents[3] / "docs" / "records"
EVIL = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'&amp;"


class Reader(HTMLParser):
    """Elements, their identifiers and addresses, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text += data


def report(svg: str = "<svg></svg>", text: str = "x & y", rows: int = 2) -> Report:
    blocks = (
        Heading("Who?"),
        Paragraph(text),
        Verdicts(tuple(f"sentence {n} {text}" for n in range(20))),
        Heading("More", 3),
        DataTable.of([{"a": 1234.5, "b": text, "c": None}] * rows, ("a", "b", "c"), text),
        Picture("figures/f.png", svg, text, ("train/bands",)),
    )
    answers = (Answer(Question.WORTH, text, "1 of 2", text, "train"),)
    return Report("T", "How to read it.", answers, (Section("train", blocks),), (Paragraph("m"),))


TABLE = [{"x": 0.1, "name": 'a,"b"\n', "refusals": {"late": 2}}, {"x": None, "more": 7}]


def test_markup_in_any_text_is_shown_and_not_run() -> None:
    live = Progress((EVIL,), 5.0)
    text = as_html(report(text=EVIL), [("train/bands", TABLE)], [Link("explore.html", EVIL)], live)
    read = Reader(text)
    assert read.tags.count("script") == 1
    assert "img" not in read.tags
    assert not read.handlers
    assert read.text.count("<script>alert(1)</script>") > 20


def test_everything_that_is_linked_to_is_there_once() -> None:
    read = Reader(as_html(report(), [("train/bands", TABLE)]))
    assert len(set(read.ids)) == len(read.ids)
    inside = {a[1:] for a in read.addresses if a.startswith("#")}
    assert inside <= set(read.ids)
    assert {"train", "train.1", "made", "data-train.bands"} <= inside


def test_the_data_behind_a_figure_are_inside_the_page_as_stored() -> None:
    read = Reader(as_html(report(), [("train/bands", TABLE)]))
    (address,) = [a for a in read.addresses if a.startswith("data:")]
    kind, _, text = address.partition(",")
    assert kind == "data:text/csv;charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(unquote(text))))
    assert rows[0] == {"x": "0.1", "name": 'a,"b"\n', "refusals": '{"late": 2}', "more": ""}
    assert rows[1] == {"x": "", "name": "", "refusals": "", "more": "7"}


def test_long_lists_and_tables_are_folded_and_longer_tables_cut() -> None:
    text = as_html(report(rows=700))
    assert "Show all 20 sentences" in text
    assert "Show all 700 rows" in text
    assert "200 more rows are in the records" in text
    assert text.count("<tr>") == 1 + 500
    assert "1 more row is in the records" in as_html(report(rows=501))
    one = as_html(report(rows=1), [("train/bands", TABLE[:1])])
    assert "Show 1 row<" in one
    assert "<small>1 row</small>" in one
    assert '<p class="runs">1 run:' in one
    assert '<details class="table" open>' in as_html(report(rows=3))
    assert '<details class="table">' in as_html(report(rows=30))


def test_the_page_stays_within_its_size() -> None:
    rows = [{"x": n, "y": "é" * 20} for n in range(2000)]
    tables = [("train/bands", rows[:20]), ("train/curves", rows)]
    whole = as_html(report(), tables)
    limit = len(whole.encode()) - 1000
    text = as_html(report(), tables, limit=limit)
    assert len(text.encode()) <= limit
    assert 'download="train-bands.csv"' in text
    assert 'download="train-curves.csv"' not in text
    assert '<a href="../train/curves.jsonl">' in text
    lines = as_html(report(rows=500), tables)
    limit = len(as_html(report(rows=120)).encode())
    text = as_html(report(rows=500), tables, limit=limit)
    assert len(text.encode()) <= limit < len(lines.encode())
    assert "400 more rows are in the records" in text
    large = f"<svg>{'é' * 100_000}</svg>"
    text = as_html(report(large), tables, limit=60_000)
    assert len(text.encode()) <= 60_000
    assert 'Too large for this page: <a href="figures/f.png">' in text


def test_nothing_but_the_records_puts_a_number_into_the_page() -> None:
    source = (Path(module.__file__).parent / "templates" / "page.html").read_text()
    words = re.sub(r"<[^>]*>|\{%.*?%\}|\{\{.*?\}\}|&\w+;", " ", source, flags=re.DOTALL)
    assert "Data behind the figures" in words
    assert not re.search(r"\d", words)


def test_pages_beside_it_are_linked() -> None:
    text = as_html(report(), links=[Link("explore.html", "Rollouts")])
    assert '<a href="explore.html">Rollouts</a>' in text
    assert "explore.html" not in as_html(report())


def test_markdown_says_the_same() -> None:
    text = as_markdown(report(text="p|q"))
    assert text.startswith(
        "# T\n\nHow to read it.\n\n### Is it worth it here?\n\n- p|q: 1 of 2. p|q"
    )
    assert "| 1,234 | p\\|q |  |" in text
    assert "![p|q](figures/f.png)" in text


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored runs whose worlds have names that no page should run, and the page by the command."""
    root = tmp_path_factory.mktemp("results")
    for name in ("frontier", "diagnose-order", "smollm2-sums"):
        shutil.copytree(RECORDS / name, root / name)
    for table in ("goals", "cells"):
        path = root / "frontier" / f"{table}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["world"] = row["world"].replace("one hard", EVIL)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "smollm2-sums" / "explore.html").write_text("<p>rollouts</p>")
    (root / "report").mkdir()
    (root / "report" / "explore.html").write_text("<p>rollouts</p>")
    assert main(["report", "--vector", "none", "--output", str(root)]) == 0
    return root


@pytest.fixture(scope="module")
def text(results: Path) -> str:
    return (results / "report" / "report.html").read_text()


def test_the_page_of_stored_runs_needs_no_other_file(results: Path, text: str) -> None:
    read = Reader(text)
    assert len(text.encode()) <= LIMIT
    assert read.tags.count("svg") == len(list((results / "report" / "figures").iterdir())) > 5
    assert len(set(read.ids)) == len(read.ids)
    top = text[text.index("<header") : text.index("</header>")]
    assert '<a href="../smollm2-sums/explore.html">Rollouts of smollm2-sums</a>' in top
    outside = {a for a in read.addresses if not a.startswith(("#", "data:text/csv"))}
    assert outside == {"explore.html", "../smollm2-sums/explore.html"}
    assert {a[1:] for a in read.addresses if a.startswith("#")} <= set(read.ids)
    assert not re.search(r"@import|url\((?!#)", text)
    assert {"script", "svg"} >= {tag for tag in read.tags if tag in ("script", "link", "iframe")}
    assert not read.handlers
    assert "img" not in read.tags
    assert EVIL in read.text
    figure = text.index('id="figure-frontier-accuracy"')
    assert figure < text.index("Each method against the better baseline")
    assert "what was run</a> on " in text
    assert "Xeon" in text.split('class="cards"')[0]


def test_the_page_tells_numbers_of_the_paper_from_ours(text: str) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    paper = [row for row in rows if "paper: OLMo-3-7B" in row]
    assert len(paper) == 3
    (table,) = [part for part in text.split("<details") if "paper: OLMo" in part]
    assert '<span class="mark">with the paper' in table
    assert '<span class="mark">the paper' in text.split('class="preface"')[0]


def test_the_data_of_the_page_are_the_stored_tables(results: Path, text: str) -> None:
    addresses = re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8,([^"]+)"', text)
    found = dict(addresses)
    rows = list(csv.DictReader(io.StringIO(unquote(found["smollm2-sums-bands.csv"]))))
    stored = Run.existing(results, "smollm2-sums").read("bands")
    assert len(rows) == len(stored)
    assert [float(row["value"]) for row in rows] == [row["value"] for row in stored]


LOOKED_AT = """() => ({
  wide: document.documentElement.scrollWidth, width: document.documentElement.clientWidth,
  theme: document.getElementById("theme").hidden,
  paper: getComputedStyle(document.body).backgroundColor,
  here: document.querySelectorAll("aside a.here").length,
  cards: document.querySelectorAll(".card").length,
  ran: typeof window.ran,
})"""


@pytest.mark.parametrize(("width", "height"), [(1280, 860), (500, 900)])
def test_a_browser_shows_it_wide_and_narrow(
    results: Path, tmp_path: Path, browser: Any, width: int, height: int
) -> None:
    copy = tmp_path / "page.html"
    text = (results / "report" / "report.html").read_text()
    copy.write_text(text.replace("alert(", "window.ran=("))
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(copy.as_uri())
    found = page.evaluate(LOOKED_AT)
    page.close()
    assert found["cards"] == len(Question)
    assert found["theme"] is False  # its button is shown once the script has run to there
    assert found["here"] == 1
    assert found["wide"] == found["width"]
    assert found["ran"] == "undefined"
    assert found["paper"] == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_found_by_axe(results: Path, browser: Any, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    complaints: list[str] = []
    page = browser.new_page(
        color_scheme=scheme, viewport={"width": width, "height": 844}, reduced_motion="reduce"
    )
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((results / "report" / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    found = axe.Axe().run(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert found.violations_count == 0, found.generate_report()
    assert wide <= width
    assert complaints == []
