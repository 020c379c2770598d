"""The battery passes what keeps the laws, and names the law that something breaks.

The world's states are texts: the battery takes any that hash.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from cpi_theory import (
    GRPO,
    SRPO,
    Draw,
    Ending,
    FailedLocalization,
    FirstErrorReset,
    Group,
    InvalidInput,
    Localization,
    NameSteps,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
    UniformReset,
    collect,
    relative_group,
)
from cpi_theory.seam import can_cut, can_revise, can_stream, knows_advantages
from cpi_theory.testing import (
    check_algorithm,
    check_reset_policy,
    check_resets,
    check_simulator,
)
from cpi_theory.testing.streams import out_of_order


class Words:
    """Writes four letters, each "a" with probability 3/4; right if there is no "b"."""

    def rollout(self, states, keys):
        return [self.one(state, int(key)) for state, key in zip(states, keys, strict=True)]

    def one(self, state, key):
        letters = np.random.default_rng(key).choice(["a", "b"], 4, p=[0.75, 0.25]).tolist()
        states, actions = [], []
        while len(state) < 4:
            states.append(state)
            actions.append(letters[len(state)])
            state += actions[-1]
        return Rollout(states, actions, float("b" not in state), "b" in state, Ending.HORIZON)

    def locate_first_error(self, rollouts, keys):
        return [self.answer(r) for r in rollouts]

    def answer(self, rollout):
        if not rollout.failed:
            return FailedLocalization(Reason.NOT_FAILED)
        if "b" not in rollout.actions:
            return FailedLocalization(Reason.NO_ERROR)
        return Localization(rollout.actions.index("b"))

    def best_advantages(self, rollouts):
        return [np.array([0.0 if "b" in s else 0.1 for s in r.states]) for r in rollouts]

    def improvable_coverage(self, tau):
        return 0.6 if tau <= 0.1 else 0.0

    def rollout_cut(self, states, keys, steps):
        whole = self.rollout(states, keys)
        return [
            r if n is None or len(r) <= n else r.cut(0, n)
            for r, n in zip(whole, steps, strict=True)
        ]

    def revise(self, rollouts, keys):
        return ["" for _ in rollouts]


def test_a_world_with_texts_as_states_keeps_the_laws():
    check_simulator(Words, [""])
    check_resets(Words, "")


class Loses(Words):
    def rollout(self, states, keys):
        return super().rollout(states[1:], keys[1:])


class StartsAnew(Words):
    def one(self, state, key):
        return super().one("", key)


class Counts(Words):
    calls = 0

    def one(self, state, key):
        Counts.calls += 1
        return super().one(state, key + Counts.calls)


class LooksAtTheBatch(Words):
    def rollout(self, states, keys):
        return super().rollout(states, keys + np.uint64(len(states)))


class LooksAtThePlace(Words):
    def rollout(self, states, keys):
        return super().rollout(states, keys + np.arange(len(states), dtype=np.uint64))


class IgnoresKeys(Words):
    def one(self, state, key):
        return super().one(state, 1)


class Unhashable(Words):
    def one(self, state, key):
        rollout = super().one(state, key)
        return dataclasses.replace(
            rollout, states=[rollout.states[0], *([s] for s in rollout.states[1:])]
        )


class Endless(Words):
    def one(self, state, key):
        return dataclasses.replace(super().one(state, key), ended=Ending.CUT)


class NoNumber(Words):
    def one(self, state, key):
        return dataclasses.replace(super().one(state, key), reward=float("nan"))


class NamesSuccesses(Words):
    def answer(self, rollout):
        return super().answer(rollout) if rollout.failed else Localization(0)


class NamesTooFar(Words):
    def answer(self, rollout):
        return Localization(9) if rollout.failed else super().answer(rollout)


class NamesByPlace(Words):
    def locate_first_error(self, rollouts, keys):
        found = super().locate_first_error(rollouts, keys)
        return [
            Localization(i % len(r)) if r.failed else answer
            for i, (r, answer) in enumerate(zip(rollouts, found, strict=True))
        ]


class OneAdvantage(Words):
    def best_advantages(self, rollouts):
        return [np.array([0.1]) for _ in rollouts]


class RisingCoverage(Words):
    def improvable_coverage(self, tau):
        return min(tau, 1.0)


class CutsElsewhere(Words):
    def rollout_cut(self, states, keys, steps):
        return super().rollout_cut(states, keys[::-1], steps)


class RevisesOne(Words):
    def revise(self, rollouts, keys):
        return [""]


@pytest.mark.parametrize(
    ("world", "statement"),
    [
        (Loses, "one rollout per state"),
        (StartsAnew, "is to start there"),
        (Counts, "drawn again by another world"),
        (LooksAtTheBatch, "the batch is split"),
        (LooksAtThePlace, "the same when"),
        (IgnoresKeys, "other keys are to draw other rollouts"),
        (Unhashable, "hashable"),
        (Endless, "TERMINAL or HORIZON"),
        (NoNumber, "a reward is to be finite"),
        (NamesSuccesses, "refused with NOT_FAILED"),
        (NamesTooFar, "a named step is to be one of the rollout"),
        (NamesByPlace, "depend on its rollout and key alone"),
        (OneAdvantage, "one number per step"),
        (RisingCoverage, "coverage is to fall"),
        (CutsElsewhere, "cut after"),
        (RevisesOne, "one state per rollout"),
    ],
)
def test_a_broken_law_is_named(world, statement):
    with pytest.raises(AssertionError, match=statement):
        check_simulator(world, [""])


def test_a_world_without_chance_says_so():
    check_simulator(IgnoresKeys, [""], deterministic=True)


def test_resets_that_are_worth_less_are_seen():
    class Tires(Words):
        """From later states it errs more often than a rollout that came there by itself."""

        def one(self, state, key):
            rollout = super().one(state, key)
            tired = state and np.random.default_rng(key + 1).random() < 0.3
            return dataclasses.replace(rollout, reward=0.0, failed=True) if tired else rollout

    with pytest.raises(AssertionError, match="rollouts from second states are worth"):
        check_resets(Tires, "")


class Bad(ResetPolicy):
    """A reset policy with weights of its own."""

    def __init__(self, weights):
        self.weights = weights

    def step_weights(self, rollouts, simulator, keys):
        return [self.weights(i, r) for i, r in enumerate(rollouts)]


class Asks(ResetPolicy):
    def step_weights(self, rollouts, simulator, keys):
        simulator.locate_first_error(rollouts, keys)
        return [np.ones(len(r)) for r in rollouts]


@pytest.mark.parametrize("reset", [UniformReset(), FirstErrorReset()])
def test_reset_policies_of_ours_keep_the_laws(reset):
    check_reset_policy(reset, Words, [""])


@pytest.mark.parametrize(
    ("reset", "statement"),
    [
        (Bad(lambda i, r: np.ones(len(r) + 1)), "one weight per step"),
        (Bad(lambda i, r: np.full(len(r), 1.5)), r"\[0, 1\]"),
        (Bad(lambda i, r: np.full(len(r), 1 / (1 + i))), "rollout and key alone"),
        (Asks(), "to say `localizes`"),
    ],
)
def test_a_reset_policy_that_breaks_a_law_is_named(reset, statement):
    with pytest.raises(AssertionError, match=statement):
        check_reset_policy(reset, Words, [""])


@pytest.mark.parametrize("algorithm", [GRPO(4), SRPO(base=2, suffix=2)])
def test_algorithms_of_ours_keep_the_laws(algorithm):
    check_algorithm(algorithm, Words, [""])


@dataclass(frozen=True)
class Method:
    """Draws four rollouts and breaks a law with them."""

    rows_per_prompt: int = 4

    def plan(self, prompt, key):
        rollouts = yield Draw(prompt.start, key.integers(4))
        return [relative_group(rollouts, prompt)]


class DrawsByChance(Method):
    def plan(self, prompt, key):
        keys = np.random.default_rng().integers(1 << 60, size=4).astype(np.uint64)
        rollouts = yield Draw(prompt.start, keys)
        return [relative_group(rollouts, prompt)]


class OtherPrompt(Method):
    def plan(self, prompt, key):
        (group,) = yield from super().plan(prompt, key)
        return [dataclasses.replace(group, prompt=77)]


class Invents(Method):
    def plan(self, prompt, key):
        rollouts = yield Draw(prompt.start, key.integers(4))
        made_up = [Rollout(["zz"], ["a"], r.reward, r.failed, r.ended) for r in rollouts]
        return [relative_group(made_up, prompt)]


class Pretends(Method):
    """Says that its group starts at a reset state."""

    def plan(self, prompt, key):
        (group,) = yield from super().plan(prompt, key)
        return [dataclasses.replace(group, parent=group.rollouts[0], step=2)]


class KeepsBooks(Method):
    def plan(self, prompt, key):
        groups = yield from super().plan(prompt, key)
        object.__setattr__(self, "rows_per_prompt", self.rows_per_prompt + 1)
        return groups


class SharesKeys(Method):
    """Draws more for prompts that come after others."""

    seen: list = []  # noqa: RUF012

    def plan(self, prompt, key):
        self.seen.append(prompt.id)
        rollouts = yield Draw(prompt.start, key.child(len(self.seen)).integers(4))
        return [relative_group(rollouts, prompt)]


class DrawsTwiceWithAKey(Method):
    """Takes for new rollouts what are copies of the first ones."""

    def plan(self, prompt, key):
        yield Draw(prompt.start, key.integers(4))
        rollouts = yield Draw(prompt.start, key.integers(4))
        return [relative_group(rollouts, prompt)]


class HasNoKeys(Method):
    def plan(self, prompt, key):
        rollouts = yield Draw(prompt.start, np.arange(4, dtype=np.uint64))
        return [relative_group(rollouts, prompt)]


@pytest.mark.parametrize(
    ("algorithm", "statement"),
    [
        (DrawsTwiceWithAKey(), "a key of its own"),
        (HasNoKeys(), "a key of its own"),
        (Method(3), "at most rows_per_prompt samples"),
        (DrawsByChance(), "the same groups again"),
        (OtherPrompt(), "a group is to belong to a prompt"),
        (Invents(), "samples start where the prompt does"),
        (Pretends(), "suffixes start at the reset state"),
        (KeepsBooks(), "not to change the algorithm"),
        (SharesKeys(), "the same groups"),
    ],
)
def test_an_algorithm_that_breaks_a_law_is_named(algorithm, statement):
    with pytest.raises(AssertionError, match=statement):
        check_algorithm(algorithm, Words, [""])


class Plain:
    """No value: two of them are never equal."""

    rows_per_prompt = 4
    plan = Method.plan


def test_what_is_no_value_is_no_algorithm():
    @dataclass(frozen=True)
    class Local(Method):
        pass

    for algorithm, statement in (
        (Plain(), "it differs from its copy"),
        (Local(), "it cannot be pickled"),
        (Method, "and not its class"),
    ):
        with pytest.raises(AssertionError, match=statement):
            check_algorithm(algorithm, Words, [""])


class ReturnsNothing(Method):
    def plan(self, prompt, key):
        yield Draw(prompt.start, key.integers(4))


class ReturnsOneGroup(Method):
    def plan(self, prompt, key):
        (group,) = yield from super().plan(prompt, key)
        return group


class IsNoGenerator(Method):
    def plan(self, prompt, key):
        return []


class Wishes(Method):
    def plan(self, prompt, key):
        yield self.wish(prompt, key)
        return []


class CountsKeys(Wishes):
    def wish(self, prompt, key):
        return Draw(prompt.start, 4)


class CutsAtNoStep(Wishes):
    def wish(self, prompt, key):
        return Draw(prompt.start, key.integers(4), steps=2.5)


class NamesByAClass(Wishes):
    def wish(self, prompt, key):
        return NameSteps(UniformReset, [], key.integers(0))


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (ReturnsNothing(), r"groups of a plan = None: not a list of Group objects"),
        (ReturnsOneGroup(), r"groups of a plan = Group\("),
        (IsNoGenerator(), r"plan = \[\]: not a generator; yield wishes and return groups"),
        (CountsKeys(), r"keys = 4: not a list of keys"),
        (CutsAtNoStep(), r"steps = 2.5: not an integer >= 1"),
        (NamesByAClass(), r"a class and no reset policy; make a value of it: UniformReset\(\)"),
        (Method, r"a class and no algorithm; make a value of it: Method"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_by_name(algorithm, message):
    with pytest.raises(InvalidInput, match=message):
        collect(algorithm, Words(), [""], 0)


def test_groups_are_refused_that_do_not_fit_together():
    rollouts = Words().rollout(["", ""], np.arange(2, dtype=np.uint64))
    with pytest.raises(InvalidInput, match=r"advantages = \[1.0\]: 2 rollouts; give one per"):
        Group.of(rollouts, [1.0], 0)
    for parent, step in ((rollouts[0], 99), (rollouts[0], None), (None, 0)):
        with pytest.raises(InvalidInput, match="no step of a parent of"):
            Group.of(rollouts, [1.0, -1.0], 0, parent, step)


class Wrapper:
    """Passes everything on, as a user's journal of a world would."""

    def __init__(self, world):
        self.world = world

    def __getattr__(self, name):
        return getattr(self.world, name)


