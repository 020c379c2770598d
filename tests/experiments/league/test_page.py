"""The tables of docs/league.md are what the committed records say, and change with them."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "docs"


@pytest.fixture
def page():
    spec = importlib.util.spec_from_file_location("league_page", FOLDER / "league.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(page):
    assert page.page() == page.PAGE.read_text(), "run python docs/league.py"


def test_a_changed_record_changes_table_and_sentence(page, tmp_path, monkeypatch):
    shutil.copytree(page.RECORDS / "league", tmp_path / "league")
    monkeypatch.setattr(page, "RECORDS", tmp_path)
    before = page.text("league")
    path = tmp_path / "league" / "places.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    here = [row for row in rows if row["world"] == rows[0]["world"]]
    first = min(here, key=lambda row: row["rank"])
    last = max(here, key=lambda row: row["rank"])
    # The last one is now the first, by a score that nobody has.
    last |= {"rank": 0.5, "behind": 0, "ahead": len(here) - 1, "mean": 0.98765}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    after = page.text("league")
    assert f"{first['world']}: {first['method']} is first with" in before
    assert f"{first['world']}: {last['method']} is first with 0.988" in after
    assert f"shown ahead of {len(here) - 1} of {len(here) - 1}" in after
    assert "**0.988** (1)" in after


def test_a_league_that_was_not_run_is_not_made_up(page, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "RECORDS", tmp_path)
    assert "it has not been run for this page" in page.text("league")


def test_records_hold_what_the_page_claims(page):
    config = json.loads((page.RECORDS / "league" / "run.json").read_text())["config"]
    scores = page.rows("league", "scores")
    assert len({row["method"] for row in scores}) >= 14
    assert len({row["world"] for row in scores}) >= 5
    for world in {row["world"] for row in scores}:
        for method in {row["method"] for row in scores if row["world"] == world}:
            own = [r for r in scores if (r["world"], r["method"]) == (world, method)]
            assert len(own) == config["seeds"]
            # Equal budgets: nobody stopped before it, and nobody went on for more than an update.
            assert all(row["generated"] >= config["budget"] for row in own)
            assert all(row["generated"] < 2 * config["budget"] for row in own)


def rewritten(path, change):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row | change(row)) + "\n" for row in rows))


def test_curves_that_got_nowhere_are_counted_by_method(page, tmp_path, monkeypatch):
    shutil.copytree(page.RECORDS / "league-tiny", tmp_path / "league-tiny")
    monkeypatch.setattr(page, "RECORDS", tmp_path)
    ends = {("SRPO", 0): 0.039, ("SRPO", 1): 0.041, ("GRPO", 0): 0.44, ("GRPO", 1): 0.46}
    bases = {"SRPO": 0.02, "GRPO": 0.4}  # twice the start, and the start and .05

    def change(row):
        end = ends.get((row["method"], row["seed"]), 0.9)
        return {"final": end, "base": bases.get(row["method"], 0.02)}

    rewritten(tmp_path / "league-tiny" / "scores.jsonl", change)
    assert list(page._stuck("league-tiny")) == [
        f"{world}: of 10 curves each, got nowhere: GRPO 1, SRPO 1."
        for world in ("sparse", "early", "natural")
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_order_of_a_league_is_compared_with_that_of_the_tabular_one(
    page, tmp_path, monkeypatch, sign
):
    for run in ("league", "league-tiny"):
        shutil.copytree(page.RECORDS / run, tmp_path / run)
    monkeypatch.setattr(page, "RECORDS", tmp_path)
    ranks = {row["method"]: row["rank"] for row in page.rows("league", "overall")}
    path = tmp_path / "league-tiny" / "places.jsonl"
    rewritten(path, lambda row: {"mean": -sign * ranks[row["method"]]})
    (sentence,) = page._beside_the_tabular("league-tiny")
    assert f"league: {sign:.2f} [{sign:.2f}, {sign:.2f}] over 14 methods" in sentence
    assert list(page._beside_the_tabular("league")) == []
