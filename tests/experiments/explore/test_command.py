"""From the command line to a page: each kind of run, what training keeps, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.explore.series import MISLOCATED
from experiments.explore.tables import shown_updates
from experiments.rollouts.files import read_visits
from experiments.rollouts.visits import BEFORE
from experiments.runs.store import Run
from experiments.train.config import TrainConfig
from experiments.train.engines import training_curve
from experiments.train.keeping import Texts
from experiments.train.spec import Checkpoints, KeptRollouts, TrainBudget, TrainSpec
from experiments.train.training import Training
from experiments.worlds.language import ArithmeticWorld
from llm.training.settings import LossSettings
from tests.experiments.explore.pages import read_page

SHORT = ArithmeticWorld("short", horizon=4, hard_steps=2)
DATA = Path(__file__).parents[2] / "llm" / "data"
BUDGET = TrainBudget(prompts=2, updates=3, every=2, held_out=8)
WORLD = """
[[more]]
type = "ArithmeticWorld"
name = "short"
horizon = 4
hard_steps = 2
"""


def spec(method: str = "SRPO", **changes: Any) -> TrainSpec:
    config = TrainConfig(
        worlds=("short",), methods=(method,), seeds=1, budget=BUDGET, more=(SHORT,)
    )
    return dataclasses.replace(config.specs()[0], **changes)


def kept(folder: Path, method: str = "SRPO", **changes: Any) -> list[tuple[int, Any]]:
    one = spec(method, **changes)
    training_curve(one, Checkpoints(folder, 100))
    return list(read_visits(folder / f"short-{method}-0"))


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


# --- what training keeps -------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["lean", "trl"])
def test_keeping_rollouts_changes_no_number(engine: str, tmp_path: Path) -> None:
    signal = engine == "lean"
    # The signal has no KL term, and must not be in the way of one.
    loss = LossSettings("clipped", kl=0.01)
    keeping = spec(engine=engine, loss=loss, kept=KeptRollouts(every=1, signal=signal))
    plain = spec(engine=engine, loss=loss, kept=None)
    rows = [
        training_curve(one, Checkpoints(tmp_path / name, 100))
        for name, one in (("kept", keeping), ("plain", plain))
    ]
    assert without_seconds(rows[0]) == without_seconds(rows[1])
    assert not (tmp_path / "plain" / "short-SRPO-0" / "rollouts").exists()
    found = list(read_visits(tmp_path / "kept" / "short-SRPO-0"))
    assert [update for update, _ in found] == [1, 1, 2, 2, 3, 3]
    generated = sum(len(visit["rollouts"]) for _, visit in found)
    assert generated == rows[0][-1]["rollouts"]


def test_a_record_tells_what_was_learned_from(tmp_path: Path) -> None:
    found = kept(tmp_path, kept=KeptRollouts(every=1, signal=True))
    pulled = 0
    for _, visit in found:
        assert visit["text"].endswith(visit["question"])
        for group in visit["groups"]:
            for i, advantage, signal in zip(
                group["rollouts"], group["advantages"], group["signal"], strict=True
            ):
                rollout = visit["rollouts"][i]
                assert len(signal) == len(rollout["texts"]) == len(rollout["tokens"])
                assert len(rollout["logprobs"]) == len(signal)
                for whole, least in zip(rollout["logprobs"], rollout["least"], strict=True):
                    assert whole <= least + 1e-3 <= 1e-3
                # The loss pulls where there is an advantage, and nowhere else.
                assert all((pull > 0) == (advantage != 0) for pull in signal)
                pulled += advantage != 0
        for rollout in visit["rollouts"]:
            if rollout["failed"] and rollout["ending"] == "answered" and not rollout["from"]:
                assert rollout["true"] is not None  # a wrong sum has a wrong step
            assert ("true" in rollout) == rollout["failed"]
    assert pulled


def test_an_error_in_what_was_kept_is_no_step_of_a_suffix() -> None:
    training = Training(spec("ORACLE"))
    world = Texts(training.simulator, training.meter.oracle)
    starts = training.simulator.start_states(training.problems("train", 6, training.key))
    wrong = 0
    for parent in training.simulator.rollout(starts, training.key.integers(6)):
        step = world.rollout(parent).get("true")
        if step is None or step + 1 >= len(parent):
            continue
        (suffix,) = training.simulator.rollout([parent.states[step + 1]], training.key.integers(1))
        assert world.rollout(suffix)["true"] == BEFORE or not suffix.failed
        assert world.start(suffix).startswith(world.start(parent))
        wrong += suffix.failed
    assert wrong


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    found = kept(tmp_path, kept=KeptRollouts(prompts=1))
    assert [update for update, _ in found] == [1, 2, 3]  # the first, every second, the last
    assert {visit["prompt"] for _, visit in found} == {0}
    specs = TrainConfig(worlds=("short",), methods=("GRPO", "SRPO"), seeds=3, more=(SHORT,)).specs()
    assert [one.kept is not None for one in specs] == [True, True, False, False, False, False]
    off = TrainConfig(rollouts=KeptRollouts(seeds=0)).specs()
    assert all(one.kept is None for one in off)


def test_kept_rollouts_are_part_of_the_settings(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "world.toml").write_text(WORLD)
    asked = ["train", "--config", str(tmp_path / "world.toml"), "--worlds", "short", "--seeds", "1"]
    asked += ["--methods", "GRPO", "--budget.updates", "1", "--budget.prompts", "2", "--workers"]
    asked += ["1", "--budget.held-out", "4", "--output", str(tmp_path)]
    assert main(asked) == 0
    assert main([*asked, "--rollouts.every", "7"]) == 2
    assert "rollouts" in capsys.readouterr().err
    assert main(["explore", str(tmp_path / "train")]) == 0
    assert "16 rollouts of 2 prompts" in capsys.readouterr().out
    assert main([*asked, "--rollouts.seeds", "0", "--name", "none"]) == 0
    assert main(["explore", str(tmp_path / "none")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "as its settings say (rollouts.seeds = 0); train with --rollouts.seeds 1" in said


def test_the_signal_needs_an_engine_that_can_be_looked_at() -> None:
    with pytest.raises(InvalidInput, match="signal"):
        spec(engine="trl", kept=KeptRollouts(signal=True))


@pytest.mark.parametrize("field", ["seeds", "every"])
def test_settings_are_counts(field: str) -> None:
    with pytest.raises(InvalidInput, match=f"rollouts.{field}"):
        KeptRollouts(**{field: -1})


# --- pages ---------------------------------------------------------------------------------------


def test_a_run_of_train(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path / "train" / "models")
    config = TrainConfig(
        worlds=("short",), methods=("SRPO",), seeds=1, budget=BUDGET, more=(SHORT,)
    )
    Run.open(tmp_path, "train", config, 0).write("curves", [{"value": 1}])
    assert (
        main(["explore", "train", "--output", str(tmp_path / "x.html")]) == 2
    )  # not below results
    assert main(["explore", str(tmp_path / "train")]) == 0
    index, parts = read_page(tmp_path / "train" / "explore.html")
    assert index["series"] == [
        {"name": "short · SRPO · seed 0", "world": "short", "method": "SRPO", "seed": 0}
    ]
    assert index["columns"]["update"] == [1, 1, 2, 2, 3, 3]
    assert index["rollouts"] == sum(len(v["rollouts"]) for part in parts for v in part) == 48
    assert "48 rollouts of 6 prompts" in capsys.readouterr().out
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "mine.html"
    assert main(["explore", str(tmp_path / "train"), "--output", str(page), "--most", "16"]) == 0
    assert read_page(page)[0]["left_out"]
    assert "there are more" in capsys.readouterr().out
    both = [str(tmp_path / "train"), "/no/such/run"]
    assert main(["explore", *both]) == 0
    assert "left out /no/such/run" in capsys.readouterr().out
    assert opened == []
    into = ["--output", str(tmp_path / "folder"), "--open"]
    assert main(["explore", str(tmp_path / "train"), *into]) == 0
    assert opened == [(tmp_path / "folder" / "explore.html").as_uri()]
    assert (tmp_path / "folder" / "explore.html").exists()
    assert (tmp_path / "folder" / "explore-data" / "part-0.js").exists()


def test_a_damaged_file_is_named_and_the_rest_is_shown(tmp_path: Path, capsys: Any) -> None:
    kept(tmp_path / "train" / "models")
    kept(tmp_path / "train" / "models", "GRPO")
    config = TrainConfig(worlds=("short",), seeds=1, budget=BUDGET, more=(SHORT,))
    Run.open(tmp_path, "train", config, 0).write("curves", [{"value": 1}])
    models = tmp_path / "train" / "models"
    cut = models / "short-SRPO-0" / "rollouts" / "000002.jsonl.gz"
    cut.write_bytes(cut.read_bytes()[:-20])
    stamp = models / "short-GRPO-0" / "made-by.json"
    stamp.write_text("{}")
    assert main(["explore", str(tmp_path / "train"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    index, _ = read_page(tmp_path / "train" / "explore.html")
    assert [one["method"] for one in index["series"]] == ["SRPO"]
    assert index["columns"]["update"] == [1, 1, 3, 3]
    (page,) = found["data"]["pages"]
    for path in (cut, stamp):
        assert sum(str(path) in note for note in index["notes"]) == 1
        assert sum(str(path) in one["what"] for one in page["left_out"]) == 1
        assert sum(f"left out file {path}" in line for line in found["said"]) == 1
    for path in cut.parent.iterdir():
        path.write_bytes(b"")
    stamp.unlink()
    assert main(["explore", str(tmp_path / "train")]) == 2
    assert "000001.jsonl.gz: is empty" in " ".join(capsys.readouterr().err.split())


def test_machines_are_told_what_a_page_holds(tmp_path: Path, capsys: Any) -> None:
    kept(tmp_path / "train" / "models")
    config = TrainConfig(worlds=("short",), seeds=1, budget=BUDGET, more=(SHORT,))
    Run.open(tmp_path, "train", config, 0).write("curves", [{"value": 1}])
    asked = ["explore", str(tmp_path / "train"), "/no/such/run", "--json", "--most", "20"]
    assert main(asked) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    (page,) = data["pages"]
    index, parts = read_page(Path(page["page"]))
    visits = [visit for part in parts for visit in part]
    shown = {"updates": 1, "prompts": 2, "groups": sum(len(v["groups"]) for v in visits)}
    shown["rollouts"] = sum(len(v["rollouts"]) for v in visits)
    assert page["series"] == [index["series"][0] | shown]
    assert {name: page[name] for name in ("prompts", "groups", "rollouts")} == {
        name: shown[name] for name in ("prompts", "groups", "rollouts")
    }
    assert page["command"] == "train"
    assert page["bytes"] == Path(page["page"]).stat().st_size
    assert [one["why"] for one in page["left_out"]] == ["--most 20 bounds the rollouts of a page"]
    (refused,) = data["left_out"]
    assert (refused["run"], refused["why"]) == ("/no/such/run", "holds no run")
    asked = ["explore", str(tmp_path / "train"), "--output", str(tmp_path / "out"), "--json"]
    assert main(asked) == 0
    (page,) = json.loads(capsys.readouterr().out)["data"]["pages"]
    there = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(page["files"]) == sorted(map(str, there))
    assert page["bytes"] == sum(path.stat().st_size for path in there)


LEARN = """
worlds = ["tree-natural"]
methods = ["SRPO", "SCoRe", "CPI-RR, exact"]
sampled_worlds = []
seeds = 2
[budget]
updates = 4
every = 2
exact_updates = 2
"""


def test_a_run_of_learn_is_drawn_again(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "learn.toml").write_text(LEARN)
    asked = ["--config", str(tmp_path / "learn.toml"), "--workers", "1", "--output", str(tmp_path)]
    assert main(["learn", *asked]) == 0
    assert main(["explore", str(tmp_path / "learn"), "--updates", "2"]) == 0
    index, parts = read_page(tmp_path / "learn" / "explore.html")
    assert [one["method"] for one in index["series"]] == ["SRPO", "SCoRe"]
    assert {one["seed"] for one in index["series"]} == {0}
    assert set(index["columns"]["update"]) == {1, 4}
    assert any("Conservative" in note for note in index["notes"])
    for visit in (visit for part in parts for visit in part):
        assert visit["graph"]["nodes"]
        assert len(visit["rollouts"]) >= 8
    # Records that this code does not give are not explained by it.
    table = tmp_path / "learn" / "curves.jsonl"
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    changed = [{**row, "value": row["value"] + (row["update"] == 2) * 1e-9} for row in rows]
    Run.open(
        tmp_path, "learn", json.loads((tmp_path / "learn" / "run.json").read_text())["config"], 0
    ).write("curves", changed)
    assert main(["explore", str(tmp_path / "learn")]) == 2
    assert "run learn again" in " ".join(capsys.readouterr().err.split())


def test_updates_are_spread_from_the_first_to_the_last() -> None:
    assert shown_updates(80, 6) == [1, 17, 33, 48, 64, 80]
    assert shown_updates(3, 6) == [1, 2, 3]
    assert shown_updates(1, 6) == [1]
    assert shown_updates(9, 1) == [1]


def test_a_run_of_evaluate(tmp_path: Path) -> None:
    settings = f"texts = true\n{WORLD}\n[correction]\nrounds = 2\nlocalizers = ['checker']\n"
    (tmp_path / "e.toml").write_text(settings + "stops = ['oracle']\nchains = 1\n")
    asked = ["evaluate", "--config", str(tmp_path / "e.toml"), "--benchmarks", "short"]
    asked += ["--problems", "4", "--attempts.samples", "2", "--workers", "1"]
    assert main([*asked, "--output", str(tmp_path)]) == 0
    assert main(["explore", str(tmp_path / "evaluate")]) == 0
    index, parts = read_page(tmp_path / "evaluate" / "explore.html")
    assert index["columns"]["update"] == [None] * 4
    rounds = 0
    for visit in (visit for part in parts for visit in part):
        kinds = [r["kind"] for r in visit["rollouts"]]
        assert {"greedy 0", "sampled 0", "sampled 1", "checker, oracle 0"} <= set(kinds)
        for r in visit["rollouts"]:
            if r["from"]:
                rounds += 1
                parent, step = r["from"]
                (said,) = visit["rollouts"][parent]["named"]
                assert said["step"] == step  # the checker was believed
    assert rounds


def test_a_run_of_localize_shows_what_people_marked(tmp_path: Path, capsys: Any) -> None:
    marked = str(DATA / "mistakes.jsonl")
    asked = ["localize", "--traces", marked, "--workers", "1", "--output", str(tmp_path)]
    assert main(asked) == 0
    record = Run.existing(tmp_path, "localize")
    answer = {"told": False, "step": 1, "reason": None}
    refusal = {"told": False, "step": None, "reason": "unparsable"}
    rows = [row | {"said": {"one": answer, "other": refusal}} for row in record.read("answers")]
    record.write("answers", rows)
    assert main(["explore", str(tmp_path / "localize")]) == 0
    index, parts = read_page(tmp_path / "localize" / "explore.html")
    (traces,) = parts
    assert [trace["rollouts"][0]["human"] for trace in traces] == [None, 1, 0]
    assert index["series"][0]["world"] == "BIG-Bench Mistake"
    assert traces[0]["rollouts"][0]["named"] == [
        {"by": "one", "step": 1, "localizes": True},
        {"by": "other", "step": None, "localizes": True, "reason": "unparsable"},
    ]
    # Where no step is wrong, and where the first one is, step 1 is not it.
    assert [bool(flags & MISLOCATED) for flags in index["columns"]["flags"]] == [True, False, True]
    assert traces[1]["rollouts"][0]["texts"][1] == "5 - 7 = 12."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to look into"),
        (["/no/such/run"], "holds no run"),
        (["a", "--most", "0"], "most"),
        (
            ["a", "--output", "x.txt"],
            "called like a file, and a folder is written; end it",
        ),
    ],
)
def test_what_cannot_be_shown_is_said(arguments: list[str], said: str, capsys: Any) -> None:
    assert main(["explore", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_run_of_another_command_is_refused(tmp_path: Path, capsys: Any) -> None:
    from experiments.verify.config import VerifyConfig

    for name in ("one", "two"):
        Run.open(tmp_path, name, VerifyConfig(), 0).write("t", [{"a": 1}])
    assert main(["explore", str(tmp_path / "one")]) == 2
    assert "keeps no rollouts" in " ".join(capsys.readouterr().err.split())
    assert main(["explore", str(tmp_path / "one"), "/no/such/run"]) == 2
    both = [str(tmp_path / "one"), str(tmp_path / "two"), "--output", "x.html"]
    assert main(["explore", *both]) == 2
    assert "one place for several pages" in " ".join(capsys.readouterr().err.split())


def test_a_folder_of_runs_names_those_that_can_be_opened(tmp_path: Path, capsys: Any) -> None:
    stored(tmp_path, {"type": "VerifyConfig"}, "bounds")
    assert main(["explore", str(tmp_path)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is a folder of 1 run, none of a command that keeps rollouts" in said
    stored(tmp_path, {"type": "LearnConfig"}, "curved")
    stored(tmp_path, {"type": "TrainConfig"}, "taught")
    assert main(["explore", str(tmp_path)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "it holds curved (learn), taught (train); the others keep no rollouts: 1 of 3" in said
    assert f"open one: cpi-resets explore {tmp_path / 'curved'}" in said


def stored(root: Path, config: dict[str, Any], name: str = "run", table: str = "scores") -> Path:
    Run.open(root, name, config, 0).write(table, [{"a": 1}])
    return root / name


TRAIN: dict[str, Any] = {"type": "TrainConfig", "checkpoint_every": 10}
MARKED: dict[str, Any] = {"type": "LocalizeConfig", "traces": ["/no/such/marked.jsonl"]}


@pytest.mark.parametrize(
    ("config", "table", "said"),
    [
        (
            TRAIN | {"rollouts": {"seeds": 0}},
            "curves",
            "kept no rollouts, as its settings say (rollouts.seeds = 0); train with --rollouts",
        ),
        (
            TRAIN | {"checkpoint_every": 0},
            "curves",
            "kept no rollouts, as its settings say (checkpoint_every = 0: no models either); train "
            "with --checkpoint-every 10",
        ),
        (TRAIN, "curves", "run/models is not there: deleted, never copied"),
        (
            {"type": "EvaluateConfig"},
            "models",
            "kept no texts, as its settings say (texts = false); run evaluate with --texts",
        ),
        (
            {"type": "EvaluateConfig", "texts": True},
            "models",
            "has no attempts.jsonl: not finished yet, deleted, or never copied; copy it there",
        ),
        (
            {"type": "LocalizeConfig", "traces": []},
            "scores",
            "is about rollouts of a model, of which localize keeps no texts; give a run",
        ),
        (
            MARKED,
            "answers",
            "shows traces from files, which it does not hold itself; not there: "
            "/no/such/marked.jsonl; put it where",
        ),
        (MARKED | {"traces": [str(DATA / "mistakes.jsonl")]}, "scores", "has no answers.jsonl"),
        ({"type": "LearnConfig"}, "pairs", "has no curves.jsonl"),
        (
            {"type": "VerifyConfig"},
            "summary",
            "is a run of verify, a command that keeps no rollouts; give a run of train",
        ),
    ],
)
def test_each_case_of_rollouts_that_are_not_there_has_its_remedy(
    config: dict[str, Any], table: str, said: str, tmp_path: Path, capsys: Any
) -> None:
    path = stored(tmp_path, config, table=table)
    assert main(["explore", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"error: runs = {path}: " in error
    assert said in " ".join(error.split())


def test_a_training_that_has_not_begun_or_lost_its_files_says_so(
    tmp_path: Path, capsys: Any
) -> None:
    path = stored(tmp_path, TRAIN, table="curves")
    (path / "models" / "short-SRPO-0").mkdir(parents=True)
    (path / "models" / "short-SRPO-0" / "made-by.json").write_text("{}")
    assert main(["explore", str(path)]) == 2
    assert "run/models/*/rollouts is not there" in " ".join(capsys.readouterr().err.split())
    (path / "curves.jsonl").unlink()
    assert main(["explore", str(path)]) == 2
    assert "no table of it is finished; wait for" in " ".join(capsys.readouterr().err.split())


def test_traces_that_are_still_there_are_shown(tmp_path: Path, capsys: Any) -> None:
    marked = str(DATA / "mistakes.jsonl")
    assert main(["localize", "--traces", marked, "--workers", "1", "--output", str(tmp_path)]) == 0
    path = tmp_path / "localize" / "run.json"
    about = json.loads(path.read_text())
    about["config"]["traces"].append("/no/such/file.jsonl")
    path.write_text(json.dumps(about))
    capsys.readouterr()
    assert main(["explore", str(tmp_path / "localize")]) == 0
    said = capsys.readouterr().out
    assert "left out traces /no/such/file.jsonl is not there" in said
    assert "3 rollouts of 3 prompts: " in said


def test_a_page_may_lie_in_a_folder_that_is_called_like_a_file(tmp_path: Path) -> None:
    marked = str(DATA / "mistakes.jsonl")
    assert main(["localize", "--traces", marked, "--workers", "1", "--output", str(tmp_path)]) == 0
    (tmp_path / "x.txt").mkdir()
    asked = ["explore", str(tmp_path / "localize"), "--output", str(tmp_path / "x.txt")]
    assert main(asked) == 0
    assert (tmp_path / "x.txt" / "explore.html").is_file()
