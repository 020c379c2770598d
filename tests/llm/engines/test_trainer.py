"""The TRL engine: its updates are those of the lean loop, and runs survive what may befall them."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from trl import GRPOTrainer

from cpi_theory import GRPO, RRPO, SRPO, CritiqueGRPO, Key, SCoRe
from cpi_theory.algorithms.collecting import collect
from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Group
from llm.engines.lean import LeanTrainer, TrainingDiverged
from llm.engines.trl.checks import last_checkpoint
from llm.engines.trl.settings import TrlSettings, trl_config
from llm.engines.trl.trainer import SimulatorTrainer, batch_indices
from llm.models.load import prepare
from llm.models.settings import LoraSettings, ModelSettings
from llm.training import sharing
from llm.training.rows import training_rows
from llm.training.settings import LossSettings, OptimizerSettings
from llm.training.shared_prefixes import tree_of
from tests.llm.engines import trl_processes
from tests.llm.families import family_model
from tests.llm.lengths import simulator
from tests.llm.rows import relative, weights

torch.set_num_threads(1)
KEY = Key.of(11)
OPTIMIZER = OptimizerSettings(rate=3e-3, warm_up=2, micro_batch=6)
SEQUENCE = LossSettings(aggregation="sequence-mean")
RESETS = RRPO(base=4, suffix=2, on_refusal="fresh")


def trainer(
    folder,
    algorithm=RESETS,
    loss=SEQUENCE,
    optimizer=OPTIMIZER,
    world=None,
    problems=6,
    held_out=0,
    key=KEY,
    kind=SimulatorTrainer,
    **options,
):
    world = simulator() if world is None else world
    settings = TrlSettings(**{"updates": 1, "prompts": 3, "quiet": True} | options)
    return kind(
        world.sampler.model,
        algorithm,
        world,
        world.task.problems("train", problems, 0),
        trl_config(settings, optimizer, algorithm, folder),
        optimizer,
        loss,
        key,
        world.task.problems("test", held_out, 0),
    )


class Watched(SimulatorTrainer):
    """Remembers which problems it collected for."""

    def _collect(self, places):
        self.seen = [*getattr(self, "seen", []), places]
        return super()._collect(places)


def start():
    return weights(simulator().sampler.model)


def curve(trained):
    """What was logged, without the clock."""
    clock = ("runtime", "per_second", "step_time", "epoch")
    return [
        {k: v for k, v in entry.items() if not any(c in k for c in clock)}
        for entry in trained.state.log_history
        if "train_runtime" not in entry
    ]


def lean_update(trained, world, algorithm, loss):
    """What the lean loop makes of the problems of TRL's first collection, and the rows of that."""
    problems = world.task.problems("train", 6, 0)
    (places,) = trained.seen
    starts = world.start_states([problems[i] for i in places])
    collection = collect(algorithm, world, starts, KEY.child("collect", 0), places)
    rows = training_rows(collection)
    return LeanTrainer(world.sampler.model, OPTIMIZER, loss).step(rows), rows


EACH_LOSS = [
    (RESETS, LossSettings(kind, aggregation, constant=100.0))
    for kind in ("unclipped", "corrected", "clipped")
    for aggregation in ("sequence-mean", "token-mean", "constant")
]


@pytest.mark.parametrize(
    ("algorithm", "loss"),
    [*EACH_LOSS, (GRPO(6), SEQUENCE), (SRPO(base=4, suffix=2), LossSettings("clipped"))],
)
def test_an_update_is_the_lean_one(tmp_path, algorithm, loss):
    ours = trainer(tmp_path, algorithm, loss, kind=Watched)
    ours.train()
    world = simulator()
    report, _ = lean_update(ours, world, algorithm, loss)
    assert report.trained_rows >= 4
    lean, trl = weights(world.sampler.model), weights(ours.model)
    assert relative(trl, lean) < 1e-5
    assert relative(trl - start(), lean - start()) < 1e-3
    assert curve(ours)[0]["loss"] == pytest.approx(report.loss, rel=1e-4, abs=1e-6)
    assert curve(ours)[0]["grad_norm"] == pytest.approx(report.gradient_norm, rel=1e-4)


