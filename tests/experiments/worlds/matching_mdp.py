"""The MDP that matches the arithmetic world: a reasoning tree with a language model's chances.

It has the model's problems, hard steps and chances of the right thought, and forgets all else: off
the right path nothing can succeed, wrong thoughts are alike up to the habitual one, and what a step
asks for is the fact that the right solution needs there. Coverage p, tau, base pass and the law of
the first error then have closed forms, which hold for the model too as far as its errors never
heal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput, check_count
from cpi_theory.randomness import Key
from llm.task import Problem
from llm.tasks.arithmetic.facts import apply
from llm.tasks.arithmetic.task import FILLERS, ArithmeticTask, parse_question
from tabular.worlds.trees import ReasoningTree, build_tree, observe


def hard_steps(task: ArithmeticTask, problems: Sequence[Problem]) -> NDArray[np.bool_]:
    """Which steps of the right solutions ask for a hard fact, shape (problems, H)."""
    hard = np.zeros((len(problems), task.horizon), dtype=bool)
    for row, problem in zip(hard, problems, strict=True):
        row[list(task.hard_places(problem))] = True
    return hard


def facts_asked(task: ArithmeticTask, problems: Sequence[Problem]) -> NDArray[np.int64]:
    """Number of the fact that each step of the right solutions needs, shape (problems, H)."""
    index = {operation: i for i, operation in enumerate(task.operations)}
    asked = np.empty((len(problems), task.horizon), dtype=np.int64)
    for row, problem in zip(asked, problems, strict=True):
        exercise = parse_question(problem.question)
        now = exercise.start
        for h, operation in enumerate(exercise.operations):
            row[h] = index[operation] * task.modulus + now
            now = apply(operation, now, task.modulus)
    return asked


def matching_mdp(
    task: ArithmeticTask,
    problems: Sequence[Problem],
    chances: ArrayLike,
    branching: int = 4,
    seed: int | Key = 0,
) -> ReasoningTree:
    """The tree of these problems.

    Args:
        task: what they are problems of.
        problems: all equally likely.
        chances: P(right thought | on the right path), shape (problems, H): the model's own, of
            :func:`right_chances`; or (2,): in an easy and in a hard step.
        branching: actions per thought; one is right, one habitual in hard steps.
        seed: of the right actions.

    Raises:
        InvalidInput: if chances are no probabilities or of another shape.
    """
    check_count("branching", branching, minimum=2)
    hard = hard_steps(task, problems)
    right = np.asarray(chances, dtype=np.float64)
    if right.shape == (2,):
        right = right[hard.astype(np.int64)]
    if right.shape != hard.shape or not ((right >= 0) & (right <= 1)).all():
        remedy = f"give probabilities of shape {hard.shape} or (2,)"
        raise InvalidInput("chances", right.shape, "not the chances of these problems", remedy)
    asked, pool = facts_asked(task, problems), len(task.operations) * task.modulus
    right_of_fact = Key.of(seed).child("twin").generator().integers(branching, size=pool)
    start = np.full(len(problems), 1 / len(problems))
    habit = task.slips.habit / (1 - task.slips.right)
    return build_tree(
        right,
        right_of_fact[asked],
        hard,
        0.0,
        start,
        branching,
        habit if branching > 2 else None,
        observe(asked, pool, shared=True),
    )


def right_chances(
    model: Any, tokens: Any, task: ArithmeticTask, problems: Sequence[Problem]
) -> NDArray[np.float64]:
    """P(the next thought is right | all before it are), without sampling, shape (problems, H).

    Any filler word may lead a thought; what follows it is computed behind the first one.
    """
    prompts = [tokens.encode(task.prompt(problem)) for problem in problems]
    solutions = [tokens.encode(" ".join(task.solution(problem))) for problem in problems]
    ids = torch.tensor([p + s for p, s in zip(prompts, solutions, strict=True)])
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids.to(model.device)).logits.double().cpu()
    length = len(solutions[0])
    chances = logits[:, -length - 1 : -1].softmax(dim=-1)
    right = chances.gather(2, ids[:, -length:, None])[:, :, 0]
    step = length // task.horizon  # filler, label, operation, value, and delimiter or answer
    right[:, ::step] = chances[:, ::step][:, :, tokens.convert_tokens_to_ids(FILLERS)].sum(dim=-1)
    return np.asarray(right.reshape(len(problems), task.horizon, step).prod(dim=-1).numpy())
