"""Both engines give the same records, and an interrupted run goes on to the same ones."""

from __future__ import annotations

import dataclasses
import importlib.util
import json

import pytest
import torch
from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.execution.settings import Execution
from experiments.runs import claims
from experiments.runs.store import Run
from experiments.train import training
from experiments.train.command import run
from experiments.train.config import TrainConfig
from experiments.train.engines import training_curve
from experiments.train.spec import Checkpoints, TrlOptions
from experiments.train.training import Training
from llm.models.load import load_model
from llm.models.settings import LoraSettings, ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.sampling.transformers.sampler import TransformersSampler
from llm.sampling.transformers.slots import SlotStream
from llm.training.settings import LossSettings, OptimizerSettings
from tests.experiments.train.test_command import BUDGET, SHORT, spec, without_seconds

torch.set_num_threads(1)
ENGINES = ("lean", "trl")
LONGER = dataclasses.replace(BUDGET, updates=4, every=2)


@pytest.mark.parametrize(
    "method", ["GRPO", "SRPO", "VinePPO", "SCoRe", "Critique-GRPO", "R3", "Adaptive Frontier"]
)
def test_both_engines_give_the_same_curve(method):
    lean, trl = (training_curve(spec(method, engine=engine)) for engine in ENGINES)
    for a, b in zip(lean, trl, strict=True):
        for field in ("loss", "gradient_norm"):
            assert a.pop(field, 0.0) == pytest.approx(b.pop(field, 0.0), rel=1e-3, abs=1e-6)
    assert without_seconds(lean) == without_seconds(trl)
    assert any(row["informative"] for row in lean)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sampler_in_half_the_precision_is_corrected_and_reported(engine, tmp_path):
    half = SamplerSettings(precision="bfloat16")
    held = {"engine": engine, "sampler": half, "loss": LossSettings("corrected")}
    checkpoints = Checkpoints(tmp_path, every=1)
    rows = training_curve(spec("GRPO", **held), checkpoints)
    assert any(row["informative"] for row in rows)
    lines = next(tmp_path.rglob("log.jsonl")).read_text().splitlines()
    log = [json.loads(line) for line in lines]
    gaps = [line["logprob_gap"] for line in log if "logprob_gap" in line]
    assert gaps
    assert all(1e-4 < gap < 0.1 for gap in gaps)


def test_a_budget_of_tokens_ends_a_run_and_its_records():
    whole = training_curve(spec("GRPO", budget=LONGER))
    enough = dataclasses.replace(LONGER, updates=50, every=50, tokens=whole[1]["tokens"] + 1)
    held = spec("GRPO", budget=enough)
    rows = training_curve(held)
    # The third update is the last: it began below the budget and ended above it.
    assert [row["update"] for row in rows] == [0, 3]
    assert whole[1]["tokens"] < enough.tokens <= rows[-1]["tokens"]
    assert rows[-1]["greedy"] is not None
    with pytest.raises(InvalidInput, match=r"budget\.tokens.*TRL counts updates alone"):
        spec("GRPO", budget=enough, engine="trl")


@pytest.mark.parametrize("loss", ["unclipped", "clipped"])
def test_a_sampler_of_another_law_that_nothing_corrects_is_refused(loss):
    half, autocast = SamplerSettings(precision="bfloat16"), OptimizerSettings(precision="autocast")
    with pytest.raises(InvalidInput, match=r"sampler\.precision.*corrected"):
        spec("GRPO", sampler=half, loss=LossSettings(loss), optimizer=autocast)
    spec("GRPO", sampler=half, loss=LossSettings("clipped"))


