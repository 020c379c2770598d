"""The localiser's accuracy from resets: records, their exact means, the belief and the bound."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cpi_theory.algorithms.localizer_accuracy import (
    ACCURACIES,
    PASS_RATES,
    AccuracyBelief,
    AccuracyBound,
)
from cpi_theory.algorithms.parent_choice import FirstErrorLaws
from cpi_theory.algorithms.reset_record import PromptRecord, Suffixes
from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.running_sum import RunningSum
from tests.cpi_theory.chain import Chain

RATES = st.fractions(0, 1, max_denominator=12)


def binomial(count: int, rate: Fraction, found: int) -> Fraction:
    return comb(count, found) * rate**found * (1 - rate) ** (count - found)


# --- what prompts without a reset say of those with one -------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), RATES)
def test_other_prompts_tell_what_fresh_rollouts_would_have_found(
    base: int, rest: int, rate: Fraction
) -> None:
    """Unbiased to the last digit, over all outcomes of base and rest."""
    told = Fraction(0)
    for s in range(1, base + 1):
        for r in range(rest + 1):
            found = PromptRecord(base, s, rest, r).fresh_behind_failures(rest)
            chance = binomial(base, rate, s) * binomial(rest, rate, r)
            told += chance * Fraction(found).limit_denominator(10**6)
    assert told == (1 - rate) ** base * (1 - (1 - rate) ** rest)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(1, 5), RATES)
def test_other_prompts_tell_what_the_start_is_worth_where_the_base_failed(
    base: int, rest: int, rate: Fraction
) -> None:
    told = Fraction(0)
    for s in range(1, base + 1):
        for r in range(rest + 1):
            found = PromptRecord(base, s, rest, r).pass_rate_behind_failures(rest)
            assert 0 <= found <= 0.5 or rest > base
            chance = binomial(base, rate, s) * binomial(rest, rate, r)
            told += chance * Fraction(found).limit_denominator(10**6)
    assert told == (1 - rate) ** base * rate


@given(st.integers(2, 6), RATES)
def test_pairs_are_unbiased_for_the_square(count: int, rate: Fraction) -> None:
    told = sum(
        binomial(count, rate, s) * Fraction(Suffixes(0, 5, count, s).pairs).limit_denominator(100)
        for s in range(count + 1)
    )
    assert told == rate**2


def test_what_a_group_taught_is_counted_as_the_choice_counts_it() -> None:
    assert Suffixes(3, 10, 4, 1).taught(False) == pytest.approx(0.7)
    assert Suffixes(3, 10, 4, 4).taught(False) == 0
    assert Suffixes(3, 10, 4, 4).taught(True) == pytest.approx(0.7)
    assert Suffixes(3, 10, 4, 0).taught(True) == 0


# --- the control: no step chosen blindly does better than the start -------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=6), st.floats(0, 1), st.data())
def test_no_depth_of_a_failure_succeeds_more_often_than_the_start(
    right: list[float], recovery: float, data: st.DataObject
) -> None:
    """E[V_k | failed] <= v, exactly, on chains with and without recovery."""
    chain = Chain(right=tuple(right), recovery=recovery)
    value, visits = chain.values(), chain.visits()
    start = value[0, 0]
    step = data.draw(st.integers(0, len(right) - 1))
    again = float((visits[step] * value[step] * (1 - value[step])).sum()) / (1 - start)
    assert again <= start + 1e-12


# --- the bound -----------------------------------------------------------------------------------


def resets(
    accuracy: float, value: float, prompts: int, rng: np.random.Generator, guess: float = 0.0
) -> AccuracyBound:
    """Prompts that are all reset: where it knows a suffix succeeds with `value`, else `guess`."""
    bound = AccuracyBound(block=prompts)
    for _ in range(prompts):
        chance = value if rng.random() < accuracy else guess
        solved = int(rng.binomial(4, chance))
        bound = bound.after(PromptRecord(4, 0, 0, 0, Suffixes(3, 10, 4, solved)), 4)
    return bound


def test_it_is_nearly_tight_where_all_right_answers_are_worth_the_same() -> None:
    """V constant where it knows and 0 elsewhere: Cauchy-Schwarz is an equality, and c is found."""
    bound = resets(0.6, 0.5, 10_000, np.random.default_rng(0))
    assert 0.51 < bound.lower(0.1) < 0.6


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=5),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_in_expectation_it_is_below_the_accuracy(
    known: list[tuple[float, float]], accuracy: float, start: float
) -> None:
    """Any law of the value behind right answers, guesses as good as the control allows."""
    total = sum(w for _, w in known)
    first = sum(v * w for v, w in known) / total
    second = sum(v * v * w for v, w in known) / total
    # Guesses may be worth `start` on average, and more spread only raises the second moment.
    lead = accuracy * first + (1 - accuracy) * start - start
    pairs = accuracy * second + (1 - accuracy) * start**2
    assume(pairs > 0)
    assert max(lead, 0) ** 2 / pairs <= accuracy + 1e-9


def test_it_is_rarely_wrong_at_any_time() -> None:
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(60):
        bound, missed = AccuracyBound(block=60), False
        for n in range(120):
            solved = int(rng.binomial(4, 0.9 if rng.random() < 0.3 else 0.0))
            bound = bound.after(PromptRecord(4, 0, 0, 0, Suffixes(3, 10, 4, solved)), 4)
            missed |= n % 10 == 9 and bound.lower(0.2) > 0.3
        wrong += missed
    assert wrong <= 0.2 * 60


def test_a_new_block_forgets_and_pays_for_it() -> None:
    bound = resets(1.0, 1.0, 100, np.random.default_rng(0))
    again = bound.after(PromptRecord(4, 0, 0, 0, Suffixes(3, 10, 4, 0)), 4)
    assert (bound.number, again.number, again.resets.count) == (1, 2, 1)
    assert bound.lower(0.1) > 0.3
    assert again.lower(0.1) == 0
    assert replace(bound, number=5).lower(0.1) < bound.lower(0.1)


def test_easy_prompts_are_no_proof_of_a_good_localiser() -> None:
    """Suffixes succeed in half of all cases, and so does the start."""
    rng, bound = np.random.default_rng(3), AccuracyBound(block=3000)
    for _ in range(3000):
        solved = int(rng.binomial(4, 0.5))
        record = PromptRecord(4, solved, 4, int(rng.binomial(4, 0.5)))
        if not solved:
            record = PromptRecord(4, 0, 0, 0, Suffixes(3, 10, 4, int(rng.binomial(4, 0.5))))
        bound = bound.after(record, 4)
    assert bound.lower(0.1) == 0


# --- the belief ----------------------------------------------------------------------------------


def history(
    accuracies: list[float], seed: int, rate: float = 0.05, length: int = 10
) -> list[PromptRecord]:
    """Prompts that failed, the deepest named step reset, drawn from the belief's own model."""
    laws, rng, records = (
        FirstErrorLaws.of(np.array([rate]), length),
        np.random.default_rng(seed),
        [],
    )
    for accuracy in accuracies:
        base = int(rng.binomial(4, rate))
        if base:
            records.append(PromptRecord(4, base, 4, int(rng.binomial(4, rate))))
            continue
        firsts = rng.choice(length, 4, p=laws.first[0] / laws.first[0].sum())
        named = np.where(rng.random(4) < accuracy, firsts, rng.integers(0, length, 4))
        parent = int(np.argmax(named))
        step = int(named[parent])
        value = laws.value[0, step] if step <= firsts[parent] else 0.0
        reset = Suffixes(step, length, 4, int(rng.binomial(4, value)))
        records.append(PromptRecord(4, 0, 0, 0, reset, tuple((int(k), length) for k in named)))
    return records


