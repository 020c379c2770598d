"""One call opens a model, a task and their simulator, as they are when put together by hand."""

from __future__ import annotations

import pytest
import torch

from cpi_theory import SRPO, collect
from cpi_theory.algorithms.streaming import stream
from cpi_theory.checks import InvalidInput
from llm import ArithmeticTask, ModelSettings, Sampling, SelfLocalizer, load_model, open_model
from llm.models.settings import TINY_FOLDER
from llm.sampling.base import GREEDY
from llm.sampling.settings import SamplerSettings
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator, driver_of
from llm.task import checks_steps, demonstrates, judges_answers
from llm.tasks.arithmetic.locating import ArithmeticLocalizationPrompt
from llm.tasks.sums.task import SumsTask
from llm.text.thoughts import ThoughtFormat
from tests.llm.words import Boxes

torch.set_num_threads(1)
TASK = ArithmeticTask(horizon=3)


def by_hand():
    model, vocabulary = load_model(ModelSettings(str(TINY_FOLDER)))
    sampler = TransformersSampler(model, vocabulary)
    localizer = SelfLocalizer(
        sampler, vocabulary, ArithmeticLocalizationPrompt(TASK), GREEDY, max_tokens=24
    )
    return LanguageModelSimulator(sampler, vocabulary, TASK, TASK.form, localizer=localizer)


def groups(simulator, starts):
    collection = collect(SRPO(), simulator, starts, key=5)
    return [
        [(s.rollout.tokens, s.advantages.tolist()) for s in group.samples] for group in collection
    ]


def test_it_is_the_same_world_as_one_put_together_by_hand():
    opened = open_model(TASK, ModelSettings("tiny"))
    starts = opened.start_states("train", count=6, key=0)
    assert groups(opened.simulator, starts) == groups(by_hand(), starts)
    assert opened.simulator.sampler.model is opened.model
    assert opened.simulator.vocabulary is opened.vocabulary


def test_problems_depend_on_split_count_and_key_alone():
    opened = open_model(TASK, ModelSettings("tiny"))
    problems = opened.problems("test", 5, key=3)
    assert problems == opened.problems("test", 5, key=3)
    assert problems != opened.problems("test", 5, key=4)
    assert [s.problem for s in opened.start_states("test", 5, key=3)] == problems
    assert not set(problems) & set(opened.problems("train", 5, key=3))


def test_the_oracle_can_take_the_place_of_the_model():
    opened = open_model(TASK, ModelSettings("tiny"))
    exact = opened.with_localizer(opened.oracle)
    assert (exact.localizer, exact.sampler) == (opened.oracle, opened.simulator.sampler)
    exact.rollout(opened.start_states("test", 2, key=0), [1, 2])
    assert (exact.usage.rollouts, opened.simulator.usage.rollouts) == (2, 0)


def test_a_world_that_streams_does_so_with_another_localiser():
    for streaming, driver in ((True, stream), (False, collect)):
        opened = open_model(
            TASK, ModelSettings("tiny"), engine=SamplerSettings(streaming=streaming)
        )
        for world in (opened.simulator, opened.with_localizer(opened.oracle)):
            assert driver_of(world) is driver


def test_what_a_task_does_not_declare_has_defaults():
    opened = open_model(Boxes(), ModelSettings("tiny"))
    assert opened.simulator.form == ThoughtFormat()
    assert opened.simulator.sampling == Sampling()
    assert isinstance(opened.simulator.localizer, SelfLocalizer)
    assert opened.simulator.localizer.max_tokens == 4096


def test_arguments_win_over_what_a_task_declares():
    form, made = ThoughtFormat(max_thoughts=2, max_tokens=9), []

    def wrap(sampler):
        made.append(sampler)
        return sampler

    opened = open_model(
        TASK,
        ModelSettings("tiny"),
        form,
        GREEDY,
        localizer=lambda sampler, vocabulary: SelfLocalizer(sampler, vocabulary, max_tokens=7),
        chat=None,
        wrap=wrap,
    )
    simulator = opened.simulator
    assert (simulator.form, simulator.sampling, simulator.chat.template) == (form, GREEDY, False)
    assert simulator.localizer.max_tokens == 7
    assert made == [simulator.sampler]


def test_a_task_without_a_step_checker_has_no_oracle():
    class Plain:
        problems, prompt, verify = Boxes.problems, Boxes.prompt, Boxes.verify

    assert open_model(Plain(), ModelSettings("tiny")).oracle is None


def test_what_a_task_can_do_is_seen_through_a_wrapper():
    class Wrapper:
        def __init__(self, task):
            self.task = task

        def __getattr__(self, name):
            return getattr(self.task, name)

    sums = Wrapper(SumsTask())
    assert checks_steps(sums)
    assert demonstrates(sums)
    assert not any(can(Wrapper(object())) for can in (checks_steps, demonstrates, judges_answers))
    assert open_model(Wrapper(TASK), ModelSettings("tiny")).oracle is not None


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(InvalidInput, match="no such folder"):
        open_model(TASK, ModelSettings("./no-such-model"))