class Revising(type(simulator())):
    """The world of lengths, whose second attempts have the first one in their prompt."""

    def revise(self, rollouts, keys):
        starts = [rollout.start for rollout in rollouts]
        return [
            dataclasses.replace(s, prompt=s.prompt + r.tokens[:3], kept=(), ends=())
            for s, r in zip(starts, rollouts, strict=True)
        ]


def revising():
    world = simulator()
    world.__class__ = Revising
    return world


@pytest.mark.parametrize("way", ["off", "always"])
@pytest.mark.parametrize(
    "algorithm", [SCoRe(3, hold=0.5), SCoRe(3).at(1.0), CritiqueGRPO(4, kept=2)], ids=str
)
def test_second_attempts_are_learned_as_in_the_lean_loop(tmp_path, cheap, algorithm, way):
    """Two updates, so that there is something to hold the model near to."""
    optimizer = dataclasses.replace(OPTIMIZER, shared_prefixes=way)

    class Fixed(Watched):
        def _scheduled(self):
            return self.algorithm

    ours = trainer(
        tmp_path, algorithm, optimizer=optimizer, kind=Fixed, world=revising(), updates=2
    )
    ours.train()
    world = revising()
    lean = LeanTrainer(world.sampler.model, optimizer, SEQUENCE, keep_start=True)
    problems, reports = world.task.problems("train", 6, 0), []
    for number, places in enumerate(ours.seen):
        starts = world.start_states([problems[i] for i in places])
        key = KEY.child("collect", number)
        rows = training_rows(collect(algorithm, world, starts, key, places))
        reports.append(lean.step(rows))
    marked = [row for row in rows if row.kl or row.shaping]
    assert bool(marked) == (algorithm != SCoRe(3).at(1.0))
    assert relative(weights(ours.model) - start(), weights(world.sampler.model) - start()) < 1e-3
    for entry, report in zip(curve(ours), reports, strict=True):
        assert entry["loss"] == pytest.approx(report.loss, rel=1e-3, abs=1e-5)
        assert entry["grad_norm"] == pytest.approx(report.gradient_norm, rel=1e-3)


@pytest.fixture
def cheap(monkeypatch):
    """Short prompts are worth sharing as well."""
    monkeypatch.setattr(sharing, "tree_of", lambda rows, worth=3: tree_of(rows, worth))


