"""Does an algorithm keep the laws of :class:`~cpi_theory.seam.Algorithm`?"""

from __future__ import annotations

import copy
import json
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.streaming import stream
from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from cpi_theory.seam import (
    Algorithm,
    Collection,
    Group,
    Simulator,
    State,
    can_stream,
    learned,
    memory_of,
    recalling,
)
from cpi_theory.testing.comparing import Watched, check_world, law, same_group
from cpi_theory.testing.streams import drawn, out_of_order


def check_algorithm(
    algorithm: Algorithm,
    make: Callable[[], Simulator],
    starts: Sequence[State],
    *,
    prompts: int = 8,
    seed: int = 0,
) -> None:
    """Check every law of algorithms on a world.

    Args:
        algorithm: a value.
        make: makes the world afresh.
        starts: start states, at least one.
        prompts: how many prompts it collects for.
        seed: of the key.

    Raises:
        AssertionError: naming the law that is broken.
        InvalidInput: there are no start states, or no prompts.
    """
    check_world(make, starts)
    check_count("prompts", prompts)
    _check_value(algorithm)
    key, before = Key.of(seed).child("check algorithm"), copy.deepcopy(algorithm)
    # Neither 0, 1, ... nor in a row: whoever keys draws by position and not by id is found out.
    ids = [3 + 11 * i for i in range(prompts)]
    begin = [starts[i % len(starts)] for i in range(prompts)]
    world = Watched(make())
    collection = collect(algorithm, world, begin, key, ids)
    _check_groups(algorithm, collection, world, dict(zip(ids, begin, strict=True)))
    _check_account(collection, world)
    twice = [draw for draw, count in Counter(world.asked).items() if count > 1]
    law(not twice, "each rollout from a state is to have a key of its own", twice[:3])
    whole = _by_prompt(collection)
    order = Key.of(1).child("order").generator().permutation(prompts)
    for name, chosen in (
        ("again", np.arange(prompts)),
        ("in another order", order),
        ("in other company", order[: max(1, prompts // 3)]),
        ("alone", order[:1]),
    ):
        some = [ids[i] for i in chosen]
        part = collect(algorithm, make(), [begin[i] for i in chosen], key, some)
        _check_same(part, whole, some, name)
    worlds = [out_of_order(make(), drawn(key.child("stream")), slots=3)]
    for streaming in [*worlds, *[w for w in [make()] if can_stream(w)]]:
        part = stream(algorithm, streaming, begin, key, ids)
        _check_same(part, whole, ids, "in a stream")
        law(_account(part) == _account(collection), "a stream is to cost the same", part)
    law(len(collect(algorithm, make(), [], key)) == 0, "no prompts are to give no groups")
    _check_learning(algorithm, collection)
    law(algorithm == before, "collecting is not to change the algorithm", algorithm, before)


def _check_value(algorithm: Algorithm) -> None:
    remedy = "an algorithm is to be a value, such as a frozen dataclass at the top of a module"
    law(not isinstance(algorithm, type), f"{remedy}, and not its class", algorithm)
    law(copy.deepcopy(algorithm) == algorithm, f"{remedy}: it differs from its copy", algorithm)
    try:
        again = pickle.loads(pickle.dumps(algorithm))
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        law(False, f"{remedy}: it cannot be pickled", str(error))
    law(again == algorithm, f"{remedy}: it differs from what was pickled", again, algorithm)


def _check_learning(algorithm: Algorithm, collection: Collection) -> None:
    """What it concludes hangs on its groups alone, and a checkpoint can hold it."""
    later = learned(algorithm, collection)
    # Prompts in another order; groups of one keep theirs, in which its plan returned them.
    by_prompt = _by_prompt(collection)
    other = [group for prompt in sorted(by_prompt, reverse=True) for group in by_prompt[prompt]]
    again = learned(algorithm, replace(collection, groups=tuple(other)))
    law(again == later, "what is learned is to be the same in any order", later, again)
    memory = memory_of(later)
    if memory is not None:
        back = recalling(algorithm, json.loads(json.dumps(memory)))
        law(back == later, "a memory is to survive a checkpoint", later, back)


def _check_same(
    part: Collection, whole: dict[int, list[Group]], prompts: Sequence[int], how: str
) -> None:
    found = _by_prompt(part)
    for prompt in prompts:
        one, other = found.get(prompt, []), whole.get(prompt, [])
        equal = len(one) == len(other) and all(map(same_group, one, other))
        law(equal, f"prompt {prompt} is to give the same groups {how}", one, other)


def _account(collection: Collection) -> tuple[object, ...]:
    return (
        collection.generated_rollouts,
        collection.generated_steps,
        collection.refusals,
        collection.localizations,
    )


def _by_prompt(collection: Collection) -> dict[int, list[Group]]:
    groups: dict[int, list[Group]] = {}
    for group in collection:
        groups.setdefault(group.prompt, []).append(group)
    return groups


def _check_groups(
    algorithm: Algorithm, collection: Collection, world: Watched, starts: dict[int, State]
) -> None:
    reached = {state for r in world.drawn for state in (*r.states, r.last)} | set(starts.values())
    reached |= set(world.shown)
    rows: Counter[int] = Counter()
    for group in collection:
        law(group.prompt in starts, "a group is to belong to a prompt", group.prompt)
        law(len(group.samples) > 0, "a group is to hold samples", group)
        rows[group.prompt] += len(group.samples)
        for sample in group.samples:
            if len(sample.rollout):
                first = sample.rollout.states[0]
                law(first in reached, "samples start where the prompt does or was reached", first)
                if group.parent is not None and group.step is not None:
                    origin = group.parent.states[group.step]
                    law(first == origin, "suffixes start at the reset state", first, origin)
    most, allowed = max(rows.values(), default=0), algorithm.rows_per_prompt
    law(most <= allowed, "a prompt is to have at most rows_per_prompt samples", most, allowed)


def _check_account(collection: Collection, world: Watched) -> None:
    found = (collection.generated_rollouts, collection.localizations)
    expected = (len(world.drawn), world.located)
    law(found == expected, "rollouts and localisations are to be counted", found, expected)
