"""What few prompts say of the order of methods, against worlds whose true order is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose, standard_methods
from cpi_theory.diagnosis.samples import Remembering
from cpi_theory.diagnosis.signals import LEAST_PROMPTS, group_signals, order_methods
from cpi_theory.randomness import Key
from cpi_theory.seam import Outcome, Reason
from cpi_theory.statistics.by_prompt import Resampling
from tests.cpi_theory.chain import Chain

REPETITIONS = 60


def signals_of(world, prompts, key):
    starts, memory = [(0, 0)] * prompts, Remembering(world)
    return {
        name: group_signals(collect(method, memory, starts, key), prompts)
        for name, method in standard_methods().items()
    }


@pytest.mark.parametrize("refused", [0.0, 0.5, 0.85, 1.0])
@pytest.mark.parametrize("right", [(0.3, 0.9, 0.3), (0.9, 0.6, 0.9, 0.6)])
def test_stated_confidence_holds_at_few_prompts(right, refused):
    """In each world: no method is said to be ahead that is not, more often than stated."""
    world = Chain(right=right, actions=2, blind=refused)
    many = signals_of(world, 1000, Key.of(10**6))
    wrong = {(n, error): 0 for n in (4, 8, 16) for error in (0.2, 0.1, 0.025)}
    pairs = list(itertools.permutations(many, 2))
    gaps = {(a, b): many[a].by_prompt() - many[b].by_prompt() for a, b in pairs}
    # Where 1,000 prompts do not tell the sign, neither method counts as behind.
    behind = {p: g.mean() < -2 * g.std() / np.sqrt(len(g)) for p, g in gaps.items()}
    for n, seed in itertools.product((4, 8, 16), range(REPETITIONS)):
        key = Key.of(seed).child(n)
        order = order_methods(signals_of(world, n, key), Resampling.of(n, 2, key), key)
        for error in (0.2, 0.1, 0.025):
            wrong[n, error] += any(
                behind[a, b] and order.confidence(a, b) >= 1 - error for a, b in pairs
            )
    for (_, error), count in wrong.items():
        assert count / REPETITIONS <= error + 2 * np.sqrt(error / REPETITIONS)


def test_one_prompt_that_differs_is_no_ground_whatever_the_bootstrap_says():
    world = Chain(right=(0.1, 0.3), actions=2, blind=0.85)
    sure, confident = [], []
    for seed in range(120):
        key = Key.of(seed)
        signals = signals_of(world, 8, key)
        order = order_methods(signals, Resampling.of(8, 400, key), key)
        pair = order.comparison("SRPO", "GRPO")
        if pair.differing in (1, 2):
            sure.append(max(order.certainty("SRPO", "GRPO"), order.certainty("GRPO", "SRPO")))
            confident.append((max(pair.ahead, pair.behind), 1 - 0.5**pair.differing))
    assert max(sure) > 0.9  # what a bootstrap over eight prompts makes of two
    assert all(found <= most + 0.02 for found, most in confident)


def test_confidence_turns_with_the_pair_and_grows_with_the_prompts():
    world = Chain(right=(0.9, 0.6, 0.9, 0.6), actions=2)
    found = []
    for n in (8, 64, 512):
        order = order_methods(signals_of(world, n, Key.of(3)), Resampling.of(n, 2, Key.of(0)))
        pair = order.comparison("GRPO", "RRPO")
        assert order.comparison("RRPO", "GRPO") == pair
        assert {order.confidence("RRPO", "GRPO"), order.confidence("GRPO", "RRPO")} == {
            pair.ahead, pair.behind
        }  # fmt: skip
        assert pair.ahead + pair.behind <= 1 + 0.02
        found.append(order.confidence("GRPO", "RRPO"))
    assert found == sorted(found)
    assert found[-1] > 0.97


def test_the_least_prompts_are_those_of_a_test_at_the_level():
    assert 0.5**LEAST_PROMPTS < 0.025 < 0.5 ** (LEAST_PROMPTS - 1)


def test_what_was_seen_is_counted():
    world = Chain(right=(0.6, 0.5), actions=2, blind=0.5)
    found = diagnose(world, [(0, 0)] * 32, 3, DiagnosisSettings(resamples=2))
    seen = found.seen
    assert (seen.prompts, seen.rollouts) == (32, 256)
    assert sum(seen.outcomes.values()) == 256
    assert set(seen.outcomes) == {Outcome.SUCCESS, Outcome.WRONG}  # successes end there, too
    assert seen.failures == seen.named + seen.refused
    assert seen.refusals == {Reason.UNPARSABLE: seen.refused}
    assert 1 - seen.failures / 256 == pytest.approx(found.success.estimate)
    assert seen.named / seen.failures == pytest.approx(found.answered.estimate)
    assert found.methods[0].informative.estimate <= seen.taught / 32 <= 1


def test_a_world_without_success_runs_out_of_steps():
    never = diagnose(Chain(right=(0.0, 0.0), actions=2), [(0, 0)] * 8, 0, DiagnosisSettings())
    assert never.seen.outcomes == {Outcome.STEP_LIMIT: 64}
    assert never.seen.taught == 0
    assert never.seen.taught_share().upper == pytest.approx(1 - 0.025 ** (1 / 8))
    short = diagnose(Chain(right=(0.5,), actions=2), [(0, 0)] * 8, 0, DiagnosisSettings())
    assert short.seen.single == 64