def believed(records: list[PromptRecord], belief: AccuracyBelief) -> float:
    for record in records:
        belief = belief.after(record)
    return belief.accuracy


@pytest.mark.parametrize("depths", [0.0, 1.0])
@pytest.mark.parametrize("accuracy", [0.95, 0.5, 0.05])
def test_it_finds_the_accuracy_of_its_own_model(accuracy: float, depths: float) -> None:
    belief = AccuracyBelief(memory=0.998, depths=depths)
    assert believed(history([accuracy] * 600, 4), belief) == pytest.approx(accuracy, abs=0.17)


def test_it_follows_a_localiser_that_drifts() -> None:
    good, bad = [0.97] * 200, [0.1] * 200
    assert believed(history(good, 5), AccuracyBelief()) > 0.8
    assert believed(history(good + bad, 5), AccuracyBelief()) < 0.3
    assert believed(history(bad + good, 5), AccuracyBelief()) > 0.75


def test_successes_of_easy_prompts_are_not_credited_to_the_localiser() -> None:
    """Guesses at a pass rate of .6: resets succeed often, and so does everything else."""
    assert believed(history([0.0] * 2000, 6, rate=0.6), AccuracyBelief(depths=0.0)) < 0.4


def test_before_anything_is_seen_it_trusts() -> None:
    """Mean of .8 (7 c^6) + .2 on the grid of 21, worked out from its weights."""
    weights = 0.8 * 7 * ACCURACIES**6 + 0.2
    assert AccuracyBelief().accuracy == pytest.approx(weights @ ACCURACIES / weights.sum())


