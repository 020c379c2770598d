"""Training runs of a tiny language model, from the command line to the tables."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest
from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.config import load_config
from experiments.execution.settings import Execution
from experiments.execution.sweep import timed_rows
from experiments.methods import FAMILY, LANGUAGE_METHODS, MethodVariant
from experiments.runs.store import Run
from experiments.train.command import run
from experiments.train.config import TrainConfig
from experiments.train.engines import training_curve
from experiments.train.report import clock_blocks, train_section
from experiments.train.spec import TrainBudget, TrainSpec
from experiments.train.training import Training
from experiments.worlds.language import WORLDS, ArithmeticWorld, choose
from llm.models.settings import TINY_NAME, ModelSettings
from llm.tasks.arithmetic.task import REGIMES
from llm.training.settings import LossSettings, OptimizerSettings

SHORT = ArithmeticWorld("short", horizon=4, hard_steps=2)
BUDGET = TrainBudget(prompts=2, updates=3, every=2, held_out=12)


def spec(method="SRPO", seed=0, **changes):
    whole = TrainSpec(
        SHORT,
        LANGUAGE_METHODS[method],
        ModelSettings(TINY_NAME),
        OptimizerSettings(),
        LossSettings(),
        BUDGET,
        seed,
    )
    return dataclasses.replace(whole, **changes)


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.mark.parametrize("method", [name for name in LANGUAGE_METHODS if name not in FAMILY])
def test_a_run_accounts_for_all_that_it_generates(method):
    rows = training_curve(spec(method))
    assert [row["update"] for row in rows] == [0, 2, 3]
    assert rows[0]["rollouts"] == rows[0]["tokens"] == 0
    assert rows[-1]["rollouts"] == 3 * 2 * 8  # eight per prompt, whatever the method
    for before, after in itertools.pairwise(rows):
        for count in ("tokens", "forward_tokens", "seconds"):
            assert after[count] > before[count]
        assert after["forward_tokens"] > after["tokens"] >= after["localization_tokens"]
    for row in rows:
        assert 0 <= row["value"] <= 1
        assert row["localization"]["exact"] <= row["localization"]["named"]
    asked = sum(row["localization"]["asked"] for row in rows)
    assert (asked > 0) == (method in ("SRPO", "ORACLE", "Frontier", "EntropyReset"))
    assert (rows[-1]["localization_tokens"] > 0) == (method in ("SRPO", "Frontier"))
    if method == "ORACLE":
        assert sum(row["localization"]["exact"] for row in rows) == asked


@pytest.mark.parametrize("method", FAMILY)
def test_the_family_trains_a_language_model(method):
    rows = training_curve(spec(method))
    assert [row["update"] for row in rows] == [0, 2, 3]
    assert rows[-1]["rollouts"] >= 3 * 2 * 7
    assert rows[-1]["tokens"] > 0
    assert rows[-1]["gradient_norm"] > 0
    if "R3" not in method and method != "AdaBack":  # whose prefixes may leave nothing to compare
        assert rows[-1]["informative"] > 0


def test_the_same_run_gives_the_same_records():
    assert without_seconds(training_curve(spec())) == without_seconds(training_curve(spec()))
    assert without_seconds(training_curve(spec())) != without_seconds(training_curve(spec(seed=1)))


def test_methods_of_a_seed_share_problems_and_the_first_evaluation():
    ours, theirs = Training(spec("GRPO")), Training(spec("SRPO"))
    for training in (ours, theirs):
        training.advance()
    assert ours.problems("test", 5, ours.key) == theirs.problems("test", 5, theirs.key)
    assert training_curve(spec("GRPO"))[0]["value"] == training_curve(spec("RRPO"))[0]["value"]


def test_training_changes_the_model_and_evaluation_does_not():
    training = Training(spec())
    weight = training.trainer.model.lm_head.weight
    before = weight.detach().clone()
    training.record()
    assert (weight == before).all()
    usage = dataclasses.replace(training.simulator.usage)
    training.record()
    assert training.simulator.usage == usage
    for _ in range(3):
        training.advance()
    assert (weight != before).any()


def config(**changes):
    return TrainConfig(
        worlds=("short",),
        methods=("GRPO", "SRPO"),
        budget=BUDGET,
        resamples=20,
        more=(SHORT,),
        **changes,
    )


def test_a_run_is_stored_and_continued(tmp_path):
    quiet = Console(quiet=True)
    assert run(config(), tmp_path, Execution(workers=1), quiet) == 0
    record = Run.existing(tmp_path, "train")
    made = {"curves", "bands", "pairs", "groups", "collections", "reach", "speedups", "finals"}
    assert made <= set(record.tables())
    assert {row["axis"] for row in record.read("speedups")} == {"update", "rollouts", "tokens"}
    assert record.read("model") == [{"path": "tiny", "localization_taught": True}]
    before = record.read("curves")
    assert run(config(), tmp_path, Execution(workers=1), quiet) == 0
    assert record.read("curves") == before
    # Wall time differs from run to run: it stands with the timings, a value for every record.
    assert not any("seconds" in row for row in before)
    clocks = [row["points"] for row in record.timings() if row["label"].startswith("curves/")]
    assert [len(points) for points in clocks] == [3] * 4
    assert all(sorted(points) == points for points in clocks)
    check_clock(record)
    (sampled, *_) = record.read("finals")
    firsts = [r["value"] for r in before if r["method"] == "GRPO" and r["point"] == 0]
    assert sampled["before"] == pytest.approx(np.mean(firsts))
    assert {row["first"] for row in record.read("pairs")} == {"SRPO"}


def check_clock(record):
    """Speed-ups by the clock are in the report, from the timings, as long as there are any."""
    timed = timed_rows(record, "curves")
    assert without_seconds(timed) == record.read("curves")
    clocks = [row["points"] for row in record.timings() if "points" in row]
    for seconds in clocks:  # each curve has those of its own run, in order
        assert seconds in [
            [row["seconds"] for row in rows]
            for _, rows in itertools.groupby(timed, lambda row: (row["method"], row["seed"]))
        ]
    (*_, table) = clock_blocks(record)
    assert {row[table.columns.index("axis")] for row in table.rows} == {"seconds"}
    assert [table] == [b for b in train_section(record) if b in clock_blocks(record)]
    aside = record.directory / "aside"
    (record.directory / "shards").rename(aside)
    assert timed_rows(record, "curves") == clock_blocks(record) == []
    aside.rename(record.directory / "shards")


def test_one_seed_says_that_it_knows_no_interval(tmp_path):
    """From the command line to the report and the figures, which draw a line without a band."""
    single = config(seeds=1, name="single")
    console = Console(record=True, width=200, quiet=False)
    assert run(single, tmp_path, Execution(workers=1), console) == 0
    said = console.export_text()
    assert "short: one seed" in said
    assert "Difference of mean pass" not in said
    record = Run.existing(tmp_path, "single")
    assert record.read("pairs") == []
    for table in ("bands", "collections"):
        rows = record.read(table)
        assert rows
        assert all(row["lower"] is None and row["upper"] is None for row in rows)
    sampled = [row for row in record.read("finals") if row["measure"] == "sampled"]
    for row in sampled:  # the interval of twelve texts, which the terminal shows
        assert row["lower"] < row["gain"] < row["upper"]
        assert f"{row['gain']:+.3f} [{row['lower']:+.3f}, {row['upper']:+.3f}]" in said
    curves = record.read("curves")
    (last,) = [r["value"] for r in curves if r["method"] == "SRPO" and r["point"] == 2]
    ends = [r for r in record.read("bands") if r["method"] == "SRPO" and r["axis"] == "tokens"]
    assert ends[-1]["value"] == pytest.approx(last)
    (share,) = [r["informative"] for r in record.read("collections") if r["method"] == "SRPO"]
    sums = [sum(r[n] for r in curves if r["method"] == "SRPO") for n in ("informative", "groups")]
    assert share == sums[0] / sums[1]
    names = ["--output", str(tmp_path), "--runs", "single", "--vector", "none"]
    assert main(["report", *names]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "one seed. How far another would lie from it is unknown" in page
    assert list((tmp_path / "report").rglob("*train-curves*"))
    assert not list((tmp_path / "report").rglob("*train-differences*"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"budget": TrainBudget(prompts=10**8)}, "budget.prompts"),
        ({"budget": TrainBudget(held_out=10**9)}, "budget.held_out"),
        ({"methods": ("wide",)}, "rollouts per prompt of wide"),
    ],
)
def test_more_rollouts_than_any_memory_holds_are_refused_at_once(tmp_path, changes, field):
    wide = MethodVariant("wide", "GRPO", rollouts=10**9)
    absurd = dataclasses.replace(config(), more_methods=(wide,), **changes)
    with pytest.raises(InvalidInput, match="rollouts held at once") as caught:
        run(absurd, tmp_path, Execution(workers=1), Console(quiet=True))
    assert caught.value.field == field
    assert not list(tmp_path.iterdir())


def test_what_it_takes_is_said_before_it_starts(tmp_path):
    """Two methods and seeds, three updates of two prompts; 12 held-out problems at 0, 2 and 3."""
    console = Console(record=True, width=200)
    assert run(config(), tmp_path, Execution(workers=1), console) == 0
    assert console.export_text().startswith(
        "4 trainings of 3 updates: about 192 rollouts to learn from, 144 to evaluate\n"
    )


def test_samples_can_be_drawn_from_the_likeliest_tokens_alone():
    """With so little probability only the likeliest is left: sampled and greedy rates agree."""
    budget = dataclasses.replace(BUDGET, top_p=1e-6)
    rows = training_curve(spec("GRPO", budget=budget))
    assert [row["value"] for row in rows if row["greedy"] is not None] == [
        row["greedy"] for row in rows if row["greedy"] is not None
    ]
    assert rows[-1]["informative"] == 0
    assert training_curve(spec("GRPO"))[-1]["informative"] > 0


def test_worlds_can_have_seeds_of_their_own():
    specs = config(seeds_by_world={"short": 3}).specs()
    assert [(s.method.name, s.seed) for s in specs] == [
        (method, seed) for seed in range(3) for method in ("GRPO", "SRPO")
    ]


def test_the_worlds_have_the_coverage_that_their_names_promise():
    assert {name: WORLDS[name].task() for name in REGIMES} == REGIMES
    for world, hard in (("sparse", 4), ("early", 3)):
        task = WORLDS[world].task()
        for problem in task.problems("train", 20, 0):
            places = task.hard_places(problem)
            assert len(places) == hard
            assert world == "sparse" or max(places) < 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"worlds": ("sprase",)}, r"worlds\[0\] = 'sprase'.*sparse"),
        ({"methods": ("PPO",)}, r"methods\[0\] = 'PPO': unknown; did you mean 'VPPO'"),
        ({"methods": ("GRPO", "GRPO")}, r"methods\[1\].*twice"),
        ({"seeds": 0}, "seeds = 0"),
        (
            {"seeds_by_world": {"early": 3}},
            "seeds_by_world = 'early': unknown; choose one of 'sparse'",
        ),
        ({"seeds_by_world": {"sparse": 0}}, r"seeds_by_world\.sparse = 0"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(InvalidInput, match=message):
        TrainConfig(**changes)
    assert choose("worlds", ("sparse",), ()) == [WORLDS["sparse"]]


def test_a_missing_model_is_a_clear_error(tmp_path, capsys):
    asked = ["train", "--model.path", str(tmp_path / "none"), "--workers", "1"]
    assert main([*asked, "--output", str(tmp_path)]) == 2
    assert "none" in capsys.readouterr().err


def test_questions_of_ones_own_are_read_as_the_configuration_says(tmp_path):
    rows = [
        {"problem": f"What is {i} + 1?", "solution": f"Count on. #### {i + 1}"} for i in range(10)
    ]
    source = tmp_path / "questions.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = tmp_path / "mine.toml"
    file.write_text(
        f"""
worlds = ["mine"]
[[more]]
type = "DatasetWorld"
name = "mine"
source = "{source}"
test_share = 0.3
fields = {{ question = "problem", answer = "solution", answer_after = "####" }}
"""
    )
    (world,) = choose("worlds", ("mine",), load_config(TrainConfig, file).more)
    task = world.task()
    train, test = task.problems("train", 7, 0), task.problems("test", 3, 0)
    assert len({p.question for p in (*train, *test)}) == 10
    with pytest.raises(InvalidInput, match=r"ORACLE.*no exact step checker"):
        Training(spec("ORACLE", world=world))
    for problem in (*train, *test):
        number = int(problem.question.split()[2])
        assert problem.answer == str(number + 1)
        assert task.verify(problem, f"so \\boxed{{{number + 1}.0}}").reward == 1
    file.write_text(file.read_text().replace('"problem"', '"text"'))
    (world,) = load_config(TrainConfig, file).more
    with pytest.raises(InvalidInput, match=r"line 1.*text"):
        world.task()
