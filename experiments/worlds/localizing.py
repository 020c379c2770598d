"""Who names first errors in a world, made from its settings."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

from cpi_theory.checks import InvalidInput
from experiments.worlds.writing import (
    AskChecker,
    AskEndpoint,
    AskSelf,
    AskSeveral,
    Blurred,
    Locating,
    Unsure,
    Writing,
)
from llm.localizers.base import Localizer
from llm.task import checks_steps

if TYPE_CHECKING:
    from experiments.worlds.language import LanguageWorld
    from llm.sampling.base import Sampler
    from llm.task import Task
    from llm.text.vocabulary import Vocabulary


class Locators:
    """Makes the localisers of one world.

    Attributes:
        world: whose solutions are read.
        task: its task.
        sampler: the engine with the model's current weights.
        vocabulary: its tokenizer.
    """

    def __init__(
        self, world: LanguageWorld, task: Task, sampler: Sampler, vocabulary: Vocabulary
    ) -> None:
        self.world, self.task, self.sampler, self.vocabulary = world, task, sampler, vocabulary

    @property
    def writing(self) -> Writing | None:
        """How solutions are written and localised there."""
        return self.world.writing

    @property
    def asks_single(self) -> bool:
        """Whether rollouts of a single thought are asked about."""
        return self.writing is None or self.writing.asks_single

    def make(self, locating: Locating) -> Localizer:
        """The localiser that settings name.

        Raises:
            InvalidInput: the task has no step checker to ask, or a file cannot be read.
        """
        return _make(locating, self)


def asks_checker(locating: object) -> bool:
    """Whether a localiser asks the exact step checker of the task."""
    return isinstance(locating, AskChecker) or isinstance(getattr(locating, "of", None), AskChecker)


def make_verified(
    world: LanguageWorld, inner: Localizer, sampler: Sampler, vocabulary: Vocabulary
) -> Localizer:
    """A localiser that is asked only where the model says that its solution is not right.

    Args:
        world: whose solutions are read; its temperature and length of replies are those of
            verdicts.
        inner: who names the step then.
        sampler: the engine with the model's current weights.
        vocabulary: its tokenizer.
    """
    from llm.localizers.verified import VerifiedLocalizer
    from llm.sampling.base import Sampling

    writing = world.writing or Writing()
    return VerifiedLocalizer(
        inner,
        sampler,
        vocabulary,
        world.form().ends,
        sampling=Sampling(writing.localization_temperature, 0.95),
        max_tokens=writing.localization_tokens,
        template_arguments=writing.template_arguments,
    )


def make_localizer(
    world: LanguageWorld,
    task: Task,
    sampler: Sampler,
    vocabulary: Vocabulary,
    locating: Locating | None = None,
) -> Localizer:
    """The localiser of a world, or another one for its solutions.

    Args:
        world: whose solutions are read.
        task: its task.
        sampler: the engine with the model's current weights.
        vocabulary: its tokenizer.
        locating: who names first errors; None: whom the world names.

    Raises:
        InvalidInput: the task has no step checker to ask, or a file cannot be read.
    """
    if locating is None:
        locating = AskSelf() if world.writing is None else world.writing.localizer
    return Locators(world, task, sampler, vocabulary).make(locating)


@singledispatch
def _make(locating: object, _locators: Locators) -> Localizer:
    raise TypeError(f"nothing localises by a {type(locating).__name__}")


@_make.register(AskSelf)
def _(_: AskSelf, locators: Locators) -> Localizer:
    from llm.localizers.self_localizer import SelfLocalizer
    from llm.opening import self_localizer
    from llm.sampling.base import Sampling

    form, writing = locators.world.form(), locators.writing
    if writing is None:  # in the words that the model was warm-started with
        return self_localizer(locators.task, locators.sampler, locators.vocabulary, form)
    return SelfLocalizer(
        locators.sampler,
        locators.vocabulary,
        writing.locating(own=True),
        Sampling(writing.localization_temperature, 0.95),
        writing.localization_tokens,
        form.ends,
        writing.readings,
        writing.asks_single,
        writing.template_arguments,
    )


@_make.register(AskEndpoint)
def _(asked: AskEndpoint, locators: Locators) -> Localizer:
    from llm.localizers.chat_client import ChatClient, Endpoint, read_key
    from llm.localizers.endpoint_localizer import EndpointLocalizer
    from llm.sampling.base import Sampling

    writing = locators.writing or Writing()
    key = None if asked.key_file is None else read_key(Path(asked.key_file))
    endpoint = Endpoint(
        asked.url, asked.model, key, timeout=asked.timeout, concurrency=asked.concurrency
    )
    replies = None if asked.replies is None else Path(asked.replies)
    return EndpointLocalizer(
        ChatClient(endpoint, replies),
        locators.vocabulary,
        writing.locating(own=False),
        Sampling(writing.localization_temperature, 0.95),
        writing.localization_tokens,
        locators.world.form().ends,
        writing.readings,
        locators.asks_single,
    )


@_make.register(AskChecker)
def _(_: AskChecker, locators: Locators) -> Localizer:
    from llm.localizers.oracle import OracleLocalizer

    if not checks_steps(locators.task):
        problem = f"the task of {locators.world.name} has no exact step checker"
        remedy = "choose another localizer, or give the task a method first_error"
        raise InvalidInput("localizer", "AskChecker", problem, remedy)
    ends = locators.world.form().ends
    return OracleLocalizer(locators.task, locators.vocabulary, ends, locators.asks_single)


@_make.register(AskSeveral)
def _(several: AskSeveral, locators: Locators) -> Localizer:
    from llm.localizers.oracle import MajorityLocalizer

    return MajorityLocalizer(locators.make(several.of), several.votes, locators.asks_single)


@_make.register(Blurred)
def _(blurred: Blurred, locators: Locators) -> Localizer:
    from llm.localizers.oracle import BlurredLocalizer

    return BlurredLocalizer(locators.make(blurred.of), blurred.accuracy)


@_make.register(Unsure)
def _(unsure: Unsure, locators: Locators) -> Localizer:
    from llm.localizers.unsure import UnsureLocalizer

    return UnsureLocalizer(unsure.probability, unsure.measure, locators.asks_single)
