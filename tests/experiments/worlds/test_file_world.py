"""A user's own MDP, from a file: through every command, and known by its content."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments import cli
from experiments.compare.across_worlds import ResetsSpec, measure_resets
from experiments.compare.config import CompareConfig
from experiments.compare.report import lowest_levels
from experiments.config import load_config
from experiments.diagnose.config import DiagnoseConfig
from experiments.learn.config import LearnConfig
from experiments.runs.encoding import digest, plain
from experiments.runs.store import Run
from experiments.worlds.tabular import FileWorld, LockWorld, build_world
from llm.models.settings import ModelSettings
from paper_figs.figures import worlds
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.mdp.scaling import rescale
from tabular.mdp.storage import save
from tabular.worlds.garnets import discounted_garnet
from tabular.worlds.locks import combination_lock
from tabular.worlds.trees import reasoning_tree

PAGE = Path(__file__).parents[3] / "docs" / "running.md"
SECTION = PAGE.read_text().split("## An MDP of your own")[1].split("\n## ")[0]
SAVING = re.search(r"```python\n(.*?)```", SECTION, re.DOTALL)[1]
SETTINGS = re.search(r"```toml\n(.*?)```", SECTION, re.DOTALL)[1]
COMMANDS = re.findall(r"^    cpi-resets (.*)$", SECTION, re.MULTILINE)
BRIEF = {
    "learn": "--seeds 2 --methods GRPO SRPO 'CPI-CARO, exact' --resamples 20 --budget.updates 4 "
    "--budget.trials 200 --budget.conservative-rollouts 800 --budget.exact-updates 5",
    "compare": "--quick --coverages 0.25 0.125 --taus 0.2 0.4 --horizons 2 4 --actions 2 4 "
    "--precisions 0.5 1 --recalls 0.5 1 --replications 200 --bootstraps 20 --check-replications 0",
    "diagnose": "--prompts 16 --sampling.audited 8 --sampling.traced 2",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lock_file(path, **dials):
    lock = combination_lock(3, 2, right_probability=0.6, **dials)
    save(lock.mdp, path, lock.policy)
    return lock


# --- the commands --------------------------------------------------------------------------------


def test_the_documentation_names_every_command():
    assert [command.split()[0] for command in COMMANDS] == ["learn", "compare", "diagnose"]


def follow_the_page():
    exec(compile(SAVING, "running.md", "exec"), {})
    Path("tasks.toml").write_text(SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_documented_commands_run(here, command):
    follow_the_page()
    name = command.split()[0]
    assert cli.main(shlex.split(f"{command} {BRIEF[name]} --workers 1")) == 0
    record = Run.existing("results", name)
    (world,) = record.config["more"]
    assert world["sha256"] == hashlib.sha256((here / "tasks.npz").read_bytes()).hexdigest()
    table = {"learn": "curves", "compare": "worlds", "diagnose": "estimates"}[name]
    rows = record.read(table)
    assert {row["world"] for row in rows} == {"tasks"}
    if name == "learn":
        # All three tasks are solved with probability .4^3 at first.
        first = [row["value"] for row in rows if row["update"] == 0]
        assert first == pytest.approx([0.4**3] * len(first), abs=1e-5)
        assert {"CPI-CARO, exact", "CPI-CARO", "CPI-RR", "GRPO", "SRPO"} == {
            row["method"] for row in rows
        }
    if name == "compare":
        oracle = next(row for row in rows if row["resets"] == "oracle")
        # Advantages are .6 * .4^2, .6 * .4 and .6 on the way: tau = .1 leaves out the first task.
        assert oracle["tau"] == 0.1
        assert oracle["coverage"] == pytest.approx((0.4 + 0.4**2) / 3)
        assert oracle["level"] == pytest.approx(0.1 / 0.6)


def test_a_changed_file_is_not_taken_for_the_old_one(here, capsys):
    follow_the_page()
    arguments = shlex.split(
        "learn --config tasks.toml --worlds tasks --sampled-worlds --seeds 2 --methods GRPO SRPO "
        "--resamples 20 --budget.updates 2 --workers 1"
    )
    assert cli.main(arguments) == 0
    before = (here / "results/learn/curves.jsonl").read_bytes()
    assert cli.main(arguments) == 0  # nothing to do
    exec(compile(SAVING.replace("[0.6, 0.4]", "[0.5, 0.5]"), "running.md", "exec"), {})
    capsys.readouterr()
    assert cli.main(arguments) == 2
    assert "was made with" in capsys.readouterr().err
    assert (here / "results/learn/curves.jsonl").read_bytes() == before
    assert cli.main([*arguments, "--output", "other"]) == 0
    assert (here / "other/learn/curves.jsonl").read_bytes() != before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "path of tasks = 'tasks.npz': cannot be read (No such file or directory)"),
        (b"hello", "path of tasks = 'tasks.npz': not a readable MDP file"),
        ("discounted", "path of tasks = 'tasks.npz': holds a discounted MDP; save one with"),
    ],
)
@pytest.mark.parametrize("command", ["learn --worlds", "compare --worlds", "diagnose --world"])
def test_bad_files_are_named_before_anything_runs(here, capsys, command, content, words):
    Path("tasks.toml").write_text(SETTINGS)
    if isinstance(content, bytes):
        Path("tasks.npz").write_bytes(content)
    if content == "discounted":
        save(discounted_garnet(3, 2, 2, 0.5).mdp, "tasks.npz")
    assert cli.main(shlex.split(f"{command} tasks --config tasks.toml")) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert words in shown
    assert not (here / "results").exists()


# --- the world -----------------------------------------------------------------------------------


def test_content_and_nothing_else_identifies_a_file_world(here):
    lock_file("a.npz")
    first = FileWorld("mine", "a.npz")
    lock_file("a.npz")  # the same MDP written again
    assert FileWorld("mine", "a.npz") == first
    assert digest(FileWorld("mine", "a.npz")) == digest(first)
    lock_file("a.npz", horizon=4)
    changed = FileWorld("mine", "a.npz")
    assert changed != first
    assert digest(changed) != digest(first)
    assert set(plain(first)) == {"type", "name", "path", "success", "threshold", "tau", "sha256"}


def test_a_digest_that_is_given_is_checked(here):
    lock_file("a.npz")
    right = FileWorld("mine", "a.npz").sha256
    assert FileWorld("mine", "a.npz", sha256=right).sha256 == right
    with pytest.raises(InvalidInput, match=r"sha256 = '00'.*a\.npz has another content"):
        FileWorld("mine", "a.npz", sha256="00")


def test_the_content_travels_to_workers_without_the_file(here):
    lock = lock_file("a.npz")
    sent = pickle.dumps(FileWorld("mine", "a.npz"))
    os.remove("a.npz")
    world = pickle.loads(sent)
    problem = world.problem(Key.of(0))
    np.testing.assert_array_equal(problem.mdp.transitions, lock.mdp.transitions)
    np.testing.assert_array_equal(problem.policy, lock.policy)


def test_without_a_policy_it_is_the_uniform_one(here):
    save(combination_lock(3, 2).mdp, "a.npz")
    problem = FileWorld("mine", "a.npz").problem(Key.of(0))
    assert (problem.policy == 0.5).all()


def test_fractions_become_floats(here):
    tree = reasoning_tree(3, 2, 2, Fraction(1, 3))
    save(tree.mdp, "a.npz", tree.policy)
    problem = FileWorld("mine", "a.npz").problem(Key.of(0))
    assert not problem.mdp.exact
    assert problem.policy.dtype == np.float64
    assert evaluate(problem.mdp, problem.policy).value == pytest.approx(float(tree.base_pass))


def test_levels_by_default_and_as_given(here):
    lock = lock_file("a.npz")
    largest = evaluate(lock.mdp, lock.policy).best_advantages.max()
    plain_ = build_world(FileWorld("mine", "a.npz"), Key.of(0))
    assert plain_.tau == pytest.approx(largest / 2)
    assert plain_.success == pytest.approx(1)
    given = build_world(FileWorld("mine", "a.npz", success=0.5, tau=0.1), Key.of(0))
    assert (given.tau, given.success) == (0.1, pytest.approx(0.5))
    with pytest.raises(InvalidInput, match=r"tau = 1000\.0: above .*, the reward bound of mine"):
        build_world(FileWorld("mine", "a.npz", tau=1000.0), Key.of(0))


def test_success_is_in_the_rewards_own_unit(here):
    mdp = rescale([[[1.0], [1.0]]], [[-3.0, 1.0]], [1.0], 2)
    save(mdp, "a.npz")
    seeded = build_world(FileWorld("mine", "a.npz", success=-2.0), Key.of(0))
    assert seeded.success == pytest.approx(0.5)  # (-2 + 3 * 2) / 8


def test_a_world_in_which_nothing_can_be_improved_says_so(here):
    save(FiniteHorizonMDP([[[1.0], [1.0]]], [[0.5, 0.5]], [1.0], 2), "a.npz")
    with pytest.raises(InvalidInput, match="tau = None: nothing in mine can be improved"):
        build_world(FileWorld("mine", "a.npz"), Key.of(0))


# --- configurations ------------------------------------------------------------------------------


def test_compare_names_worlds_of_more_beside_its_own():
    mine = LockWorld("mine", length=3)
    config = CompareConfig(worlds=("mine", "lock"), more=(mine,))
    names = [world.name for world in config.chosen_worlds()]
    assert names == ["combination lock", "mine"]
    with pytest.raises(InvalidInput, match=r"worlds\[0\] = 'other': unknown; choose one of .*mine"):
        CompareConfig(worlds=("other",), more=(mine,))
    hidden = CompareConfig(worlds=("Taxi",), more=(LockWorld("Taxi"),))
    assert hidden.chosen_worlds() == [LockWorld("Taxi")]


def test_compare_measures_a_world_as_it_is_configured():
    world = LockWorld("mine", length=3, actions=2, tau=0.2)
    rows = measure_resets(ResetsSpec(world, replications=100, bootstraps=20))
    oracle = rows[-1]
    assert {row["world"] for row in rows} == {"mine"}
    assert [row["resets"] for row in rows] == ["start", "random", "first error", "oracle"]
    assert oracle["tau"] == 0.2
    assert oracle["selected"] == pytest.approx(oracle["coverage"])
    with pytest.raises(InvalidInput, match=r"tau = 0\.9: no visited state of mine"):
        measure_resets(ResetsSpec(LockWorld("mine", tau=0.9)))


def test_first_errors_are_those_of_the_world_s_own_threshold():
    loose, strict = (
        measure_resets(
            ResetsSpec(
                LockWorld("mine", length=3, actions=2, threshold=bar, tau=0.1),
                replications=100,
                bootstraps=20,
            )
        )[2]
        for bar in (1e-9, 0.4)
    )
    assert loose["selected"] > strict["selected"] > 0


def test_diagnose_takes_worlds_and_tasks_from_more(here):
    lock_file("a.npz")
    Path("both.toml").write_text(
        '[[more]]\ntype = "FileWorld"\nname = "mine"\npath = "a.npz"\n'
        '[[more]]\ntype = "ArithmeticWorld"\nname = "short"\nhorizon = 4\n'
    )
    config = load_config(DiagnoseConfig, "both.toml")
    assert [type(world).__name__ for world in config.more] == ["FileWorld", "ArithmeticWorld"]
    assert (
        DiagnoseConfig(world="mine", more=config.more).world_with_localizer().world
        == config.more[0]
    )
    task = DiagnoseConfig(
        world="short", model=ModelSettings("tiny"), more=config.more
    ).language_world()
    assert task == config.more[1]
    with pytest.raises(InvalidInput, match="'short': unknown"):
        DiagnoseConfig(world="short", more=config.more)


def test_learn_reads_the_documented_table(here):
    follow_the_page()
    config = load_config(LearnConfig, "tasks.toml")
    assert config.more[0].tau == 0.1
    assert LearnConfig(worlds=("tasks",), sampled_worlds=(), more=config.more).specs()


def test_of_several_levels_the_lowest_of_each_world_is_shown():
    place = {"world": "a", "policy": "base"}
    rows = [
        place | {"resets": "random"},
        place | {"resets": "oracle", "level": 0.25},
        place | {"resets": "oracle", "level": 0.5},
        {"world": "b", "policy": "base", "resets": "random"},
        {"world": "b", "policy": "base", "resets": "oracle", "level": 0.1},
    ]
    expected = [rows[i] for i in (0, 1, 3, 4)]
    assert lowest_levels(rows) == expected
    assert worlds._lowest_levels(rows) == expected
