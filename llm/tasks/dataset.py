"""Problems from files and data sets: read, checked, split and put into words.

Whatever is wrong with a record is said with the file, the line and the field; no record is skipped
in silence, for a data set that lost problems on the way gives numbers about another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cpi_theory.checks import InvalidInput, check_count, choose_among
from cpi_theory.randomness import Key
from llm.data.problems import Duplicates, Fields, normalized_question, read_problems, split_problems
from llm.prompts import Prompt, shipped
from llm.rewards import verify as rewards
from llm.rewards.answers import boxed
from llm.rewards.scorers import TextScorer
from llm.task import SCORED, Problem, Verdict


@dataclass(frozen=True, slots=True)
class DatasetTask:
    """A task over given problems.

    Attributes:
        train: problems to learn from.
        test: problems held out; they share neither question nor id with `train`.
        template: wording with the placeholder question, and delimiter if it is wanted.
        delimiter: what the model is asked to end thoughts with.
        scorer: judges texts; None: answers are compared with the references.
    """

    train: tuple[Problem, ...]
    test: tuple[Problem, ...] = ()
    template: Prompt = field(default_factory=lambda: shipped("solve"))
    delimiter: str = "</thought>"
    scorer: TextScorer | None = None

    def __post_init__(self) -> None:
        if self.scorer is not None:
            self.scorer.check()
        elif any(problem.kind == SCORED for problem in (*self.train, *self.test)):
            remedy = "give a scorer (reward = 'module:function'), or another kind of answer"
            raise InvalidInput("kind", SCORED, "nothing scores the answers", remedy)
        for what in ("question", "id"):
            known = {normalized_question(getattr(problem, what)) for problem in self.train}
            for problem in self.test:
                if normalized_question(getattr(problem, what)) in known:
                    raise InvalidInput(
                        f"test {problem.called}, {what}",
                        getattr(problem, what),
                        "is that of a training problem too",
                        "leave one of them out" if what == "question" else "rename one of them",
                    )
        # A template without its placeholders is refused here, not at the first rollout.
        self.template.check({"question"}, {"delimiter"})

    def problems(self, split: str, count: int, seed: int) -> list[Problem]:
        """Draw distinct problems of a split; a longer list begins with the shorter one.

        Raises:
            InvalidInput: if there is no such split or it holds fewer problems.
        """
        return draw({"train": self.train, "test": self.test}, split, count, seed)

    def prompt(self, problem: Problem) -> str:
        """Return the whole text that the model continues."""
        return self.template.fill_some(question=problem.question, delimiter=self.delimiter)

    def verify(self, problem: Problem, text: str) -> Verdict:
        """Judge a text by the scorer, or else by the kind of the problem's answer.

        See :func:`llm.rewards.verify.verify` and :class:`llm.rewards.scorers.Scorer`.

        Raises:
            InvalidInput: the scorer fails.

        Source: Hendrycks et al. (2021), arXiv 2103.03874 (answers in a box).
        """
        if self.scorer is not None:
            return self.scorer.judge(problem, boxed(text), text)
        return rewards.verify(problem.kind, problem.answers, text)

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """Judge an answer that was read out of a text; see :class:`llm.task.AnswerJudge`."""
        if self.scorer is not None:
            return self.scorer.judge(problem, answer, text)
        return rewards.judge(problem.kind, problem.answers, answer)


def draw(
    splits: Mapping[str, Sequence[Problem]], split: str, count: int, seed: int
) -> list[Problem]:
    """Draw distinct problems of a split; a longer list begins with the shorter one.

    Args:
        splits: name -> problems.
        split: that is drawn from.
        count: how many.
        seed: of the draw.

    Raises:
        InvalidInput: if there is no such split or it holds fewer problems.
    """
    check_count("count", count, minimum=0)
    if split not in splits:
        raise InvalidInput("split", split, "no such split", choose_among(split, splits))
    pool = splits[split]
    if count > len(pool):
        raise InvalidInput(
            "count", count, f"the {split} split holds {len(pool)} problems", "ask for fewer"
        )
    # All of them are ordered, whatever the count: a longer list begins with the shorter one.
    order = Key.of(seed).child("problems", split).generator().permutation(len(pool))
    return [pool[i] for i in order[:count]]


def load_task(
    source: str,
    test_source: str | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    fields: Fields | None = None,
    duplicates: Duplicates = "refuse",
    scorer: TextScorer | None = None,
    **wording: Any,
) -> DatasetTask:
    """Load the problems of a source as a task.

    Args:
        source: a JSONL or parquet file, a directory or the name of a data set.
        test_source: where the problems for testing are; None: a share of `source` is held out.
        test_share: that share.
        seed: of the split.
        fields: which field of a record holds what, see :class:`~llm.data.problems.Fields`.
        duplicates: whether a question that comes again is an error ("refuse"), or only its first
            record counts ("first").
        scorer: judges texts in place of comparing answers; any reference will do then.
        wording: template and delimiter of :class:`DatasetTask`.

    Raises:
        InvalidInput: whatever is wrong with a source, or if the two share a question.

    Source: Lhoest et al. (2021), arXiv 2109.02846 (the library that reads folders and hubs).
    """
    fields = fields or Fields()
    if scorer is not None:
        fields = replace(fields, kind=None, default_kind=SCORED)
    problems = read_problems(source, fields, duplicates)
    if test_source is None:
        train, test = split_problems(problems, test_share, seed)
    else:
        train, test = problems, read_problems(test_source, fields, duplicates, "test_source")
    return DatasetTask(tuple(train), tuple(test), scorer=scorer, **wording)
