"""The command `diagnose`: exact values by hand, coverage, orders, tables, figures, sentences."""

from __future__ import annotations

import dataclasses
import io
import itertools
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binom

from cpi_theory.algorithms.collecting import collect
from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose, standard_methods
from cpi_theory.diagnosis.records import Diagnosis
from cpi_theory.diagnosis.samples import Remembering
from cpi_theory.diagnosis.signals import Comparison, group_signals
from cpi_theory.randomness import Key
from cpi_theory.statistics.intervals import Interval
from experiments import cli
from experiments.config import load_config
from experiments.diagnose.command import run
from experiments.diagnose.config import DiagnoseConfig, Sampling
from experiments.diagnose.order import (
    MeasurementSpec,
    PredictionSpec,
    agreement_row,
    measured_rows,
    order_rows,
    predicted_rows,
)
from experiments.diagnose.truth import Truth
from experiments.diagnose.validation import (
    ValidationSpec,
    coverage_rows,
    fails_at,
    short_of_level,
    validation_rows,
)
from experiments.diagnose.verdict import order_sentences, verdict
from experiments.documents.numbers import percent
from experiments.execution.settings import Execution
from experiments.learn.curves import Budget
from experiments.methods import COMPARED
from experiments.report.command import run as report_on
from experiments.report.config import ReportConfig
from experiments.runs.files import Row
from experiments.runs.store import Run
from experiments.worlds.language import ArithmeticWorld
from experiments.worlds.tabular import WORLDS, FileWorld, TreeWorld
from experiments.worlds.with_localizer import SETTINGS, VALIDATION, WorldWithLocalizer, prepare
from llm.models.settings import ModelSettings
from llm.sampling.transformers.sampler import TransformersSampler
from paper_figs.figures.diagnosis import (
    diagnosis_coverage_figure,
    diagnosis_figure,
    diagnosis_order_figure,
)
from paper_figs.style import render
from tabular.mdp.storage import save
from tabular.worlds.locks import combination_lock

TINY = WorldWithLocalizer(
    TreeWorld("tiny", horizon=4, hard_steps=2, problems=3, facts=12), accuracy=0.6
)
RECOVERABLE = dataclasses.replace(
    TINY, world=dataclasses.replace(TINY.world, recoverability=0.4), accuracy=1.0,
    precision=0.7, recall=0.8,
)  # fmt: skip
SHORT = ArithmeticWorld("short", horizon=4, hard_steps=1)
ONE = Execution(workers=1)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def truth(setting: WorldWithLocalizer, tau: float = 0.2) -> Truth:
    return Truth(setting.simulator(Key.of(0)), tau)


# --- exact values ---------------------------------------------------------------------------------


def test_grpo_s_informative_rate_is_the_coins() -> None:
    exact = truth(TINY)
    rates = exact.passes
    assert len(set(rates.round(12))) == 1  # every problem has two hard steps of four
    s = 0.3**2 * 0.99**2
    assert exact.groups(None)["informative"] == pytest.approx(1 - s**8 - (1 - s) ** 8)
    assert dict(exact.estimates())["rollouts", "success"] == pytest.approx(s)


@pytest.mark.parametrize("setting", [TINY, RECOVERABLE], ids=["accuracy", "recoverable"])
def test_exact_values_are_what_many_samples_give(setting: WorldWithLocalizer) -> None:
    """Every number of the truth against one diagnosis of many prompts, in its own intervals."""
    exact = truth(setting)
    simulator = exact.simulator
    found = diagnose(
        simulator,
        simulator.start_states(1000, Key.of(5)),
        6,
        DiagnosisSettings(tau=exact.tau, level=0.9999, resamples=2),
    )
    estimates = {(section, name): interval for section, name, interval in found.estimates()}
    values = dict(exact.estimates())
    assert len(values) > 45
    for name, value in values.items():
        if name[0] == "refusals" and value < 1e-9:
            assert name not in estimates
            continue
        interval = estimates[name]
        assert interval.lower - 1e-9 <= value <= interval.upper + 1e-9, name
        # ... and the intervals are narrow enough for that to mean something.
        assert interval.upper - interval.lower < max(0.15, 0.8 * abs(interval.estimate)), name


