"""Records from which tables or rows are missing: what can be shown is shown, the rest is named."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.audit.command import run as audit
from experiments.audit.config import AuditConfig
from experiments.diagnose.command import run as diagnose
from experiments.diagnose.config import DiagnoseConfig
from experiments.evaluate.command import run as evaluate
from experiments.evaluate.config import EvaluateConfig
from experiments.evaluate.spec import Attempts, EvaluatedModel
from experiments.execution.settings import Execution
from experiments.exit_codes import DONE, REFUTED
from experiments.learn.command import run as learn
from experiments.learn.config import LearnConfig
from experiments.learn.curves import Budget
from experiments.localize.command import run as localize
from experiments.localize.config import LocalizeConfig
from experiments.report import figures
from experiments.report.command import run
from experiments.report.config import ReportConfig
from experiments.report.families import FAMILIES
from experiments.report.figures import INCOMPLETE
from experiments.report.runs import first_of, shown_runs
from experiments.runs.store import Run
from experiments.verify.command import run as verify
from experiments.verify.config import VerifyConfig
from llm.models.settings import TINY_NAME, ModelSettings
from paper_figs.catalogue import FIGURES, Entry
from paper_figs.rows import MissingRows

RECORDS = Path(__file__).resolve().parents[3] / "docs" / "records"
ONE, QUIET = Execution(workers=1), Console(quiet=True)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of every command that the report shows; without checksums, so that it can be cut."""
    root = tmp_path_factory.mktemp("results")
    shutil.copytree(RECORDS, root, dirs_exist_ok=True)
    methods = ("GRPO", "SRPO", "SRPO-70", "CPI-RR, exact", "CPI-CARO, exact")
    budget = Budget(updates=4, exact_updates=4, exact_every=2)
    learn(
        LearnConfig(
            worlds=("tree-natural", "lock"),
            methods=methods,
            sampled_worlds=(),
            seeds=2,
            budget=budget,
            resamples=20,
        ),
        root,
        ONE,
        QUIET,
    )
    verify(VerifyConfig(instances=20, search=0), root, ONE, QUIET)
    diagnose(DiagnoseConfig(world="tree-early", accuracy=0.7, prompts=16), root, ONE, QUIET)
    diagnose(DiagnoseConfig(validate=True, repetitions=2, prompts=16), root, ONE, QUIET)
    tiny = [EvaluatedModel(name, ModelSettings(TINY_NAME), 0) for name in ("GRPO", "SRPO")]
    few = Attempts(samples=2, ks=(1, 2))
    evaluate(EvaluateConfig(models=tuple(tiny), problems=4, attempts=few), root, ONE, QUIET)
    checked = LocalizeConfig(
        worlds=("early",), localizers=("checker",), problems=4, rollouts=2, values=2
    )
    localize(checked, root, ONE, QUIET)
    for manifest in root.rglob("manifest.json"):
        manifest.unlink()
    return root


@pytest.fixture(scope="module")
def runs(results: Path) -> dict[str, Run]:
    return first_of(shown_runs(ReportConfig(), results))


