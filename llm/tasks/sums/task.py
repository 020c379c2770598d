r"""Sums in plain English, solved one operation a line, with an exact step checker.

A model is asked ``What is 47 + 82 - 15?`` and writes the operations in any order, one a line, the
answer in a box in the last::

    47 + 82 = 129
    129 - 15 = \boxed{114}

Nothing in it depends on a tokenizer: it is made for models that know plain arithmetic a little, and
that a short warm start teaches the format. Adding more numbers, or longer ones, makes it harder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.checks import InvalidInput, check_count, check_in_range, check_probability
from cpi_theory.randomness import Key
from llm.prompts import Prompt
from llm.task import Problem, Verdict
from llm.tasks.splits import ATTEMPTS, check_split, distinct, problem_id, split_of
from llm.tasks.sums.lines import Line, Terms, combine, first_wrong, read_line
from llm.text.answers import boxed_span
from llm.text.boundaries import Line as EachLine
from llm.text.thoughts import ThoughtFormat

_QUESTION = re.compile(r"What is ([0-9]{1,18}(?: [+-] [0-9]{1,18})+)\?")

_QUESTION_ALONE = Prompt("sums", "{{question}}")

_MISREAD = 0.3
"""Share of corrupted lines in which a number or a sign is misread rather than a digit of the
result wrong: small models mostly slip in the result."""


def write_question(terms: Terms) -> str:
    """Return the question for a sum; its first term must not be negative."""
    rest = [f"{'-' if term < 0 else '+'} {abs(term)}" for term in terms[1:]]
    return f"What is {' '.join([str(terms[0]), *rest])}?"


def parse_question(question: str) -> Terms:
    """Return the signed terms of a question, in its order.

    Raises:
        InvalidInput: if the text is no question of this task.
    """
    found = _QUESTION.fullmatch(question)
    words = found[1].split() if found else []
    signs = ["+", *words[1::2]]
    terms = tuple(int(sign + word) for sign, word in zip(signs, words[::2], strict=False))
    # Written out again it is the same text: no leading zeros, no zero with a minus sign.
    if not terms or write_question(terms) != question:
        raise InvalidInput("question", question, "not a sum", "write 'What is 47 + 82 - 15?'")
    return terms


@dataclass(frozen=True)
class SumsTask:
    """Sums of one size; a ``Task``, ``StepChecker`` and ``Demonstrator`` of :mod:`llm.task`.

    Attributes:
        numbers: in a sum; a solution has one line less.
        digits: of each number.
        minus: chance that a number after the first is subtracted.
        template: wording with the placeholder question.
    """

    numbers: int = 3
    digits: int = 2
    minus: float = 0.5
    template: Prompt = _QUESTION_ALONE

    def __post_init__(self) -> None:
        check_count("numbers", self.numbers)
        check_in_range("numbers", self.numbers, 2, 20)
        check_count("digits", self.digits)
        # What comes out of 20 numbers of 15 digits is read as a line, too.
        check_in_range("digits", self.digits, 1, 15)
        check_probability("minus", self.minus)
        # A trial: a template without its placeholder is refused here, not at the first rollout.
        self.template.fill(question="")

    @property
    def form(self) -> ThoughtFormat:
        """The format of solutions: a line a thought, with room for as many that are malformed."""
        lines = 2 * (self.numbers - 1)
        # A digit a token, the most that tokenizers take: three numbers, signs, blanks and a box.
        tokens = lines * (3 * self.digits + 20)
        return ThoughtFormat(max_thoughts=lines, max_tokens=tokens, boundary=EachLine())

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """Draw distinct problems of a split; a longer list begins with the shorter one.

        Whether a question is for training or for testing is decided by its text, so splits share
        none, whatever the seeds and the other parameters.

        Raises:
            InvalidInput: for an unknown split, or if the task has too few questions.
        """
        check_count("count", count, minimum=0)
        check_split(split)
        return distinct(self._questions(split, Key.of(seed).child("sums", split)), count, _problem)

    def _questions(self, split: str, key: Key) -> Iterator[str]:
        rng, misses = key.generator(), 0
        low, high = (0, 10) if self.digits == 1 else (10 ** (self.digits - 1), 10**self.digits)
        while misses < ATTEMPTS:
            sizes = rng.integers(low, high, size=self.numbers).tolist()
            minus = rng.random(self.numbers - 1) < self.minus
            rest = [-n if less else n for n, less in zip(sizes[1:], minus, strict=True)]
            question = write_question((sizes[0], *rest))
            misses = 0 if split_of(question) == split else misses + 1
            if not misses:
                yield question
        raise InvalidInput("numbers", self.numbers, f"no sum for {split}", "ask for longer sums")

    def prompt(self, problem: Problem) -> str:
        """Return the whole text that the model replies to."""
        return self.template.fill(question=problem.question)

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Judge a text: 1 for the right number in its last whole box, else 0."""
        span = boxed_span(text)
        if span is None:
            return Verdict(0.0, None)
        answer = text[slice(*span)].strip()
        return Verdict(float(answer == problem.answer), answer)

    def first_error(self, problem: Problem, thoughts: Sequence[str]) -> int | None:
        """Return the 0-based index of the first line that no right solution goes on with.

        See :func:`llm.tasks.sums.lines.first_wrong`: results, operands that are not there,
        operations left out and lines that cannot be read are errors where they stand.
        """
        return first_wrong(parse_question(problem.question), thoughts)

    def in_format(self, problem: Problem, thoughts: Sequence[str]) -> bool:
        """Return whether there is one operation a line, right or wrong, and one box, in the last.

        There must be as many as the sum has operations.
        """
        lines = [read_line(text) for text in thoughts]
        operations = len(parse_question(problem.question)) - 1
        boxed = [line.boxed for line in lines if line is not None]
        return len(lines) == operations and boxed == [False] * (operations - 1) + [True]

    def solution(self, problem: Problem) -> list[str]:
        """Return the right lines in the order of the question.

        Raises:
            InvalidInput: if the question is no sum.
        """
        terms = parse_question(problem.question)
        return [line.text for line in _continued(terms[0], terms[1:])]

    def demonstration(self, problem: Problem, key: Key) -> str:
        """Return a right solution as it is to be written; see :class:`llm.task.Demonstrator`."""
        del key  # there is one solution in the order of the question
        return "\n".join(self.solution(problem))

    def faulty(self, problem: Problem, key: Key) -> str:
        """Return a solution whose first error is in a uniform line; see ``Demonstrator``.

        A digit of the result is wrong, or an operand or sign is misread; or lines are left out
        behind it, the result being boxed too early. What follows goes on from what was stated.
        """
        terms, rng = parse_question(problem.question), key.generator()
        place = int(rng.integers(len(terms) - 1))
        right = [line.text for line in _continued(terms[0], terms[1 : place + 1], len(terms) - 2)]
        before = sum(terms[: place + 1])
        while True:
            wrong = _corrupted(combine(before, terms[place + 1]), place == len(terms) - 2, rng)
            rest = () if wrong.boxed else terms[place + 2 :]
            # The lines before are right, so what is drawn may be right by chance, as where another
            # number of the sum was read; then something else is drawn.
            texts = [*right[:place], wrong.text]
            texts += [line.text for line in _continued(wrong.result, rest)]
            if first_wrong(terms, texts) == place:
                return "\n".join(texts)


