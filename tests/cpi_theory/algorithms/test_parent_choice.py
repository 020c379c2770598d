"""Which parent: the model's laws, values worked by hand, and the rank rule."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.algorithms import parent_choice
from cpi_theory.algorithms.parent_choice import (
    FirstErrorModel,
    accuracy_of,
    best_rank,
    deepest,
    informative_probability,
    parent_signals,
    rank_signals,
)
from cpi_theory.checks import InvalidInput

# Two steps, each right with probability 1/4: pass rate 1/16. The first error of a failure is at
# step 0 with probability (3/4)/(15/16) = 4/5, and a clean prefix of one step has value 1/4.
QUARTER = FirstErrorModel(0.5, 1 / 16, 1 / 16)


def known(accuracy: float, rate: float = 0.01) -> FirstErrorModel:
    return FirstErrorModel(accuracy, rate, rate)


def test_signals_worked_by_hand() -> None:
    """Accuracy 1/2, two rollouts to spend.

    Step 1 is named with probability 1/2 * 1/5 + 1/4 = 7/20, of which 1/10 + 1/4 * 1/5 = 3/20 with
    a clean prefix. From there two rollouts differ with probability 2 * 1/4 * 3/4 = 3/8, and half
    of the steps are left. Before step 0 they differ with probability 30/256.
    """
    late = Fraction(3, 7) * Fraction(3, 8) * Fraction(1, 2)
    fresh, start, after = parent_signals(QUARTER, ((0, 2), (1, 2)), 2, 2)
    assert fresh == pytest.approx(31 / 256)  # beside known failures one success is enough
    assert start == pytest.approx(30 / 256)
    assert after == pytest.approx(float(late))
    # The deeper of two named steps is step 1 unless both are step 0, named with 13/20.
    deep = 1 - Fraction(13, 20) ** 2
    both = Fraction(7, 20) ** 2
    expected = [
        Fraction(31, 256),
        deep * late + (1 - deep) * Fraction(30, 256),
        both * late + (1 - both) * Fraction(30, 256),
    ]
    np.testing.assert_allclose(rank_signals(QUARTER, 2, 2, 2), [float(x) for x in expected])


def test_a_reset_to_the_start_is_no_better_than_fresh_rollouts() -> None:
    for accuracy in (0.0, 0.5, 1.0):
        fresh, start = parent_signals(FirstErrorModel(accuracy), ((0, 8),), 1, 4)
        assert start <= fresh


def test_a_known_failure_in_the_group_leaves_only_all_failures_constant() -> None:
    assert informative_probability(np.array(0.25), 2, True) == pytest.approx(1 - 9 / 16)
    kept = parent_signals(known(1.0, 1 / 16), ((1, 2),), 1, 2, True)[1]
    assert kept == pytest.approx(7 / 16 / 2)


@pytest.mark.parametrize(
    ("accuracy", "rank"), [(1.0, 1), (0.9, 1), (0.7, 2), (0.4, 3), (0.2, 4), (0.1, 0), (0.0, 0)]
)
def test_the_rank_falls_with_the_accuracy(accuracy: float, rank: int) -> None:
    assert best_rank(known(accuracy), 10, 4, 4) == rank


def test_easy_prompts_need_no_reset() -> None:
    assert best_rank(known(0.9, 0.3), 10, 4, 4) == 0
    assert best_rank(known(0.9, 0.001), 10, 4, 4) == 1


def test_named_steps_tell_how_hard_a_prompt_is() -> None:
    """Four first errors at the very start speak of many errors; so does a failure without name."""
    model = FirstErrorModel(1.0, 0.5, 1e-6)
    early = parent_signals(model, ((0, 20),) * 4, 4, 4)[0]
    late = parent_signals(model, ((15, 20),) * 4, 4, 4)[0]
    assert early < 0.5 * late
    assert parent_signals(model, (), 8, 4)[0] < parent_signals(model, (), 4, 4)[0]


def test_the_model_agrees_with_drawing_from_it() -> None:
    """Signals of every rank by simulation of the model's own story, to 4.5 standard errors."""
    accuracy, rate, length, failures, count, runs = 0.6, 0.05, 6, 3, 4, 40_000
    rng = np.random.default_rng(0)
    right = rate ** (1 / length)
    first = np.empty((runs, failures), int)
    todo = np.ones(first.shape, bool)
    while todo.any():  # first errors of failures: draw rollouts until they fail
        drawn = rng.geometric(1 - right, size=todo.sum()) - 1
        first[todo] = drawn
        todo = first >= length
    named = np.where(
        rng.random(first.shape) < accuracy, first, rng.integers(length, size=first.shape)
    )
    order = np.argsort(-named, axis=1, kind="stable")
    expected = rank_signals(known(accuracy, rate), length, failures, count)
    for rank in range(1, failures + 1):
        chosen = order[:, rank - 1]
        step = np.take_along_axis(named, chosen[:, None], 1)[:, 0]
        clean = np.take_along_axis(first, chosen[:, None], 1)[:, 0] >= step
        wins = rng.binomial(count, right ** (length - step)) * clean
        signal = ((wins > 0) & (wins < count)) * (1 - step / length)
        assert abs(signal.mean() - expected[rank]) < 4.5 * signal.std() / np.sqrt(runs)


