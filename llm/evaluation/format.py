"""What a model does on a task before and after a warm start: format, success, localisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cpi_theory.randomness import Key
from cpi_theory.seam import Localization
from llm.localizers.base import whole_solution
from llm.opening import OpenModel
from llm.sampling.base import GREEDY, Sampling
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, demonstrates
from llm.text.rollouts import TextRollout
from llm.text.thoughts import TextEnding


def measure(
    opened: OpenModel, problems: Sequence[Problem], key: Key, localization: bool = True
) -> dict[str, Any]:
    """Measure a model on some problems, one rollout at temperature 1 and one greedy each.

    Args:
        opened: the model and its world.
        problems: held-out ones.
        key: of rollouts and localisations.
        localization: whether it is asked for the first errors of its failures.

    Returns:
        "problems", "tokens" (mean per rollout at temperature 1); shares of the rollouts at
        temperature 1: "answered" (ended with a box), "in format" (as the task demonstrates; None
        where it demonstrates nothing), "sampled pass"; and "greedy pass". "localization", None
        where it was not asked or there is no step checker: failures "asked", of them the shares
        "exact", "refused" and "late" (a step behind the first error), and "uniform", what naming a
        step at random would get right.
    """
    ours = opened.simulator
    sampled = _attempts(ours, problems, key.child("sampled"), Sampling(1.0))
    greedy = _attempts(ours, problems, key.child("greedy"), GREEDY)
    asked = localization and opened.oracle is not None and ours.localizer is not None
    return {
        "problems": len(problems),
        "tokens": sum(len(r.tokens) for r in sampled) / len(sampled),
        "answered": _share([r.text_ending is TextEnding.ANSWERED for r in sampled]),
        "in format": _in_format(ours, problems, sampled),
        "sampled pass": _share([not r.failed for r in sampled]),
        "greedy pass": _share([not r.failed for r in greedy]),
        "localization": _localization(opened, sampled, key.child("locate")) if asked else None,
    }


def _attempts(
    simulator: LanguageModelSimulator, problems: Sequence[Problem], key: Key, sampling: Sampling
) -> list[TextRollout]:
    before, simulator.sampling = simulator.sampling, sampling
    try:
        return simulator.rollout(simulator.start_states(problems), key.integers(len(problems)))
    finally:
        simulator.sampling = before


def _in_format(
    simulator: LanguageModelSimulator, problems: Sequence[Problem], rollouts: Sequence[TextRollout]
) -> float | None:
    task = simulator.task
    if not demonstrates(task):
        return None
    texts = [whole_solution(r, simulator.vocabulary, simulator.form.ends) for r in rollouts]
    return _share([task.in_format(p, lines) for p, lines in zip(problems, texts, strict=True)])


def _localization(opened: OpenModel, rollouts: Sequence[TextRollout], key: Key) -> dict[str, float]:
    """How well the world's localiser names first errors of failures that have one."""
    assert opened.oracle is not None
    assert opened.simulator.localizer is not None
    keys = key.integers(len(rollouts))
    truths = [one.answer for one in opened.oracle.locate(rollouts, keys)]
    known = [i for i, truth in enumerate(truths) if isinstance(truth, Localization)]
    located = opened.simulator.localizer.locate([rollouts[i] for i in known], keys[known])
    named = [one.answer.step if isinstance(one.answer, Localization) else None for one in located]
    true = [truth.step for truth in truths if isinstance(truth, Localization)]
    pairs = list(zip(named, true, strict=True))
    return {
        "asked": len(known),
        "exact": _share([step == first for step, first in pairs]),
        "late": _share([step is not None and step > first for step, first in pairs]),
        "refused": _share([step is None for step, _ in pairs]),
        "uniform": sum(1 / len(rollouts[i]) for i in known) / max(1, len(known)),
    }


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0
