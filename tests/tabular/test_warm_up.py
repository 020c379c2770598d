"""After the warm-up nothing compiles, whatever the strategies draw."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
from hypothesis import HealthCheck, given, settings, strategies as st
import tabular.strategies as strategies
from numba.core.dispatcher import Dispatcher
from tabular import TabularSimulator, evaluate, evaluate_many, solve
from tabular.evaluation import kernels, optimal_kernels
from cpi_theory.randomness import Key
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.sampling import kernels as sampling

def compiled():
    modules = (kernels, optimal_kernels, sampling)
    return sum(len(f.signatures) for m in modules for f in vars(m).values()
               if isinstance(f, Dispatcher))

everything = {everything}
if everything:
    strategies.warm_up()
before = compiled()
worlds = st.one_of(strategies.finite_horizon_mdps(), strategies.discounted_mdps(),
                   strategies.localised_instances().map(lambda i: i.mdp))

@settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(worlds, st.data())
def use(mdp, data):
    policy = data.draw(strategies.policies(mdp))
    evaluate(mdp, policy)
    if everything:
        evaluate_many(mdp, policy[None])
        solve(mdp, 1e-6)
        if isinstance(mdp, FiniteHorizonMDP):
            simulator = TabularSimulator(mdp, policy)
            keys = Key.of(0).integers(9)
            rollouts = simulator.rollout(simulator.start_states(9, key=0), keys)
            simulator.locate_first_error(rollouts, keys)

use()
print(before, compiled())
"""


@pytest.mark.parametrize("everything", [False, True])
def test_nothing_compiles_after_the_warm_up(everything):
    script = SCRIPT.format(everything=everything)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert 0 < before == after