@pytest.mark.parametrize(
    ("kind", "kl"), [("unclipped", 0.0), ("corrected", 0.0), ("clipped", 0.0), ("clipped", 0.5)]
)
@pytest.mark.parametrize("epochs", [1, 2])
def test_shared_prefixes_give_the_same_update(tmp_path, cheap, caplog, kind, kl, epochs):
    """In one go for all micro-batches, of which the others have nothing left to do."""

    def trained(way):
        optimizer = dataclasses.replace(OPTIMIZER, shared_prefixes=way, epochs=epochs)
        loss = LossSettings(kind, "sequence-mean", kl=kl)
        ours = trainer(tmp_path / way, RESETS, loss, optimizer, updates=2)
        ours.train()
        return ours

    plain, shared = trained("off"), trained("always")
    assert relative(weights(shared.model) - start(), weights(plain.model) - start()) < 1e-3
    for one, other in zip(curve(shared), curve(plain), strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
    assert shared._shared.spared > 0 == plain._shared.spared
    assert "each row is read by itself" not in caplog.text


def test_autocast_under_trl_is_that_of_the_lean_loop(tmp_path, cheap):
    optimizer = dataclasses.replace(OPTIMIZER, precision="autocast")
    results = []
    for way in ("off", "always"):
        chosen = dataclasses.replace(optimizer, shared_prefixes=way)
        loss = LossSettings("clipped", "sequence-mean")
        ours = trainer(tmp_path / way, RESETS, loss, chosen, kind=Watched)
        ours.train()
        assert 1e-4 < ours.notes["autocast_gradient_error"] < 0.2
        results.append(curve(ours)[0]["grad_norm"])
    assert results[0] == pytest.approx(results[1], rel=0.03)


def of_family(name):
    return simulator(prepared=lambda model: family_model(name, model.config.vocab_size))


@pytest.mark.parametrize("name", ["qwen3_5", "mamba2", "falcon_h1", "rwkv", "gemma2"])
def test_an_update_is_the_lean_one_whatever_the_architecture(tmp_path, name):
    ours = trainer(tmp_path, kind=Watched, world=of_family(name), prompts=6)
    ours.train()
    world = of_family(name)
    report, rows = lean_update(ours, world, RESETS, SEQUENCE)
    assert len({len(row.prompt) for row in rows if row.informative}) > 1  # TRL pads on the left
    assert curve(ours)[0]["loss"] == pytest.approx(report.loss, rel=1e-3, abs=1e-5)
    assert curve(ours)[0]["grad_norm"] == pytest.approx(report.gradient_norm, rel=1e-3)
    assert relative(weights(ours.model), weights(world.sampler.model)) < 1e-3


def test_an_output_layer_that_trl_does_not_know_is_refused(tmp_path):
    """Recurrent Gemma bounds its logits under a name that TRL does not look for."""
    with pytest.raises(InvalidInput, match=r"'recurrent_gemma'.*as TRL works them out.*lean loop"):
        trainer(tmp_path, world=of_family("recurrent_gemma"))


class Plain(SimulatorTrainer):
    """Our rows under TRL's own loss."""

    def _compute_loss(self, model, inputs):
        return GRPOTrainer._compute_loss(self, model, inputs)


def test_the_published_loss_is_that_of_trl_on_policy(tmp_path):
    """TRL's `grpo` loss averages over rows as ours does; RoPE makes it blind to left padding."""
    theirs = trainer(tmp_path, GRPO(6), kind=Plain, more={"loss_type": "grpo"})
    ours = trainer(tmp_path, GRPO(6))
    for each in (theirs, ours):
        each.train()
    assert curve(ours)[0]["grad_norm"] == pytest.approx(curve(theirs)[0]["grad_norm"], rel=1e-4)
    assert relative(weights(ours.model), weights(theirs.model)) < 1e-5
    assert relative(weights(ours.model), start()) > 1e-3


class PlainWithReference(Plain):
    """The start model's log-probabilities under the name that TRL's loss reads."""

    def _outputs(self, rows, real):
        outputs = super()._outputs(rows, real)
        return outputs | {"ref_per_token_logps": outputs.get("reference")}


@pytest.mark.parametrize("weighted", [True, False])
def test_the_kl_term_is_that_of_trl(tmp_path, weighted):
    """Two updates from each batch: in the first, the model still is its own reference."""
    loss = LossSettings("clipped", "sequence-mean", kl=3.0, kl_weighted=weighted)
    two = {"updates": 4, "optimizer": dataclasses.replace(OPTIMIZER, epochs=2)}
    more = {"loss_type": "grpo", "use_bias_correction_kl": weighted}
    theirs = trainer(tmp_path, GRPO(6), loss, kind=PlainWithReference, more=more, **two)
    theirs.beta = loss.kl
    ours = trainer(tmp_path, GRPO(6), loss, **two)
    for each in (theirs, ours):
        each.train()
    norms = [[entry["grad_norm"] for entry in curve(each)] for each in (ours, theirs)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert relative(weights(ours.model) - start(), weights(theirs.model) - start()) < 1e-3
    assert theirs.state.log_history[3]["kl"] > 1e-3


def test_rows_of_a_suffix_keep_their_prefix_in_the_prompt(tmp_path):
    ours = trainer(tmp_path, kind=Watched)
    ours.model.train()
    outputs = ours._generate_and_score_completions([{}] * 18)
    (places,) = ours.seen
    starts = ours.simulator.start_states([ours.problems[i] for i in places])
    collection = collect(RESETS, simulator(), starts, KEY.child("collect", 0), places)
    rows = training_rows(collection)
    assert any(len(row.prompt) > len(starts[0].prompt) for row in rows)
    for i, row in enumerate(rows):
        for name, expected in (("prompt", row.prompt), ("completion", row.completion)):
            mask = outputs[f"{name}_mask"][i].bool()
            assert tuple(outputs[f"{name}_ids"][i][mask].tolist()) == expected
        assert outputs["prompt_mask"][i][-1] == outputs["completion_mask"][i][0] == 1
        sampled = outputs["completion_mask"][i].bool()
        np.testing.assert_array_equal(
            outputs["advantages"][i][sampled], row.advantages.astype(np.float32)
        )
        np.testing.assert_array_equal(outputs["old_per_token_logps"][i][sampled], row.logprobs)


@dataclasses.dataclass(frozen=True)
class Altered(GRPO):
    """GRPO whose groups are tampered with: change(number of the group, group) -> group or None."""

    rollouts: int = 6
    change: object = None
    numbers: object = dataclasses.field(default_factory=itertools.count)

    def plan(self, prompt, key):
        (group,) = yield from GRPO(self.rollouts).plan(prompt, key)
        changed = self.change(next(self.numbers), group)
        return [] if changed is None else [changed]


def tampered(change):
    return Altered(change=change)


def with_advantages(group, advantages):
    return Group.of(group.rollouts, advantages, group.prompt)


SIX = {"more": {"num_generations": 6}}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_missing_advantage_stops_the_run(tmp_path, value):
    def without(i, group):
        return with_advantages(group, [value, *group.advantages[1:]])

    ours = trainer(tmp_path, tampered(without), **SIX)
    with pytest.raises(InvalidInput, match=r"advantages.*not one finite number"):
        ours.train()
    assert torch.equal(weights(ours.model), start())


def test_flipped_advantages_turn_the_update_round(tmp_path):
    def flip(i, group):
        return with_advantages(group, -group.advantages)

    there, back = trainer(tmp_path, GRPO(6)), trainer(tmp_path, tampered(flip), **SIX)
    for each in (there, back):
        each.train()
    steps = [weights(each.model) - start() for each in (there, back)]
    assert float(torch.nn.functional.cosine_similarity(*steps, dim=0)) < -0.99


def test_fewer_rows_are_filled_up_without_effect(tmp_path):
    def first_two(i, group):
        return group if i % 3 < 2 else None

    ours = trainer(tmp_path, tampered(first_two), kind=Watched, **SIX)
    ours.train()
    world = simulator()
    starts = world.start_states([world.task.problems("train", 6, 0)[i] for i in ours.seen[0]])
    collection = collect(GRPO(6), world, starts, KEY.child("collect", 0), ours.seen[0])
    LeanTrainer(world.sampler.model, OPTIMIZER, SEQUENCE).step(training_rows(collection.groups[:2]))
    assert relative(weights(ours.model), weights(world.sampler.model)) < 1e-5


def test_more_rows_than_places_are_refused(tmp_path):
    class Modest(GRPO):
        rows_per_prompt = 3

    ours = trainer(tmp_path, Modest(6))
    with pytest.raises(InvalidInput, match="18 rows for 9 places"):
        ours.train()


def test_updates_without_any_advantage_change_nothing(tmp_path):
    def level(i, group):
        return with_advantages(group, np.zeros(6)) if i >= 3 else group

    altered = tampered(level)
    seen = []

    class Kept(SimulatorTrainer):
        def _collect(self, places):
            seen.append(weights(self.model))
            return super()._collect(places)

    ours = trainer(tmp_path, altered, kind=Kept, updates=3, **SIX)
    ours.train()
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[1], seen[2])
    assert torch.equal(weights(ours.model), seen[1])


def test_several_updates_from_one_batch(tmp_path):
    optimizer = dataclasses.replace(OPTIMIZER, minibatches=3, epochs=2)
    loss = LossSettings("clipped", "token-mean")
    ours = trainer(tmp_path, loss=loss, optimizer=optimizer, kind=Watched, updates=6)
    ours.train()
    assert len(ours.seen) == 1
    assert ours.state.global_step == 6
    rates = [entry["learning_rate"] for entry in curve(ours)]
    np.testing.assert_allclose(rates, [optimizer.rate_at(u) for u in range(6)])


LORA = ModelSettings("tiny", lora=LoraSettings(4, 8, dropout=0.2), checkpointing=True)


def adapted():
    return simulator(prepared=lambda model: prepare(model, LORA))


@pytest.mark.parametrize("world", [simulator, adapted], ids=["all", "lora"])
def test_a_resumed_run_is_the_same_to_the_digit(tmp_path, world):
    options = {"updates": 3, "save_every": 1, "evaluate_every": 1, "held_out": 4, "keep": 3}
    whole = trainer(tmp_path / "whole", world=world(), **options)
    whole.train()
    first = trainer(tmp_path / "cut", world=world(), **options)
    first.train()
    shutil.rmtree(tmp_path / "cut" / "checkpoint-3")  # as if it had been killed before
    saved = last_checkpoint(tmp_path / "cut")
    assert saved.name == "checkpoint-2"
    second = trainer(tmp_path / "cut", world=world(), **options)
    second.train(resume_from_checkpoint=str(saved))
    kept = ("loss", "grad_norm", "reward", "eval_reward", "learning_rate")
    for a, b in zip(curve(whole), curve(second), strict=True):
        assert {k: a.get(k) for k in kept} == {k: b.get(k) for k in kept}
    assert torch.equal(weights(second.model), weights(whole.model))


def test_a_checkpoint_that_was_cut_off_is_not_the_last(tmp_path):
    for number, state in ((2, "{}"), (4, '{"a": '), (10, None)):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path).name == "checkpoint-2"
    assert last_checkpoint(tmp_path / "nothing") is None


