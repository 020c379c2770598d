"""What a recipe is: where a benchmark comes from, and what makes problems of its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from llm.data.recipes.sources import Source
from llm.data.records import Record
from llm.task import Problem


@dataclass(frozen=True, slots=True)
class Licence:
    """On what terms the data may be used.

    Attributes:
        name: SPDX name, or what the source says.
        redistribute: whether copies may be passed on. Where they may not, or nobody says, what is
            prepared says so beside it.
        note: what else there is to know.
    """

    name: str
    redistribute: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """A rule by which records are left out.

    Attributes:
        name: in the manifest.
        about: what it keeps, in one sentence.
        keeps: says so of a record.
    """

    name: str
    about: str
    keeps: Callable[[Record], bool]


@dataclass(frozen=True, slots=True)
class AnswerFilter:
    """A rule by which problems are left out for their reference answers.

    Attributes:
        name, about: as for :class:`Filter`.
        keeps: says so of an answer.
    """

    name: str
    about: str
    keeps: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Shuffled:
    """One table, shuffled and cut: the first are for training, the next for testing.

    Attributes:
        train, test: how many; None of `train`: all that remain.
        larger: a second, larger test split "test_large", which begins with the first; 0: none.
        seed: of the shuffle, which is that of ``pandas.DataFrame.sample(frac=1, random_state)``.
    """

    train: int | None
    test: int
    larger: int = 0
    seed: int = 42


@dataclass(frozen=True, slots=True)
class Official:
    """The splits that the source has.

    Attributes:
        train, test: names of its splits.
        most_train, most_test: at most so many, at random; None: all of them.
        seed: of the choice.
    """

    train: str = "train"
    test: str = "test"
    most_train: int | None = None
    most_test: int | None = None
    seed: int = 42


@dataclass(frozen=True, slots=True)
class TestOnly:
    """A benchmark without training problems.

    Attributes:
        most: at most so many, at random; None: all of them.
        seed: of the choice.
    """

    # pytest takes names that begin with Test for tests.
    __test__ = False

    most: int | None = None
    seed: int = 42


Split = Shuffled | Official | TestOnly


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a benchmark is made.

    Attributes:
        name: in commands.
        about: what it is, in one line.
        source: where its records are.
        licence: on what terms.
        needs: columns that every record must have.
        columns: makes the problem of a record; it raises InvalidInput where the reference cannot be
            read, which leaves the record out and is told by name.
        split: which problems are for training.
        filters: on records, applied in this order.
        answers: on the answers of problems, applied after these.
        code: whether answers are tests of programs, see :mod:`llm.rewards.sandbox.cases`.
        hold_out_tests: whether half the tests of a training problem are kept for evaluation.
    """

    name: str
    about: str
    source: Source
    licence: Licence
    needs: tuple[str, ...]
    columns: Callable[[Record], Problem]
    split: Split = field(default_factory=TestOnly)
    filters: tuple[Filter, ...] = ()
    answers: tuple[AnswerFilter, ...] = ()
    code: bool = False
    hold_out_tests: bool = False
