"""Attempts of a model at the problems of a benchmark, a row each."""

from __future__ import annotations

import math

import numpy as np

from cpi_theory.randomness import Key
from experiments.evaluate.spec import EvaluateSpec
from experiments.runs.files import Row
from experiments.worlds.language import LanguageWorld
from experiments.worlds.open_world import open_world
from llm.opening import OpenModel
from llm.sampling.base import GREEDY, Sampling
from llm.task import Problem, Task
from llm.text.rollouts import TextRollout
from llm.text.vocabulary import Vocabulary


def draw_problems(world: LanguageWorld, task: Task, count: int, seed: int) -> list[Problem]:
    """Draw the held-out problems of a benchmark; the same for all models."""
    key = benchmark_key(world, seed).child("problems")
    return task.problems("test", count, int(key.integers(1)[0] >> 1))


def benchmark_key(world: LanguageWorld, seed: int) -> Key:
    """The key that all that is drawn for a benchmark hangs on."""
    return Key.of(seed).child("evaluate", world.name)


def text_fields(rollout: TextRollout, vocabulary: Vocabulary) -> Row:
    """What was asked and written, token for token.

    Fields: `question`, `reference`, `prompt` (as the model read it), `prompt_tokens` (its ids), and
    `thoughts`: of each sampled here its `text`, its ids (`tokens`) and their `logprobs` (null where
    the engine gives none). Kept thoughts are those of the attempt that they were written in.
    """
    start = rollout.start
    return {
        "question": start.problem.question,
        "reference": start.problem.answer,
        "prompt": vocabulary.decode(start.prompt),
        "prompt_tokens": list(start.prompt),
        "thoughts": [
            {
                "text": vocabulary.decode(rollout.tokens[a:b]),
                "tokens": list(rollout.tokens[a:b]),
                "logprobs": _known(rollout.logprobs[a:b].tolist()),
            }
            for a, b in rollout.spans
        ],
    }


def _known(logprobs: list[float]) -> list[float] | None:
    return None if any(map(math.isnan, logprobs)) else [round(one, 4) for one in logprobs]


def attempt_rows(spec: EvaluateSpec) -> list[Row]:
    """Attempt some of the problems of a benchmark.

    Rows: `benchmark`, `method`, `seed` (null: it stands for all), `problem` (its id), `kind`
    ("sampled" or "greedy"), `attempt` (0-based, of its kind), `reward`, `right` (whether it is a
    success), `answer` (as it was read, null: none), `tokens`, `discarded` (sampled behind the end
    and thrown away) and `ending`; those of :func:`text_fields` where they are wanted.

    An attempt depends on the model, the problem and its number alone: it is the same whatever else
    is evaluated beside it.
    """
    key = benchmark_key(spec.world, spec.seed)
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
            found = _attempts(opened, problems, kind, count, how, key, spec.texts)
            rows += [labels | row for row in found]
    return rows


def _attempts(
    opened: OpenModel,
    problems: list[Problem],
    kind: str,
    count: int,
    how: Sampling,
    key: Key,
    texts: bool,
) -> list[Row]:
    judge = opened.simulator.changed(sampling=how)
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
            "discarded": rollout.discarded,
            "ending": rollout.text_ending.value,
            **(text_fields(rollout, judge.vocabulary) if texts else {}),
        }
        for i, rollout in enumerate(judge.rollout(starts, keys))
    ]
