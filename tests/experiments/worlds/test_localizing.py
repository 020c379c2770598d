"""Localisers by configuration, on the tiny model's own solutions."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Localization
from experiments.methods import LANGUAGE_METHODS, MethodVariant
from experiments.train.config import TrainConfig
from experiments.worlds.language import ArithmeticWorld
from experiments.worlds.localizing import make_localizer
from experiments.worlds.open_world import open_world
from experiments.worlds.writing import (
    AskChecker,
    AskEndpoint,
    AskSelf,
    AskSeveral,
    Blurred,
    Unsure,
    Writing,
)
from llm.localizers.endpoint_localizer import EndpointLocalizer
from llm.models.settings import TINY_NAME, ModelSettings
from llm.text.boundaries import EveryTokens

torch.set_num_threads(1)
SHORT = ArithmeticWorld("short", horizon=4, hard_steps=2)


def test_each_names_steps_as_good_as_it_is():
    opened = open_world(SHORT, ModelSettings(TINY_NAME))
    world = opened.simulator
    starts = opened.start_states("test", 60, key=0)
    failed = [r for r in world.rollout(starts, Key.of(1).integers(60)) if r.failed]
    keys = Key.of(2).integers(len(failed))
    assert len(failed) > 15

    def right(locating):
        made = make_localizer(SHORT, world.task, world.sampler, world.vocabulary, locating)
        answers = [one.answer for one in made.locate(failed, keys)]
        return sum(
            a == b and isinstance(a, Localization) for a, b in zip(answers, truth, strict=True)
        )

    truth = [one.answer for one in opened.oracle.locate(failed, keys)]
    known = sum(isinstance(answer, Localization) for answer in truth)
    assert right(AskChecker()) == known
    assert right(Blurred(1.0)) == known
    assert right(Blurred(0.0)) < right(AskSelf()) <= known
    assert right(AskSeveral(3)) == right(AskSelf())  # the tiny model localises greedily
    assert 0 < right(Unsure(0.5)) < known


def test_a_world_that_is_written_otherwise_opens_with_its_own_localizer():
    writing = Writing(boundary=EveryTokens(3), max_tokens=24, localizer=Unsure(0.5))
    other = dataclasses.replace(SHORT, writing=writing)
    opened = open_world(other, ModelSettings(TINY_NAME))
    world = opened.simulator
    rollouts = world.rollout(opened.start_states("test", 8, key=0), Key.of(1).integers(8))
    assert Counter(len(t) for r in rollouts for t in r.thoughts[:-1]).keys() == {3}
    answers = world.locate_first_error(rollouts, Key.of(2).integers(8))
    assert any(isinstance(answer, Localization) for answer in answers)
    asked = AskEndpoint("https://host/v1", "judge", concurrency=2)
    made = make_localizer(other, world.task, world.sampler, world.vocabulary, asked)
    assert isinstance(made, EndpointLocalizer)
    assert (made.client.endpoint.concurrency, made.ask_single) == (2, False)


def test_methods_of_a_settings_file():
    config = TrainConfig(
        methods=("SRPO", "EntropyReset", "Votes"),
        more_methods=(MethodVariant("Votes", "SRPO", localizer=AskSeveral(3)),),
    )
    named = {spec.method.name: spec.method for spec in config.specs()}
    assert named["Votes"].localizer == AskSeveral(3)
    assert named["Votes"].algorithm == LANGUAGE_METHODS["SRPO"].algorithm
    assert named["EntropyReset"].localizer == Unsure()
    assert MethodVariant("x", "SRPO", localizer=Blurred(0.5)).method().needs_checker
    assert TrainConfig().methods == ("GRPO", "RRPO", "SRPO", "ORACLE", "Frontier")
    with pytest.raises(InvalidInput, match="algorithm"):
        MethodVariant("x", "SPRO")
    with pytest.raises(InvalidInput, match="the name of another one"):
        TrainConfig(more_methods=(MethodVariant("GRPO", "GRPO"),))
