"""What a diagnosis draws: groups as every method collects them, first errors, and corrections.

Methods share their random numbers, so that the base rollouts of a prompt are drawn once for all of
them and methods are compared on the same luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cpi_theory.algorithms.collecting import Batcher, collect
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.randomness import Key, Keys
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.seam import (
    Algorithm,
    Collection,
    Draw,
    FailedLocalization,
    Localization,
    Reason,
    Refusal,
    Rollout,
    Simulator,
    State,
)


class Remembering:
    """A simulator that draws each (state, key) once and keeps count of what it drew.

    Attributes:
        simulator: what draws.
        rollouts, steps, localizations: drawn and asked so far.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.rollouts = self.steps = self.localizations = 0
        self._known: dict[tuple[State, int], Rollout] = {}

    def rollout(self, states: Sequence[State], keys: Keys) -> Sequence[Rollout]:
        """Return the rollouts asked for; those drawn before are given again."""
        wanted = list(zip(states, np.asarray(keys).tolist(), strict=True))
        # Once each, in order: a call may ask for the same pair twice.
        fresh = list(dict.fromkeys(w for w in wanted if w not in self._known))
        if fresh:
            numbers = np.array([key for _, key in fresh], dtype=np.uint64)
            drawn = self.simulator.rollout([state for state, _ in fresh], numbers)
            self._count(drawn)
            self._known.update(zip(fresh, drawn, strict=True))
        return [self._known[w] for w in wanted]

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Return the world's answers."""
        self.localizations += len(rollouts)
        return self.simulator.locate_first_error(rollouts, keys)

    def _count(self, drawn: Sequence[Rollout]) -> None:
        self.rollouts += len(drawn)
        self.steps += sum(map(len, drawn))


@dataclass(frozen=True, slots=True)
class Named:
    """A failure of a prompt and the step that the localiser named in it.

    Attributes:
        weight: how many named failures of the prompt it stands for.
    """

    prompt: int
    rollout: Rollout
    step: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """A reset to a named step beside a reset of another failure of the prompt to the same step.

    Attributes:
        named: what was reset, with its weight.
        successes: of the suffixes from the named step.
        partner: another failure of the same prompt that reaches that step; None if there is none.
        control: successes of as many suffixes from the same step of the partner.
        suffixes: from each.
        deviation: named step less the reference's, if there is one.
    """

    named: Named
    successes: int
    partner: Rollout | None
    control: int
    suffixes: int
    deviation: int | None = None


@dataclass(frozen=True, eq=False)
class Samples:
    """All that was drawn for some prompts.

    Attributes:
        prompts: how many.
        base: (prompt, rollout) pairs, plain rollouts from the start.
        collections: what each method collected.
        named: every failure in which a step was named.
        refusals: (prompt, reason) of every failure in which none was.
        trials: corrections that were tried.
    """

    prompts: int
    base: tuple[tuple[int, Rollout], ...]
    collections: Mapping[str, Collection]
    named: tuple[Named, ...]
    refusals: tuple[tuple[int, Reason], ...]
    trials: tuple[Trial, ...]


def draw_samples(
    simulator: Simulator,
    starts: Sequence[State],
    key: Key,
    methods: Mapping[str, Algorithm],
    rollouts: int,
    parents: int,
    suffixes: int,
    reference: Simulator | None = None,
    first: int = 0,
) -> Samples:
    """Draw everything in a few batched calls.

    Args:
        simulator: remembers its rollouts, or methods would draw their base rollouts again.
        starts: one start state per prompt.
        key: of everything drawn.
        methods: by name.
        rollouts: from each start.
        parents: most failures of a prompt that corrections are tried on.
        suffixes: from each reset state of a correction.
        reference: names first errors as deviations are measured from.
        first: id of the first prompt; the others follow it.
    """
    ids = range(first, first + len(starts))
    # One key for all methods: their base rollouts are the same, drawn once by `Remembering`.
    shared = key.child("collect")
    groups = collect(GRPO(rollouts), simulator, starts, shared, ids)
    base = tuple((group.prompt, rollout) for group in groups for rollout in group.rollouts)
    collections = {
        name: collect(method, simulator, starts, shared, ids) for name, method in methods.items()
    }
    named, refusals = _locate(simulator, base, key.child("locate"))
    trials = _correct(simulator, base, named, parents, suffixes, key.child("correct"))
    if reference is not None:
        trials = _deviations(reference, trials, key.child("reference"))
    return Samples(ids.stop, base, collections, tuple(named), tuple(refusals), tuple(trials))


