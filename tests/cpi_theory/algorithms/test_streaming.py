"""Streaming against lock-step: any order in which requests are done, the same groups."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.reset_grpo import RRPO, SRPO, ResetGRPO
from cpi_theory.algorithms.streaming import stream
from cpi_theory.checks import InvalidInput
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import ImprovableReset
from cpi_theory.resets.weights import one_hot
from cpi_theory.seam import (
    Barrier,
    Draw,
    Localize,
    NameSteps,
    Reason,
    Refusal,
    ResetPolicy,
    can_stream,
)
from cpi_theory.testing.comparing import same_group
from cpi_theory.testing.streams import out_of_order
from tests.cpi_theory.chain import Blind, Chain

STARTS = [(0, 0)] * 6
METHODS = (GRPO(), RRPO(), SRPO(), SRPO(on_refusal="fresh"), FrontierGRPO())


def newest(count):
    return count - 1


def oldest(count):
    return 0


def equal(one, other):
    return (
        len(one) == len(other)
        and all(map(same_group, one, other))
        and (one.generated_rollouts, one.generated_steps, one.localizations, one.refusals)
        == (other.generated_rollouts, other.generated_steps, other.localizations, other.refusals)
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), method=st.sampled_from(METHODS), slots=st.integers(1, 8))
def test_any_order_gives_the_same_groups(data, method, slots):
    world = Chain(right=(0.6, 0.5, 0.8), blind=0.3)
    expected = collect(method, world, STARTS, 7)
    choose = lambda count: data.draw(st.integers(0, count - 1))  # noqa: E731
    assert equal(stream(method, out_of_order(world, choose, slots), STARTS, 7), expected)


class Timed(ResetPolicy):
    """Asks about each rollout on its own, in as many questions as there are rollouts."""

    localizes = True

    def step_weights(self, rollouts, simulator, keys):
        answers = [
            simulator.locate_first_error([r], keys[i : i + 1])[0] for i, r in enumerate(rollouts)
        ]
        return [
            a if isinstance(a, Refusal) else one_hot(len(r), a.step)
            for r, a in zip(rollouts, answers, strict=True)
        ]


def test_a_policy_may_ask_several_times():
    method = FrontierGRPO(reset=Timed())
    world = Chain(right=(0.3, 0.5, 0.5))
    expected = collect(method, world, STARTS, 1)
    assert any(group.parent is not None for group in expected)
    assert equal(stream(method, out_of_order(world, newest), STARTS, 1), expected)
    assert equal(expected, collect(FrontierGRPO(reset=FirstErrorReset()), world, STARTS, 1))


def test_a_prompt_goes_on_while_another_still_writes():
    """The first prompt's rollouts are done last; by then the others have had their resets."""
    submitted = []

    class Slow:
        """Hands the oldest request over only when it is the last."""

        def __init__(self, world):
            self.inner = out_of_order(world, lambda count: min(1, count - 1))

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def rollout(self, states, keys):
            return self.inner.rollout(states, keys)

        def locate_first_error(self, rollouts, keys):
            return self.inner.locate_first_error(rollouts, keys)

        def stream(self):
            inner = self.inner.stream()
            plain = inner.submit
            inner.submit = lambda request: submitted.append(request) or plain(request)
            return inner

    slow = Slow(Chain(right=(0.3, 0.3, 0.3)))
    starts = [(i, 0, 0) for i in range(4)]
    assert equal(stream(SRPO(), slow, starts, 3), collect(SRPO(), slow, starts, 3))
    first = submitted[0]
    kinds = [type(request) for request in submitted]
    assert kinds[:4] == [Draw] * 4
    assert Localize in kinds
    # Ticket 1 is done last of all that was there before its own prompt could go on.
    order = slow.inner.order
    others = [t for t, r in enumerate(submitted, 1) if t > 4 and not _of(r, first.state[0])]
    assert others
    assert all(order.index(t) < order.index(1) for t in others)


def _of(request, prompt):
    state = request.rollouts[0].states[0] if isinstance(request, Localize) else request.state
    return state[0] == prompt


def test_oracles_are_still_known_to_know():
    world = Chain(right=(0.5, 0.5, 0.5))
    method = ResetGRPO(ImprovableReset(0.1))
    expected = collect(method, world, STARTS, 2)
    assert any(group.parent is not None for group in expected)
    assert equal(stream(method, out_of_order(world, newest), STARTS, 2), expected)


class Several:
    """Wishes of all kinds at once, with barriers that nobody has to wait for."""

    rows_per_prompt = 8

    def plan(self, prompt, key):
        yield Barrier()
        keys = key.integers(4)
        first, _, second = yield [
            Draw(prompt.start, keys[:2]),
            Refusal(Reason.EMPTY),
            Draw(prompt.start, keys[2:], 1),
        ]
        yield []
        named = yield [NameSteps(FirstErrorReset(), first, keys[:2]), Barrier()]
        assert len(named[0]) == 2
        assert all(len(r) == 1 for r in second)
        return []


def test_wishes_of_all_kinds_are_granted():
    world = Chain(right=(0.5, 0.5, 0.5), blind=0.5)
    expected = collect(Several(), world, STARTS, 2)
    assert expected.generated_rollouts == 24
    assert expected.refusals[Reason.EMPTY] == 6
    for choose in (oldest, newest):
        assert equal(stream(Several(), out_of_order(world, choose), STARTS, 2), expected)


def test_what_cannot_stream_is_refused():
    world = Chain()
    assert not can_stream(world)
    with pytest.raises(InvalidInput, match="no method stream"):
        stream(GRPO(), world, STARTS, 0)
    with pytest.raises(InvalidInput, match="prompts"):
        stream(GRPO(), out_of_order(world, oldest), STARTS, 0, [1, 1, 2, 3, 4, 5])


def test_an_engine_that_has_nothing_done_is_not_asked_forever():
    class Idle:
        def submit(self, request):
            return 1

        def finished(self):
            return []

        def close(self):
            self.closed = True

    idle, world = Idle(), Chain()
    world.stream = lambda: idle
    with pytest.raises(InvalidInput, match="nothing is done"):
        stream(GRPO(), world, STARTS[:1], 0)
    assert idle.closed


def test_lost_rollouts_are_refused():
    class Lossy(Chain):
        def rollout(self, states, keys):
            return super().rollout(states, keys)[1:]

    with pytest.raises(InvalidInput, match="rollouts"):
        stream(GRPO(), out_of_order(Lossy(), oldest), STARTS, 0)


def test_a_blind_world_refuses_in_a_stream_as_well():
    world = Blind(Chain(right=(0.5, 0.5, 0.5), blind=0.9))
    expected = collect(SRPO(), world, STARTS, 4)
    assert expected.refusals
    assert equal(stream(SRPO(), out_of_order(world, newest), STARTS, 4), expected)
