"""Configured worlds of language models, opened: what training, anatomy and diagnosis begin with."""

from __future__ import annotations

import functools
from collections.abc import Callable

from cpi_theory.randomness import Key
from experiments.worlds.counts import asked_by
from experiments.worlds.language import LanguageWorld
from experiments.worlds.localizing import make_localizer
from experiments.worlds.prepared import PreparedWorld
from llm.models.settings import ModelSettings
from llm.opening import OpenModel, open_model
from llm.sampling.base import Sampler, Sampling
from llm.sampling.settings import SamplerSettings
from llm.task import Problem


def open_world(
    world: LanguageWorld,
    settings: ModelSettings,
    temperature: float = 1.0,
    seed: int = 0,
    engine: SamplerSettings | None = None,
    wrap: Callable[[Sampler], Sampler] | None = None,
    top_p: float = 1.0,
) -> OpenModel:
    """Load the model and set up its world; see :func:`llm.opening.open_model`.

    Args:
        world: task and format.
        settings: the model.
        temperature: of rollouts.
        seed: of the first weights of adapters.
        engine: what samples, by default transformers.
        wrap: makes of the sampler the one that the world uses, such as one that keeps a journal.
        top_p: of rollouts.

    Raises:
        InvalidInput: whatever model and task refuse.
    """
    task, writing = world.task(), world.writing
    return open_model(
        task,
        settings,
        world.form(),
        Sampling(temperature, top_p),
        engine,
        functools.partial(make_localizer, world, task),
        False if writing is None else writing.around(lambda q: task.prompt(Problem("-", q, "-"))),
        seed,
        wrap,
        world.success,
        None if writing is None else writing.revision_words(),
    )


def prepare_model(
    world: LanguageWorld,
    settings: ModelSettings,
    prompts: int,
    key: Key,
    temperature: float = 1.0,
    wrap: Callable[[Sampler], Sampler] | None = None,
) -> PreparedWorld:
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
    with asked_by("prompts"):
        starts = opened.start_states("test", prompts, key.child("problems"))
    reference = None if opened.oracle is None else opened.with_localizer(opened.oracle)
    form, usage = opened.simulator.form, opened.simulator.usage
    return PreparedWorld(
        world.name,
        opened.simulator,
        starts,
        reference,
        most_steps=form.max_thoughts,
        most_tokens=form.max_tokens,
        # A localiser that states no limit of its own is taken to write no more than a solution.
        most_reply=getattr(opened.simulator.localizer, "max_tokens", form.max_tokens),
        spent=lambda: usage.generated,
    )
