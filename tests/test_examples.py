"""The methods and worlds of docs/examples: they run, keep the laws, and do what they say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cpi_theory import GRPO, SRPO, Key, collect
from cpi_theory.testing import check_algorithm, check_resets, check_simulator
from tabular import TabularSimulator, evaluate, reasoning_tree

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"
TREE = reasoning_tree(horizon=4, branching=3, hard_steps=2, right_probability=0.4, problems=3)


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def tree():
    return TabularSimulator(TREE.mdp, TREE.policy)


METHODS = {
    "vineppo": lambda: load("vineppo").VinePPO(),
    "blame": lambda: load("blame").FirstErrorBlame(),
    "sibling_tree": lambda: load("sibling_tree").SiblingTree(),
}
WORLDS = {
    "cartpole": lambda m: (m.CartPole, m.CartPole().starts(4)),
    "countdown": lambda m: (m.Countdown, m.STARTS),
    "grammar": lambda m: (m.Brackets, [""]),
}


def test_every_example_is_here_and_told():
    files = {path.stem for path in FOLDER.glob("*.py")}
    assert files == set(METHODS) | set(WORLDS)
    page = (FOLDER / "README.md").read_text()
    assert all(f"[{name}.py]({name}.py)" in page for name in files)


@pytest.mark.parametrize("name", [*METHODS, "countdown", "grammar"])
def test_it_runs_as_it_stands(name):
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_keeps_the_laws(name):
    make, starts = WORLDS[name](load(name))
    check_simulator(make, starts)
    check_resets(make, starts[0], count=500)


@pytest.mark.parametrize("world", ["tree", *WORLDS])
@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_laws(name, world):
    if world == "tree":
        make, starts = tree, [(0, 2 * i) for i in range(3)]
    else:
        make, starts = WORLDS[world](load(world))
    check_algorithm(METHODS[name](), make, starts, prompts=3)


def test_vineppo_credits_steps_with_their_advantages():
    """Averaged over many rollouts its credit of a (state, action) is the exact advantage."""
    world, exact = tree(), evaluate(TREE.mdp, TREE.policy).advantages
    algorithm = load("vineppo").VinePPO(rollouts=8, continuations=2)
    credit = {}
    for group in collect(algorithm, world, [(0, 0)] * 400, 5):
        for sample in group.samples:
            steps = zip(
                sample.rollout.states, sample.rollout.actions, sample.advantages, strict=True
            )
            for (h, s), action, advantage in steps:
                credit.setdefault((h, s, int(action)), []).append(advantage)
    often = {where: found for where, found in credit.items() if len(found) > 300}
    assert len(often) > 10
    for where, found in often.items():
        error = np.std(found) / len(found) ** 0.5
        assert abs(np.mean(found) - exact[where]) < 5 * error + 1e-9


def test_siblings_are_worth_what_is_reached_below_them():
    """In the mean over trees, the value of a cut sibling is that of the state it was cut at."""
    world, values = tree(), evaluate(TREE.mdp, TREE.policy).values
    groups = collect(load("sibling_tree").SiblingTree(depth=2), world, [(0, 0)] * 300, 1)
    top = [g for g in groups if g.samples[0].rollout.states[0] == (0, 0)]
    assert len(top) == 300
    credit = np.concatenate([g.advantages for g in top])
    true = np.array([values[r.last] if r.last else r.reward for g in top for r in g.rollouts])
    fit = np.polyfit(true - true.mean(), credit, 1)
    # A sibling's own noise is in the mean of three too, which takes a third off.
    assert fit[0] == pytest.approx(2 / 3, abs=0.12)


def test_blame_spares_what_precedes_the_named_error():
    world = tree()
    (group,) = collect(load("blame").FirstErrorBlame(), world, [(0, 0)], 3)
    failures = [s for s in group.samples if s.rollout.failed]
    keys = Key.of(0).integers(len(failures))
    named = world.locate_first_error([s.rollout for s in failures], keys)
    assert failures
    for sample, answer in zip(failures, named, strict=True):
        assert (sample.advantages[: answer.step] == 0.5).all()
        assert (sample.advantages[answer.step :] == -1).all()


@pytest.mark.parametrize("algorithm", [GRPO(8), SRPO()], ids=["GRPO", "SRPO"])
def test_a_policy_that_is_neither_table_nor_torch_learns(algorithm):
    shares = load("cartpole").train(algorithm, updates=20)
    assert shares[0] < 0.1
    assert shares[-1] > 0.8