def _problem(question: str) -> Problem:
    return Problem(problem_id(question), question, str(sum(parse_question(question))), "exact")


def _continued(start: int, terms: Terms, last: int | None = None) -> list[Line]:
    """Lines that add terms to a number in their order; the last of all, or number `last`, boxes."""
    lines: list[Line] = []
    last = len(terms) - 1 if last is None else last
    for i, term in enumerate(terms):
        lines.append(combine(start, term, i == last))
        start = lines[-1].result
    return lines


def _corrupted(line: Line, last: bool, rng: np.random.Generator) -> Line:
    """A line with one thing wrong."""
    boxed, kind = last, rng.random()
    if kind > _MISREAD:
        result = _other_digit(line.result, rng)
        return Line(line.left, line.sign, line.right, result, boxed)
    choice = int(rng.integers(3))
    if choice == 0 and not last:  # the lines behind it are left out
        return Line(line.left, line.sign, line.right, line.result, True)
    if choice == 1:
        sign = "+" if line.sign == "-" else "-"
        read = Line(line.left, sign, line.right, 0)
    else:
        read = Line(line.left, line.sign, abs(_other_digit(line.right, rng)), 0)
    return Line(read.left, read.sign, read.right, read.right_result, boxed)


def _other_digit(number: int, rng: np.random.Generator) -> int:
    """The number with one of its digits replaced by another."""
    digits = list(str(abs(number)))
    place = int(rng.integers(len(digits)))
    digits[place] = str((int(digits[place]) + int(rng.integers(1, 10))) % 10)
    return int("".join(digits)) * (-1 if number < 0 else 1)
