r"""How the tiny model is asked where its own chain goes wrong, and how it answers.

The prompt is the question, the failed thoughts and ``<locate> start 11``; the reply recomputes
step after step next to what was stated and ends at the first that differs, naming it in a box,
1-based::

    1: +2 13 13 right 2: *3 16 19 wrong \boxed{2}

Box 0 says that no step is wrong. (Without both numbers a small model learns shortcuts such as "the
first hard step".)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm.task import Problem, Task
from llm.tasks.arithmetic.task import DELIMITER, Exercise, boxed, label, parse_question
from llm.text.answers import holds_answer

LOCATE, RIGHT, WRONG = "<locate>", "right", "wrong"


@dataclass(frozen=True, slots=True)
class ArithmeticLocalizationPrompt:
    """How a model of the arithmetic task is asked for its first error.

    Attributes:
        task: renders questions.
    """

    task: Task

    def render(self, problem: Problem, thoughts: Sequence[str]) -> str:
        """Return the whole prompt of a localisation.

        Args:
            problem: what was asked.
            thoughts: in order, with or without delimiters; the model is shown them as it wrote
                them, each with its delimiter unless it holds the answer.
        """
        question = self.task.prompt(problem)
        begin = opening(parse_question(problem.question))
        return " ".join([question, *map(_as_written, thoughts), begin])


def opening(exercise: Exercise) -> str:
    """Return what a trace begins with: the value that step 1 is recomputed from.

    Without it a small model recomputes step 1 worse than the others and believes what was stated.
    """
    return f"{LOCATE} start {exercise.start}"


def _as_written(text: str) -> str:
    # The thought with the answer ends the rollout, and needs no delimiter.
    bare = text.replace(DELIMITER, "").strip()
    return bare if holds_answer(bare) else f"{bare} {DELIMITER}".strip()


def trace(operations: Sequence[str], right: Sequence[int], stated: Sequence[int]) -> str:
    """Return the reply for a chain: it recomputes each step up to the first that differs.

    Args:
        operations: of the question.
        right: the right value after each.
        stated: the value that the chain states after each.
    """
    words: list[str] = []
    for i, (operation, true, said) in enumerate(zip(operations, right, stated, strict=True)):
        verdict = RIGHT if true == said else WRONG
        words += [label(i), operation, str(true), str(said), verdict]
        if verdict == WRONG:
            return " ".join([*words, boxed(i + 1)])
    return " ".join([*words, boxed(0)])