@given(st.floats(0, 0.99), st.floats(1e-6, 0.5), st.integers(1, 8), st.integers(9, 30))
def test_noisy_answers_cap_what_depth_can_raise(
    accuracy: float, rate: float, step: int, length: int
) -> None:
    """q v <= v0 / (1 - v0) * (1 + ln(1/v0) c / (1 - c)), at whatever depth.

    q v is read off the signal of a single rollout beside a known failure: q v (1 - k / L).
    """
    signal = parent_signals(known(accuracy, rate), ((step, length),), 1, 1, True)[1]
    ceiling = rate / (1 - rate) * (1 - np.log(rate) * accuracy / (1 - accuracy))
    assert signal / (1 - step / length) <= ceiling * (1 + 1e-9)


@given(
    st.floats(0, 1),
    st.floats(1e-6, 0.5),
    st.lists(st.integers(0, 7), min_size=1, max_size=5),
    st.booleans(),
)
def test_signals_are_probabilities_and_follow_the_order_of_names(
    accuracy: float, rate: float, steps: list[int], keep: bool
) -> None:
    model = FirstErrorModel(accuracy, rate, rate / 10)
    named = tuple((step, 8) for step in steps)
    signals = parent_signals(model, named, len(steps), 4, keep)
    assert len(signals) == len(steps) + 1
    assert all(-1e-12 <= signal <= 1 for signal in signals)
    turned = parent_signals(model, named[::-1], len(steps), 4, keep)
    np.testing.assert_allclose(turned[1:], signals[:0:-1], atol=1e-12)


@given(st.floats(0, 1), st.integers(2, 40))
def test_accuracy_is_what_is_left_of_exact_answers_without_chance(
    accuracy: float, length: int
) -> None:
    exact = accuracy + (1 - accuracy) / length
    assert accuracy_of(min(exact, 1.0), length) == pytest.approx(accuracy, abs=1e-9)


def test_answers_below_chance_count_as_guesses() -> None:
    assert accuracy_of(0.05, 10) == 0
    assert accuracy_of(0.19, 10) == pytest.approx(0.1)


def test_depth_ranks_break_ties_by_order() -> None:
    assert [deepest([3, 5, 5, 1], rank) for rank in (1, 2, 3, 4, 5)] == [1, 2, 0, 3, None]
    assert deepest([], 1) is None
    with pytest.raises(InvalidInput, match="rank = 0"):
        deepest([1], 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"accuracy": 1.1}, "accuracy = 1.1"),
        ({"easiest": 1.0}, "easiest = 1.0"),
        ({"hardest": 0.0}, "hardest = 0.0"),
        ({"easiest": 0.1, "hardest": 0.2}, "hardest = 0.2: above easiest"),
    ],
)
def test_impossible_beliefs_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        FirstErrorModel(**values)


def test_a_finer_prior_changes_signals_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grid of pass rates is coarse on purpose; a signal is a probability, at most 1."""
    rng = np.random.default_rng(0)
    named = [tuple((int(step), 10) for step in rng.integers(10, size=4)) for _ in range(40)]

    def signals() -> np.ndarray:
        models = [FirstErrorModel(accuracy) for accuracy in (1.0, 0.7, 0.4)]
        return np.array([[parent_signals.__wrapped__(m, n, 4, 4) for n in named] for m in models])

    coarse = signals()
    monkeypatch.setattr(parent_choice, "_GRID", 1024)
    parent_choice._laws.cache_clear()
    fine = signals()
    parent_choice._laws.cache_clear()
    assert 0 < np.abs(coarse - fine).max() < 0.02