def test_the_signal_of_a_split_method_is_its_expectation() -> None:
    exact = truth(TINY)
    simulator = exact.simulator
    starts = simulator.start_states(3_000, Key.of(1))
    collection = collect(standard_methods()["SRPO"], Remembering(simulator), starts, Key.of(2))
    signals = group_signals(collection, len(starts))
    per_prompt = signals.signal / 8
    error = per_prompt.std() / np.sqrt(len(starts))
    expected = exact.groups(exact.named)["signal"]
    assert per_prompt.mean() == pytest.approx(expected, abs=4 * error)
    assert error < 0.05 * expected


def test_first_improvable_steps_by_enumeration() -> None:
    exact = truth(TINY)
    policy, values = exact.simulator.layered_policy, list(exact.first_improvable())
    tables = exact.simulator.mdp.transitions
    for depth in range(4):
        total = 0.0
        for path in itertools.product(range(6), repeat=depth + 1):
            chance = float(exact.simulator.mdp.start[path[0]])
            for h, (s, after) in enumerate(itertools.pairwise(path)):
                chance *= float(policy[h, s] @ np.asarray(tables)[h, s, :, after])
            total += chance * any(exact.improvable[h, s] for h, s in enumerate(path))
        assert values[depth] == pytest.approx(total)


# --- validation -----------------------------------------------------------------------------------


def test_intervals_cover_about_as_often_as_they_say() -> None:
    spec = ValidationSpec("tiny", TINY, DiagnosisSettings(resamples=20), 40, 0, 30, 3)
    rows = coverage_rows(validation_rows(spec))
    assert {row["repetitions"] for row in rows} <= set(range(1, 31))
    often = [row["covered"] for row in rows if row["repetitions"] == 30]
    assert len(often) > 40
    assert np.mean(often) > 0.93
    assert min(often) > 0.8


def test_coverage_counts_hits_and_errors() -> None:
    row = {"case": "a", "section": "s", "name": "n", "truth": 0.5, "lower": 0.4, "upper": 0.6}
    rows = [
        row | {"repetition": 0, "estimate": 0.5, "covered": True},
        row | {"repetition": 1, "estimate": 0.7, "covered": False, "lower": 0.6, "upper": 0.8},
    ]
    (found,) = coverage_rows(rows)
    assert (found["repetitions"], found["covered"]) == (2, 0.5)
    assert found["bias"] == pytest.approx(0.1)
    assert found["width"] == pytest.approx(0.2)


# --- order ----------------------------------------------------------------------------------------


def test_orders_of_three_settings() -> None:
    budget = Budget(prompts=2, updates=4, every=2)
    settings = (
        TINY,
        WorldWithLocalizer(TreeWorld("other", horizon=4, hard_steps=1, problems=2, facts=12)),
        WorldWithLocalizer(TreeWorld("third", horizon=3, hard_steps=1, problems=2, facts=12)),
    )
    predicted = [
        row for setting in settings for row in predicted_rows(PredictionSpec(setting, 16, 0))
    ]
    measured = [
        row
        for setting, method, seed in itertools.product(settings, COMPARED, range(3))
        for row in measured_rows(MeasurementSpec(setting, method, budget, seed))
    ]
    rows = order_rows(predicted, measured)
    assert [row["setting"] for row in rows] == ["tiny", "other", "third"]
    for row in rows:
        own = [r["mean"] for r in measured if r["setting"] == row["setting"]]
        assert row["measured GRPO"] == pytest.approx(np.mean(own[:3]))
        assert row["difference"] == pytest.approx(row["measured SRPO"] - row["measured GRPO"])
        assert row["agree"] == ((row["difference"] > 0) == (row["SRPO"] > row["GRPO"]))
        assert row["seeds"] == 3
    found = agreement_row(rows)
    assert found["settings"] == 3
    assert len(order_sentences(rows, found)) == 3
    own = [{**row, "difference": row["SRPO"] - row["GRPO"]} for row in rows]
    own = [{**row, "SRPO": row["GRPO"] * (1 + i), "difference": i} for i, row in enumerate(own)]
    assert agreement_row(own)["spearman"] == pytest.approx(1)


