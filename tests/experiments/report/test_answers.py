"""What the first screen says: each sentence and number is that of a record, and changes with it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from experiments.documents.document import Answer, Question, as_markdown
from experiments.report.config import ReportConfig
from experiments.report.making import Page
from experiments.report.runs import LeftOut, shown_runs

RECORDS = Path(__file__).resolve().parents[3] / "docs" / "records"

Row = dict[str, Any]


def theorem(name: str, **more: object) -> Row:
    row = {"theorem": name, "instances": 50, "checks": 1000, "exact_checks": 10, "violations": 0}
    return row | {"attained": 3, "tightness": 1.0, "penalty_used": 1.0} | more


def fit(learner: str, resets: str, exponent: float, expected: float) -> Row:
    labels = {"kind": "exponent", "base": True, "dial": "coverage", "quantity": "samples"}
    ends = {"lower": exponent - 0.02, "upper": exponent + 0.03, "expected": expected}
    return labels | {"learner": learner, "resets": resets, "exponent": exponent} | ends


def pair(world: str, difference: float, second: str = "GRPO", seeds: int = 20) -> Row:
    row = {"world": world, "first": "SRPO", "second": second, "axis": "rollouts", "seeds": seeds}
    ends = {"difference": difference, "lower": difference - 0.1, "upper": difference + 0.1}
    return row | ends


def imperfect(theory: float) -> Row:
    saved = {"samples_saved": 4.0, "samples_saved_lower": 3.5, "samples_saved_upper": 4.5}
    return saved | {"samples_saved_theory": theory, "gain_factor": 0.5, "gain_factor_theory": 0.5}


def located(kind: str, world: str, estimate: float) -> Row:
    row = {"kind": kind, "world": world, "measure": "exact", "asked": 90, "estimate": estimate}
    return row | {"lower": estimate - 0.05, "upper": estimate + 0.05}


SCORE = {"dataset": "checked", "task": "sums", "asked": "all", "measure": "exact", "traces": 40}
GAIN = {name: SCORE[name] for name in ("dataset", "task", "asked", "measure")}
ENDS = {"lower": 0.1, "upper": 0.3}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A small run of each kind that has something to say."""
    tables: dict[str, tuple[Row, dict[str, list[Row]]]] = {
        "verify": (
            {"type": "VerifyConfig"},
            {"summary": [theorem("T1"), theorem("T4", attained=0, tightness=0.25)]},
        ),
        "compare": (
            {"type": "CompareConfig"},
            {
                "samples": [
                    fit("aliased", "random", 1.98, 2),
                    fit("statewise", "random", 1.01, 1),
                    fit("aliased", "oracle", 0.003, 0),
                ],
                "imperfect": [imperfect(4.0), imperfect(9.0)],
            },
        ),
        "learn": (
            {"type": "LearnConfig"},
            {"pairs": [pair("lock", 0.3), pair("tree", 0.05), pair("lock", -0.2, "RRPO")]},
        ),
        "train": (
            {"type": "TrainConfig", "model": {"path": "tiny", "device": "cpu"}},
            {
                "pairs": [pair("sparse", 0.02, seeds=3)],
                "localization": [
                    {"world": "sparse", "method": "SRPO", "x": x, "asked": 100, "exact": right}
                    | {"first_hard": 60, "exact_rate": right / 100}
                    | {"lower": right / 100 - 0.05, "upper": right / 100 + 0.02}
                    for x, right in ((10, 97), (20, 45))
                ],
            },
        ),
        "real": (
            {"type": "TrainConfig", "model": {"path": "models/smol", "device": "cuda"}},
            {"pairs": [pair("sums", -0.15)], "localization": []},
        ),
        "anatomy": (
            {"type": "AnatomyConfig", "model": {"path": "tiny", "device": "cpu"}},
            {
                "accuracy": [
                    located("self", "easy", 0.9),
                    located("self", "hard", 0.6),
                    located("random", "hard", 0.2),
                ]
            },
        ),
        "localize": (
            {"type": "LocalizeConfig"},
            {
                "scores": [
                    {**SCORE, **ENDS, "localizer": "self", "estimate": 0.2},
                    {**SCORE, **ENDS, "localizer": "modal index", "estimate": 0.15},
                ],
                "gains": [
                    {**GAIN, "localizer": "self", "baseline": "modal index", "difference": 0.05}
                    | {"lower": 0.01, "upper": 0.09}
                ],
            },
        ),
        "diagnose": (
            {"type": "DiagnoseConfig", "validate": False, "order": False, "model": None},
            {
                "summary": [{"world": "lock"}],
                "verdict": [{"sentence": "Resets are probably not worth it here."}],
                "order": [{"first": "GRPO", "second": "SRPO", "ahead": 0.92, "confidence": 0.81}],
            },
        ),
    }
    for name, (config, parts) in tables.items():
        folder = tmp_path / name
        folder.mkdir()
        about = {"format": 1, "name": name, "config": config, "seed": 0, "environments": []}
        (folder / "run.json").write_text(json.dumps(about))
        for table, rows in parts.items():
            store(folder / f"{table}.jsonl", rows)
    for name in ("frontier", "diagnose-order", "audit-verl"):
        shutil.copytree(RECORDS / name, tmp_path / name)
    return tmp_path


