"""The report of an audit: its sentences are those of the records, and change with them."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import pytest

from experiments.audit.report import audit_answers, audit_section, following_sentence, verdicts
from experiments.audit.summary import summarise, worst_on_outcomes
from experiments.cli import main
from experiments.documents.document import DataTable, Question, blocks_as_markdown
from experiments.exit_codes import DONE
from experiments.runs.store import Run

RECORDS = Path(__file__).resolve().parents[3] / "docs" / "records"


@pytest.fixture
def stored(tmp_path):
    shutil.copytree(RECORDS / "audit-trl", tmp_path / "audit-trl")
    return tmp_path


def rewrite(folder, table, change):
    path = folder / "audit-trl" / f"{table}.jsonl"
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def section(folder):
    return blocks_as_markdown(audit_section(Run.existing(folder, "audit-trl")))


def judged(name, verdict="unbiased", holds=True, **more):
    row = {"estimator": name, "version": None, "verdict": verdict, "holds": holds, "worlds": 3}
    row |= {"reversed": 0, "lowest_cosine": 1.0, "listed": True, "world": "w", "says": "so"}
    return row | {"must_not_notice": []} | more


def test_what_all_do_and_what_the_worst_does():
    rows = [judged("a"), judged("b", "mixture", holds=False)]
    assert following_sentence(rows, "J") == (
        "In all of 3 worlds a of 2 follows the gradient of J, up to a factor; of the others, at "
        "their worst, 1 follows a mixture over start states, not J; none moves an action the wrong "
        "way on average."
    )
    rows += [judged("c", "biased", holds=False, reversed=2, lowest_cosine=-0.5)]
    rows += [judged("d", "biased", holds=False, reversed=1, lowest_cosine=0.5)]
    text = following_sentence(rows, "J")
    assert "2 follow no weighted sum of values of start states; 2 move some action" in text
    assert text.endswith("with a cosine down to -0.50 (c).")
    assert following_sentence(rows[:1], "weights") == (
        "In all of 3 worlds a of 1 follows some weighted sum of the values of start states."
    )
    assert "none of 1 follows" in following_sentence(rows[1:2], "J")


def test_who_was_refused_or_notices_what_none_may_is_named():
    refused = {"estimator": "x", "kind": "refused", "problem": "not finite", "world": "w"}
    faulty = judged("y", holds=False, must_not_notice=["order"])
    said = verdicts([faulty], [refused, refused | {"problem": "later"}], "J")
    assert said[-1] == "x was not judged: not finite."
    assert "Its advantages change with: order." in said[-2]
    assert summarise([refused]) == []


def test_what_is_drawn_is_said_to_be():
    said = verdicts([judged("a", listed=False), judged("b")], [], "J")
    assert said[1].startswith("For a, some or all worlds have too much to list")
    said = verdicts([judged("a")], [], "J")
    assert said[1] == "Expectations are over everything that can happen; nothing was drawn."


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("summary", lambda row: row | {"holds": False}),
        ("summary", lambda row: row | {"verdict": "silent"}),
        ("summary", lambda row: row | {"lowest_cosine": 0.123}),
        ("summary", lambda row: row | {"notices": ["order"]}),
        ("summary", lambda row: row | {"says": "something else"}),
        ("trials", lambda row: row | {"verdict": "mixture"}),
        ("trials", lambda row: row | {"holds": False}),
    ],
)
def test_a_changed_record_changes_the_section(stored, table, change):
    before = section(stored)
    rewrite(stored, table, change)
    assert section(stored) != before


def test_the_worst_verdict_counts_worlds_of_outcomes_alone():
    rows = [
        {"kind": "world", "estimator": "a", "world": "choice", "verdict": "scaled"},
        {"kind": "world", "estimator": "a", "world": "lock", "verdict": "unbiased"},
        {"kind": "world", "estimator": "a", "world": "paid on the way", "verdict": "biased"},
    ]
    assert worst_on_outcomes(rows) == {"a": "scaled"}


def test_every_failed_world_has_a_row(stored):
    (*_, last) = audit_section(Run.existing(stored, "audit-trl"))
    assert isinstance(last, DataTable)
    lines = (stored / "audit-trl" / "trials.jsonl").read_text().splitlines()
    rows = list(map(json.loads, lines))
    failed = [row for row in rows if row["kind"] == "world" and not row["holds"]]
    assert len(last.rows) == len(failed) > 0


def test_the_page_has_the_answer_on_its_first_screen_and_the_section(stored):
    command = ["report", "--output", str(stored), "--vector", "none"]
    assert main(command) == DONE
    run = Run.existing(stored, "audit-trl")
    (answer,) = audit_answers(run)
    text = (stored / "report" / "report.md").read_text()
    first, _, rest = text.partition("## What advantage estimators follow: those of trl 1.16.0")
    assert Question.CREDIT.value in first
    assert f"{answer.about}: {answer.number}. {answer.sentence}" in first
    assert "| trl:dr_grpo | trl 1.16.0 | follows the gradient of J up to a factor |" in rest
    assert answer.sentence in html.unescape((stored / "report" / "report.html").read_text())
