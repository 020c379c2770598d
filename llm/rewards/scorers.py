"""Scorers of the user's own: a function that judges texts, with a time limit and checked rewards.

A scorer that fails is an error and no reward of 0: a training run would go on and learn from a
mistake in a program.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Protocol

from cpi_theory.checks import InvalidInput, check_positive, nearest
from llm.rewards.function_process import CallFailed, FunctionProcess, shared_process
from llm.task import Problem, Verdict


class TextScorer(Protocol):
    """Judges texts in place of a comparison of answers."""

    def check(self) -> None:
        """Load it, so that what is wrong with it is known before anything is sampled."""
        ...

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """Judge a finished rollout; see :class:`llm.task.AnswerJudge`."""
        ...


ONCE_MENDED = "once it is mended the same command starts anew, as other rewards may differ, too"
"""What happens to a run whose function judged wrongly, for remedies."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A function that judges texts, called in a process of its own.

    Attributes:
        function: "module:function". It is called as ``function(problem=..., text=...)`` with a
            :class:`~llm.task.Problem` and the text of the whole solution, and returns a reward
            from 0 to 1.
        seconds: how long a call may take.
    """

    function: str
    seconds: float = 10.0
    # Which file the name meant when this was made: a process that holds another one is not shared,
    # and an edit while it is in use changes nothing under way.
    _version: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_positive("reward_seconds", self.seconds)
        object.__setattr__(self, "_version", scorer_version(self.function))

    def check(self) -> None:
        """Load the function, so that what is wrong with it is known before anything is sampled.

        Raises:
            InvalidInput: if it cannot be loaded.
        """
        self._process().start()

    def judge(self, problem: Problem, answer: str | None, text: str) -> Verdict:
        """Judge a text; `answer` is what is reported as its answer.

        Raises:
            InvalidInput: naming function and problem, if the function cannot be loaded, raises,
                takes too long, ends its process, or returns no number from 0 to 1.
        """
        try:
            reward = self._process()(problem=problem, text=text)
        except CallFailed as failure:
            raise self._refusal(problem, text, str(failure)) from failure
        # NaN is in no order.
        if not isinstance(reward, int | float) or not 0 <= reward <= 1:
            raise self._refusal(problem, text, f"returned {reward!r}")
        return Verdict(float(reward), answer)

    def _process(self) -> FunctionProcess:
        return shared_process(self.function, self.seconds, version=self._version)

    def _refusal(self, problem: Problem, text: str, what: str) -> InvalidInput:
        return InvalidInput(
            f"reward {self.function} of an answer to {problem.called}",
            text,
            what,
            f"have it return a number from 0 to 1 for every text within {self.seconds:g} seconds "
            f"(reward_seconds); {ONCE_MENDED}",
        )


def scorer_source(function: str) -> Path:
    """Return the source file of the module of a scorer, without running it.

    Args:
        function: "module:function"; the module is looked for in the working directory and where
            Python finds modules.

    Raises:
        InvalidInput: if it is not written so, or there is no such module with a source file.
    """
    module, colon, name = function.partition(":")
    parts = module.split(".")
    if not colon or not all(part.isidentifier() for part in (*parts, name)):
        raise InvalidInput(
            "reward", function, "names no function", "write module:function, as in rewards:score"
        )
    spec: ModuleSpec | None = None
    where = [str(Path.cwd()), *sys.path]
    for part in parts:
        spec = PathFinder.find_spec(part, where)
        where = list((spec and spec.submodule_search_locations) or ())
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        near = nearest(parts[0], [path.stem for path in Path.cwd().glob("*.py")])
        hint = "" if near is None else f"did you mean {near!r}? "
        raise InvalidInput(
            "reward",
            function,
            f"there is no module {module} with a source file",
            f"{hint}start the command where {parts[0]}.py is, or install it",
        )
    return Path(spec.origin)


def scorer_version(function: str) -> str:
    """Which file a function's name means from here, and its state.

    Raises:
        InvalidInput: as :func:`scorer_source`.
    """
    source = scorer_source(function)
    stat = source.stat()
    return f"{Path.cwd()}\n{source}\n{stat.st_mtime_ns} {stat.st_size}"
