"""Whether problems for testing are among those for training, or nearly so.

Two questions are the same if their words are, and nearly the same if most runs of three words occur
in both and they hold the same numbers: problems of one template with other numbers are other
problems. Candidates come from MinHash (the package datasketch), and each is compared exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cpi_theory.checks import InvalidInput, check_in_range
from llm.data.problems import normalized_question
from llm.rewards.sandbox.cases import CodeTests
from llm.task import Problem

SIMILARITY = 0.8
"""Jaccard similarity from which questions are nearly the same."""

_RUN = 3
"""Words in a run."""

_PERMUTATIONS = 128
_MARGIN = 0.2
"""The index is asked for less than is wanted, so that its errors seldom lose a pair."""

_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two problems whose questions are the same or nearly so.

    Attributes:
        train, test: their ids.
        similarity: Jaccard, of runs of three words; 1: the same.
    """

    train: str
    test: str
    similarity: float


def similarity(one: str, other: str) -> float:
    """Return how similar two questions are, in [0, 1]; 0 if they hold other numbers.

    The Jaccard similarity |A and B| / |A or B| of their sets of runs of three words, case and
    blanks aside; signs count as words.

    Source: Broder (1997), "On the resemblance and containment of documents".
    """
    first, second = _runs(one), _runs(other)
    if _numbers(one) != _numbers(other):
        return 0.0
    return len(first & second) / max(1, len(first | second))


def overlaps(
    train: Sequence[Problem], test: Sequence[Problem], least: float = SIMILARITY
) -> list[Overlap]:
    """Return all pairs of a training and a test problem that are the same or nearly so.

    Args:
        train: problems that were learned from.
        test: problems that are evaluated.
        least: similarity from which a pair counts.

    Returns:
        Pairs in the order of `test`, of each problem the most similar one.

    Raises:
        InvalidInput: if datasketch is not installed, or `least` is outside [0.5, 1].
    """
    index = QuestionIndex(least)
    for problem in train:
        index.add(problem)
    return [found for problem in test if (found := index.nearest(problem)) is not None]


class QuestionIndex:
    """Questions among which similar ones are found.

    Attributes:
        least: similarity from which a pair counts.
    """

    def __init__(self, least: float = SIMILARITY) -> None:
        check_in_range("similarity", least, 0.5, 1)
        self.least = least
        try:
            from datasketch import MinHashLSH
        except ModuleNotFoundError as error:
            remedy = "pip install 'cpi-resets[data]'"
            raise InvalidInput("datasketch", None, "not installed", remedy) from error
        self._lsh = MinHashLSH(max(0.1, least - _MARGIN), _PERMUTATIONS)
        self._questions: list[Problem] = []

    def add(self, problem: Problem) -> None:
        """Put a question in."""
        self._lsh.insert(len(self._questions), _sketch(problem.question), check_duplication=False)
        self._questions.append(problem)

    def nearest(self, problem: Problem) -> Overlap | None:
        """Return the most similar question, None if none is similar enough."""
        candidates = (self._questions[i] for i in self._lsh.query(_sketch(problem.question)))
        found = [
            Overlap(other.id, problem.id, similarity(other.question, problem.question))
            for other in candidates
        ]
        best = max(found, key=lambda pair: (pair.similarity, pair.train), default=None)
        return best if best is not None and best.similarity >= self.least else None


def check_apart(
    train: Sequence[Problem], test: Sequence[Problem], least: float = SIMILARITY
) -> None:
    """Refuse an evaluation on problems that were learned from; every evaluation calls this.

    Args:
        train: problems that the evaluated models may have learned from.
        test: problems of the evaluation.
        least: similarity from which a pair counts.

    Raises:
        InvalidInput: naming the pairs.
    """
    # What is the same is found without datasketch, and with an id that says so.
    known = {normalized_question(problem.question): problem.id for problem in train}
    same = [
        Overlap(known[question], problem.id, 1.0)
        for problem in test
        if (question := normalized_question(problem.question)) in known
    ]
    found = same or overlaps(train, test, least)
    if found:
        pairs = ", ".join(f"{p.test} ({p.train}, {p.similarity:.2f})" for p in found[:3])
        raise InvalidInput(
            "test problems",
            [pair.test for pair in found],
            f"{len(found)} of {len(test)} are among the training problems or nearly so: {pairs}",
            "leave them out of one of the two, or evaluate on another split",
        )


def check_tests_held_out(
    trained: Mapping[str, CodeTests], evaluated: Mapping[str, CodeTests]
) -> None:
    """Refuse an evaluation by tests that gave rewards in training.

    Args:
        trained: id of a problem -> the tests that it was rewarded by.
        evaluated: id of a problem -> the tests that it is judged by now.

    Raises:
        InvalidInput: naming the problems.
    """
    shared = [
        mark
        for mark, tests in evaluated.items()
        if mark in trained and tests.digests() & trained[mark].digests()
    ]
    if shared:
        raise InvalidInput(
            "tests of problems",
            shared,
            f"{len(shared)} are evaluated by tests that they were trained on",
            "evaluate by the tests that were held out, or on other problems",
        )


def _words(question: str) -> list[str]:
    return _WORD.findall(question.casefold())


def _numbers(question: str) -> list[str]:
    return sorted(re.findall(r"\d+", question))


def _runs(question: str) -> frozenset[str]:
    words = _words(question)
    # A question of few words is one run.
    return frozenset(" ".join(words[i : i + _RUN]) for i in range(max(1, len(words) - _RUN + 1)))


def _sketch(question: str) -> Any:
    from datasketch import MinHash

    sketch = MinHash(_PERMUTATIONS)
    sketch.update_batch(_encoded(_runs(question)))
    return sketch


def _encoded(runs: Iterable[str]) -> list[bytes]:
    return [run.encode(errors="surrogatepass") for run in sorted(runs)]
