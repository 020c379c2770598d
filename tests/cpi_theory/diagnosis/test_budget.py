"""What a diagnosis is said to take, and that it keeps to a budget."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import RRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.budget import BATCH, Amount, Budget, BudgetSpent, Metered, forecast
from cpi_theory.diagnosis.diagnose import DiagnosisSettings, diagnose, standard_methods
from cpi_theory.randomness import Key
from tests.cpi_theory.chain import Blind, Chain

CHAIN = Chain(right=(0.6, 0.5, 0.6), actions=2, blind=0.3)
SMALL = DiagnosisSettings(audited=2, traced=1, resamples=5)


def starts(count):
    return [(0, 0)] * count


def of_settings(prompts, chosen, states):
    methods = standard_methods(chosen.rollouts)
    return forecast(prompts, chosen.rollouts, methods, chosen.parents, chosen.suffixes, states)


@pytest.mark.parametrize("right", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.4, 0.5), (0.9,)])
def test_no_diagnosis_takes_more_than_was_said(right):
    world = Chain(right=right, actions=2, blind=0.2)
    states = 2 + 2 + len(right)
    said = of_settings(16, SMALL, Amount(states, states))
    found = diagnose(Blind(world), starts(16), 0, SMALL)
    assert found.cost.rollouts <= said.rollouts.most
    assert found.cost.measuring <= said.measuring.most
    assert found.cost.localizations <= said.localizations.most
    assert (
        diagnose(world, starts(16), 0, SMALL).cost.rollouts <= (said.groups + said.corrections).most
    )


def test_a_diagnosis_takes_about_what_was_said():
    found = diagnose(Blind(CHAIN), starts(64), 0, DiagnosisSettings(resamples=5))
    said = of_settings(64, DiagnosisSettings(), Amount(16 + 16 + 3, 16 + 16 + 3))
    assert 0.6 * said.rollouts.expected < found.cost.rollouts < 1.4 * said.rollouts.expected


def test_the_forecast_by_hand():
    """8 + 4 + 4 rollouts for groups, 2 x 2 x 4 for corrections; a state takes 8 * 3 + 2 * n."""
    said = of_settings(10, DiagnosisSettings(), Amount(3, 5))
    assert said.groups == Amount(160, 160)
    assert said.corrections == Amount(160, 160)
    assert said.measuring.most == 5 * (24 + 2 * 64)
    assert said.measuring.expected == pytest.approx(3 * np.sqrt(56 * 152))
    # The published rule searches on its own, in at most twelve rollouts.
    methods = {"a": GRPO(16), "b": RRPO(parent="published"), "c": RRPO(base=10)}
    other = forecast(1, 8, methods, 1, 1, Amount(0, 0))
    assert other.groups.most == 8 + 16 + (12 + 4) + (2 + 4)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40_000), st.booleans())
def test_a_budget_is_exceeded_by_less_than_a_batch(limit, blind):
    world = Blind(CHAIN) if blind else CHAIN
    drawn = []

    class Counting:
        def rollout(self, states, keys):
            found = world.rollout(states, keys)
            drawn.append(sum(map(len, found)))
            return found

        locate_first_error = staticmethod(world.locate_first_error)

    with contextlib.suppress(InvalidInput):
        found = diagnose(Counting(), starts(40), 0, SMALL, budget=Budget(limit))
        assert found.seen.prompts % 8 == 0
        assert found.cost.prompts == found.seen.prompts <= 40
    assert sum(drawn) < limit + BATCH * CHAIN.horizon
    assert max(drawn) <= BATCH * CHAIN.horizon


def test_a_budget_that_does_not_reach_for_eight_prompts_is_refused():
    with pytest.raises(InvalidInput, match="tokens = 100: spent before 8 prompts were done"):
        diagnose(CHAIN, starts(8), 0, SMALL, budget=Budget(100))
    # 32 rollouts of at most three steps for each of them.
    assert diagnose(CHAIN, starts(8), 0, SMALL, budget=Budget(8 * 32 * 3)).seen.prompts == 8


def test_a_budget_that_is_large_enough_changes_no_number_of_prompts_or_states():
    free = diagnose(Blind(CHAIN), starts(24), 0, SMALL)
    found = diagnose(Blind(CHAIN), starts(24), 0, SMALL, budget=Budget(10**9))
    assert found.cost.measured == free.cost.measured
    assert (found.seen.prompts, found.seen.rollouts) == (24, 192)
    assert 0.6 * 0.5 * 0.6 in found.success
    again = diagnose(Blind(CHAIN), starts(24), 0, SMALL, budget=Budget(10**9))
    assert str(list(again.estimates())) == str(list(found.estimates()))


def test_prompts_come_before_measuring_and_what_was_finished_counts():
    groups = 8 * 32 * CHAIN.horizon
    found = diagnose(Blind(CHAIN), starts(8), 0, SMALL, budget=Budget(groups))
    assert found.seen.prompts == 8
    whole = diagnose(Blind(CHAIN), starts(8), 0, SMALL).cost.measured
    assert found.cost.measured < whole


def test_tokens_are_what_the_budget_says_they_are():
    spent = 0

    class Dear:
        locate_first_error = staticmethod(CHAIN.locate_first_error)

        def rollout(self, states, keys):
            nonlocal spent
            spent += 1000 * len(states)
            return CHAIN.rollout(states, keys)

    metered = Metered(Dear(), Budget(10_000, lambda: spent))
    metered.rollout(starts(10), Key.of(0).integers(10))
    assert metered.left == 0
    with pytest.raises(BudgetSpent):
        metered.rollout(starts(1), Key.of(0).integers(1))
    with pytest.raises(BudgetSpent):
        metered.locate_first_error([None], Key.of(0).integers(1))