def test_what_a_world_can_do_is_seen_through_a_wrapper():
    class Bare:
        rollout, locate_first_error = Words.rollout, Words.locate_first_error

    for can in (knows_advantages, can_cut, can_revise):
        assert can(Wrapper(Words()))
        assert not can(Wrapper(Bare()))
    assert can_stream(Wrapper(out_of_order(Words(), lambda count: 0)))
    assert not can_stream(Wrapper(Words()))


def test_a_step_is_an_integer():
    assert Localization(np.int64(2)) == Localization(2)
    with pytest.raises(InvalidInput, match=r"step = 1.5: not an integer"):
        Localization(1.5)


def test_what_a_law_cannot_be_checked_with_is_refused():
    for check in (check_simulator, lambda *args: check_algorithm(Method(), *args)):
        with pytest.raises(InvalidInput, match="no list of start states"):
            check(Words, [])
        with pytest.raises(InvalidInput, match="cannot be called"):
            check(Words(), [""])
    with pytest.raises(InvalidInput, match="count = 1: not an integer >= 2"):
        check_simulator(Words, [""], count=1)
    with pytest.raises(InvalidInput, match="count = 4: not an integer >= 30"):
        check_resets(Words, "", count=4)


def test_a_well_kept_method_passes():
    check_algorithm(Method(), Words, ["", "a"])


def test_refusals_of_a_plan_are_counted_and_barriers_wait():
    from cpi_theory.seam import Barrier
    from cpi_theory.testing.comparing import Watched

    @dataclass(frozen=True)
    class Waits:
        rows_per_prompt: int = 2

        def plan(self, prompt, key):
            for i in range(prompt.id):
                yield Draw(prompt.start, key.child(i).integers(1))
            yield Barrier()
            yield [Refusal(Reason.NOT_FAILED), Refusal(Reason.EMPTY)]
            rollouts = yield Draw(prompt.start, key.integers(2))
            return [relative_group(rollouts, prompt)]

    world = Watched(Words())
    collection = collect(Waits(), world, [""] * 4, 0)
    assert collection.refusals == {Reason.NOT_FAILED: 4, Reason.EMPTY: 4}
    # Three rounds of searching (0 to 3 draws per prompt), and one call for all groups.
    assert world.calls == ["rollout"] * 4
    assert collection.generated_rollouts == 0 + 1 + 2 + 3 + 4 * 2