Tables = dict[tuple[str, str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def stored(runs: dict[str, Run]) -> Tables:
    """Every table that a figure is made of, read once: there are megabytes of them."""
    wanted = {pair for entry in FIGURES for pair in entry.tables}
    return {(command, table): runs[command].read(table) for command, table in wanted}


def tables(entry: Entry, stored: Tables) -> list[list[dict[str, Any]]]:
    return [stored[pair] for pair in entry.tables]


def draws(entry: Entry, rows: list[list[dict[str, Any]]], layout: bool = True) -> bool:
    """Whether the figure is drawn, and not left out for want of rows."""
    try:
        figure = entry.draw(*rows)
    except MissingRows:
        return False
    assert isinstance(figure, Figure)
    if not layout:
        figure.set_layout_engine("none")
    figure.draw_without_rendering()
    if layout:
        _check_titles(figure)
    return True


def _check_titles(figure: Figure) -> None:
    """No title reaches over the edge; the layout makes room for labels, but none for these."""
    titles = {ax.get_title(loc="left") for ax in figure.axes} - {""}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text() in titles:
            assert text.get_window_extent().x1 <= figure.bbox.x1, text.get_text()


@pytest.mark.parametrize("entry", FIGURES, ids=lambda entry: entry.name)
def test_every_figure_is_drawn_and_says_what_it_needs(entry: Entry, stored: Tables) -> None:
    whole = tables(entry, stored)
    assert draws(entry, whole)
    if entry.name == "anatomy-tree":  # no reset group that teaches anything: drawn as a sentence
        assert draws(entry, [[]])
        return
    for index in range(len(whole)):
        with pytest.raises(MissingRows, match="its records hold no "):
            entry.draw(*whole[:index], [], *whole[index + 1 :])


def cut(rows: list[dict[str, Any]], data: st.DataObject) -> list[dict[str, Any]]:
    """Some rows less: every row with one value of a field, or any."""
    if data.draw(st.booleans()):
        field = data.draw(st.sampled_from(sorted({name for row in rows for name in row})))
        value = data.draw(st.sampled_from([row.get(field) for row in rows]))
        return [row for row in rows if row.get(field) != value]
    keep = data.draw(st.sampled_from([0.05, 0.5, 0.95]))
    random = Random(data.draw(st.integers(0, 2**32 - 1)))  # a draw per row would be too many
    return [row for row in rows if random.random() < keep]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_figure_fails_where_rows_are_missing(stored: Tables, data: st.DataObject) -> None:
    entry = data.draw(st.sampled_from(FIGURES))
    rows = tables(entry, stored)
    index = data.draw(st.integers(0, len(rows) - 1))
    rows[index] = cut(rows[index], data)
    draws(entry, rows, layout=False)  # to arrange panels takes longer than to draw them


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_section_fails_where_rows_or_tables_are_missing(
    results: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    family = data.draw(st.sampled_from(FAMILIES))
    source = first_of(shown_runs(ReportConfig(), results))[family.kind].directory
    folder = tmp_path_factory.mktemp("cut") / source.name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("shards", "models"))
    here = Run.existing(folder.parent, folder.name)
    table = data.draw(st.sampled_from(here.tables()))
    rows = here.read(table)
    if data.draw(st.booleans()):
        here.path(table).unlink()
    elif rows:
        kept = cut(rows, data)
        here.path(table).write_text("".join(json.dumps(row) + "\n" for row in kept))
    with contextlib.suppress(*INCOMPLETE):
        assert family.section(here)
    with contextlib.suppress(*INCOMPLETE):
        assert all(answer.number and answer.sentence for answer in family.answers(here))
    shutil.rmtree(folder.parent)


def test_the_report_is_written_of_what_is_there(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What files look like is tested elsewhere, and takes ten times as long as drawing.
    monkeypatch.setattr(figures, "render", lambda figure, extension: extension.encode())
    root = tmp_path / "results"
    shutil.copytree(results, root, ignore=shutil.ignore_patterns("shards", "models"))
    (root / "learn" / "conservative.jsonl").write_text("")
    (root / "compare" / "gains.jsonl").write_text("")
    (root / "train" / "localization.jsonl").write_text("")
    for path in (root / "diagnose").glob("*.jsonl"):
        path.unlink()
    with (tmp_path / "log").open("w") as log:
        assert run(ReportConfig(), root, ONE, Console(file=log, width=300)) == 0
    said = (tmp_path / "log").read_text()
    for sentence in (
        "left out learn-conservative: its records hold no conservative method",
        "left out compare-gain: its records hold no gain on the base line",
        "left out train-localization: its records hold no localisation whose truth is known",
        "left out diagnose: diagnose has no table estimates",
        "left out the section on diagnose: file = ",
    ):
        assert sentence in said
    drawn = {path.stem for path in (root / "report" / "figures").glob("*.pdf")}
    left = {"learn-conservative", "compare-gain", "train-localization", "diagnose"}
    assert {entry.name for entry in FIGURES} - drawn == left
    assert "Left out: " in (root / "report" / "report.md").read_text()


def written(root: Path) -> tuple[int, str, str]:
    """Exit code, output and page of a report on what is in a folder."""
    log = root / "log"
    with log.open("w") as file:
        code = run(ReportConfig(), root, ONE, Console(file=file, width=300))
    return code, log.read_text(), (root / "report" / "report.md").read_text()


def test_an_estimator_that_was_not_judged_has_the_reason_in_the_report(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def f(batch):\n    return batch.rewards[1:]\n")
    config = AuditConfig(estimators=(f"{mine}:f",), worlds=("choice",), counterexamples=False)
    with pytest.raises(InvalidInput, match="neither"):
        audit(config, tmp_path / "results", ONE, QUIET)
    code, said, page = written(tmp_path / "results")
    assert code == DONE
    assert "left out the" not in said
    assert f"{mine}:f was not judged: of the estimator f: neither" in page


def test_runs_that_cannot_be_read_or_have_no_section_do_not_cost_the_page(tmp_path: Path) -> None:
    root = tmp_path / "results"
    verify(VerifyConfig(instances=2, search=0), root, ONE, QUIET)
    for name in ("verify-mutants", "nonsense", "future"):
        shutil.copytree(root / "verify", root / name)
    description = json.loads((root / "verify" / "run.json").read_text())
    (root / "verify-mutants" / "run.json").write_text(
        json.dumps(description | {"config": {"instances": 2, "most": 1, "seed": 0}})
    )
    (root / "nonsense" / "run.json").write_text("[]")
    (root / "future" / "run.json").write_text(json.dumps(description | {"format": 99}))
    code, said, page = written(root)
    assert code == REFUTED
    assert "left out nonsense: " in said
    assert "left out future: format = 99: " in said
    assert "there is no section for: verify-mutants" in said
    assert "## Do the bounds hold?" in page


def test_records_of_other_code_that_do_not_fit_are_left_out(learned: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    shutil.copytree(learned, root)
    verify(VerifyConfig(instances=2, search=0), root, ONE, QUIET)
    here = Run.existing(root, "learn")
    path = here.path("pairs")
    rows = [{k: v for k, v in row.items() if k != "axis"} for row in here.read("pairs")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "learn" / "manifest.json").unlink()
    code, said, page = written(root)
    assert code == DONE
    why = "its records are not as this version writes them (KeyError: 'axis')"
    assert f"left out the section on learn: {why}" in said
    assert why in page
    assert "## Do the bounds hold?" in page


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run of `learn`, with its checksums."""
    root = tmp_path_factory.mktemp("learned")
    config = LearnConfig(
        worlds=("tree-natural",),
        methods=("GRPO", "SRPO"),
        sampled_worlds=(),
        seeds=2,
        budget=Budget(updates=4, every=2),
        resamples=20,
    )
    learn(config, root, ONE, QUIET)
    return root


@pytest.mark.parametrize("table", ["pairs", "curves"])
def test_a_damaged_record_costs_its_run_alone_and_makes_no_claim(
    learned: Path, tmp_path: Path, table: str
) -> None:
    """Others are shown; no headline is drawn from what is left; the exit code says so."""
    root = tmp_path / "results"
    shutil.copytree(learned, root)
    verify(VerifyConfig(instances=2, search=0), root, ONE, QUIET)
    assert run(ReportConfig(), root, ONE, QUIET) == DONE
    whole = (root / "report" / "report.md").read_text()
    path = root / "learn" / f"{table}.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    with (tmp_path / "log").open("w") as log:
        assert run(ReportConfig(), root, ONE, Console(file=log, width=300)) == REFUTED
    damaged = f"the section on learn: file = {path}: does not match its checksum; "
    assert f"left out {damaged}" in (tmp_path / "log").read_text()
    page = (root / "report" / "report.md").read_text()
    headline = "SRPO - GRPO per rollout in mean J"
    assert headline in whole
    assert headline not in page
    assert "## Do the bounds hold?" in page
