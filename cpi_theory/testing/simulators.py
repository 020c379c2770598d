"""Does a world keep the laws of :class:`~cpi_theory.seam.Simulator` and of what else it can do?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key, Keys
from cpi_theory.seam import (
    CuttingSimulator,
    Draw,
    Ending,
    FailedLocalization,
    Localization,
    Localize,
    OracleSimulator,
    Reason,
    RevisingSimulator,
    Rollout,
    Simulator,
    State,
    StreamingSimulator,
    can_cut,
    can_revise,
    can_stream,
    knows_advantages,
)
from cpi_theory.testing.comparing import check_world, law, same, same_rollout


def check_simulator(
    make: Callable[[], Simulator],
    starts: Sequence[State],
    *,
    count: int = 24,
    seed: int = 0,
    deterministic: bool = False,
) -> None:
    """Check every law of the seam that this world can be held to.

    Args:
        make: makes the world afresh; two worlds that it makes are to behave alike.
        starts: start states, at least one.
        count: rollouts drawn for each law.
        seed: of their keys.
        deterministic: whether all rollouts from a state are the same, whatever their keys.

    Raises:
        AssertionError: naming the law that is broken.
        InvalidInput: there are no start states, or fewer than two rollouts to draw.
    """
    check_world(make, starts)
    # A batch of one can neither be split nor show that another key draws another rollout.
    check_count("count", count, minimum=2)
    keys = Key.of(seed).child("check simulator").integers(count)
    states = [starts[i % len(starts)] for i in range(count)]
    rollouts = list(make().rollout(states, keys))
    _check_form(rollouts, states)
    _check_independence(make, states, keys, rollouts)
    law(len(rollouts[0]) > 0, "a rollout from a start state is to have steps", states[0])
    if not deterministic:
        again = make().rollout([states[0]] * count, keys)
        differ = any(not same_rollout(again[0], other) for other in again[1:])
        law(differ, "other keys are to draw other rollouts, but all are the same", again[0])
    _check_later_states(make, rollouts, keys)
    _check_localization(make, rollouts, keys)
    world = make()
    if knows_advantages(world):
        _check_oracle(world, rollouts)
    if can_cut(world):
        _check_cutting(world, states, keys, rollouts)
    if can_revise(world):
        _check_revision(world, rollouts, keys)
    if can_stream(world):
        _check_streaming(world, states, keys, rollouts)


def _check_form(rollouts: Sequence[Rollout], states: Sequence[State]) -> None:
    law(len(rollouts) == len(states), "rollout is to return one rollout per state", len(rollouts))
    for rollout, state in zip(rollouts, states, strict=True):
        law(isinstance(rollout, Rollout), "rollout is to return Rollout objects", rollout)
        if len(rollout):
            first = rollout.states[0]
            law(same(first, state), "a rollout is to start at its state", first, state)
        for visited in rollout.states:
            law(isinstance(visited, Hashable), "states are to be hashable", visited)
        ended = isinstance(rollout.ended, Ending) and rollout.ended is not Ending.CUT
        law(ended, "a rollout is to end with TERMINAL or HORIZON unless it is cut", rollout.ended)
        law(math.isfinite(rollout.reward), "a reward is to be finite", rollout.reward)


def _check_independence(
    make: Callable[[], Simulator], states: list[State], keys: Keys, rollouts: list[Rollout]
) -> None:
    """Law 1: a rollout depends on its state and its key alone."""
    world = make()
    order = Key.of(1).child("order").generator().permutation(len(states))
    half = len(states) // 2
    parts = [
        *world.rollout(states[:half], keys[:half]),
        *world.rollout(states[half:], keys[half:]),
    ]
    for name, found, expected in (
        ("drawn again by another world", make().rollout(states, keys), rollouts),
        ("the batch is split", parts, rollouts),
        (
            "the batch is re-ordered",
            world.rollout([states[i] for i in order], keys[order]),
            [rollouts[i] for i in order],
        ),
        ("it is drawn alone", world.rollout(states[:1], keys[:1]), rollouts[:1]),
    ):
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            statement = f"rollout {i} is to be the same when {name}"
            law(same_rollout(one, other), statement, one, other)
    law(len(world.rollout([], keys[:0])) == 0, "no states are to give no rollouts")


def _check_later_states(
    make: Callable[[], Simulator], rollouts: Sequence[Rollout], keys: Keys
) -> None:
    """A reset is a rollout from a later state: every visited state can be started from."""
    visited = [state for rollout in rollouts for state in rollout.states][: len(keys)]
    again = make().rollout(visited, keys[: len(visited)])
    for rollout, state in zip(again, visited, strict=True):
        starts_there = len(rollout) > 0 and same(rollout.states[0], state)
        law(starts_there, "a rollout from a visited state is to start there", state, rollout)


def _check_localization(
    make: Callable[[], Simulator], rollouts: Sequence[Rollout], keys: Keys
) -> None:
    """Law 3, and that an answer depends on its rollout and key alone."""
    world = make()
    answers = world.locate_first_error(rollouts, keys)
    law(len(answers) == len(rollouts), "locate_first_error is to answer each rollout", answers)
    for rollout, answer in zip(rollouts, answers, strict=True):
        kind = isinstance(answer, Localization | FailedLocalization)
        law(kind, "an answer is to be a Localization or a FailedLocalization", answer)
        if not rollout.failed:
            refused = answer == FailedLocalization(Reason.NOT_FAILED)
            law(refused, "what did not fail is to be refused with NOT_FAILED", answer)
        if isinstance(answer, Localization):
            inside = 0 <= answer.step < len(rollout)
            law(inside, "a named step is to be one of the rollout", answer, len(rollout))
    order = Key.of(2).child("order").generator().permutation(len(rollouts))
    mixed = make().locate_first_error([rollouts[i] for i in order], keys[order])
    unchanged = mixed == [answers[i] for i in order]
    law(unchanged, "an answer is to depend on its rollout and key alone", mixed, answers)


def _check_oracle(world: OracleSimulator, rollouts: Sequence[Rollout]) -> None:
    best = world.best_advantages(rollouts)
    for rollout, values in zip(rollouts, best, strict=True):
        shaped = np.shape(values) == (len(rollout),)
        law(shaped, "best_advantages is to give one number per step", np.shape(values))
        # The policy's own average of A(s, .) is 0, so its maximum is below 0 by rounding at most.
        law(bool((values >= -1e-9).all()), "a best advantage is never negative", values)
    coverages = [world.improvable_coverage(tau) for tau in (1e-9, 0.01, 0.1, 1.0)]
    falling = all(a >= b for a, b in itertools.pairwise(coverages))
    inside = all(0 <= c <= 1 for c in coverages)
    law(falling and inside, "coverage is to fall with tau and lie in [0, 1]", coverages)


def _check_cutting(
    world: CuttingSimulator, states: Sequence[State], keys: Keys, rollouts: Sequence[Rollout]
) -> None:
    # Cuts after 1, 2 and 3 steps and none at all, side by side in one batch.
    most = [None if i % 4 == 3 else 1 + i % 3 for i in range(len(states))]
    cut = world.rollout_cut(states, keys, most)
    for i, (found, whole, steps) in enumerate(zip(cut, rollouts, most, strict=True)):
        short = steps is None or len(whole) <= steps
        expected = whole if short else whole.cut(0, steps)
        statement = f"rollout {i} cut after {steps} steps is to be the begin of the whole one"
        law(same_rollout(found, expected), statement, found, expected)
    open_ends = [rollout.last for rollout in cut if rollout.ended is Ending.CUT]
    for state, rollout in zip(
        open_ends, world.rollout(open_ends, keys[: len(open_ends)]), strict=True
    ):
        law(
            len(rollout) > 0 and same(rollout.states[0], state),
            "a rollout that was cut is to go on from its last state",
            state,
            rollout,
        )


def _check_revision(world: RevisingSimulator, rollouts: Sequence[Rollout], keys: Keys) -> None:
    states = world.revise(rollouts, keys[: len(rollouts)])
    law(len(states) == len(rollouts), "revise is to give one state per rollout", len(states))
    _check_form(list(world.rollout(states, keys[: len(states)])), states)


def _check_streaming(
    world: StreamingSimulator, states: Sequence[State], keys: Keys, rollouts: Sequence[Rollout]
) -> None:
    """Requests that begin while others are under way, cut ones and localisations among them."""
    answers = world.locate_first_error(rollouts, keys)
    stream = world.stream()
    law(not stream.finished(), "a stream without requests is to have nothing done")
    cuts = [None if i % 3 else 1 + i % 2 for i in range(len(states))]
    half = len(states) // 2
    wanted = {i: Draw(states[i], keys[i : i + 1], cuts[i]) for i in range(len(states))}
    tickets = {stream.submit(wanted[i]): i for i in range(half)}
    found: dict[int, Rollout] = {}
    located: dict[int, object] = {}
    asked: dict[int, int] = {}
    begun = half
    while len(found) < len(states) or len(located) < len(states):
        done = stream.finished()
        law(len(done) > 0, "finished is to work until something is done", len(found))
        for ticket, answer in done:
            law(ticket in tickets or ticket in asked, "a ticket is handed over once", ticket)
            law(len(answer) == 1, "a request has as many answers as keys", answer)
            if ticket in asked:
                located[asked.pop(ticket)] = answer[0]
                continue
            i = tickets.pop(ticket)
            found[i] = answer[0]
            # The whole rollout: of one that was cut it is not known yet whether it failed.
            asked[stream.submit(Localize([rollouts[i]], keys[i : i + 1]))] = i
            if begun < len(states):
                tickets[stream.submit(wanted[begun])] = begun
                begun += 1
    for i, whole in enumerate(rollouts):
        steps = cuts[i]
        short = steps is None or len(whole) <= steps
        expected = whole if short or len(found[i]) == len(whole) else whole.cut(0, steps)
        statement = f"rollout {i} is to be the same in a stream"
        law(same_rollout(found[i], expected), statement, found[i], expected)
        same_answer = located[i] == answers[i]
        law(same_answer, f"answer {i} is to be the same in a stream", located[i], answers[i])
    stream.close()


def check_resets(
    make: Callable[[], Simulator],
    start: State,
    *,
    count: int = 2000,
    seed: int = 0,
    sigmas: float = 5.0,
) -> None:
    """Check that what follows a state does not depend on how it was reached (terminal rewards).

    The mean reward of rollouts from `start` equals that of rollouts from the states before their
    second steps, by the law of total expectation; both are estimated and compared.

    Args:
        make: makes the world afresh.
        start: a start state whose rollouts take two steps or more.
        count: rollouts of each kind.
        seed: of their keys.
        sigmas: standard errors of the difference that are tolerated.

    Raises:
        AssertionError: if the means are further apart.
    """
    check_world(make, [start])
    # The standard error is estimated from the same rollouts: of a few it says nothing.
    check_count("count", count, minimum=30)
    world, key = make(), Key.of(seed).child("check resets")
    rollouts = world.rollout([start] * count, key.child("first").integers(count))
    second = [r.states[1] if len(r) > 1 else None for r in rollouts]
    later = [state for state in second if state is not None]
    again = iter(world.rollout(later, key.child("second").integers(len(later))))
    pairs = [
        (r.reward, r.reward if state is None else next(again).reward)
        for r, state in zip(rollouts, second, strict=True)
    ]
    difference = np.array([first - other for first, other in pairs])
    error = float(difference.std() / math.sqrt(count))
    mean = float(difference.mean())
    statement = f"rollouts from second states are worth {mean:+.4f} +- {error:.4f} less"
    law(abs(mean) <= sigmas * error, statement)
