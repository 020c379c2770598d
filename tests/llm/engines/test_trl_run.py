"""Runs of the TRL engine: the lean loop's updates, problems by number, and going on."""

from __future__ import annotations

import pytest
import torch

from cpi_theory import GRPO, RRPO, Key
from cpi_theory.algorithms.collecting import collect
from cpi_theory.checks import InvalidInput
from llm.engines.lean import LeanTrainer, TrainingDiverged
from llm.engines.trl.checks import last_checkpoint
from llm.engines.trl.run import train_with_trl
from llm.engines.trl.settings import TrlSettings
from llm.models.load import prepare
from llm.models.settings import LoraSettings, ModelSettings
from llm.training.rows import training_rows
from llm.training.settings import LossSettings, OptimizerSettings
from tests.llm.lengths import simulator
from tests.llm.rows import relative, weights

torch.set_num_threads(1)
KEY = Key.of(5)
OPTIMIZER = OptimizerSettings(rate=3e-3, warm_up=2, micro_batch=6)
RESETS = RRPO(base=4, suffix=2, on_refusal="fresh")


class Diary:
    """Writes down what it is told, and is stored with checkpoints."""

    def __init__(self, stop_after=None):
        self.entries, self.stop_after = [], stop_after

    def __call__(self, number, collection, report):
        rewards = [r.reward for group in collection for r in group.rollouts]
        self.entries.append([number, sum(rewards), report.loss, report.gradient_norm, report.rows])
        if number == self.stop_after:
            raise KeyboardInterrupt

    def state(self):
        return {"entries": self.entries}

    def restore(self, state):
        self.entries = state["entries"]


def problems_of(task, count=3):
    return lambda number: task.problems("train", count, number)


def run(
    folder,
    world=None,
    algorithm=RESETS,
    loss=LossSettings(),
    optimizer=OPTIMIZER,
    diary=None,
    problems=3,
    resume=True,
    **options,
):
    """Train; returns the report, the world and the diary."""
    world, diary = world or simulator(), Diary() if diary is None else diary
    settings = TrlSettings(**{"updates": 3, "prompts": 3, "quiet": True} | options)
    report = train_with_trl(
        world.sampler.model,
        algorithm,
        world,
        problems_of(world.task, problems),
        KEY,
        optimizer,
        loss,
        settings,
        folder,
        diary,
        diary,
        resume,
    )
    return report, world, diary


def lean(algorithm=RESETS, loss=LossSettings(), optimizer=OPTIMIZER, updates=3, world=None):
    """The same in the lean loop."""
    world, diary = world or simulator(), Diary()
    trainer = LeanTrainer(world.sampler.model, optimizer, loss)
    problems = problems_of(world.task)
    for number in range(1, updates + 1):
        starts = world.start_states(problems(number))
        collection = collect(algorithm, world, starts, KEY.child("collect", number))
        diary(number, collection, trainer.step(training_rows(collection)))
    return world, diary


@pytest.mark.parametrize("kind", ["unclipped", "corrected", "clipped"])
@pytest.mark.parametrize("algorithm", [GRPO(6), RESETS], ids=["grpo", "resets"])
def test_a_run_is_that_of_the_lean_loop(tmp_path, kind, algorithm):
    loss = LossSettings(kind)
    report, world, diary = run(tmp_path, algorithm=algorithm, loss=loss)
    other, expected = lean(algorithm, loss)
    assert relative(weights(world.sampler.model), weights(other.sampler.model)) < 1e-5
    for found, wanted in zip(diary.entries, expected.entries, strict=True):
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert (report.began, report.updates, report.checkpoint) == (0, 3, None)
    assert report.last.rows == diary.entries[-1][-1]


def trained(world):
    """What of a world's model is trained."""
    model = world.sampler.model
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("world", [simulator, lambda: adapted(0.0, False)], ids=["all", "lora"])
def test_a_run_with_a_kl_term_is_that_of_the_lean_loop(tmp_path, world):
    loss = LossSettings("clipped", kl=2.0)
    optimizer = OptimizerSettings(rate=3e-3, minibatches=3, epochs=2, micro_batch=5)
    _, ours, diary = run(tmp_path, loss=loss, world=world(), optimizer=optimizer, updates=12)
    other, expected = lean(loss=loss, world=world(), optimizer=optimizer, updates=2)
    assert relative(trained(ours), trained(other)) < 1e-5
    for found, wanted in zip(diary.entries, expected.entries, strict=True):
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    free, _ = lean(world=world(), optimizer=optimizer, updates=2, loss=LossSettings("clipped"))
    gone = [(trained(w) - trained(world())).norm() for w in (other, free)]
    assert gone[0] < gone[1]  # the term holds the model back


def test_rows_that_fill_up_have_no_kl_term(tmp_path):
    loss = LossSettings(kl=2.0)
    _, world, _ = run(tmp_path, algorithm=Dropping(6), loss=loss)
    other, _ = lean(Dropping(6), loss)
    assert relative(weights(world.sampler.model), weights(other.sampler.model)) < 1e-5


def test_a_resumed_run_keeps_its_start_model(tmp_path):
    loss = LossSettings(kl=2.0)
    _, whole, expected = run(tmp_path / "whole", loss=loss, updates=4)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", loss=loss, updates=4, save_every=2, diary=Diary(stop_after=3))
    _, resumed, diary = run(tmp_path / "cut", loss=loss, updates=4, save_every=2)
    assert torch.equal(weights(resumed.sampler.model), weights(whole.sampler.model))
    assert diary.entries == expected.entries


