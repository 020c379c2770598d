"""Attempts of a model at the problems of a benchmark, a row each."""

from __future__ import annotations

import numpy as np

from cpi_theory.randomness import Key
from experiments.evaluate.spec import EvaluateSpec
from experiments.runs.files import Row
from experiments.worlds.language import LanguageWorld
from experiments.worlds.open_world import open_world
from llm.opening import OpenModel
from llm.sampling.base import GREEDY, Sampling
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, Task


def draw_problems(world: LanguageWorld, task: Task, count: int, seed: int) -> list[Problem]:
    """Draw the held-out problems of a benchmark; the same for all models."""
    key = _key(world, seed).child("problems")
    return task.problems("test", count, int(key.integers(1)[0] >> 1))


def _key(world: LanguageWorld, seed: int) -> Key:
    return Key.of(seed).child("evaluate", world.name)


def attempt_rows(spec: EvaluateSpec) -> list[Row]:
    """Attempt some of the problems of a benchmark.

    Rows: `benchmark`, `method`, `seed` (null: it stands for all), `problem` (its id), `kind`
    ("sampled" or "greedy"), `attempt` (0-based, of its kind), `reward`, `right` (whether it is a
    success), `answer` (as it was read, null: none), `tokens` and `ending`.

    An attempt depends on the model, the problem and its number alone: it is the same whatever else
    is evaluated beside it.
    """
    key = _key(spec.world, spec.seed)
    opened = open_world(
        spec.world,
        spec.evaluated.model,
        spec.attempts.temperature,
        engine=spec.sampler,
        top_p=spec.attempts.top_p,
    )
    problems = draw_problems(spec.world, opened.simulator.task, spec.problems, spec.seed)
    problems = problems[spec.first : spec.first + spec.count]
    sampling = Sampling(spec.attempts.temperature, spec.attempts.top_p)
    labels: Row = {
        "benchmark": spec.world.name,
        "method": spec.evaluated.method,
        "seed": spec.evaluated.seed,
    }
    rows: list[Row] = []
    for kind, count, how in (
        ("sampled", spec.attempts.samples, sampling),
        ("greedy", int(spec.attempts.greedy), GREEDY),
    ):
        if count:
            rows += [labels | row for row in _attempts(opened, problems, kind, count, how, key)]
    return rows


def _attempts(
    opened: OpenModel, problems: list[Problem], kind: str, count: int, how: Sampling, key: Key
) -> list[Row]:
    ours = opened.simulator
    judge = LanguageModelSimulator(
        ours.sampler,
        ours.vocabulary,
        ours.task,
        ours.form,
        how,
        success=ours.success,
        chat=ours.chat,
    )
    starts = [state for state in judge.start_states(problems) for _ in range(count)]
    # By the problem and the attempt alone: more problems, or other ones, change none of the others.
    keys = np.concatenate([key.child(kind, one.id).integers(count) for one in problems])
    return [
        {
            "problem": rollout.start.problem.id,
            "kind": kind,
            "attempt": i % count,
            "reward": rollout.reward,
            "right": not rollout.failed,
            "answer": rollout.answer,
            "tokens": len(rollout.tokens),
            "ending": rollout.text_ending.value,
        }
        for i, rollout in enumerate(judge.rollout(starts, keys))
    ]
