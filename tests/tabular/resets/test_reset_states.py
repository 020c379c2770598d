"""The law of reset states: against enumerated rollouts, the real algorithm, and closed forms."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO, ResetGRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageReset, ImperfectReset, ImprovableReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import ResetPolicy
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.resets import reset_states
from tabular.resets.localizer import Localizer
from tabular.resets.reset_states import reset_state_law
from tabular.resets.updates import improvable
from tabular.simulation.reset_weight import reset_weight
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.locks import combination_lock
from tabular.worlds.trees import reasoning_tree
from tests.tabular.resets.test_weights import fractions, named_steps, random_world, rollouts

F = Fraction


def expected_parents(algorithm, rate):
    """E[parents of a prompt] by the law of the number of failures."""
    draws = algorithm.base if algorithm.parent == "uniform" else algorithm.attempts
    law = [comb(draws, j) * rate**j * (1 - rate) ** (draws - j) for j in range(draws + 1)]
    most = algorithm.parents
    if algorithm.parent == "uniform":
        return sum(p * min(most, j) for j, p in enumerate(law))
    return sum(law[most:]) * most


def step_chances(algorithm, evaluation, localizer, states, actions):
    """P(step h of a failed rollout is drawn), without and after a refusal: definition by hand."""
    steps, reset = len(states), algorithm.reset
    if isinstance(reset, FirstErrorReset):
        wrong = [
            h
            for h, (s, a) in enumerate(zip(states, actions, strict=True))
            if evaluation.advantages[h, s, a] <= -F(localizer.threshold)
        ]
        chances = [F(0)] * steps
        if wrong:
            for k, share in enumerate(named_steps(localizer, wrong[0], steps)):
                chances[max(k - reset.offset, 0)] += share
    else:
        if isinstance(reset, ImprovableReset):
            best = [evaluation.best_advantages[h, s] for h, s in enumerate(states)]
            weights = [F(b >= F(reset.tau)) for b in best]
        else:
            weights = [F(isinstance(reset, UniformReset) or h == 0) for h in range(steps)]
        total = sum(weights)
        chances = [w / total if total else F(0) for w in weights]
    if algorithm.on_refusal == "uniform":
        refused = 1 - sum(chances)
        chances = [c + refused / steps for c in chances]
    return chances


def enumerated(mdp, policy, algorithm, success, localizer):
    """Expected resets to each (h, s), and in all: every rollout from every start, counted."""
    evaluation = evaluate(mdp, policy)
    expected = fractions(np.zeros((mdp.horizon, mdp.states), dtype=int))
    for first in np.flatnonzero(mdp.start):
        share = mdp.start[first]
        failed = [
            (p / share, states, actions)
            for p, states, actions, total in rollouts(mdp, policy)
            if states and states[0] == first and total < success
        ]
        rate = sum((p for p, _, _ in failed), F(0))
        if not rate:
            continue
        parents = expected_parents(algorithm, rate)
        for p, states, actions in failed:
            chances = step_chances(algorithm, evaluation, localizer, states, actions)
            for h, chance in enumerate(chances):
                expected[h, states[h]] += share * parents * p / rate * chance
    return expected


ALGORITHMS = {
    "RRPO": RRPO(),
    "RRPO of 2": RRPO(base=2, train_base=False, parents=2),
    "RRPO, three parents": RRPO(base=5, parents=3),
    "RRPO, published": RRPO(parent="published", parents=2, attempts=7),
    "SRPO": SRPO(),
    "SRPO, else uniform": SRPO(on_refusal="uniform", parents=2),
    "SRPO, a step earlier": ResetGRPO(FirstErrorReset(offset=1), on_refusal="uniform"),
    "SRPO, fresh": SRPO(on_refusal="fresh"),
    "oracle": ResetGRPO(ImprovableReset(tau=1 / 16)),
    "oracle, else uniform": ResetGRPO(ImprovableReset(tau=1 / 8), on_refusal="uniform"),
    "start": ResetGRPO(StartReset()),
}
LOCALIZERS = [Localizer(), Localizer(accuracy=0.75, recall=0.5), Localizer(precision=0.25)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_law_is_that_of_all_rollouts(name, seed):
    mdp, policy = random_world(seed)
    algorithm, success = ALGORITHMS[name], F(1 + seed % 3, 6)
    for localizer in LOCALIZERS if isinstance(algorithm.reset, FirstErrorReset) else LOCALIZERS[:1]:
        expected = enumerated(mdp, policy, algorithm, success, localizer)
        if not expected.sum():
            with pytest.raises(InvalidInput, match="never resets"):
                reset_state_law(mdp, policy, algorithm, localizer=localizer, success=success)
            continue
        law = reset_state_law(mdp, policy, algorithm, localizer=localizer, success=success)
        assert law.resets == expected.sum()
        assert np.asarray(law).tolist() == (expected / expected.sum()).tolist(), localizer


def test_most_of_these_worlds_have_a_law_that_is_not_uniform():
    laws = [
        np.asarray(reset_state_law(*random_world(seed), RRPO(), success=F(1, 3)))
        for seed in range(6)
    ]
    assert sum(len(set(law[law > 0])) > 2 for law in laws) >= 4


def drawn_resets(simulator, algorithm, prompts, key):
    """How often the algorithm itself resets to each (h, s)."""
    starts = simulator.start_states(prompts, key)
    counts = np.zeros((simulator.horizon, simulator.mdp.states))
    for group in collect(algorithm, simulator, starts, key):
        if group.parent is not None:
            h, s = group.parent.states[group.step]
            counts[h, s] += 1
    return counts


def several_problems():
    """Two trees of four steps that succeed with very different chances, and a lock that ends."""
    easy = reasoning_tree(4, 3, 2, 0.6, 0.95, 0.3, problems=3, seed=1)
    lock = combination_lock(3, 2, 5, wrong="back", right_probability=0.6)
    return [(easy.mdp, easy.policy, Localizer()), (lock.mdp, lock.policy, Localizer(accuracy=0.6))]


SIMULATED = {
    "RRPO": RRPO(),
    "RRPO, three parents": RRPO(base=6, parents=3),
    "RRPO, published": RRPO(parent="published", parents=2, attempts=8),
    "SRPO, else uniform": SRPO(on_refusal="uniform"),
    "SRPO, two parents": SRPO(parents=2),
    "oracle": ResetGRPO(ImprovableReset(tau=0.05)),
    "imperfect oracle": ResetGRPO(ImperfectReset(0.8, 0.5, tau=0.05), parents=2),
    "soft oracle": ResetGRPO(AdvantageReset(temperature=0.1)),
}


@pytest.mark.parametrize("world", [0, 1])
@pytest.mark.parametrize("name", SIMULATED)
def test_the_real_algorithm_draws_by_the_law(name, world):
    algorithm = SIMULATED[name]
    mdp, policy, localizer = several_problems()[world]
    simulator = TabularSimulator(mdp, policy, localizer=localizer)
    prompts = 1500
    counts = drawn_resets(simulator, algorithm, prompts, 7)
    law = reset_state_law(mdp, policy, algorithm, localizer=localizer)
    total, p = counts.sum(), law.values
    spread = np.sqrt(total * p * (1 - p))
    if algorithm.parents > 1:  # resets of one prompt share its start
        spread *= np.sqrt(algorithm.parents)
    assert (np.abs(counts - total * p) <= 4.5 * spread + 1e-9).all()
    per_prompt = algorithm.parents * prompts**0.5
    assert abs(total - prompts * law.resets) <= 4.5 * per_prompt / 2 + 1e-9


SHARES = st.integers(1, 9).map(lambda k: F(k, 10))


@given(st.integers(1, 5), st.integers(2, 3), SHARES, SHARES, SHARES, st.integers(0, 99), st.data())
@settings(max_examples=60)
def test_closed_form_and_precision_identity(horizon, branching, rho, easy, back, seed, data):
    """Outcomes after H steps from one start: w = 1 - V / R, and the covariance with V."""
    hard = data.draw(st.integers(0, horizon))
    tree = reasoning_tree(horizon, branching, hard, rho, easy, back, seed=seed)
    evaluation = evaluate(tree.mdp, tree.policy)
    algorithm = data.draw(st.sampled_from([RRPO(), RRPO(base=7, parents=4)]))
    law = np.asarray(reset_state_law(tree.mdp, tree.policy, algorithm))
    occupancy, values = evaluation.occupancy, evaluation.values
    weight = occupancy * (1 - values)
    assert law.tolist() == (weight / weight.sum()).tolist()

    tau = evaluation.best_advantages.max()
    if not tau:
        return
    mask = improvable(evaluation, tau)
    p = occupancy[mask].sum()
    covariance = (occupancy * values)[mask].sum() - p * (occupancy * values).sum()
    assert law[mask].sum() == p - covariance / (1 - evaluation.value)


def test_with_one_parent_of_n_a_start_counts_by_its_chance_of_any_failure():
    """Two starts with one step each, passed with 1/2 and 3/4: k(v) (1 - v) = 1 - v^n."""
    moves = fractions(np.tile(np.eye(2, dtype=int)[:, None], (1, 2, 1)))
    mdp = FiniteHorizonMDP(moves, fractions([[1, 0], [1, 0]]), fractions([1, 1]) / 2, 1)
    policy = fractions([[2, 2], [3, 1]]) / 4
    law = reset_state_law(mdp, policy, RRPO(base=4))
    fails = [1 - F(1, 2) ** 4, 1 - F(3, 4) ** 4]
    assert law.resets == sum(fails) / 2
    assert np.asarray(law).tolist() == [[f / sum(fails) for f in fails]]


def test_the_reset_weight_is_another_thing():
    """RRPO's reset policy applied to every rollout has w = 1; what RRPO resets to does not."""
    tree = reasoning_tree(3, 2, [0, 1, 2], F(1, 2))
    weight = np.asarray(reset_weight(tree.mdp, tree.policy, RRPO().reset))
    visited = evaluate(tree.mdp, tree.policy).visits > 0
    assert weight.tolist() == visited.astype(int).tolist()
    ratio = np.asarray(reset_state_law(tree.mdp, tree.policy, RRPO())) / np.where(
        visited, evaluate(tree.mdp, tree.policy).occupancy, 1
    )
    assert ratio[2, 1] == 2 * ratio[2, 0]  # off the path V = 0, on it 1/2