def test_divergence_keeps_the_last_good_weights_and_checkpoint(tmp_path):
    class Breaks(SimulatorTrainer):
        def _outputs(self, rows, real):
            outputs = super()._outputs(rows, real)
            if self.state.global_step == 2:
                self.good = weights(self.model)
                outputs["old_per_token_logps"].fill_(float("nan"))
            return outputs

    loss = LossSettings("clipped")
    ours = trainer(tmp_path, loss=loss, kind=Breaks, updates=4, save_every=1)
    with pytest.raises(TrainingDiverged, match="update 3"):
        ours.train()
    assert torch.equal(weights(ours.model), ours.good)
    saved = last_checkpoint(tmp_path)
    assert json.loads((saved / "trainer_state.json").read_text())["global_step"] == 2


def test_a_gradient_that_is_not_finite_stops_the_run_too(tmp_path):
    ours = trainer(tmp_path)
    ours.model.lm_head.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(TrainingDiverged, match="gradient_norm"):
        ours.train()
    assert torch.equal(weights(ours.model), start())


def test_the_best_checkpoint_outlives_newer_ones(tmp_path):
    rewards = iter([0.2, 0.9, 0.4, 0.3])

    class Scored(SimulatorTrainer):
        def log(self, logs, *args, **kwargs):
            if "eval_reward" in logs:
                logs["eval_reward"] = next(rewards)
            super().log(logs, *args, **kwargs)

        def evaluate(self, *args, **kwargs):
            metrics = super().evaluate(*args, **kwargs)
            metrics["eval_reward"] = self.state.log_history[-1]["eval_reward"]
            return metrics

    options = {"save_every": 1, "evaluate_every": 1, "keep": 1, "held_out": 2}
    ours = trainer(tmp_path, kind=Scored, updates=4, **options)
    ours.train()
    names = {path.name for path in tmp_path.glob("checkpoint-*")}
    assert names == {"checkpoint-2", "checkpoint-4"}
    assert ours.state.best_model_checkpoint.endswith("checkpoint-2")