def test_settings_differ_in_their_names_and_dials() -> None:
    assert len({setting.world.name for setting in SETTINGS}) == len(SETTINGS) >= 12
    assert len(set(SETTINGS)) == len(SETTINGS)
    assert len({setting.label for setting in VALIDATION}) == len(VALIDATION)


# --- the command ----------------------------------------------------------------------------------


def test_a_diagnosis_is_stored_printed_drawn_and_reported(tmp_path: Path) -> None:
    console = quiet()
    config = DiagnoseConfig(world="tree-early", accuracy=0.7, prompts=32)
    assert run(config, tmp_path, ONE, console) == 0
    record = Run.existing(tmp_path, "diagnose")
    rows = record.read("estimates")
    assert len({(r["section"], r["name"]) for r in rows}) == len(rows)
    for row in rows:
        if row["estimate"] is not None and row["upper"] is not None:
            assert row["lower"] <= row["estimate"] <= row["upper"]
    (summary,) = record.read("summary")
    assert summary["prompts"] == 32
    assert sorted(summary["order"]) == ["GRPO", "RRPO", "SRPO"]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for row in record.read("verdict"):
        assert row["sentence"].split(":")[0] in " ".join(text.split())
    assert report_on(ReportConfig(), tmp_path, ONE, quiet()) == 0
    report = (tmp_path / "report" / "report.md").read_text()
    assert "A diagnosis of tree-early" in report
    assert (tmp_path / "report" / "figures" / "diagnose.png").stat().st_size > 10_000
    once = record.path("estimates").read_bytes()
    run(config, tmp_path, ONE, quiet())
    assert record.path("estimates").read_bytes() == once


def test_a_diagnosis_of_other_code_is_said_to_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DiagnoseConfig(world="tree-early", prompts=16)
    for code, again in (("before", False), ("before", False), ("after", True)):
        monkeypatch.setattr("experiments.runs.store.code_digest", lambda code=code: code)
        console = quiet()
        run(config, tmp_path, ONE, console)
        said = console.file.getvalue()  # type: ignore[attr-defined]
        assert said.startswith("What is stored is of other code or data;") == again


def test_a_finished_diagnosis_is_not_made_again_but_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, first, second = DiagnoseConfig(world="tree-early", prompts=16), quiet(), quiet()
    run(config, tmp_path, ONE, first)

    def never(*arguments: object) -> None:
        raise AssertionError("diagnosed again")

    monkeypatch.setattr("experiments.diagnose.command.diagnose", never)
    assert run(config, tmp_path, ONE, second) == 0
    assert first.file.getvalue() == second.file.getvalue()  # type: ignore[attr-defined]
    Run.existing(tmp_path, "diagnose").path("corrections").unlink()
    with pytest.raises(AssertionError, match="diagnosed again"):
        run(config, tmp_path, ONE, quiet())


def test_a_diagnosis_shows_that_it_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("experiments.execution.progress.EVERY", 0.05)
    run(DiagnoseConfig(world="tree-early", prompts=32), tmp_path, ONE, quiet())
    assert "diagnosis: 0 s so far" in capsys.readouterr().err


