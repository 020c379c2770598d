"""T11 in tabular worlds while a policy learns: what resets to wrong prefixes may cost, exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from cpi_theory.algorithms.adaptive import AdaptiveFrontier, SignalLedger
from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.localizer_accuracy import ACCURACIES, AccuracyBelief
from cpi_theory.randomness import Key
from cpi_theory.seam import Localization, learned
from tabular.learning.optimizers import Adam
from tabular.learning.softmax import SoftmaxPolicy
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.trees import reasoning_tree


@dataclass(frozen=True)
class LastStep:
    """Believed and useless: where the last step is sure, what comes before it holds the error."""

    def locate(self, rollouts, advantages, keys):
        return [Localization(len(r) - 1) for r in rollouts]


def believing() -> AccuracyBelief:
    weights = np.where(ACCURACIES == 1.0, 0.0, -1e9)
    return AccuracyBelief(log_weights=tuple(weights.tolist()))


def lost_while_learning(reserve: float, seed: int, updates: int = 70) -> tuple[float, float]:
    """Sum of expected losses against GRPO at each update's own policy, and what T11 allows."""
    tree = reasoning_tree(6, 3, 2, 0.5, 1.0, problems=4, seed=seed)
    policy = SoftmaxPolicy.from_policy(tree.mdp, tree.policy, floor=1e-6)
    world = TabularSimulator(tree.mdp, policy.probabilities(), LastStep())
    # Deepest always, so that nothing but the ledger stops it.
    algorithm = AdaptiveFrontier(
        FrontierGRPO(parent=1, keep_parent=True),
        believing(),
        ledger=SignalLedger(allowance=0.0005, reserve=reserve, delta=0.1),
    )
    optimizer, key, loss, excess = Adam(0.002), Key.of(seed), 0.0, -np.inf
    state = optimizer.start(policy.logits)
    for update in range(updates):
        starts = world.start_states(8, key.child("starts", update))
        rates = np.array([world.evaluation.values[0, s] for _, s in starts], float)
        if algorithm.covered:
            # What resets teach is left out: at most less is lost.
            loss += float(((1 - rates) ** 4 * (1 - (1 - rates) ** 4)).sum())
        collection = collect(algorithm, world, starts, key.child("collect", update))
        algorithm = replace(learned(algorithm, collection), belief=believing())
        allowed = reserve + 0.0005 * algorithm.ledger.rollouts + 8 / 4
        excess = max(excess, loss - allowed)
        state = optimizer.ascend(state, policy.gradient(collection))
        policy = policy.with_logits(state.logits)
        world = world.with_policy(policy.probabilities())
    return loss, excess


@pytest.mark.parametrize("seed", range(2))
def test_useless_resets_are_stopped_before_they_cost_more_than_allowed(seed):
    loss, excess = lost_while_learning(4.0, seed)
    assert excess <= 0
    assert loss > 1
    assert lost_while_learning(1e6, seed)[0] > 2 * loss