class Dropping(GRPO):
    """Loses the third group, as resets do where nothing fails."""

    def plan(self, prompt, key):
        groups = yield from super().plan(prompt, key)
        return groups if prompt.id < 2 else []


def test_rows_that_are_missing_count_for_nothing(tmp_path):
    _, world, diary = run(tmp_path, algorithm=Dropping(6))
    other, expected = lean(Dropping(6))
    assert [rows for *_, rows in diary.entries] == [12] * 3  # of 18
    assert relative(weights(world.sampler.model), weights(other.sampler.model)) < 1e-5
    for found, wanted in zip(diary.entries, expected.entries, strict=True):
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)


def test_updates_from_minibatches_of_a_collection_are_those_of_the_lean_loop(tmp_path):
    loss = LossSettings("clipped", "sequence-mean")
    optimizer = OptimizerSettings(rate=3e-3, minibatches=3, epochs=2, micro_batch=4)
    _, world, diary = run(tmp_path, optimizer=optimizer, loss=loss, updates=12)
    other, expected = lean(RESETS, loss, optimizer, updates=2)
    assert relative(weights(world.sampler.model), weights(other.sampler.model)) < 1e-5
    for found, wanted in zip(diary.entries, expected.entries, strict=True):
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)


def test_a_run_leaves_the_forward_pass_as_it_was(tmp_path):
    world = simulator()
    run(tmp_path, world, updates=1)
    assert "forward" not in vars(world.sampler.model)


def adapted(dropout=0.2, checkpointing=True):
    lora = LoraSettings(4, 8, dropout=dropout)
    settings = ModelSettings("tiny", lora=lora, checkpointing=checkpointing)
    return simulator(prepared=lambda model: prepare(model, settings))


def adapters(world):
    trained = [p for p in world.sampler.model.parameters() if p.requires_grad]
    return torch.cat([p.detach().flatten() for p in trained])


def test_adapters_alone_learn_whether_or_not_activations_are_kept(tmp_path):
    before = dict(adapted(0.0).sampler.model.named_parameters())
    _, saving, _ = run(tmp_path, adapted(0.0))
    _, keeping, _ = run(tmp_path, adapted(0.0, checkpointing=False))
    other, _ = lean(world=adapted(0.0))
    after = dict(saving.sampler.model.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if "lora_" in name}
    for world in (keeping, other):
        assert relative(adapters(saving), adapters(world)) < 1e-5
    assert relative(adapters(saving), adapters(adapted(0.0))) > 1e-3


@pytest.mark.parametrize("world", [simulator, adapted], ids=["all", "lora"])
def test_a_run_that_was_killed_goes_on_as_if_nothing_had_been(tmp_path, world):
    options = {"updates": 5, "save_every": 2}
    _, model, diary = run(tmp_path / "whole", world(), **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", world(), diary=Diary(stop_after=3), **options)
    (tmp_path / "cut" / "checkpoint-4").mkdir()  # cut off while it was being saved
    report, again, resumed = run(tmp_path / "cut", world(), **options)
    assert report.began == 2
    assert report.checkpoint.name == "checkpoint-5"
    assert resumed.entries == diary.entries
    assert torch.equal(weights(again.sampler.model), weights(model.sampler.model))


def test_a_finished_run_is_only_loaded(tmp_path):
    _, world, diary = run(tmp_path, save_every=1)
    report, again, resumed = run(tmp_path, save_every=1)
    assert (report.began, report.last) == (3, None)
    assert resumed.entries == diary.entries
    assert torch.equal(weights(again.sampler.model), weights(world.sampler.model))


def test_a_run_state_under_its_older_name_is_read(tmp_path):
    _, _, diary = run(tmp_path, updates=1, save_every=1)
    checkpoint = last_checkpoint(tmp_path)
    (checkpoint / "run_state.json").rename(checkpoint / "companion.json")
    _, _, resumed = run(tmp_path, updates=1, save_every=1)
    assert resumed.entries == diary.entries
    (checkpoint / "companion.json").unlink()
    with pytest.raises(InvalidInput, match=r"holds no run_state\.json"):
        run(tmp_path, updates=1, save_every=1)


def test_checkpoints_in_the_way_are_refused(tmp_path):
    run(tmp_path, updates=1, save_every=1)
    with pytest.raises(InvalidInput, match="checkpoint-1"):
        run(tmp_path, resume=False)


def test_divergence_leaves_a_checkpoint_to_go_on_from(tmp_path):
    world = simulator()

    class Poison(Diary):
        def __call__(self, number, collection, report):
            super().__call__(number, collection, report)
            if number == 2:
                world.sampler.model.lm_head.weight.register_hook(
                    lambda gradient: gradient * torch.nan
                )

    with pytest.raises(TrainingDiverged, match="update 3"):
        run(tmp_path, world, diary=Poison(), save_every=1)
    assert torch.isfinite(weights(world.sampler.model)).all()
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    report, again, _ = run(tmp_path, save_every=1)
    assert report.began == 2
    assert relative(weights(again.sampler.model), weights(lean()[0].sampler.model)) < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"problems": 4}, "prompts = 3: collection 1 has 4 problems"),
        ({"problems": 0}, "prompts = 3: collection 1 has 0 problems"),
        (
            {"optimizer": OptimizerSettings(epochs=2), "loss": LossSettings("clipped")},
            "updates = 3: a collection is learned from in 2",
        ),
        (
            {"optimizer": OptimizerSettings(minibatches=2), "updates": 4},
            "minibatches = 2: 3 prompts",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, message):
    with pytest.raises(InvalidInput, match=message):
        run(tmp_path, **options)