def test_a_blind_world_is_measured_by_sampling(tmp_path: Path) -> None:
    sampling = Sampling(audited=8, traced=2)
    config = DiagnoseConfig(world="tree-early", blind=True, prompts=16, sampling=sampling)
    assert run(config, tmp_path, ONE, quiet()) == 0
    (summary,) = Run.existing(tmp_path, "diagnose").read("summary")
    assert not summary["exact"]
    assert summary["measuring"] > 500
    assert summary["tau"] == 0.2


@pytest.mark.parametrize(
    "words",
    [
        ["--world", "lock"],
        ["--world", "tree-early", "--blind"],
        ["--model", "tiny"],
        ["--validate"],
    ],
)
def test_a_level_that_no_advantage_reaches_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["diagnose", *words, "--prompts", "16", "--sampling.tau", "5"]
    assert cli.main([*asked, "--output", str(tmp_path / "results")]) == 2
    assert (
        "sampling.tau = 5.0: above the reward bound 1: no state is improvable by as much; "
        "choose one up to 1, or leave it out"
    ) in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "results").exists()


def test_a_level_is_in_the_unit_of_the_reward(tmp_path: Path) -> None:
    lock = combination_lock(2, 2, 3)
    mdp = dataclasses.replace(lock.mdp, rewards=20 * lock.mdp.rewards, reward_bound=20.0)
    save(mdp, tmp_path / "mine.npz", lock.policy)
    mine = FileWorld("mine", str(tmp_path / "mine.npz"))
    config = DiagnoseConfig(world="mine", more=(mine,), prompts=16, sampling=Sampling(tau=5.0))
    assert run(config, tmp_path, ONE, quiet()) == 0
    (summary,) = Run.existing(tmp_path, "diagnose").read("summary")
    assert summary["tau"] == 5.0
    beyond = dataclasses.replace(config, sampling=Sampling(tau=20.5))
    with pytest.raises(InvalidInput, match=r"^sampling.tau = 20.5: above the reward bound 20"):
        run(beyond, tmp_path, ONE, quiet())


def test_validation_and_order_are_stored_and_drawn(tmp_path: Path) -> None:
    config, console = DiagnoseConfig(validate=True, repetitions=2, prompts=16), quiet()
    assert run(config, tmp_path, ONE, console) == 0
    assert "With 2 repetitions no number can fail" in console.file.getvalue()
    coverage = Run.existing(tmp_path, "diagnose-validate").read("coverage")
    assert {row["case"] for row in coverage} == {setting.label for setting in VALIDATION}
    assert render(diagnosis_coverage_figure(coverage), "png")


def covered(*hits: int, of: int) -> list[Row]:
    return [{"covered": one / of, "repetitions": of, "name": str(one)} for one in hits]


def test_a_number_falls_short_only_if_chance_does_not_explain_it() -> None:
    """At 95 % 12 of 20 or fewer have a chance of 2.9e-6, 13 of 3.4e-5 and 14 of 3.3e-4."""
    rows = covered(*[17] * 298, 12, 13, of=20)
    assert 300 * binom.cdf(12, 20, 0.95) < 0.01 < 299 * binom.cdf(13, 20, 0.95)
    assert [row["name"] for row in short_of_level(rows)] == ["12"]
    assert fails_at(rows) == 12
    # Holm: each that has failed leaves more room to the others.
    assert len(short_of_level(covered(*[0] * 270, *[14] * 30, of=20))) == 300
    # Covered in 90 % or more is near enough, however sure it is that it is not 95 %.
    assert short_of_level(covered(9000, of=10_000)) == []
    assert [row["name"] for row in short_of_level(covered(8999, of=10_000))] == ["8999"]
    # Four misses of four are beyond chance even among 300, three of three are not.
    assert fails_at(covered(*[0] * 300, of=3)) is None
    assert short_of_level(covered(*[0] * 300, of=3)) == []
    assert fails_at(covered(*[0] * 300, of=4)) == 0


