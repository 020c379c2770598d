from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.attempts import majority_accuracy, pass_at_k


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