def test_nothing_is_sent_to_trackers_unless_asked(tmp_path):
    for name, trackers in (("quiet", ()), ("told", ("tensorboard",))):
        ours = trainer(tmp_path / name, trackers=trackers)
        ours.train()
        assert bool(list((tmp_path / name).rglob("events.*"))) == bool(trackers)
    entry = curve(ours)[0]
    assert entry["generated_rollouts"] == 18
    assert 0 < entry["informative_groups"] <= 1
    assert entry["generated_tokens"] == ours.simulator.usage.generated


def test_every_pass_shows_every_problem_once():
    turns = [batch_indices(7, 3, number, KEY) for number in range(6)]
    for first, second in zip(turns[::2], turns[1::2], strict=True):
        assert len({*first, *second}) == 6
    assert turns[:2] != turns[2:4] != turns[4:]
    assert turns == [batch_indices(7, 3, number, KEY) for number in range(6)]


def test_the_sampler_must_share_the_model(tmp_path):
    world = simulator()
    world.sampler.model = simulator().sampler.model
    other = simulator()
    with pytest.raises(InvalidInput, match="not the sampler's"):
        SimulatorTrainer(
            other.sampler.model,
            RESETS,
            world,
            world.task.problems("train", 3, 0),
            trl_config(TrlSettings(prompts=3), OPTIMIZER, RESETS, tmp_path),
            OPTIMIZER,
            SEQUENCE,
            KEY,
        )


