"""Self-correction: exact success rates, what it may look at, and what is kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import comb
from typing import Any

import numpy as np
import pytest

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.correction import SelfCorrection, locating_key
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.uniform import StartReset
from cpi_theory.seam import (
    Collection,
    Ending,
    FailedLocalization,
    Group,
    Localization,
    Reason,
    Rollout,
)
from tests.cpi_theory.chain import Chain, uniform

STEPS, RIGHT, CHAINS = 3, 0.6, 1200


def corrected(algorithm: SelfCorrection, world: Any, chains: int = CHAINS, seed: int = 0) -> Any:
    """What is collected, and the attempts of each chain in order."""
    collection = collect(algorithm, world, [(0, 0)] * chains, seed)
    attempts: dict[int, list[Group]] = {}
    for group in collection:
        attempts.setdefault(group.prompt, []).append(group)
    return collection, list(attempts.values())


def last_right(attempts: Sequence[Sequence[Group]]) -> float:
    return float(np.mean([groups[-1].rollouts[0].reward for groups in attempts]))


def near(found: float, expected: float, count: int = CHAINS) -> bool:
    return abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / count)


# --- exact success rates -------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["own", "oracle"])
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_an_exact_localiser_spends_a_round_for_each_wrong_step(stop: Any, rounds: int) -> None:
    """By hand: K steps, each right with probability p, and a round for each that is not.

    A chain ends right if there are at most R wrong steps before the K-th right one: a negative
    binomial distribution function.
    """
    expected = sum(
        comb(STEPS + wrong - 1, wrong) * RIGHT**STEPS * (1 - RIGHT) ** wrong
        for wrong in range(rounds + 1)
    )
    world = Chain(right=(RIGHT,) * STEPS)
    _, attempts = corrected(SelfCorrection(rounds=rounds, stop=stop), world)
    assert near(last_right(attempts), expected)


def test_resets_to_the_start_are_the_best_of_n_by_an_oracle() -> None:
    algorithm = SelfCorrection(StartReset(), rounds=3, stop="oracle")
    _, attempts = corrected(algorithm, Chain(right=(RIGHT,) * STEPS))
    assert near(last_right(attempts), 1 - (1 - RIGHT**STEPS) ** 4)


@dataclass
class Judging:
    """A chain whose localiser errs: both ways about whether there is an error, and about where."""

    world: Chain = field(default_factory=lambda: Chain(right=(RIGHT,) * STEPS))
    misses: float = 0.0
    alarms: float = 0.0
    accuracy: float = 1.0

    def rollout(self, states: Any, keys: Any) -> list[Rollout]:
        return self.world.rollout(states, keys)

    def locate_first_error(self, rollouts: Any, keys: Any) -> list[Any]:
        return [self._locate(r, int(k)) for r, k in zip(rollouts, keys, strict=True)]

    def _locate(self, rollout: Rollout, key: int) -> Localization | FailedLocalization:
        if not rollout.failed:  # as worlds do: it would give the outcome away
            return FailedLocalization(Reason.NOT_FAILED)
        wrong = [i for i, action in enumerate(rollout.actions) if action != 0]
        if uniform(key, 1) < (self.misses if wrong else 1 - self.alarms):
            return FailedLocalization(Reason.NO_ERROR)
        if wrong and uniform(key, 2) < self.accuracy:
            return Localization(wrong[0])
        return Localization(int(uniform(key, 3) * len(rollout)))


def success_rate(rounds: int, misses: float, alarms: float, accuracy: float) -> float:
    """By recursion over (first wrong step, or none; rounds left): P(the last attempt is right)."""

    def first_wrong(t: int) -> list[float]:
        """Law of the first wrong step of a continuation from step t; the last entry: none is."""
        wrong = [RIGHT ** (k - t) * (1 - RIGHT) for k in range(t, STEPS)]
        return [0.0] * t + wrong + [RIGHT ** (STEPS - t)]

    after = [first_wrong(t) for t in range(STEPS)]
    value = [0.0] * STEPS + [1.0]
    for _ in range(rounds):
        again = [float(np.dot(after[t], value)) for t in range(STEPS)]
        new = []
        for wrong in range(STEPS):
            # A uniform step behind the error keeps it; any other draws anew from there.
            blind = np.mean([again[t] if t <= wrong else value[wrong] for t in range(STEPS)])
            named = accuracy * again[wrong] + (1 - accuracy) * blind
            new.append((1 - misses) * named)
        new.append((1 - alarms) + alarms * float(np.mean(again)))
        value = new
    return float(np.dot(after[0], value))


@pytest.mark.parametrize(
    ("misses", "alarms", "accuracy"),
    [(0.0, 0.0, 0.3), (0.4, 0.0, 1.0), (0.0, 0.5, 1.0), (0.3, 0.4, 0.6), (0.0, 1.0, 0.0)],
)
def test_localisers_of_known_accuracy_give_the_rate_worked_out(
    misses: float, alarms: float, accuracy: float
) -> None:
    world = Judging(misses=misses, alarms=alarms, accuracy=accuracy)
    _, attempts = corrected(SelfCorrection(rounds=4), world)
    assert near(last_right(attempts), success_rate(4, misses, alarms, accuracy))


def test_the_recursion_agrees_with_the_closed_form() -> None:
    negative_binomial = sum(
        comb(STEPS + n - 1, n) * RIGHT**STEPS * (1 - RIGHT) ** n for n in range(4)
    )
    assert success_rate(3, 0, 0, 1) == pytest.approx(negative_binomial, abs=1e-12)


# --- what it may look at -------------------------------------------------------------------------


@dataclass
class Hidden:
    """A world that swaps what it says of outcomes: success for failure."""

    world: Judging

    def rollout(self, states: Any, keys: Any) -> list[Rollout]:
        drawn = self.world.rollout(states, keys)
        return [replace(r, failed=not r.failed, reward=1 - r.reward) for r in drawn]

    def locate_first_error(self, rollouts: Any, keys: Any) -> list[Any]:
        return self.world.locate_first_error(rollouts, keys)


def drawn(attempts: Sequence[Sequence[Group]]) -> list[Any]:
    return [[(tuple(g.rollouts[0].actions), g.step) for g in groups] for groups in attempts]


def test_its_own_stop_does_not_depend_on_any_outcome() -> None:
    world = Judging(misses=0.3, alarms=0.3, accuracy=0.7)
    algorithm = SelfCorrection(rounds=4)
    _, seen = corrected(algorithm, world, 300)
    _, blind = corrected(algorithm, Hidden(world), 300)
    assert drawn(seen) == drawn(blind)
    # And the oracle's does.
    algorithm = SelfCorrection(rounds=4, stop="oracle")
    assert drawn(corrected(algorithm, world, 300)[1]) != drawn(
        corrected(algorithm, Hidden(world), 300)[1]
    )


def test_the_oracle_ends_at_the_first_success() -> None:
    algorithm = SelfCorrection(rounds=6, stop="oracle")
    collection, attempts = corrected(algorithm, Judging(alarms=1.0, accuracy=0.5), 400)
    for groups in attempts:
        assert all(group.rollouts[0].failed for group in groups[:-1])
        assert not groups[-1].rollouts[0].failed or len(groups) == 7
    failures = sum(g.rollouts[0].failed for groups in attempts for g in groups[:6])
    assert collection.localizations == failures


# --- what is kept, and what it costs -------------------------------------------------------------


def test_a_correction_keeps_what_was_before_the_step_of_the_whole_attempt() -> None:
    """The second reset may go before the first one: an error that was kept is not lost."""
    _, attempts = corrected(SelfCorrection(rounds=5), Judging(accuracy=0.4), 400)
    earlier = 0
    for groups in attempts:
        whole = groups[0].rollouts[0]
        for group, after in itertools.zip_longest(groups[1:], groups[2:]):
            assert group.parent is not None
            assert group.step is not None
            assert list(group.parent.actions) == list(whole.actions)
            (suffix,) = group.rollouts
            assert suffix.states[0] == whole.states[group.step]
            whole = suffix.behind(whole, group.step)
            assert len(whole) == STEPS
            earlier += after is not None and after.step is not None and after.step < group.step
    assert earlier > 20


@dataclass
class Unreadable(Judging):
    def _locate(self, rollout: Rollout, key: int) -> Localization | FailedLocalization:
        return FailedLocalization(Reason.UNPARSABLE)


def test_a_reply_that_cannot_be_read_is_counted_and_never_a_step() -> None:
    collection, attempts = corrected(SelfCorrection(rounds=3), Unreadable(), 50)
    assert {len(groups) for groups in attempts} == {1}
    assert collection.refusals == {Reason.UNPARSABLE: 50}
    fresh: Collection
    fresh, attempts = corrected(SelfCorrection(rounds=3, unnamed="fresh"), Unreadable(), 50)
    assert {len(groups) for groups in attempts} == {4}
    assert all(group.parent is None for groups in attempts for group in groups)
    assert fresh.refusals == {Reason.UNPARSABLE: 150}
    assert len({g.rollouts[0].actions.__repr__() for g in attempts[0]}) > 1


def test_an_attempt_that_is_accepted_ends_a_chain_of_fresh_ones_too() -> None:
    _, attempts = corrected(SelfCorrection(rounds=3, unnamed="fresh"), Judging(misses=1.0), 50)
    assert {len(groups) for groups in attempts} == {1}


def test_the_localiser_is_asked_under_a_key_that_can_be_worked_out() -> None:
    seen: list[int] = []

    class Listening(Judging):
        def locate_first_error(self, rollouts: Any, keys: Any) -> list[Any]:
            seen.extend(int(key) for key in keys)
            return super().locate_first_error(rollouts, keys)

    collect(SelfCorrection(rounds=4), Listening(alarms=1.0), [(0, 0)], 7, [5])
    of_prompt = Key.of(7).child(5)
    assert seen == [int(locating_key(of_prompt, n)[0]) for n in (1, 2, 3, 4)]


# --- putting rollouts together -------------------------------------------------------------------


def test_behind_undoes_a_cut() -> None:
    (whole,) = Chain().rollout([(0, 0)], [3])
    for step in range(len(whole)):
        again = whole.cut(step).behind(whole, step)
        assert (list(again.states), list(again.actions)) == (whole.states, whole.actions)
        assert (again.reward, again.failed) == (whole.reward, whole.failed)
        assert again.ended is whole.ended


def test_a_rollout_goes_only_behind_the_state_that_it_started_at() -> None:
    (whole,) = Chain().rollout([(0, 0)], [3])
    with pytest.raises(InvalidInput, match="starts at another state"):
        whole.cut(2).behind(whole, 1)
    with pytest.raises(InvalidInput, match="not within 3 steps"):
        whole.cut(2).behind(whole, 3)

    class Richer(Rollout):
        pass

    richer = Richer([(0, 0)], [0], 1.0, False, Ending.HORIZON)
    with pytest.raises(InvalidInput, match="override behind"):
        richer.behind(richer, 0)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"rounds": 0}, "rounds"),
        ({"stop": "never"}, "stop"),
        ({"unnamed": "guess"}, "unnamed"),
        ({"reset": FirstErrorReset}, "reset"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}"):
        SelfCorrection(**options)
