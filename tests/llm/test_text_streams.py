"""Streams of a language model: rollouts and self-localisations side by side, the same groups."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.reset_grpo import SRPO
from cpi_theory.algorithms.streaming import stream
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.seam import Localize, can_stream
from cpi_theory.testing import check_simulator
from cpi_theory.testing.comparing import same_group
from experiments.train.localization_meter import MeteredLocalizer
from llm.localizers.oracle import BlurredLocalizer, MajorityLocalizer
from llm.localizers.self_localizer import SelfLocalizer
from llm.localizers.unsure import UnsureLocalizer
from llm.sampling.base import Sampling
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.text.boundaries import EveryTokens, Published
from llm.text.thoughts import ThoughtFormat
from tests.conformance.worlds import starts, tiny_transformer
from tests.llm.words import END, Boxes, random_model, vocabulary

torch.set_num_threads(1)
WORDS = vocabulary("q", "a", "b", END, "\\boxed{1}", "\\boxed{2}", "\\boxed{3}", "locate")


class Numbered:
    """Asks in words that the model knows."""

    def render(self, problem, thoughts):
        return "locate " + " ".join(thoughts)


BOUNDARIES = (None, Published(END), EveryTokens(3))


def world(slots=64, localizer=True, boundary=None, wrap=lambda asked: asked):
    # A model that writes the delimiter, and goes on behind an end of sequence.
    sampler = TransformersSampler(random_model(11, seed=29), WORDS, max_batch=slots)
    asked = SelfLocalizer(
        sampler, WORDS, Numbered(), Sampling(0.5, 0.9), max_tokens=20, delimiter=boundary or END
    )
    return LanguageModelSimulator(
        sampler,
        WORDS,
        Boxes(),
        ThoughtFormat(max_thoughts=5, max_tokens=14, boundary=boundary),
        localizer=wrap(asked) if localizer else None,
    )


def drivers_agree(make, method=SRPO(on_refusal="fresh")):
    """Both drivers find the same groups at the same cost; what lock-step found."""
    one, other = make(), make()
    begin, ids = starts(one, 8), list(range(3, 11))
    expected = collect(method, one, begin, Key.of(5), ids)
    other.sampler.generate = None  # nothing is sampled beside the stream
    found = stream(method, other, begin, Key.of(5), ids)
    assert len(found) == len(expected)
    assert all(map(same_group, found, expected))
    assert found.refusals == expected.refusals
    assert other.usage == one.usage
    return expected, one, other


@pytest.mark.parametrize("slots", [1, 5, 64])
@pytest.mark.parametrize("method", [SRPO(on_refusal="fresh"), FrontierGRPO()], ids=str)
@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_streams_give_the_groups_of_lock_step_at_the_same_cost(boundary, method, slots):
    expected, one, _ = drivers_agree(lambda: world(slots, boundary=boundary), method)
    assert expected.localizations >= 8
    assert one.usage.localization_tokens > 0
    assert any(group.step for group in expected)


def test_texts_that_go_on_behind_an_end_of_sequence_are_among_them():
    expected, *_ = drivers_agree(lambda: world(boundary=Published(END)))
    end = WORDS.tokenizer.eos_token_id
    assert sum(end in r.tokens[:-1] for group in expected for r in group.rollouts) >= 8


WRAPPERS = {
    "votes": lambda asked: MajorityLocalizer(asked, 3, ask_single=False),
    "blurred votes": lambda asked: BlurredLocalizer(MajorityLocalizer(asked, 2), 0.5),
    "metered": lambda asked: MeteredLocalizer(asked, None),
    "lenient": lambda asked: dataclasses.replace(
        asked, readings=("bare number", "step number", "first number"), ask_single=False
    ),
    "free": lambda _: UnsureLocalizer(0.2),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_all_localisers_are_asked_in_the_stream(name):
    _, one, _ = drivers_agree(lambda: world(wrap=WRAPPERS[name]))
    assert (one.usage.localization_tokens > 0) == (name != "free")


def test_a_localiser_of_another_model_asks_that_one():
    def make():
        other = TransformersSampler(random_model(11, seed=21), WORDS)
        return world(wrap=lambda asked: dataclasses.replace(asked, sampler=other))

    _, one, other = drivers_agree(make)
    for used in (one, other):
        assert used.localizer.sampler.work.decoded == used.usage.localization_tokens > 0
        assert used.sampler.work.decoded == used.usage.tokens


@pytest.mark.parametrize("make", [world, tiny_transformer])
def test_streams_keep_the_laws(make):
    assert can_stream(make())
    check_simulator(make, starts(make(), 4), count=16)


def test_localisation_is_refused_where_there_is_none():
    lonely = world(localizer=False)
    (failed,) = [r for r in lonely.rollout(starts(lonely, 8), Key.of(2).integers(8)) if r.failed][
        :1
    ]
    with pytest.raises(InvalidInput, match="localizer"):
        lonely.stream().submit(Localize([failed], Key.of(1).integers(1)))
