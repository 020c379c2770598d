"""Opening a language model on a task: everything that the algorithms need, in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from cpi_theory.randomness import Key
from llm.localizers.base import Localizer
from llm.localizers.oracle import OracleLocalizer
from llm.localizers.self_localizer import SelfLocalizer, WrittenLocalizationPrompt
from llm.models.load import load_model
from llm.models.settings import ModelSettings
from llm.prompts import shipped
from llm.sampling.base import GREEDY, Sampler, Sampling
from llm.sampling.engine import make_sampler
from llm.sampling.settings import SamplerSettings
from llm.simulator import LanguageModelSimulator
from llm.task import Problem, Task, checks_steps
from llm.tasks.arithmetic.locating import ArithmeticLocalizationPrompt
from llm.tasks.arithmetic.task import ArithmeticTask
from llm.tasks.sums.task import SumsTask
from llm.text.chat import Chat
from llm.text.rollouts import TextState
from llm.text.thoughts import ThoughtFormat
from llm.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class OpenModel:
    """A language model that is ready to work on a task.

    Attributes:
        model: the model, a causal language model of transformers.
        vocabulary: its tokenizer.
        simulator: model and task as the algorithms see worlds.
        oracle: the task's exact step checker as a localiser; None where the task has none.
    """

    model: Any
    vocabulary: Vocabulary
    simulator: LanguageModelSimulator
    oracle: OracleLocalizer | None

    def problems(self, split: str, count: int, key: Key | int) -> list[Problem]:
        """Draw problems of the task.

        Args:
            split: "train" or "test", which share no problem.
            count: number of problems.
            key: the whole randomness of the draw.

        Raises:
            InvalidInput: for an unknown split, or if the task has too few problems.
        """
        # 63 bits, so that the seed fits into a non-negative int64.
        return self.simulator.task.problems(split, count, int(Key.of(key).integers(1)[0] >> 1))

    def start_states(self, split: str, count: int, key: Key | int) -> list[TextState]:
        """Draw problems as :meth:`problems` does; return the state before each first thought.

        Raises:
            InvalidInput: see :meth:`problems`; or a prompt leaves no room for a thought.
        """
        return self.simulator.start_states(self.problems(split, count, key))

    def with_localizer(self, localizer: Localizer) -> LanguageModelSimulator:
        """Return the same world with another localiser and a usage count of its own."""
        return self.simulator.changed(localizer=localizer)


def open_model(
    task: Task,
    settings: ModelSettings,
    form: ThoughtFormat | None = None,
    sampling: Sampling | None = None,
    engine: SamplerSettings | None = None,
    localizer: Callable[[Sampler, Vocabulary], Localizer] | None = None,
    chat: bool | Chat | None = False,
    seed: int = 0,
    wrap: Callable[[Sampler], Sampler] | None = None,
    success: float = 1.0,
    revision: str | None = None,
) -> OpenModel:
    """Load a model and set up the world in which it works on a task.

    Args:
        task: prompts and verifier.
        settings: which model, and how it is held.
        form: how solutions are cut into thoughts; by default what the task declares as its
            ``form``, else ``ThoughtFormat()``.
        sampling: temperature and top-p of rollouts.
        engine: what samples, by default transformers.
        localizer: makes the localiser; by default :func:`self_localizer` of the task.
        chat: whether prompts are put into the tokenizer's chat template (None: where it has one),
            or all that stands around them.
        seed: of the first weights of adapters.
        wrap: replaces the sampler, for instance by one that keeps a journal of it.
        success: a rollout fails if its reward is below this.
        revision: words that ask for a second attempt, see :class:`LanguageModelSimulator`.

    Returns:
        Model, vocabulary, simulator and oracle.

    Raises:
        InvalidInput: whatever model and task refuse.
        OutOfMemory: the model does not fit.

    Source: arXiv 2605.25507 (thoughts as actions, kept prefixes as states, and a model that names
    its own first error).
    """
    model, vocabulary = load_model(settings, seed=seed)
    engine = engine or SamplerSettings()
    sampler = make_sampler(engine, model, vocabulary, settings)
    # Before the localiser is made: its replies go through the wrapper, a journal for instance, too.
    sampler = sampler if wrap is None else wrap(sampler)
    form = getattr(task, "form", None) or ThoughtFormat() if form is None else form
    if localizer is None:
        own: Localizer = self_localizer(task, sampler, vocabulary, form)
    else:
        own = localizer(sampler, vocabulary)
    simulator = LanguageModelSimulator(
        sampler, vocabulary, task, form, sampling, own, success, chat, engine.streaming, revision
    )
    oracle = None
    if checks_steps(task):
        oracle = OracleLocalizer(task, vocabulary, form.ends)
    return OpenModel(model, vocabulary, simulator, oracle)


@singledispatch
def self_localizer(
    task: object, sampler: Sampler, vocabulary: Vocabulary, form: ThoughtFormat
) -> SelfLocalizer:
    """Return the localiser by which a model names its own first error in a task's solutions.

    By default the model is told in words that its answer is wrong. A task whose models localise in
    words of their own registers its class, as :class:`~llm.tasks.arithmetic.task.ArithmeticTask`
    does.

    Args:
        task: whose solutions are read.
        sampler: the engine with the model's current weights.
        vocabulary: its tokenizer.
        form: how the solutions are cut into thoughts.

    Source: arXiv 2605.25507.
    """
    del task  # its class alone chose this function
    return SelfLocalizer(sampler, vocabulary, delimiter=form.ends)


@self_localizer.register
def _(
    task: ArithmeticTask, sampler: Sampler, vocabulary: Vocabulary, form: ThoughtFormat
) -> SelfLocalizer:
    # A whole reply takes five tokens per step and one for the box: this limit cuts none off.
    return SelfLocalizer(
        sampler,
        vocabulary,
        ArithmeticLocalizationPrompt(task),
        GREEDY,
        max_tokens=8 * task.horizon,
        delimiter=form.ends,
    )


@self_localizer.register
def _(
    task: SumsTask, sampler: Sampler, vocabulary: Vocabulary, form: ThoughtFormat
) -> SelfLocalizer:
    del task  # its class alone chose this function
    # A reply is a box with a number; the general prompt is longer than question and solution.
    prompt = WrittenLocalizationPrompt(wording=shipped("locate_sums"))
    return SelfLocalizer(sampler, vocabulary, prompt, GREEDY, max_tokens=24, delimiter=form.ends)
