"""What a model of the arithmetic task can do: success, errors by kind of step, localisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.randomness import Key
from cpi_theory.seam import Localization
from llm.localizers.base import Localizer, whole_solution
from llm.localizers.self_localizer import SelfLocalizer
from llm.sampling.base import GREEDY, Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.task import Problem
from llm.tasks.arithmetic.locating import ArithmeticLocalizationPrompt
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.text.rollouts import TextRollout
from llm.text.vocabulary import Vocabulary

TRACE_TOKENS = 5
"""Tokens of a localisation's reply per step of the chain."""


def self_localizer(sampler: TransformersSampler, task: ArithmeticTask) -> SelfLocalizer:
    """Return the model as the judge of its own chains, at temperature 0.

    Args:
        sampler: of the model that wrote them.
        task: whose questions they answer.

    Source: arXiv 2605.25507 (self-localisation).
    """
    return SelfLocalizer(
        sampler,
        sampler.vocabulary,
        ArithmeticLocalizationPrompt(task),
        GREEDY,
        max_tokens=TRACE_TOKENS * task.horizon + 2,
    )


def world(
    model: Any,
    tokens: Any,
    task: ArithmeticTask,
    sampling: Sampling | None = None,
) -> LanguageModelSimulator:
    """Return the simulator of a model and a kind of questions, localising by itself.

    Args:
        model: a causal language model of transformers.
        tokens: its tokenizer.
        task: the questions.
        sampling: of rollouts, by default at temperature 1.
    """
    sampler = TransformersSampler(model, Vocabulary(tokens))
    localizer = self_localizer(sampler, task)
    return LanguageModelSimulator(sampler, sampler.vocabulary, task, task.form, sampling, localizer)


@dataclass(frozen=True, eq=False)
class Attempts:
    """Rollouts from the start of problems, and where they first go wrong.

    Attributes:
        rollouts: n of them.
        rewards: shape (n,).
        first_errors: 0-based step of the first error, -1 where every thought is right, (n,).
        hard: which steps of the right solution ask for a hard fact, bool (n, H).
    """

    rollouts: tuple[TextRollout, ...]
    rewards: NDArray[np.float64]
    first_errors: NDArray[np.int64]
    hard: NDArray[np.bool_]

    @classmethod
    def sample(
        cls, simulator: LanguageModelSimulator, problems: Sequence[Problem], key: Key
    ) -> Attempts:
        """Sample one attempt at each problem of an :class:`ArithmeticTask`.

        Args:
            simulator: of that task.
            problems: n of them.
            key: of the rollouts.
        """
        task = simulator.task
        assert isinstance(task, ArithmeticTask)
        starts = simulator.start_states(problems)
        rollouts = tuple(simulator.rollout(starts, key.integers(len(starts))))
        hard = np.zeros((len(problems), task.horizon), dtype=bool)
        errors = np.full(len(problems), -1)
        for i, (problem, rollout) in enumerate(zip(problems, rollouts, strict=True)):
            hard[i, list(task.hard_places(problem))] = True
            texts = whole_solution(rollout, simulator.vocabulary, simulator.form.ends)
            error = task.first_error(problem, texts)
            errors[i] = -1 if error is None else error
        return cls(rollouts, np.array([r.reward for r in rollouts]), errors, hard)

    @property
    def visited(self) -> NDArray[np.bool_]:
        """Steps taken on the right path, up to the first error, bool, shape (n, H)."""
        # The step with the first error was still asked from a right value.
        last = np.where(self.first_errors < 0, self.hard.shape[1], self.first_errors)
        return np.asarray(np.arange(self.hard.shape[1]) <= last[:, None])

    def right(self, hard: bool) -> float:
        """Return the share of right thoughts among hard, or easy, steps taken on the right path.

        It is :math:`1 - e / s` with s such steps up to the first errors, these included, and e of
        them first errors; 1 if there is no such step.

        Args:
            hard: whether hard steps are meant.
        """
        asked = self.visited & (self.hard == hard)
        wrong = asked & (np.arange(self.hard.shape[1]) == self.first_errors[:, None])
        return float(1 - wrong.sum() / max(1, asked.sum()))


def localization(localizer: Localizer, attempts: Attempts, key: Key) -> dict[str, float]:
    """Measure how well a localiser names the first errors of failed attempts.

    Args:
        localizer: who is asked.
        attempts: n of them; those that did not fail, or hold no error, are left out.
        key: of the answers.

    Returns:
        "asked": failures with an error; of them the shares "exact", "within one" and "refused";
        "first hard step": the share that naming the first hard step would get right.
    """
    asked = [
        i for i, r in enumerate(attempts.rollouts) if r.failed and attempts.first_errors[i] >= 0
    ]
    located = localizer.locate([attempts.rollouts[i] for i in asked], key.integers(len(asked)))
    named = [one.answer.step if isinstance(one.answer, Localization) else None for one in located]
    truth, hard = attempts.first_errors[asked], attempts.hard[asked]
    # A refusal is infinitely far off: it counts among all that were asked and is never a hit.
    off = np.array([np.inf if s is None else abs(s - t) for s, t in zip(named, truth, strict=True)])
    # What a model gets right by a shortcut, without checking any value.
    guess = np.where(hard.any(axis=1), hard.argmax(axis=1), 0)
    return {
        "asked": float(len(asked)),
        "exact": _share(off == 0),
        "within one": _share(off <= 1),
        "refused": _share(np.isinf(off)),
        "first hard step": _share(guess == truth),
    }


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else 0.0


def measure(
    model: Any, tokens: Any, task: ArithmeticTask, problems: int = 200, seed: int = 0
) -> dict[str, Any]:
    """Measure success, chances per kind of step and localisation on held-out problems.

    Args:
        model: a causal language model of transformers.
        tokens: its tokenizer.
        task: the questions.
        problems: how many of the test split.
        seed: of problems and rollouts.

    Returns:
        Shares of problems: "sampled pass", that of it "without error" (others pass because a
        second error makes up for the first), and "greedy pass"; shares of right thoughts on the
        right path, "right easy" and "right hard"; and of :func:`localization`.
    """
    key = Key.of(seed).child("measure")
    held_out = task.problems("test", problems, seed)
    sampled_world = world(model, tokens, task)
    sampled = Attempts.sample(sampled_world, held_out, key.child("sampled"))
    greedy = Attempts.sample(world(model, tokens, task, GREEDY), held_out, key.child("greedy"))
    assert sampled_world.localizer is not None
    return {
        "problems": problems,
        "sampled pass": float(sampled.rewards.mean()),
        "without error": float((sampled.first_errors < 0).mean()),
        "greedy pass": float(greedy.rewards.mean()),
        "right easy": sampled.right(hard=False),
        "right hard": sampled.right(hard=True),
        "localization": localization(sampled_world.localizer, sampled, key.child("locate")),
    }
