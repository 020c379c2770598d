"""What several attempts at a problem are worth: pass@k, majority votes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from cpi_theory.checks import InvalidInput, check_count, check_in_range


def pass_at_k(right: int, attempts: int, k: int) -> float:
    r"""Estimate the chance that one of k attempts is right, without bias.

    Formula: :math:`1 - \binom{n - c}{k} / \binom{n}{k}` for c right ones of n: the share of the
    subsets of size k that hold a right one.

    Args:
        right: c, in [0, n].
        attempts: n.
        k: in [1, n].

    Raises:
        InvalidInput: naming the argument outside its range.

    Source: Chen et al. (2021), arXiv 2107.03374.
    """
    check_count("attempts", attempts)
    check_in_range("right", right, 0, attempts)
    if not 1 <= k <= attempts:
        raise InvalidInput("k", k, f"not in [1, {attempts}]", "draw more attempts or lower k")
    return 1 - math.comb(attempts - right, k) / math.comb(attempts, k)


def majority_accuracy(answers: Sequence[Hashable | None], right: Sequence[bool]) -> float:
    """Return the chance that the most frequent answer is right, ties broken evenly.

    Attempts without an answer have no vote; without any vote the chance is 0. Equal answers must
    be given as equal values; where a right and a wrong attempt have the same one (a verifier that
    looks at more than the answer), the share of right ones counts.

    Args:
        answers: of each attempt, None where there is none.
        right: whether the attempt is right, of the same length.

    Raises:
        InvalidInput: the lengths differ, or are 0.

    Source: Wang et al. (2022), arXiv 2203.11171 (self-consistency).
    """
    if len(answers) != len(right) or not answers:
        problem = f"{len(right)} verdicts for {len(answers)} answers"
        raise InvalidInput("right", len(right), problem, "give one verdict per answer")
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    leading = [answer for answer, count in votes.items() if count == most]
    hits = Counter(a for a, is_right in zip(answers, right, strict=True) if is_right)
    return sum(hits[answer] / most for answer in leading) / len(leading)


def majority_at_k(answers: Sequence[Hashable | None], right: Sequence[bool], k: int) -> float:
    r"""Estimate the chance that a majority of k attempts is right, without bias.

    The mean of :func:`majority_accuracy` over all subsets of size k, exactly: for each number m of
    votes that leads, subsets are counted by their size and by how many answers have m of them.

    Args:
        answers: of each of n attempts, None where there is none.
        right: whether the attempt is right, of the same length.
        k: in [1, n].

    Raises:
        InvalidInput: the lengths differ, or k is outside its range.
    """
    if len(answers) != len(right) or not 1 <= k <= len(answers):
        problem = f"{len(answers)} answers and {len(right)} verdicts"
        raise InvalidInput("k", k, problem, "give one verdict per answer, and k of them at most")
    votes = Counter(answer for answer in answers if answer is not None)
    hits = Counter(a for a, is_right in zip(answers, right, strict=True) if is_right)
    silent = len(answers) - votes.total()
    most = max(votes.values(), default=0)
    classes = [(count, hits[answer] / count) for answer, count in votes.items()]
    return sum(_led_by(m, classes, silent, k) for m in range(1, min(most, k) + 1))


def _led_by(m: int, classes: Sequence[tuple[int, float]], silent: int, k: int) -> float:
    """The part of :func:`majority_at_k` in which the leading answers have m votes each.

    Args:
        m: votes.
        classes: of each answer how often it was given, and the share of right attempts in it.
        silent: attempts without an answer.
        k: size of the subsets.
    """
    ties = k // m
    # By size of the subset and number of answers with m votes: how many subsets there are, and
    # their sum of the shares of right ones among those answers.
    subsets = np.zeros((k + 1, ties + 1))
    shares = np.zeros_like(subsets)
    subsets[0, 0] = 1.0
    for count, share in classes:
        before, credited = subsets.copy(), shares.copy()
        for drawn in range(1, min(count, m, k) + 1):
            ways, leads = math.comb(count, drawn), int(drawn == m)
            of, to = np.s_[: k + 1 - drawn, : ties + 1 - leads], np.s_[drawn:, leads:]
            subsets[to] += ways * before[of]
            shares[to] += ways * (credited[of] + leads * share * before[of])
    missing = np.array([float(math.comb(silent, k - size)) for size in range(k + 1)])
    led = (shares[:, 1:] / np.arange(1, ties + 1)).sum(axis=1)
    total = sum(count for count, _ in classes) + silent
    return float(missing @ led) / math.comb(total, k)
