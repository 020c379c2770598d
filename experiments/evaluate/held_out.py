"""Whether what is evaluated was held out from training, and may be passed on."""

from __future__ import annotations

from collections.abc import Sequence

from cpi_theory.checks import InvalidInput
from experiments.evaluate.config import EvaluateConfig
from experiments.evaluate.samples import draw_problems
from experiments.runs.fingerprint import points_to
from experiments.worlds.code import CodeWorld
from experiments.worlds.language import LanguageWorld, choose
from llm.data.overlap import check_apart, check_tests_held_out
from llm.data.prepared import may_be_passed_on
from llm.data.problems import normalized_question
from llm.task import Problem
from llm.tasks.code import CodeTask, tests_of


def check_held_out(config: EvaluateConfig) -> None:
    """Refuse benchmarks whose problems the models may have learned from, or nearly so.

    Tasks that write their problems themselves keep both halves apart; those that read them from
    somewhere have training problems to look for. A benchmark that evaluates training problems by
    held-out tests is refused where a test has given rewards.

    Raises:
        InvalidInput: naming the problems, or whatever a task refuses.
    """
    tasks = [world.task() for world in config.learned_worlds()]
    # Not by their ids, which are unique within a source alone.
    learned = {p.question: p for task in tasks for p in getattr(task, "train", ())}
    programs = [p for task in tasks if isinstance(task, CodeTask) for p in task.train]
    for world in choose("benchmarks", config.benchmarks, config.more):
        problems = _drawn(world, config)
        if isinstance(world, CodeWorld) and world.evaluation == "held-out tests":
            check_tests(programs, problems)
        elif learned:
            check_apart(list(learned.values()), problems)


def _drawn(world: LanguageWorld, config: EvaluateConfig) -> list[Problem]:
    """The problems of a benchmark; where it holds fewer the message names its setting."""
    try:
        return draw_problems(world, world.task(), config.problems, config.seed)
    except InvalidInput as error:
        if error.field != "count":
            raise
        problem = f"{world.name}: {error.problem}"
        raise InvalidInput("problems", config.problems, problem, error.remedy) from error


def kept_private(config: EvaluateConfig) -> list[str]:
    """Names of the benchmarks whose texts the records hold and whose licence forbids copies."""
    if not config.texts:
        return []
    worlds = choose("benchmarks", config.benchmarks, config.more)
    return [w.name for w in worlds if not all(map(may_be_passed_on, points_to(w).values()))]


def check_tests(learned: Sequence[Problem], evaluated: Sequence[Problem]) -> None:
    """Refuse tests that rewarded the same question, under whatever id and in whatever world."""
    rewarded: dict[str, list[Problem]] = {}
    for problem in learned:
        rewarded.setdefault(normalized_question(problem.question), []).append(problem)
    for problem in evaluated:
        for other in rewarded.get(normalized_question(problem.question), ()):
            check_tests_held_out({problem.id: tests_of(other)}, {problem.id: tests_of(problem)})