def joined(parts: Sequence[Samples]) -> Samples:
    """Put together what was drawn for consecutive prompts."""
    return Samples(
        prompts=parts[-1].prompts,
        base=tuple(row for part in parts for row in part.base),
        collections={
            name: _joined_collection([part.collections[name] for part in parts])
            for name in parts[0].collections
        },
        named=tuple(one for part in parts for one in part.named),
        refusals=tuple(one for part in parts for one in part.refusals),
        trials=tuple(one for part in parts for one in part.trials),
    )


def _joined_collection(parts: Sequence[Collection]) -> Collection:
    return Collection(
        tuple(group for part in parts for group in part),
        sum(part.generated_rollouts for part in parts),
        sum(part.generated_steps for part in parts),
        sum((part.refusals for part in parts), Counter()),
        sum(part.localizations for part in parts),
        parts[-1].policy_version,
    )


def _locate(
    simulator: Simulator, base: Sequence[tuple[int, Rollout]], key: Key
) -> tuple[list[Named], list[tuple[int, Reason]]]:
    failures = [(prompt, r) for prompt, r in base if r.failed]
    rollouts = [r for _, r in failures]
    answers = FirstErrorReset().step_weights(rollouts, simulator, key.integers(len(rollouts)))
    named: list[Named] = []
    refusals: list[tuple[int, Reason]] = []
    for (prompt, rollout), answer in zip(failures, answers, strict=True):
        if isinstance(answer, Refusal):
            refusals.append((prompt, answer.reason))
        else:
            # `FirstErrorReset` puts all weight on one step.
            named.append(Named(prompt, rollout, int(np.argmax(answer))))
    return named, refusals


def spread_out(named: Sequence[Named], most: int, key: Key) -> list[Named]:
    """Draw at most `most` of each prompt without replacement, weighted to stand for all."""
    by_prompt: dict[int, list[Named]] = {}
    for one in named:
        by_prompt.setdefault(one.prompt, []).append(one)
    chosen = []
    for prompt, ones in by_prompt.items():
        order = key.child(prompt).generator().permutation(len(ones))[:most]
        weight = len(ones) / len(order)
        chosen += [Named(prompt, ones[i].rollout, ones[i].step, weight) for i in order]
    return chosen


def _correct(
    simulator: Simulator,
    base: Sequence[tuple[int, Rollout]],
    named: Sequence[Named],
    parents: int,
    suffixes: int,
    key: Key,
) -> list[Trial]:
    failures: dict[int, list[Rollout]] = {}
    for prompt, rollout in base:
        if rollout.failed:
            failures.setdefault(prompt, []).append(rollout)
    chosen = spread_out(named, parents, key.child("parents"))
    partners = [
        _partner(one, failures[one.prompt], key.child("partner", i)) for i, one in enumerate(chosen)
    ]
    resets = [(one.rollout, one.step, key.child("self", i)) for i, one in enumerate(chosen)]
    resets += [
        (partner, one.step, key.child("control", i))
        for i, (one, partner) in enumerate(zip(chosen, partners, strict=True))
        if partner is not None
    ]
    # Drawn in one batch and read in the order of `resets`: named steps first, then controls.
    successes = iter(_successes(simulator, resets, suffixes))
    own = [next(successes) for _ in chosen]
    control = [0 if partner is None else next(successes) for partner in partners]
    return [Trial(*row, suffixes) for row in zip(chosen, own, partners, control, strict=True)]


def _partner(one: Named, failures: Sequence[Rollout], key: Key) -> Rollout | None:
    """Another failure of the prompt that reaches the named step, drawn uniformly."""
    others = [r for r in failures if r is not one.rollout and len(r) > one.step]
    return others[int(key.generator().integers(len(others)))] if others else None


def _successes(
    simulator: Simulator, resets: Sequence[tuple[Rollout, int, Key]], suffixes: int
) -> list[int]:
    wishes = [Draw(r.states[step], key.integers(suffixes)) for r, step, key in resets]
    return [sum(not r.failed for r in drawn) for drawn in Batcher(simulator).draw_all(wishes)]


def _deviations(reference: Simulator, trials: Sequence[Trial], key: Key) -> list[Trial]:
    rollouts = [trial.named.rollout for trial in trials]
    answers = reference.locate_first_error(rollouts, key.integers(len(rollouts)))
    return [
        Trial(
            t.named,
            t.successes,
            t.partner,
            t.control,
            t.suffixes,
            t.named.step - answer.step if isinstance(answer, Localization) else None,
        )
        for t, answer in zip(trials, answers, strict=True)
    ]
