"""Sizes that no machine holds are refused by their setting, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.compare.command import check_sizes
from experiments.compare.config import CompareConfig
from experiments.execution.memory import check_held
from experiments.frontier import command as frontier
from experiments.frontier.config import FrontierConfig

HUGE = "1000000000000"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "--actions", "2", HUGE], "actions[1] = 1000000000000: transitions of such a"),
        (["compare", "--replications", HUGE], "replications = 1000000000000: counts of 4,000,000,"),
        (["compare", "--bootstraps", HUGE], "bootstraps = 1000000000000: "),
        (["verify", "--instances", HUGE], "instances = 1000000000000: "),
        (["diagnose", "--prompts", HUGE], "prompts = 1000000000000: "),
        (["diagnose", "--model", "tiny", "--prompts", HUGE], "prompts = 1000000000000: "),
        (["diagnose", "--validate", "--repetitions", HUGE], "repetitions = 1000000000000: "),
        (["diagnose", "--validate", "--prompts", HUGE], "prompts = 1000000000000: "),
        (["diagnose", "--order", "--curves", HUGE], "curves = 1000000000000: "),
        (["evaluate", "--problems", HUGE], "problems = 1000000000000: 5,000,000,000,000 attempts"),
        (["localize", "--worlds", "early", "--problems", HUGE], "problems = 1000000000000: "),
        (["anatomy", "--worlds", "early", "--prompts", HUGE], "prompts = 1000000000000: "),
        (["learn", "--seeds", HUGE], "seeds = 1000000000000: "),
        (["learn", "--budget.prompts", HUGE], "budget.prompts = 1000000000000: "),
        (["learn", "--budget.updates", HUGE], "budget.updates = 1000000000000: "),
        (["learn", "--budget.trials", HUGE], "budget.trials = 1000000000000: "),
        (["learn", "--budget.exact-updates", HUGE], "budget.exact_updates = 1000000000000: "),
        (["train", "--seeds", HUGE], "seeds = 1000000000000: "),
        (["train", "--budget.updates", HUGE], "budget.updates = 1000000000000: "),
        (["frontier", "--prompts", HUGE], "prompts = 1000000000000: "),
        (["frontier", "--seeds", HUGE], "seeds = 1000000000000: "),
        (["league", "--seeds", HUGE], "seeds = 1000000000000: "),
    ],
)
def test_sizes_that_no_machine_holds_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--output", str(tmp_path / "results")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert message in said
    assert "GiB at the very least, of " in said
    assert "; choose fewer" in said
    assert not (tmp_path / "results").exists()


def test_the_records_of_a_cell_are_counted() -> None:
    """A million seeds leave 31 records each, at 200 bytes 5.8 GiB; updates leave no more."""
    frontier.check_sizes(FrontierConfig(updates=10**8), 1.0)
    frontier.check_sizes(FrontierConfig(seeds=10**6), 6.8)
    with pytest.raises(InvalidInput, match=r"^seeds = 1000000: 31,000,000 records of the curves"):
        frontier.check_sizes(FrontierConfig(seeds=10**6, worlds=("one hard",)), 5.7)


def test_transitions_are_counted_per_world_and_together() -> None:
    """H = 8 and A = 2^20 take 8 * 4 * 2^20 * 4 numbers of 8 bytes, 1 GiB; with H = 2 a quarter."""
    config = CompareConfig(actions=(2, 2**20))
    check_sizes(config, 1.0)
    with pytest.raises(InvalidInput, match=r"actions and horizon 8: 1 GiB") as caught:
        check_sizes(config, 0.9)
    assert caught.value.field == "actions"
    with pytest.raises(InvalidInput, match=r"^actions\[1\] = 1048576: "):
        check_sizes(config, 0.2)


def test_an_unknown_memory_refuses_nothing() -> None:
    check_held("prompts", 1, 1e30, "rollouts", None)
