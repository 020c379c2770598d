"""Read problems from records and split them, with questions that come twice refused or dropped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from cpi_theory.checks import InvalidInput, check_choice, check_probability
from llm.data.records import Record, read_records
from llm.rewards import verify as rewards
from llm.rewards.answers import boxed
from llm.task import SCORED, Problem

Duplicates = Literal["refuse", "first"]
"""A question that comes again is an error, or only its first record counts."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Where a record holds what.

    A name may lead into nested records and lists: "reward_model.ground_truth", "prompt.0.content".

    Attributes:
        question: name of the field with the question.
        answer: name of the field with the reference answer, or with a list of several that are
            right, each by itself.
        id: name of the field with an id; None: a hash of the question.
        kind: name of the field with the kind of answer; None: all are `default_kind`.
        default_kind: see :mod:`llm.rewards.verify`; or "scored": a scorer judges, the reference
            may be any text, and what is no text becomes one as JSON.
        answer_after: where the field holds a worked solution, what its answer comes after, such
            as "####"; "\\boxed" takes the content of its last box. None: the field is the answer.
    """

    question: str = "question"
    answer: str = "answer"
    id: str | None = None
    kind: str | None = None
    default_kind: str = "math"
    answer_after: str | None = None

    def __post_init__(self) -> None:
        if self.default_kind != SCORED:
            rewards.check_kind(self.default_kind)

    def problem(self, record: Record) -> Problem:
        """Read the problem in a record.

        Raises:
            InvalidInput: naming the record's place and the field that is missing or unusable.

        Source: Cobbe et al. (2021), arXiv 2110.14168 (answers after "####"); Hendrycks et al.
        (2021), arXiv 2103.03874 (answers in a box).
        """
        kind = self.default_kind if self.kind is None else record.text(self.kind)
        texts = record.texts if kind != SCORED else record.as_text
        answers = [
            self._answer(record, name, text, kind) for name, text in texts(self.answer).items()
        ]
        question = record.text(self.question)
        mark = question_digest(question)[:12] if self.id is None else record.text(self.id)
        return Problem(mark, question, answers[0], kind, tuple(answers[1:]), record.place)

    def _answer(self, record: Record, name: str, text: str, kind: str) -> str:
        """A reference, checked; an error says in which field it stands."""
        answer = text
        if self.answer_after is not None:
            answer = self._extract(f"{record.place}, field {name}", text)
        if kind == SCORED:
            return answer
        try:
            rewards.check_reference(kind, answer)
        except InvalidInput as error:
            place = f"{record.place}, field {self.kind if error.field == 'kind' else name}"
            raise InvalidInput(place, error.value, error.problem, error.remedy) from error
        return answer

    def _extract(self, place: str, solution: str) -> str:
        assert self.answer_after is not None
        if self.answer_after == "\\boxed":
            answer = boxed(solution)
        else:
            # After the last marker: the solution may use the sign before.
            _, found, rest = solution.rpartition(self.answer_after)
            answer = rest.strip() if found else None
        if not answer:
            raise InvalidInput(
                place,
                solution,
                f"no answer after {self.answer_after!r}",
                "correct the record or name another marker",
            )
        return answer


def read_problems(
    source: str,
    fields: Fields | None = None,
    duplicates: Duplicates = "refuse",
    field: str = "source",
) -> list[Problem]:
    """Read the problems of a source, in its order.

    Args:
        source: see :func:`llm.data.records.read_records`.
        fields: where records hold what.
        duplicates: what to do with a question that comes twice.
        field: the setting that names the source, for messages.

    Raises:
        InvalidInput: if the source is missing, unreadable or empty, or a record is unusable.
    """
    fields = fields or Fields()
    check_choice("duplicates", duplicates, get_args(Duplicates))
    problems = _distinct(
        ((record.place, fields.problem(record)) for record in read_records(source, field)),
        duplicates,
    )
    if not problems:
        raise InvalidInput(field, source, "holds no problem", "give one with records")
    return problems


def _distinct(found: Iterable[tuple[str, Problem]], duplicates: Duplicates) -> list[Problem]:
    questions: dict[str, str] = {}
    ids: dict[str, str] = {}
    problems = []
    for place, problem in found:
        question = normalized_question(problem.question)
        if question in questions and duplicates == "first":
            continue
        for what, value, seen in (("question", question, questions), ("id", problem.id, ids)):
            if value in seen:
                raise InvalidInput(
                    f"{place}, {what}",
                    value,
                    f"is that of {seen[value]} too",
                    "remove one" if what == "id" else "remove one or set duplicates = 'first'",
                )
            seen[value] = place
        problems.append(problem)
    return problems


def normalized_question(question: str) -> str:
    """Return what makes questions the same: their words, not the blanks between them."""
    return " ".join(question.split())


def split_problems(
    problems: Sequence[Problem], test_share: float, seed: int = 0
) -> tuple[list[Problem], list[Problem]]:
    """Split problems into those for training and those for testing.

    Which problem goes where depends on the seed and on the questions, not on their order.

    Returns:
        (train, test), each in the order of `problems`; round(test_share * n) are for testing, but
        at least one if the share is positive.

    Raises:
        InvalidInput: if a positive share of either kind gets no problem.
    """
    check_probability("test_share", test_share)
    held = max(round(test_share * len(problems)), int(test_share > 0))
    if len(problems) - held < int(test_share < 1):
        raise InvalidInput(
            "problems", len(problems), "too few to split", "give more or set test_share to 0 or 1"
        )
    # By a hash of the question, so that the order of the records does not matter.
    ranked = sorted(problems, key=lambda problem: question_digest(problem.question, seed))
    test = {problem.id for problem in ranked[:held]}
    return [p for p in problems if p.id not in test], [p for p in problems if p.id in test]


def question_digest(question: str, seed: int = 0) -> str:
    """Return what tells questions apart: a hash of their words; other seeds give other hashes."""
    # JSON may hold lone surrogates, which have no bytes in UTF-8.
    text = f"{seed}|{normalized_question(question)}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
