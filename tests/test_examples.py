"""The worlds of docs/examples: they run, keep the laws, and methods of every kind run on them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from cpi_theory import GRPO, SRPO, VPPO, TreeRPO, VinePPO
from cpi_theory.testing import check_algorithm, check_resets, check_simulator

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


METHODS = {"VinePPO": VinePPO(2, 2), "VPPO": VPPO(4), "TreeRPO": TreeRPO((3, 2), steps=2)}
WORLDS = {
    "cartpole": lambda m: (m.CartPole, m.CartPole().starts(4)),
    "countdown": lambda m: (m.Countdown, m.STARTS),
    "grammar": lambda m: (m.Brackets, [""]),
}


def test_every_example_is_here_and_told():
    files = {path.stem for path in FOLDER.glob("*.py")}
    assert files == set(WORLDS) | {"estimators"}  # tested with the audit
    page = (FOLDER / "README.md").read_text()
    assert all(f"[{name}.py]({name}.py)" in page for name in files)


@pytest.mark.parametrize("name", ["countdown", "grammar"])
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


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_laws(name, world):
    make, starts = WORLDS[world](load(world))
    check_algorithm(METHODS[name], make, starts, prompts=3)


@pytest.mark.parametrize("algorithm", [GRPO(8), SRPO()], ids=["GRPO", "SRPO"])
def test_a_policy_that_is_neither_table_nor_torch_learns(algorithm):
    shares = load("cartpole").train(algorithm, updates=20)
    assert shares[0] < 0.1
    assert shares[-1] > 0.8