def test_both_engines_give_the_same_curve_with_a_kl_term():
    loss = LossSettings("clipped", kl=0.5)
    optimizer = OptimizerSettings(rate=1e-3, epochs=2)
    held = {"loss": loss, "optimizer": optimizer}
    lean, trl = (training_curve(spec("SRPO", engine=engine, **held)) for engine in ENGINES)
    for a, b in zip(lean, trl, strict=True):
        for field in ("loss", "gradient_norm"):
            assert a.pop(field, 0.0) == pytest.approx(b.pop(field, 0.0), rel=1e-3, abs=1e-6)
    assert without_seconds(lean) == without_seconds(trl)
    free = training_curve(spec("SRPO", loss=LossSettings("clipped"), optimizer=optimizer))
    # Every row has a gradient, twice, and the start model has read it once.
    assert lean[-1]["forward_tokens"] > free[-1]["forward_tokens"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_streams_has_the_curve_of_lock_step(monkeypatch, engine):
    streams, begin = [], TransformersSampler.stream
    monkeypatch.setattr(
        TransformersSampler, "stream", lambda self: streams.append(begin(self)) or streams[-1]
    )
    expected = training_curve(spec("SRPO", engine=engine))
    assert not streams
    found = training_curve(spec("SRPO", engine=engine, sampler=SamplerSettings(streaming=True)))
    assert [type(one) for one in streams] == [SlotStream] * BUDGET.updates
    for a, b in zip(found, expected, strict=True):
        for field in ("loss", "gradient_norm"):
            assert a.pop(field, 0.0) == pytest.approx(b.pop(field, 0.0), rel=1e-3, abs=1e-6)
    # Suffixes and localisations go on from what was read of their rollouts.
    for a, b in zip(found[1:], expected[1:], strict=True):
        assert a.pop("forward_tokens") < b.pop("forward_tokens")
    assert without_seconds(found) == without_seconds(expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_with_adapters_hangs_on_its_seed_alone(tmp_path, engine):
    """Their first weights, dropout, and whatever else an engine draws."""
    lora = LoraSettings(4, 8, dropout=0.3)
    model = dataclasses.replace(spec().model, lora=lora)

    def trained(folder, seed, before):
        torch.manual_seed(before)  # what else draws random numbers is no matter
        one = spec("GRPO", seed, engine=engine, model=model)
        rows = without_seconds(training_curve(one, Checkpoints(tmp_path / folder, 3)))
        file = tmp_path / folder / f"short-GRPO-{seed}" / "last" / "adapter_model.safetensors"
        return rows, file.read_bytes()

    first, again = trained("first", 0, 1), trained("again", 0, 2)
    assert first == again
    assert first[0][-1]["gradient_norm"] > 0
    rows, adapters = trained("other", 1, 1)
    assert rows != first[0]
    assert adapters != first[1]


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", ["SRPO", "Adaptive Frontier"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_run_goes_on_to_the_same_records(tmp_path, monkeypatch, engine, method):
    """What an algorithm has concluded so far goes on with it: it is in the records."""
    one = spec(method, engine=engine, budget=LONGER)
    whole = training_curve(one)
    assert ("believed" in whole[-1]) == (method == "Adaptive Frontier")
    checkpoints = Checkpoints(tmp_path, 2)
    learned = Training.learned

    def killed(self, update, *rest):
        learned(self, update, *rest)
        if update == 3:
            raise Killed

    monkeypatch.setattr(training.Training, "learned", killed)
    with pytest.raises(Killed):
        training_curve(one, checkpoints)
    updates = []

    def counted(self, update, *rest):
        updates.append(update)
        learned(self, update, *rest)

    monkeypatch.setattr(training.Training, "learned", counted)
    assert without_seconds(training_curve(one, checkpoints)) == without_seconds(whole)
    assert updates == [3, 4]
    assert without_seconds(training_curve(one, checkpoints)) == without_seconds(whole)
    assert updates == [3, 4]
    text = (checkpoints.of(one) / "log.jsonl").read_text()
    log = [json.loads(line) for line in text.splitlines()]
    assert [line["update"] for line in log] == [1, 2, 3, 4]  # the third was killed before its line
    assert log[-1]["tokens"] == whole[-1]["tokens"]
    assert log[-1]["seconds_left"] == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("last", [1, 3])
def test_a_resumed_run_logs_every_update_once(tmp_path, monkeypatch, engine, last):
    """Killed before the first checkpoint, and after an update behind it."""
    one, checkpoints = spec(engine=engine, budget=LONGER), Checkpoints(tmp_path, 2)
    log = training.Curve._log

    def killed(self, collection):
        log(self, collection)
        if self.training.update == last:
            with open(self.folder / "log.jsonl", "a") as file:
                file.write('{"update": 4, "rew')  # a line that the kill cuts off
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training.Curve, "_log", killed)
        with pytest.raises(Killed):
            training_curve(one, checkpoints)
    training_curve(one, checkpoints)
    lines = (checkpoints.of(one) / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("engine", ENGINES)
def test_best_and_last_models_can_be_loaded(tmp_path, monkeypatch, engine):
    # Pass rates and mean rewards by script: the best is that after update 2 of 4, with as many
    # passes as 1 and more reward; 3 has most of the reward.
    scores = {0: (0.9, 0.9), 1: (0.6, 0.6), 2: (0.6, 0.7), 3: (0.5, 0.8), 4: (0.6, 0.7)}
    kept = {}

    def scripted(self, problems, sampling):
        kept[self.update] = {n: w.clone() for n, w in self.model.state_dict().items()}
        return scores[self.update]

    monkeypatch.setattr(Training, "_scores", scripted)
    one = spec(engine=engine, budget=dataclasses.replace(LONGER, every=1))
    training_curve(one, Checkpoints(tmp_path, 3))
    for name, update in (("best", 2), ("last", 4)):
        model, _ = load_model(ModelSettings(str(tmp_path / "short-SRPO-0" / name)))
        for key, weight in model.state_dict().items():
            assert torch.equal(weight, kept[update][key])
    assert not torch.equal(kept[4]["lm_head.weight"], kept[2]["lm_head.weight"])


LEFT = {"best", "last", "finished.json", "log.jsonl", "made-by.json"}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_has_ended_leaves_two_models_and_its_records(tmp_path, monkeypatch, engine):
    one, checkpoints = spec(engine=engine, budget=LONGER), Checkpoints(tmp_path, 1)
    folder, stored = checkpoints.of(one), []
    point = training.Curve.point

    def looked_at(self, collection):
        stored.append({path.name for path in folder.iterdir()} - LEFT)
        point(self, collection)

    monkeypatch.setattr(training.Curve, "point", looked_at)
    rows = training_curve(one, checkpoints)
    names = ["state.pt"] * 3 if engine == "lean" else [f"checkpoint-{i}" for i in (1, 2, 3)]
    assert stored == [set(), *({name} for name in names)]
    assert {path.name for path in folder.iterdir()} == LEFT
    # Killed between the last model and the end of the clean-up.
    (folder / "state.pt").touch()
    (folder / "checkpoint-4").mkdir()
    assert training_curve(one, checkpoints) == rows
    assert len(stored) == 4
    assert {path.name for path in folder.iterdir()} == LEFT


def test_a_run_is_stored_unless_told_otherwise(tmp_path):
    for name, changes, left in (
        ("default", {}, ["short-SRPO-0", "short-SRPO-1"]),
        ("none", {"checkpoint_every": 0}, []),
    ):
        assert run(config(name=name, **changes), tmp_path, Execution(1), Console(quiet=True)) == 0
        models = Run.existing(tmp_path, name).directory / "models"
        assert sorted(path.name for path in models.glob("*")) == left


def test_checkpoints_that_nobody_asked_for_make_room_for_those_of_other_code(tmp_path, monkeypatch):
    folder = Checkpoints(tmp_path, 2).of(spec())
    (folder / "state.pt").write_bytes(b"of other code")
    monkeypatch.setattr(claims, "code_digest", lambda: "other")
    with pytest.raises(InvalidInput, match="other settings, data or code"):
        Checkpoints(tmp_path, 2).of(spec())
    Checkpoints(tmp_path, 2, replace=True).of(spec())
    assert [path.name for path in folder.iterdir()] == ["made-by.json"]


def test_checkpoints_of_other_settings_are_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path, 2)
    folder = checkpoints.of(spec())
    assert checkpoints.of(spec()) == folder
    assert checkpoints.of(spec(seed=1)) != folder
    with pytest.raises(InvalidInput, match=r"short-SRPO-0.*other settings"):
        checkpoints.of(spec(budget=LONGER))


def config(**changes):
    options = {"worlds": ("short",), "methods": ("SRPO",), "budget": BUDGET, "resamples": 20}
    return TrainConfig(**options | changes, more=(SHORT,))


def test_the_command_trains_with_trl_and_keeps_models(tmp_path):
    whole = config(engine="trl", checkpoint_every=2)
    assert run(whole, tmp_path, Execution(workers=1), Console(quiet=True)) == 0
    record = Run.existing(tmp_path, "train")
    curves = record.read("curves")
    assert [row["point"] for row in curves] == [0, 1, 2] * 2
    models = record.directory / "models"
    for seed in range(2):
        assert (models / f"short-SRPO-{seed}" / "last" / "model.safetensors").is_file()
    made = json.loads((record.directory / "run.json").read_text())
    assert "checkpoint_every" in json.dumps(made)


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is there")
def test_a_tracker_that_is_not_installed_is_refused():
    with pytest.raises(InvalidInput, match=r"trl\.trackers = 'wandb'.*pip install wandb"):
        config(trl=TrlOptions(trackers=("tensorboard", "wandb")))


def test_checkpoints_on_a_cluster_are_refused(tmp_path):
    execution = Execution(cluster="tcp://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="checkpoint_every = 2"):
        run(config(checkpoint_every=2), tmp_path, execution, Console(quiet=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_bfloat16_needs_a_gpu():
    with pytest.raises(InvalidInput, match="bf16"):
        training_curve(spec(engine="trl", trl=TrlOptions(bf16=True)))


def test_a_damaged_checkpoint_is_a_clear_error(tmp_path):
    checkpoints = Checkpoints(tmp_path, 2)
    (checkpoints.of(spec()) / "state.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InvalidInput, match=r"state\.pt.*cannot be read.*delete it"):
        training_curve(spec(), checkpoints)


def test_a_state_with_the_names_of_older_checkpoints_is_read():
    training = Training(spec())
    training.advance()
    state = json.loads(json.dumps(training.state()))
    usage = state["usage"]
    usage["finishes"] = usage.pop("endings")
    other = Training(spec())
    other.restore(state)
    assert other.simulator.usage == training.simulator.usage
    assert other.simulator.usage.endings
