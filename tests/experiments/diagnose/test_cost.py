"""What `diagnose` says of its cost before it starts, and how it fits a budget."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.budget import BATCH
from cpi_theory.randomness import Key
from experiments.diagnose.command import run
from experiments.diagnose.config import DiagnoseConfig, Sampling
from experiments.diagnose.cost import TRIALS, Plan, plan, trial
from experiments.execution.settings import Execution
from experiments.runs.store import Run
from experiments.worlds.language import ArithmeticWorld
from experiments.worlds.tabular import WORLDS
from experiments.worlds.with_localizer import WorldWithLocalizer, prepare
from llm.models.settings import ModelSettings

ONE = Execution(workers=1)


def planned(tokens: int | None, blind: bool = True, prompts: int = 64) -> Plan:
    setting = WorldWithLocalizer(WORLDS["tree-natural"], blind=blind)
    prepared = prepare(setting, prompts, Key.of(0))
    return plan(prepared, Sampling().settings(), trial(prepared, Key.of(1)), tokens)


def test_without_a_budget_nothing_is_left_out() -> None:
    (sentence,) = planned(None).sentences
    # 64 prompts with 16 + 16 rollouts; 16 + 16 states and 10 of a trace, at most 152 each.
    assert "at most 8,432 rollouts and 84,400 steps" in sentence
    # Fewer states may come up than are expected: no number of them is a lower end.
    assert re.search(r"about [\d,]+ and at most 6,384 to measure advantages; fewer where", sentence)
    assert planned(None).budget is None


def test_measuring_is_cut_down_before_prompts_are() -> None:
    full = planned(None).tokens.expected
    sizes = [
        (one.prompts, one.settings.audited)
        for one in (planned(int(share * full)) for share in (1.01, 0.9, 0.7, 0.4, 0.2))
    ]
    assert sizes[0] == (64, 16)
    assert sizes == sorted(sizes, reverse=True)
    assert {prompts for prompts, audited in sizes if audited} == {64}
    assert sizes[-1][0] < 64
    for one in (planned(int(0.7 * full)), planned(int(0.2 * full))):
        assert one.tokens.expected <= one.budget.limit + TRIALS * 10  # type: ignore[union-attr]
        assert "leaves out" in one.sentences[1]
    assert "states" not in planned(10_000, blind=False).sentences[1]


def test_a_budget_for_too_few_prompts_is_refused_with_what_would_do() -> None:
    with pytest.raises(InvalidInput, match="tokens = 500: 8 prompts") as refused:
        planned(500)
    enough = int(refused.value.remedy.split()[1].strip(",").replace(",", ""))
    assert planned(enough).prompts == 8


def test_a_limit_that_leaves_nothing_to_measure_is_named(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=300)
    config = DiagnoseConfig(world="tree-natural", blind=True, prompts=16, tokens=4_000)
    assert run(config, tmp_path, ONE, console) == 0
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "the limit (tokens = 4,000) left nothing for them" in text
    assert "sampling.audited" not in text
    rows = Run.existing(tmp_path, "diagnose").read("estimates")
    assert any("tokens = 4,000" in row.get("why", "") for row in rows)


def test_the_cost_is_printed_first_and_kept_to(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=300)
    config = DiagnoseConfig(world="tree-natural", blind=True, prompts=32, tokens=12_000)
    assert run(config, tmp_path, ONE, console) == 0
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        0
        <= text.index("It can take up to ")
        < text.index(" prompts: about ")
        < text.index("To stay within 12,000")
        < 1000
    )
    (summary,) = Run.existing(tmp_path, "diagnose").read("summary")
    assert summary["steps"] < 12_000 + BATCH * 10


@pytest.mark.parametrize("model", [None, ModelSettings("tiny")], ids=["tabular", "model"])
def test_a_limit_that_was_too_low_does_not_stand_in_the_way_of_another(
    model: ModelSettings | None, tmp_path: Path
) -> None:
    world = "tree-natural" if model is None else "early"
    config = DiagnoseConfig(model=model, world=world, prompts=8, tokens=100)
    quiet = Console(quiet=True)
    with pytest.raises(InvalidInput, match="allow"):
        run(config, tmp_path, ONE, quiet)
    assert not (tmp_path / "diagnose").exists()
    # What was refused is another configuration than this one, which goes on to the same refusal.
    with pytest.raises(InvalidInput, match="tokens = 101"):
        run(dataclasses.replace(config, tokens=101), tmp_path, ONE, quiet)


@pytest.mark.slow
def test_a_model_keeps_to_its_tokens(tmp_path: Path) -> None:
    short = ArithmeticWorld("short", horizon=4, hard_steps=1)
    config = DiagnoseConfig(
        model=ModelSettings("tiny"), world="short", prompts=64, tokens=12_000, more=(short,)
    )
    assert run(config, tmp_path, ONE, Console(quiet=True)) == 0
    record = Run.existing(tmp_path, "diagnose")
    (summary,) = record.read("summary")
    assert 6_000 < summary["tokens"] < 12_000 + BATCH * short.form().max_tokens
    assert any("leaves out" in row["sentence"] for row in record.read("plan"))
