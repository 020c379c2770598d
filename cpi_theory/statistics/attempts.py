"""What several attempts at a problem are worth: pass@k, majority votes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence

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