def store(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def answers(results: Path) -> list[Answer]:
    page = Page(results / "report", shown_runs(ReportConfig(), results), lambda _: None)
    return list(page.answers())


def said(results: Path, question: Question, about: str = "") -> str:
    found = [a for a in answers(results) if a.question is question and about in a.about]
    return "\n".join(f"{a.about}: {a.number}. {' '.join((a.sentence, *a.details))}" for a in found)


def test_every_question_is_answered_with_a_number_and_a_link(results: Path) -> None:
    found = answers(results)
    assert {answer.question for answer in found} == set(Question)
    for answer in found:
        assert any(character.isdigit() for character in answer.number)
        if answer.question is not Question.UNSEEN and not answer.published:
            assert (results / answer.run / "run.json").exists()


def test_the_sentences_of_known_records(results: Path) -> None:
    assert said(results, Question.BOUNDS) == (
        "50 instances: 0 of 2,000 failed. 2,000 inequalities were checked, 20 of them in exact "
        "arithmetic, and none failed; 1 of 2 statements are attained on some instance, and T4 came "
        "no closer than 25.0%."
    )
    savings = said(results, Question.SAVINGS)
    assert savings.startswith("exponent of 1/p: 1.98 [1.96, 2.01]. Samples for a right choice ")
    assert "(1/p)^1.01 [0.99, 1.04] with random resets and one for each state" in savings
    assert "imperfect oracles: 1 of 2. " in savings
    assert "in 2 of 2 settings" in savings
    assert said(results, Question.LEARNING, "tabular").startswith(
        "tabular: +0.300 [+0.200, +0.400]. SRPO - GRPO per rollout in mean J over the curve, on "
        "lock, where they differ most (20 seeds): SRPO is ahead. Of 2 worlds SRPO is ahead of GRPO "
        "in 1 and behind in 0; ahead of RRPO in 0 and behind in 1."
    )
    assert "no difference is shown" in said(results, Question.LEARNING, "tiny model")
    real = said(results, Question.LEARNING, "real model: smol")
    assert "on sums (20 seeds): GRPO is ahead" in real
    assert "anatomy" not in said(results, Question.LEARNING)
    localizer = said(results, Question.LOCALIZER)
    assert "60.0% [55.0%, 65.0%]. On hard it names" in localizer
    assert "at best 90.0% [85.0%, 95.0%] (easy); a random step is right in 20.0%" in localizer
    assert "tiny model, while it learns: 45% [40%, 47%]" in localizer
    path = results / "train" / "localization.jsonl"
    rows = [
        json.loads(line) | {"lower": 0.01, "upper": 0.99} for line in path.read_text().splitlines()
    ]
    store(path, rows)
    vague = said(results, Question.LOCALIZER, "tiny")
    assert vague.startswith("tiny model, while it learns: not known yet. ")
    assert "45% [1%, 99%] of 100 failures at last" in vague
    assert "self is ahead." in localizer
    assert said(results, Question.WORTH, "lock") == (
        "lock: GRPO before SRPO: 81% sure. Resets are probably not worth it here."
    )
    assert said(results, Question.CREDIT).startswith(
        "advantage estimators of verl 0.9.1: 4 of 15. Judged: 15 advantage estimators in groups of "
        "4 rollouts, on 16 of 16 worlds, every possible update counted. In all of 16 worlds "
        "verl:rloo, verl:remax, "
    )
    unseen = said(results, Question.UNSEEN)
    assert "differences: 2 of 5. " in unseen
    assert "(learn: tree, train: sparse)" in unseen
    assert (
        "at the fewest: 3 seeds. The fewest that methods are compared on: train: sparse (3)."
        in unseen
    )
    assert "tiny (anatomy, train" in unseen or "tiny (train, anatomy" in unseen
    assert "on cpu, cuda alone" in unseen
    assert "There is no run of league, evaluate, diagnose-validate." in unseen


CHANGES: list[tuple[str, Question, str, Callable[[Row], Row]]] = [
    ("verify/summary", Question.BOUNDS, "", lambda r: r | {"violations": 2}),
    ("verify/summary", Question.BOUNDS, "", lambda r: r | {"attained": 0}),
    ("verify/summary", Question.BOUNDS, "", lambda r: r | {"exact_checks": 11}),
    ("compare/samples", Question.SAVINGS, "", lambda r: r | {"lower": 1.2}),
    ("compare/samples", Question.SAVINGS, "", lambda r: r | {"expected": 1.5}),
    ("compare/imperfect", Question.SAVINGS, "", lambda r: r | {"gain_factor": 2.0}),
    ("learn/pairs", Question.LEARNING, "tabular", lambda r: r | {"upper": 0.5}),
    ("learn/pairs", Question.LEARNING, "tabular", lambda r: r | {"seeds": 7}),
    ("learn/pairs", Question.UNSEEN, "differences", lambda r: r | {"lower": 0.01, "upper": 1.0}),
    ("train/pairs", Question.LEARNING, "tiny", lambda r: r | {"world": "other"}),
    ("real/pairs", Question.LEARNING, "real", lambda r: r | {"lower": -0.9}),
    ("frontier/goals", Question.LEARNING, "Frontier", lambda r: r | {"difference": -0.5}),
    ("train/localization", Question.LOCALIZER, "tiny", lambda r: r | {"exact_rate": 0.43}),
    ("anatomy/accuracy", Question.LOCALIZER, "own failures", lambda r: r | {"estimate": 0.123}),
    ("localize/scores", Question.LOCALIZER, "checked", lambda r: r | {"estimate": 0.77}),
    ("localize/gains", Question.LOCALIZER, "checked", lambda r: r | {"lower": -0.2}),
    ("audit-verl/summary", Question.CREDIT, "verl", lambda r: r | {"holds": True}),
    ("audit-verl/summary", Question.CREDIT, "verl", lambda r: r | {"reversed": 0}),
    ("audit-verl/summary", Question.CREDIT, "verl", lambda r: r | {"worlds": 3}),
    ("audit-verl/summary", Question.CREDIT, "verl", lambda r: r | {"version": "verl 9.9"}),
    ("diagnose/order", Question.WORTH, "lock", lambda r: r | {"confidence": 0.91}),
    ("diagnose/order", Question.WORTH, "lock", lambda r: r | {"confidence": 0.79}),
    ("diagnose/verdict", Question.WORTH, "lock", lambda r: r | {"sentence": "Nobody knows."}),
    ("diagnose-order/agreement", Question.WORTH, "predictions", lambda r: r | {"kendall": -0.3}),
    ("train/pairs", Question.UNSEEN, "fewest", lambda r: r | {"seeds": 2}),
]


@pytest.mark.parametrize(("table", "question", "about", "change"), CHANGES)
def test_a_changed_record_changes_what_is_said(
    results: Path, table: str, question: Question, about: str, change: Callable[[Row], Row]
) -> None:
    before = said(results, question, about)
    assert before
    path = results / f"{table}.jsonl"
    store(path, [change(json.loads(line)) for line in path.read_text().splitlines()])
    assert said(results, question, about) != before


def test_what_cannot_be_answered_is_left_out_and_said_to_be(results: Path) -> None:
    (results / "compare" / "samples.jsonl").unlink()
    assert "exponent" not in said(results, Question.SAVINGS)
    left = said(results, Question.UNSEEN, "left out")
    assert "the answer of compare: " in left
    assert "samples.jsonl" in left
    (unseen,) = (a for a in answers(results) if a.about == "left out")
    assert unseen.number == "1 part"
    assert "compare" not in unseen.sentence  # which stays as short with many
    assert len(unseen.details) == 1


def test_audits_that_differ_say_in_what(results: Path) -> None:
    for name in ("audit-ours", "audit-methods"):
        shutil.copytree(RECORDS / name, results / name)
    text = said(results, Question.CREDIT)
    assert (
        "\nadvantage estimators of this package: 2 of 9. Judged: 9 advantage estimators in groups "
        "of 4 rollouts, on 16 of 16 worlds; where there is too much to list (rrpo-published alone) "
        "4,000 updates were drawn, and what four standard errors allow passes. In all of 16 worlds "
    ) in text
    assert (
        "methods of this package: 6 of 24. Judged: 24 methods with the groups that learn gives "
        "them, resets included, on 12 of 16 worlds (without go on or stop, paid on the way, sure "
        "or risky and three paid steps); where there is too much to list 2,000 updates were drawn, "
        "and what four standard errors allow passes. In all of 12 worlds "
    ) in text


def test_machines_are_told_the_answers_and_what_is_left_out(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in {path.name for path in results.iterdir()} - {"audit-verl"}:
        shutil.rmtree(results / name)
    for name in ("train-adaptive", "diagnose-order"):
        shutil.copytree(RECORDS / name, results / name, dirs_exist_ok=True)
    assert main(["report", "--vector", "none", "--output", str(results), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    page = Path(data["page"])
    assert data["bytes"] == page.stat().st_size
    assert Path(data["markdown"]).is_file()
    assert [(one["run"], one["command"]) for one in data["runs"]] == [
        ("audit-verl", "audit"),
        ("train-adaptive", "train"),
        ("diagnose-order", "diagnose-order"),
    ]
    assert data["runs"][1]["title"] == "A run of train: train-adaptive"
    first = data["answers"][0]
    assert first["question"] == Question.CREDIT.value
    assert (first["number"], first["run"]) == ("4 of 15", "audit-verl")
    assert "In all of 16 worlds verl:rloo" in first["sentence"]
    left = {one["what"]: one["why"] for one in data["left_out"]}
    assert "pairs.jsonl" in left["the answer of train-adaptive"]
    assert left["train-curves"] == "train-adaptive has no table bands"
    assert "verify" in data["without_run"]
    files = {Path(path) for figure in data["figures"] for path in figure["files"]}
    assert files == set((page.parent / "figures").iterdir())
    assert "diagnose-order" in {figure["run"] for figure in data["figures"]}


def test_the_first_screen_has_answers_first(results: Path) -> None:
    for name in {path.name for path in results.iterdir()} - {"train"}:
        shutil.rmtree(results / name)
    page = Page(results / "report", shown_runs(ReportConfig(), results), lambda _: None)
    text = page.html(page.report())
    cards = re.findall(r'<section class="card"><h2>(.*?)</h2>(.*?)</section>', text, re.DOTALL)
    assert {title for title, _ in cards} == {question.value for question in Question}
    empty = ["No run here says anything" in card for _, card in cards]
    assert empty == sorted(empty)
    assert any(empty)
    assert not empty[0]
    order = [question.value for question in Question]
    places = [order.index(title) for title, _ in cards]
    answered = empty.index(True)
    assert places == [*sorted(places[:answered]), *sorted(places[answered:])]


def test_what_is_left_out_is_folded_in_the_page(results: Path) -> None:
    for name in {path.name for path in results.iterdir()} - {"compare"}:
        shutil.rmtree(results / name)
    (results / "compare" / "samples.jsonl").unlink()
    page = Page(results / "report", shown_runs(ReportConfig(), results), lambda _: None)
    report = page.report()
    (card,) = re.findall(r"What was not seen\?</h2>(.*?)</section>", page.html(report), re.DOTALL)
    seen, folded = card.split("<details>")
    assert '<span class="number">2 parts</span>' in seen
    assert "samples.jsonl" not in seen
    assert folded.count("<li>") == 2
    assert "the answer of compare: " in folded
    assert "\n  - the answer of compare: " in as_markdown(report)


def test_titles_of_sections_are_told_apart(results: Path) -> None:
    for name in {path.name for path in results.iterdir()} - {"audit-verl"}:
        shutil.rmtree(results / name)
    shutil.copytree(results / "audit-verl", results / "later")
    page = Page(results / "report", shown_runs(ReportConfig(), results), lambda _: None)
    report = page.report()
    same = "What advantage estimators follow: those of verl 0.9.1"
    assert [one.title for one in report.sections] == [f"{same}: audit-verl", f"{same}: later"]
    text = page.html(report)
    for name in ("audit-verl", "later"):
        assert f"<h2>{same}: {name}</h2>" in text
        assert f'<a href="#{name}">{same}: {name}</a>' in text


def test_a_difference_that_is_shown_goes_before_a_larger_one_that_is_not(results: Path) -> None:
    unsure = pair("unsure", 0.9) | {"lower": -0.1, "upper": 1.9}
    store(results / "learn" / "pairs.jsonl", [pair("small", 0.15), unsure, pair("back", -0.4)])
    text = said(results, Question.LEARNING, "tabular")
    assert text.startswith("tabular: -0.400 [-0.500, -0.300].")
    assert "on back, where they differ most (20 seeds): GRPO is ahead. Of 3 worlds SRPO is " in text
    assert "ahead of GRPO in 1 and behind in 1" in text


def test_a_bound_that_is_attained_is_none_of_the_loose_ones(results: Path) -> None:
    rows = [theorem("T1", tightness=0.1), theorem("T4", attained=0, tightness=0.25)]
    store(results / "verify" / "summary.jsonl", rows)
    assert "and T4 came no closer than 25.0%." in said(results, Question.BOUNDS)


def test_one_seed_compares_nothing(results: Path) -> None:
    store(results / "learn" / "pairs.jsonl", [])
    assert said(results, Question.LEARNING, "tabular") == said(
        results, Question.LEARNING, "tabular, Frontier"
    )


def test_runs_are_known_by_what_made_them(results: Path) -> None:
    shutil.copytree(results / "verify", results / "verify-quick")
    shutil.copytree(results / "train", results / "a-train")
    kinds = [(one.name, one.family.kind) for one in shown_runs(ReportConfig(), results)]
    assert ("verify-quick", "verify") not in kinds
    assert [name for name, kind in kinds if kind == "train"] == ["train", "a-train", "real"]
    assert ("diagnose-order", "diagnose-order") in kinds
    assert ("diagnose", "diagnose") in kinds
    shutil.rmtree(results / "verify")
    assert shown_runs(ReportConfig(), results)[0].name == "verify-quick"
    chosen = shown_runs(ReportConfig(runs=("real", "frontier")), results)
    assert [one.name for one in chosen] == ["frontier", "real"]


def refused(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["report", *options]) == 2
    return " ".join(capsys.readouterr().err.split())


def test_refusals_name_the_value_and_the_remedy(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--output", str(results)]
    text = refused(capsys, *where, "--runs", "zzz")
    assert "runs[0] = 'zzz': no such run below" in text
    assert "choose one of 'anatomy', 'audit-verl', 'compare'" in text
    (results / "verify" / "run.json").write_text(
        '{"format": 1, "config": {"type": "TinyModelConfig"}, "seed": 0, "environments": []}'
    )
    text = refused(capsys, *where, "--runs", "learn", "verify")
    assert "runs[1] = 'verify': is a run of which a report shows nothing" in text
    assert "watch = -1.0: no number of seconds" in refused(capsys, *where, "--watch=-1")
    assert "watch = nan" in refused(capsys, *where, "--watch", "nan")
    assert "vector = 'gif'" in refused(capsys, *where, "--vector", "gif")
    (results / "frontier" / "run.json").write_text("{")
    text = refused(capsys, *where, "--runs", "learn", "frontier")
    assert "frontier/run.json: is not valid JSON" in text
    told: list[LeftOut] = []
    shown = shown_runs(ReportConfig(), results, told.append)
    assert "frontier" not in [one.name for one in shown]
    assert len(shown) > 5
    (said,) = told
    assert str(said).startswith("frontier: file ")
    assert "is not valid JSON" in said.why
    empty = tmp_path / "empty"
    text = refused(capsys, "--output", str(empty))
    assert "holds no run that a report shows" in text
    assert "run verify, compare or learn first" in text
    shutil.copytree(results / "learn", empty / "quick" / "learn")
    assert f"--output {empty / 'quick'}" in refused(capsys, "--output", str(empty))
    assert not (empty / "report").exists()
