"""All methods by the signal of their updates: known laws, the command, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.checks import InvalidInput, Unable
from cpi_theory.randomness import Key
from cpi_theory.statistics.signal_to_noise import signal_to_noise
from experiments import methods
from experiments.cli import main
from experiments.diagnose import ranking
from experiments.diagnose.config import DiagnoseConfig
from experiments.diagnose.ranking import (
    RANKED,
    SignalSpec,
    at_accuracy,
    ranking_rows,
    ranking_sentences,
    signal_rows,
)
from experiments.diagnose.report import diagnose_section
from experiments.documents.document import blocks_as_markdown
from experiments.exit_codes import DONE, MISTAKE
from experiments.league.signals import AuditSpec, audited
from experiments.learn.curves import begin_learning
from experiments.learn.drawn_updates import drawn_updates
from experiments.methods import GroupMethod
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.tabular import LockWorld, build_world
from llm.models.settings import ModelSettings

ONE_STEP = LockWorld("one", length=1, actions=2, right_probability=0.5)
SHORT = LockWorld("short", length=3)


def row(method: str, values: list[float] | None, problem: str | None = None) -> Row:
    known = {"rollouts": 8.0, "steps": 24.0, "cosine": 0.9, "prompts": 4}
    return {"method": method, "values": values, "problem": problem} | known


def test_an_update_of_several_prompts_is_the_sum_of_theirs() -> None:
    method, key = RANKED["SRPO"], Key.of(3)
    seeded = build_world(SHORT, key)
    drawn = drawn_updates(SHORT, method, seeded, 9, key)
    simulator, policy = begin_learning(SHORT, method, seeded)
    starts = simulator.start_states(9, key.child("starts"))
    whole = collect(method.algorithm, simulator, starts, key.child("collect"))
    assert drawn.updates.sum(axis=0) == pytest.approx(policy.gradient(whole, policy).ravel())
    assert drawn.steps == whole.generated_steps / 9


def test_the_signal_is_that_of_the_audit() -> None:
    """A lock of one step is the audit's choice, where RLOO's signal is known exactly."""
    method = GroupMethod("RLOO", methods.FAMILY["RLOO"])
    drawn = drawn_updates(ONE_STEP, method, build_world(ONE_STEP, Key.of(0)), 3000, Key.of(1))
    (known,) = audited(AuditSpec("RLOO", "choice", 100, 0))
    signal = signal_to_noise(drawn.updates).estimate / drawn.steps
    assert signal == pytest.approx(known["signal_per_step"], rel=0.1)
    assert drawn.cosine == pytest.approx(1, abs=1e-6)


def test_methods_are_told_how_exact_the_localiser_is() -> None:
    assert at_accuracy("SRPO", 0.4).accuracy == at_accuracy("VPPO", 0.4).accuracy == 0.4
    told: Any = at_accuracy("Frontier", 0.4).algorithm
    assert told.model.accuracy == 0.4
    assert {"SRPO-70", "CPI-RR"}.isdisjoint(RANKED)
    assert {"Frontier", "VinePPO", "SCoRe"} <= set(RANKED)


def test_ranks_follow_the_values_and_say_how_surely() -> None:
    rows = ranking_rows(
        [
            row("low", [0.1, 0.11, 0.1, 0.12]),
            row("none", None, "it cannot"),
            row("high", [0.5, 0.52, 0.5, 0.51]),
            row("GRPO", [0.2, -0.4, 0.4, 0.1]),
        ],
        Key.of(0),
    )
    assert [r["method"] for r in rows] == ["high", "low", "GRPO", "none"]
    assert (rows[0]["rank"], rows[0]["first"], rows[0]["rank_upper"]) == (1, 1, 1)
    assert rows[2]["rank_lower"] < 3
    assert rows[0]["signal_per_step"] == pytest.approx(0.5075)
    said = ranking_sentences(rows)
    assert said[0].endswith("in 100% of resamples of 4 prompts; no other reaches it.")
    assert said[1] == "GRPO is at rank 3 [2, 3]."
    assert said[2].startswith("Of GRPO no signal is shown")
    assert said[-1] == "none is not ranked: it cannot."
    changed = ranking_rows([row("low", [0.9] * 4), row("high", [0.5] * 4)], Key.of(0))
    assert ranking_sentences(changed)[0] != said[0]
    assert ranking_sentences(rows[-1:]) == ["none is not ranked: it cannot."]


def test_a_method_that_the_world_cannot_serve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Unable("method", "SRPO", "nobody names errors", "choose another")

    monkeypatch.setattr(ranking, "drawn_updates", refuse)
    (found,) = signal_rows(SignalSpec(SHORT, RANKED["SRPO"], 8, 0, ("here",)))
    assert found["values"] is None
    assert found["problem"] == "nobody names errors"


def test_the_command_ranks_and_the_report_says_so(tmp_path: Path) -> None:
    chosen = ("--methods", "VinePPO", "RLOO", "CAPO, every step")
    common = ("--world", "lock", "--prompts", "8", "--draws", "64", "--output", str(tmp_path))
    assert main(["diagnose", *common, *chosen, "--workers", "1"]) == DONE
    stored = Run.existing(tmp_path, "diagnose")
    rows = stored.read("ranking")
    assert {r["method"] for r in rows} == set(chosen[1:])
    by_name = {r["method"]: r for r in rows}
    # Of VinePPO's rollouts most are for values alone.
    assert by_name["VinePPO"]["rank"] == 3
    assert by_name["VinePPO"]["steps"] > 3 * by_name["RLOO"]["steps"]
    assert all(len(r["values"]) == 64 for r in stored.read("signals"))
    text = blocks_as_markdown(diagnose_section(stored))
    for sentence in ranking_sentences(rows):
        assert sentence in text
    before = stored.path("ranking").read_bytes()
    assert main(["diagnose", *common, *chosen, "--workers", "1"]) == DONE
    assert stored.path("ranking").read_bytes() == before


def test_without_methods_nothing_is_ranked(tmp_path: Path, capsys: Any) -> None:
    common = ("--world", "lock", "--prompts", "8", "--workers", "1", "--json")
    assert main(["diagnose", *common, "--output", str(tmp_path)]) == DONE
    assert "ranking" not in json.loads(capsys.readouterr().out)["data"]
    assert not Run.existing(tmp_path, "diagnose").has("ranking")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"methods": ("SRPPO",)}, r"methods\[0\] = 'SRPPO': unknown; did you mean 'SRPO'"),
        ({"methods": ("all", "GRPO")}, "all and more; give either"),
        ({"methods": ("GRPO", "GRPO")}, "given twice"),
        ({"methods": ("all",), "tokens": 9}, "without tokens; leave out tokens"),
        ({"methods": ("all",), "order": True}, "without order"),
        ({"methods": ("all",), "model": ModelSettings("tiny")}, "a language model are not drawn"),
        ({"draws": 7}, "draws = 7"),
    ],
)
def test_what_cannot_be_ranked_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        DiagnoseConfig(**given)


def test_the_command_line_names_what_is_wrong(tmp_path: Path, capsys: Any) -> None:
    assert main(["diagnose", "--methods", "Fronteir", "--output", str(tmp_path)]) == MISTAKE
    assert "did you mean 'Frontier'?" in capsys.readouterr().err


def test_all_methods_can_be_ranked_in_a_tree() -> None:
    config = DiagnoseConfig(world="tree-natural", accuracy=0.7, methods=("all",), draws=16)
    world = config.world_with_localizer().world
    for method in config.ranked_methods():
        (found,) = signal_rows(SignalSpec(world, method, 16, 0, ("here",)))
        assert found["problem"] is None, method.name
        assert np.isfinite(found["values"]).all()
