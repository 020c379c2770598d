from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.attempts import majority_accuracy, majority_at_k, pass_at_k


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(st.lists(st.booleans(), min_size=n, max_size=n), st.integers(1, n))
    )
)
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(case: tuple[list[bool], int]) -> None:
    right, k = case
    subsets = list(itertools.combinations(right, k))
    share = sum(map(any, subsets)) / len(subsets)
    assert pass_at_k(sum(right), len(right), k) == pytest.approx(share)


def test_pass_at_k_worked_by_hand() -> None:
    # Of the 6 pairs of 4 attempts, 1 misses both right ones.
    assert pass_at_k(2, 4, 2) == pytest.approx(5 / 6)
    assert pass_at_k(0, 4, 4) == 0
    assert pass_at_k(1, 4, 4) == 1


@pytest.mark.parametrize(
    ("right", "attempts", "k", "field"), [(1, 2, 3, "k"), (1, 2, 0, "k"), (3, 2, 1, "right")]
)
def test_pass_at_k_out_of_range(right: int, attempts: int, k: int, field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        pass_at_k(right, attempts, k)


@pytest.mark.parametrize(
    ("answers", "right", "expected"),
    [
        ("aab", (True, True, False), 1.0),
        ("abb", (True, False, False), 0.0),
        ("ab", (True, False), 0.5),  # a tie
        ("abc", (False, False, True), 1 / 3),
        ("aa", (True, False), 0.5),  # the verifier looks at more than the answer
        ([None, None, "a"], (False, False, True), 1.0),  # no answer, no vote
        ([None, None], (False, False), 0.0),
    ],
)
def test_majority_worked_by_hand(answers, right, expected) -> None:
    assert majority_accuracy(list(answers), right) == pytest.approx(expected)


def test_a_majority_of_one_is_the_attempt_itself() -> None:
    assert majority_accuracy(["a"], [True]) == 1
    assert majority_accuracy(["a"], [False]) == 0
    with pytest.raises(InvalidInput, match="verdicts"):
        majority_accuracy(["a"], [])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.booleans()), max_size=8),
    st.data(),
)
def test_a_majority_of_k_is_the_mean_over_all_subsets(attempts, data) -> None:
    attempts = [("a", True), *attempts]
    k = data.draw(st.integers(1, len(attempts)))
    subsets = list(itertools.combinations(attempts, k))
    expected = sum(majority_accuracy(*zip(*some, strict=True)) for some in subsets) / len(subsets)
    assert majority_at_k(*zip(*attempts, strict=True), k) == pytest.approx(expected, abs=1e-12)


def test_majorities_of_many_attempts_are_worked_out_quickly() -> None:
    answers = [str(i % 7) for i in range(64)]
    right = [answer == "3" for answer in answers]
    found = majority_at_k(answers, right, 33)
    assert 0 < found < 1
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(64)[:33] for _ in range(3000)]
    sampled = np.mean(
        [majority_accuracy([answers[i] for i in d], [right[i] for i in d]) for d in drawn]
    )
    assert abs(found - sampled) < 0.03


@pytest.mark.parametrize("k", [0, 3])
def test_a_majority_of_more_than_there_are_is_refused(k) -> None:
    with pytest.raises(InvalidInput, match=f"k = {k}"):
        majority_at_k(["a", "b"], [True, False], k)
