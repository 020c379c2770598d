"""The matching MDP and the tiny model that it stands for agree up to sampling error."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from llm.evaluation.arithmetic import Attempts, world
from llm.models.settings import TINY_FOLDER
from llm.models.tiny import load
from llm.simulator import LanguageModelSimulator
from llm.task import Problem
from llm.tasks.arithmetic.task import REGIMES, ArithmeticTask
from llm.text.rollouts import TextState
from tabular.evaluation.evaluate import evaluate
from tabular.worlds.trees import ReasoningTree
from tests.experiments.worlds.matching_mdp import (
    facts_asked,
    hard_steps,
    matching_mdp,
    right_chances,
)

COUNT = 300
SIGMAS = 4.0


@dataclass(frozen=True)
class Pair:
    simulator: LanguageModelSimulator
    problems: list[Problem]
    attempts: Attempts
    tree: ReasoningTree


@cache
def tiny() -> tuple[Any, Any]:
    return load(TINY_FOLDER)


@cache
def pair(regime: str) -> Pair:
    task = REGIMES[regime]
    problems = task.problems("test", COUNT, 11)
    simulator = world(*tiny(), task)
    attempts = Attempts.sample(simulator, problems, Key.of(4))
    tree = matching_mdp(task, problems, right_chances(*tiny(), task, problems))
    return Pair(simulator, problems, attempts, tree)


def sigmas(hits: float, chances: Any) -> float:
    """How far a sum of independent yes-or-no outcomes lies from its mean."""
    p = np.asarray(chances)
    return float((hits - p.sum()) / np.sqrt(max((p * (1 - p)).sum(), 0.25)))


@pytest.mark.parametrize("regime", sorted(REGIMES))
def test_base_pass_agrees(regime: str) -> None:
    both = pair(regime)
    clean = int((both.attempts.first_errors < 0).sum())
    assert abs(sigmas(clean, both.tree.on_path[:, -1])) < SIGMAS
    lucky = int(both.attempts.rewards.sum()) - clean
    assert 0 <= lucky < 0.05 * COUNT  # later errors can make up for the first; no tree has that


@pytest.mark.parametrize("regime", sorted(REGIMES))
def test_the_law_of_the_first_error_agrees(regime: str) -> None:
    both = pair(regime)
    errors = both.attempts.first_errors
    horizon = both.tree.horizon
    counts = np.bincount(np.where(errors < 0, horizon, errors), minlength=horizon + 1)
    law = both.tree.first_error_law()
    deviations = (counts - COUNT * law) / np.sqrt(np.maximum(COUNT * law * (1 - law), 0.25))
    assert np.abs(deviations).max() < SIGMAS
    assert (deviations**2).sum() < 11 + SIGMAS * np.sqrt(2 * 11)


@pytest.mark.parametrize("regime", sorted(REGIMES))
def test_coverage_agrees_at_the_level_of_the_tree(regime: str) -> None:
    both = pair(regime)
    best = both.tree.best_advantages[:, ::2].T
    improvable = best >= both.tree.tau
    assert improvable[both.tree.hard].all()
    visits = (both.attempts.visited & improvable).sum(axis=1) / both.tree.horizon
    error = visits.std(ddof=1) / np.sqrt(COUNT)
    assert abs(visits.mean() - float(both.tree.coverage())) < SIGMAS * error


def test_levels_agree_what_the_right_thought_is_worth_at_hard_steps() -> None:
    """Success from right prefixes before and after a hard step is what the tree says of it."""
    both = pair("sparse")
    task = REGIMES["sparse"]
    starts, values = [], []
    for i, problem in enumerate(both.problems):
        places = np.flatnonzero(both.tree.hard[i])
        step = int(places[i % len(places)])
        for kept in (step, step + 1):
            if kept < task.horizon:
                starts.append(right_prefix(both.simulator, problem, task.solution(problem)[:kept]))
                values.append(both.tree.gaps[i, kept])
    rewards = [r.reward for r in both.simulator.rollout(starts, Key.of(8).integers(len(starts)))]
    excess = sigmas(sum(rewards), values)
    assert excess > -SIGMAS
    assert sum(rewards) - sum(values) < SIGMAS * np.sqrt(sum(values)) + 0.05 * len(values)


def right_prefix(
    simulator: LanguageModelSimulator, problem: Problem, thoughts: list[str]
) -> TextState:
    start = simulator.start_states([problem])[0]
    kept = [simulator.vocabulary.encode(text) for text in thoughts]
    ends = tuple(np.cumsum([len(k) for k in kept]).tolist())
    return TextState(problem, start.prompt, tuple(t for k in kept for t in k), ends)


def test_closed_forms_are_those_of_the_matching_mdp() -> None:
    task = REGIMES["early"]
    problems = task.problems("train", 6, 0)
    tree = matching_mdp(task, problems, (0.97, 0.3))
    expected = np.where(hard_steps(task, problems), 0.3, 0.97)
    assert np.array_equal(tree.right, expected)
    assert tree.base_pass == pytest.approx(0.3**3 * 0.97**7)
    assert evaluate(tree.mdp, tree.policy).value == pytest.approx(tree.base_pass)


def test_steps_that_ask_for_one_fact_share_an_observation() -> None:
    task = ArithmeticTask(horizon=2)
    problems = [
        Problem("a", "1: +2 2: *3 start 5 ;", "21", "exact"),
        Problem("b", "1: -1 2: +2 start 6 ;", "7", "exact"),
    ]
    asked = facts_asked(task, problems)
    assert asked[0, 0] == asked[1, 1] == task.operations.index("+2") * 23 + 5
    assert asked[0, 1] == task.operations.index("*3") * 23 + 7
    tree = matching_mdp(task, problems, (0.9, 0.4))
    assert tree.right_actions[0, 0] == tree.right_actions[1, 1]
    assert (tree.mdp.observations[0, 0] == tree.mdp.observations[1, 2]).all()


@pytest.mark.parametrize("chances", [(0.3,), (1.2, 0.3), np.full((2, 9), 0.5)])
def test_refuses_what_is_no_chance_of_these_problems(chances: Any) -> None:
    task = ArithmeticTask()
    with pytest.raises(InvalidInput, match="chances"):
        matching_mdp(task, task.problems("train", 2, 0), chances)