@dataclass(frozen=True)
class OddSteps(ResetPolicy):
    def step_weights(self, rollouts, simulator, keys=None):
        return [np.arange(len(r)) % 2.0 for r in rollouts]


def test_refusals(monkeypatch):
    mdp, policy = random_world(2)
    with pytest.raises(InvalidInput, match="its law has no recursion; simulate collections"):
        reset_state_law(mdp, policy, ResetGRPO(OddSteps()))
    with pytest.raises(InvalidInput, match="never resets here"):
        reset_state_law(mdp, policy, RRPO(), success=0)
    monkeypatch.setattr(reset_states, "MAX_SUMS", 1)
    with pytest.raises(InvalidInput, match="'sums of weights': too many distinct"):
        reset_state_law(*random_world(1), RRPO())
    monkeypatch.setattr("tabular.resets.first_errors.MAX_RETURNS", 1)
    with pytest.raises(InvalidInput, match="'returns': too many distinct"):
        reset_state_law(mdp, policy, SRPO(), success=F(1, 2))


def test_a_prompt_that_ends_at_once_is_no_parent():
    lock = combination_lock(2, 2)
    mdp = FiniteHorizonMDP(
        lock.mdp.transitions, lock.mdp.rewards, [0.5, 0, 0, 0.5], 2, terminal=lock.mdp.terminal
    )
    law = reset_state_law(mdp, lock.policy, RRPO())
    assert law.values[:, 3].sum() == 0
    assert law.resets == pytest.approx(0.5 * (1 - 0.25**4))