def test_figures_show_the_numbers(tmp_path: Path) -> None:
    run(DiagnoseConfig(world="tree-natural", prompts=32), tmp_path, ONE, quiet())
    rows = Run.existing(tmp_path, "diagnose").read("estimates")
    figure = diagnosis_figure(rows)
    assert len(figure.axes) == 6
    law = [100 * r["estimate"] for r in rows if r["section"] == "first improvable step"]
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == pytest.approx(law)
    signal = [r["estimate"] for r in rows if r["name"].endswith(", signal")]
    drawn = [line.get_ydata()[0] for line in figure.axes[5].get_lines() if len(line.get_ydata())]
    assert set(signal) <= set(drawn)
    order = [
        {"SRPO": 2.0, "GRPO": 1.0, "difference": d, "lower": d - 0.01, "upper": d + 0.02,
         "shown": d > 0} for d in (0.05, -0.001)
    ]  # fmt: skip
    points = [p for line in diagnosis_order_figure(order).axes[0].get_lines()
              for p in zip(line.get_xdata(), line.get_ydata(), strict=True)]  # fmt: skip
    assert (1.0, 0.05) in points


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--world", "tree-erly"], "did you mean 'tree-early'"),
        (["--prompts", "3"], "prompts = 3"),
        (["--sampling.tau", "-1"], "tau = -1"),
        (["--validate", "--order"], "validate is set too"),
        (["--model", "tiny", "--world", "tree-sparse"], "choose one of"),
        (["--model", "/no/such/model"], "no/such/model"),
    ],
)
def test_mistakes_are_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["diagnose", *arguments, "--output", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json*"))  # so that the corrected command can start


# --- sentences ------------------------------------------------------------------------------------


def with_order(found: Diagnosis, differing: int = 40, **ahead: float) -> Diagnosis:
    """The diagnosis with one method ahead of the others with this confidence."""
    ((best, sure),) = ahead.items()
    rest = [name for name in ("SRPO", "GRPO", "RRPO") if name != best]
    pairs = tuple(Comparison(best, name, differing, sure, 0.0) for name in rest)
    pairs += (Comparison(*rest, differing, 0.5, 0.5),)
    order = dataclasses.replace(found.order, methods=(best, *rest), comparisons=pairs)
    return dataclasses.replace(found, order=order)


def test_the_verdict_follows_the_numbers() -> None:
    prepared = prepare(WorldWithLocalizer(WORLDS["tree-natural"]), 64, Key.of(0))
    found = diagnose(prepared.simulator, prepared.starts, 0, DiagnosisSettings(resamples=200))
    sentences = verdict(found)
    assert sentences[0].startswith("Resets are probably not worth it here at equal")
    assert verdict(with_order(found, GRPO=0.99))[0].startswith("Resets are not worth it")
    assert "it knows where to look" in sentences[2]
    # learn measures the other order at equal steps in this world.
    assert sentences[4].endswith("who learns faster at equal steps is not predicted.")
    swapped = dataclasses.replace(found, localizer=found.random, random=found.localizer)
    assert "it is worse than chance" in verdict(swapped)[2]
    alike = dataclasses.replace(found, localizer=found.random)
    assert "it is not shown to be better" in verdict(alike)[2]
    assert verdict(with_order(found, SRPO=0.99))[0].startswith("Resets are worth it")
    # The better of two methods was picked by the same prompts: 1 - 2 (1 - 0.98) = 0.96.
    picked = verdict(with_order(found, SRPO=0.98))[0]
    assert picked.startswith("Resets are probably worth it here at equal rollouts: SRPO")
    assert "confidence 96 %" in picked
    assert "do not decide between" in verdict(with_order(found, SRPO=0.6))[0]
    assert "not borne out" not in sentences[0]
    assert "not borne out" in verdict(dataclasses.replace(found, exact=False))[0]


def test_shares_are_written_with_their_interval() -> None:
    assert percent(Interval(0.0321, 0.0211, 0.049)) == "3.21 % [2.11, 4.9]"
    assert percent(Interval(float("nan"), 0.0, 1.0)) == "an unknown share"


# --- language models ------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_tiny_model_is_diagnosed_by_the_same_function(tmp_path: Path) -> None:
    sampling = Sampling(audited=2, traced=1, parents=1, suffixes=2)
    config = DiagnoseConfig(
        model=ModelSettings("tiny"), world="short", prompts=8, sampling=sampling, more=(SHORT,)
    )
    assert run(config, tmp_path, ONE, quiet()) == 0
    record = Run.existing(tmp_path, "diagnose")
    (summary,) = record.read("summary")
    assert summary["world"] == "short"
    assert not summary["exact"]
    found = {(row["section"], row["name"]): row for row in record.read("estimates")}
    assert 0 < found["rollouts", "success"]["upper"] < 0.9  # a weak model, as it was warm-started
    assert any(name.startswith("deviation 0") for _, name in found)
    assert render(diagnosis_figure(record.read("estimates")), "png")


@pytest.mark.slow
def test_a_killed_diagnosis_of_a_model_goes_on_to_the_same_records(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    (tmp_path / "short.toml").write_text(
        'model = "tiny"\nworld = "short"\nprompts = 8\n'
        "[sampling]\naudited = 2\ntraced = 1\n"
        '[[more]]\ntype = "ArithmeticWorld"\nname = "short"\nhorizon = 4\nhard_steps = 1\n'
    )
    command = [sys.executable, "-m", "experiments.cli", "diagnose"]
    command += ["--config", str(tmp_path / "short.toml"), "--output"]
    process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    parts: list[Path] = []
    while len(parts) < 5 and time.monotonic() < deadline:
        parts = list(killed.glob("diagnose/drawn/*/[!.]*.jsonl"))
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert len(parts) >= 5  # two of them are the trial rollouts
    assert {path.stem for path in killed.glob("diagnose/*.jsonl")} == {"limit", "plan"}
    config = load_config(DiagnoseConfig, tmp_path / "short.toml")
    assert config.more == (SHORT,)
    assert run(config, whole, ONE, quiet()) == 0
    asked = []

    def counted(self: object, requests: Sequence[object], sampling: object) -> object:
        asked.append(len(requests))
        return generate(self, requests, sampling)  # type: ignore[arg-type]

    generate = TransformersSampler.generate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransformersSampler, "generate", counted)
        assert run(config, killed, ONE, quiet()) == 0
    assert not (killed / "diagnose" / "drawn").exists()  # it goes when the tables are there
    for table in ("estimates", "summary", "order", "corrections", "verdict"):
        names = [root / "diagnose" / f"{table}.jsonl" for root in (whole, killed)]
        assert names[0].read_bytes() == names[1].read_bytes()
    (summary,) = Run.existing(killed, "diagnose").read("summary")
    assert 0 < sum(asked) < summary["rollouts"]


@pytest.mark.slow
def test_orders_of_a_language_model_come_in_the_same_rows() -> None:
    from experiments.diagnose.order_model import SETTINGS as TASKS
    from experiments.diagnose.order_model import (
        ModelPredictionSpec,
        measurement_specs,
        model_measured_rows,
        model_predicted_rows,
    )

    model = ModelSettings("tiny")
    predicted = model_predicted_rows(ModelPredictionSpec(SHORT, model, 8, 0))
    specs = measurement_specs((SHORT,), model, 1, (0, 1))
    short = [
        dataclasses.replace(s, budget=dataclasses.replace(s.budget, prompts=1, held_out=4))
        for s in specs
    ]
    measured = [row for spec in short for row in model_measured_rows(spec)]
    (row,) = order_rows(predicted, measured)
    assert row["setting"] == SHORT.name
    assert {f"measured {m}" for m in COMPARED} <= set(row)
    assert len({world.name for world in TASKS}) == len(TASKS) >= 12