class Copying:
    """A sampler with a copy of the model, as engines of their own have."""

    def __init__(self, inner):
        self.inner, self.copy, self.syncs = inner, copy.deepcopy(inner.model), 0
        self.eos, self.context, self.work = inner.eos, inner.context, inner.work

    def sync(self, model):
        self.copy.load_state_dict(model.state_dict())
        self.syncs += 1

    def generate(self, requests, sampling):
        trained, self.inner.model = self.inner.model, self.copy
        done = self.inner.generate(requests, sampling)
        self.inner.model = trained
        return done


def test_a_sampler_with_a_copy_is_told_of_every_update(tmp_path):
    whole, world = trainer(tmp_path, updates=3), simulator()
    whole.train()
    model, world.sampler = world.sampler.model, Copying(world.sampler)
    settings = TrlSettings(updates=3, prompts=3, quiet=True)
    args = trl_config(settings, OPTIMIZER, RESETS, tmp_path)
    problems = world.task.problems("train", 6, 0)
    ours = SimulatorTrainer(model, RESETS, world, problems, args, OPTIMIZER, SEQUENCE, KEY)
    ours.train()
    assert world.sampler.syncs == 3
    assert torch.equal(weights(model), weights(whole.model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"problems": 2}, "problems = 2: an update takes 3"),
        ({"loss": LossSettings(temperature=0.7)}, "temperature"),
        ({"more": {"num_generations": 4}}, "num_generations = 4.*up to 6 rows"),
        ({"more": {"generation_batch_size": 20}}, "more.*generation_batch_size"),
        ({"more": {"nonsense": 1}}, "more.*nonsense"),
        (
            {
                "optimizer": dataclasses.replace(OPTIMIZER, minibatches=3),
                "save_every": 2,
                "updates": 6,
            },
            "save_steps = 2.*multiple of 3",
        ),
        ({"more": {"gradient_accumulation_steps": 2}}, "steps_per_generation.*within an update"),
        ({"more": {"max_grad_norm": 0.5}}, "max_grad_norm"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, options, message):
    with pytest.raises(InvalidInput, match=message):
        trainer(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vllm": "colocate"}, "vLLM is not installed"),
        ({"vllm": "elsewhere"}, "vllm"),
        ({"trackers": ("pigeon",)}, "trackers"),
        ({"prompts": 3, "processes": 2}, "prompts"),
        ({"updates": 0}, "updates"),
    ],
)
def test_bad_run_settings_are_named(options, message):
    with pytest.raises(InvalidInput, match=message):
        TrlSettings(**options)


def test_what_cannot_run_here_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no GPU"):
        trl_config(TrlSettings(bf16=True), OPTIMIZER, RESETS, tmp_path)
    with pytest.raises(InvalidInput, match="minibatches"):
        trl_config(TrlSettings(), OptimizerSettings(minibatches=7), RESETS, tmp_path)


@pytest.mark.parametrize(
    ("algorithm", "rows"),
    [
        (GRPO(5), 5),
        (RESETS, 6),
        (SRPO(base=4, suffix=2, parents=2), 8),
        (RRPO(base=4, suffix=8, train_base=False), 8),
    ],
)
def test_rows_per_prompt_are_what_a_collection_holds(algorithm, rows):
    assert algorithm.rows_per_prompt == rows
    world = simulator()
    starts = world.start_states(world.task.problems("train", 4, 0))
    found = training_rows(collect(algorithm, world, starts, 0))
    assert rows <= len(found) <= 4 * rows


def launch(processes, folder):
    """Train in this many processes of torchrun.

    It chooses a free port that another test may take before it is bound: hence three attempts.
    """
    script, root = Path(__file__).with_name("trl_processes.py"), Path(__file__).parents[3]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", str(script), str(folder), str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    for _ in range(3):
        done = subprocess.run(
            [*command, "token-mean"], capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode == 0:
            return
    pytest.fail(done.stderr[-4000:])


@pytest.mark.slow
def test_two_processes_make_the_updates_of_one(tmp_path):
    trl_processes.main(tmp_path, 1, "token-mean")
    launch(2, tmp_path)
    one, two = (torch.load(tmp_path / f"{n}.pt") for n in (1, 2))
    assert relative(two, one) < 1e-5
    assert relative(two - start(), one - start()) < 1e-2
    assert not torch.equal(one, start())


def test_fewer_processes_than_said_are_noticed(tmp_path):
    with pytest.raises(InvalidInput, match=r"processes = 2: 1 were launched"):
        trainer(tmp_path, processes=2, prompts=4)