def test_three_prompts_by_the_formula_term_by_term() -> None:
    """A prompt that tells of pass rates alone, and two whose deepest named step was reset.

    With three steps S(k) = v^(k / 3): the first error is at k with (S(k) - S(k + 1)) / (1 - v),
    and a guess falls no later than it with (S(k) - v) / (3 (1 - v)).
    """
    memory, depths = 0.9, 0.25
    prior = [math.log(0.8 * 7 * c**6 + 0.2) for c in ACCURACIES]
    told, rates = list(prior), [1 / 40] * 40
    belief = AccuracyBelief(memory=memory, depths=depths)
    named = ((1, 3), (2, 3))
    for solved, missed, successes in ((3, 5, None), (0, 2, 1), (0, 2, 0)):
        reset = None if successes is None else Suffixes(2, 3, 4, successes)
        if reset is None:
            belief = belief.after(PromptRecord(4, 1, 4, 2))
        else:
            belief = belief.after(PromptRecord(2, 0, 0, 0, reset, named))
            for i, c in enumerate(ACCURACIES):
                likelihood = 0.0
                for v, rate in zip(PASS_RATES, rates, strict=True):
                    first = [(v ** (k / 3) - v ** ((k + 1) / 3)) / (1 - v) for k in range(3)]
                    law = [c * first[k] + (1 - c) / 3 for k in range(3)]
                    no_later = (v ** (2 / 3) - v) / (1 - v)
                    clean = (c * first[2] + (1 - c) / 3 * no_later) / law[2]
                    value = v ** (1 / 3)
                    found = math.comb(4, successes) * value**successes
                    found *= (1 - value) ** (4 - successes)
                    outcome = clean * found + (1 - clean) * (successes == 0)
                    likelihood += rate * (1 - v) ** 2 * (law[1] * law[2]) ** depths * outcome
                told[i] = memory * told[i] + (1 - memory) * prior[i] + math.log(likelihood)
        seen = [r * v**solved * (1 - v) ** missed for r, v in zip(rates, PASS_RATES, strict=True)]
        kept = [memory * r + (1 - memory) * s / sum(seen) for r, s in zip(rates, seen, strict=True)]
        rates = [0.999 * r + 0.001 / 40 for r in kept]
    assert belief.rates == pytest.approx(rates)
    assert belief.log_weights == pytest.approx([one - max(told) for one in told])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AccuracyBelief(memory=1.0), "memory = 1.0"),
        (lambda: AccuracyBelief(trusting=1.0), "trusting = 1.0"),
        (lambda: AccuracyBelief(depths=-0.1), "depths = -0.1"),
        (lambda: AccuracyBelief(rates=(1.0,)), r"rates = \(1.0,\): not 40 numbers"),
        (lambda: AccuracyBound(block=0), "block = 0"),
        (lambda: RunningSum(0.0, float("inf")), "high = inf"),
    ],
)
def test_bad_input_is_refused(make, message) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
