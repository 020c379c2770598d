"""A language model at work on a task: what training, anatomy and diagnosis all begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cpi_theory.randomness import Key
from experiments.worlds.language import LanguageWorld, found, load_named
from experiments.worlds.sites import Site
from llm.localizers.base import Localizer
from llm.localizers.oracle import OracleLocalizer
from llm.models.settings import ModelSettings
from llm.sampling.base import Sampler, Sampling
from llm.sampling.engine import make_sampler
from llm.sampling.settings import SamplerSettings
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, StepChecker


@dataclass(frozen=True, eq=False)
class OpenWorld:
    """A model on a task.

    Attributes:
        model: the model.
        simulator: the two as a world in which the model localises its own errors.
        oracle: the task's exact step checker, None where there is none.
    """

    model: Any
    simulator: LanguageModelSimulator
    oracle: OracleLocalizer | None

    def problems(self, split: str, count: int, key: Key) -> list[Problem]:
        """`count` problems of a split, drawn by `key`."""
        return self.simulator.task.problems(split, count, int(key.integers(1)[0] >> 1))

    def with_localizer(self, localizer: Localizer) -> LanguageModelSimulator:
        """The same world with somebody else naming errors, and an account of its own."""
        ours = self.simulator
        return LanguageModelSimulator(
            ours.sampler,
            ours.vocabulary,
            ours.task,
            ours.form,
            ours.sampling,
            localizer,
            ours.success,
            ours.chat,
        )


def open_world(
    world: LanguageWorld,
    settings: ModelSettings,
    temperature: float = 1.0,
    seed: int = 0,
    engine: SamplerSettings | None = None,
    wrap: Callable[[Sampler], Sampler] | None = None,
) -> OpenWorld:
    """Load the model and set up its world.

    Args:
        world: task and format.
        settings: the model.
        temperature: of rollouts.
        seed: of the first weights of adapters.
        engine: what samples, by default transformers.
        wrap: makes of the sampler the one that the world uses, such as one that keeps a journal.

    Raises:
        InvalidInput: whatever model and task refuse.
    """
    model, vocabulary = load_named(settings, seed)
    task, form = world.task(), world.form()
    sampler = make_sampler(engine or SamplerSettings(), model, vocabulary, found(settings))
    sampler = sampler if wrap is None else wrap(sampler)
    own = world.localizer(sampler, vocabulary)
    simulator = LanguageModelSimulator(
        sampler, vocabulary, task, form, Sampling(temperature), own, chat=world.chat
    )
    oracle = None
    if isinstance(task, StepChecker):
        oracle = OracleLocalizer(task, vocabulary, form.delimiter)
    return OpenWorld(model, simulator, oracle)


def open_model(
    world: LanguageWorld,
    settings: ModelSettings,
    prompts: int,
    key: Key,
    temperature: float = 1.0,
    wrap: Callable[[Sampler], Sampler] | None = None,
) -> Site:
    """A model on held-out problems; where the task has a step checker, deviations are from it.

    Args:
        world: task and format.
        settings: the model.
        prompts: number of problems, one start state each.
        key: of the problems.
        temperature: of rollouts.
        wrap: see :func:`open_world`.

    Raises:
        InvalidInput: whatever model and task refuse.
    """
    opened = open_world(world, settings, temperature, wrap=wrap)
    problems = opened.problems("test", prompts, key.child("problems"))
    starts = opened.simulator.start_states(problems)
    reference = None if opened.oracle is None else opened.with_localizer(opened.oracle)
    return Site(world.name, opened.simulator, starts, reference)
