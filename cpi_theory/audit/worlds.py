"""Small worlds for audits, from the smallest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from cpi_theory.audit.forest import Edge, Forest, Node

HALF = Fraction(1, 2)


def choice(right: Fraction, observation: str | None = None) -> Node:
    """One decision: action 0 is paid 1, action 1 nothing."""
    return Node((Edge(right, 1), Edge(1 - right)), observation)


def lock(chances: Sequence[Fraction], dead: bool = True) -> Node:
    """Right actions in a row are paid 1; a wrong one ends the rollout, or leads off the path.

    Args:
        chances: of the right action, 0, at each step.
        dead: whether a wrong action ends it; else the rollout goes on to its full length, and its
            actions off the path change nothing.
    """
    first, *later = chances
    if not later:
        return choice(first)
    wrong = None if dead else _idle(later)
    return Node((Edge(first, 0, lock(later, dead)), Edge(1 - first, 0, wrong)))


def _idle(chances: Sequence[Fraction]) -> Node:
    first, *later = chances
    child = _idle(later) if later else None
    return Node((Edge(first, 0, child), Edge(1 - first, 0, child)))


def going_on(stop: Fraction, right: Fraction, pay: Fraction, steps: int) -> Node:
    """At each step action 0 goes on for `pay`, action 1 stops; whoever gets to the end decides.

    The last step is a `choice` of that chance to be right. Rewards come on the way, and rollouts
    differ in length because the policy ends them.
    """
    if steps == 0:
        return choice(right)
    later = going_on(stop, right, pay, steps - 1)
    return Node((Edge(1 - stop, pay, later), Edge(stop, HALF)))


def tree() -> Node:
    """Two steps; each of the four ends is right with a chance of its own, which is luck."""
    ends = [_luck(Fraction(n, 8)) for n in (7, 3, 4, 1)]
    low = Node((Edge(Fraction(1, 3), 0, ends[0]), Edge(Fraction(2, 3), 0, ends[1])))
    high = Node((Edge(Fraction(3, 4), 0, ends[2]), Edge(Fraction(1, 4), 0, ends[3])))
    return Node((Edge(Fraction(2, 5), 0, low), Edge(Fraction(3, 5), 0, high)))


def _luck(chance: Fraction) -> Node:
    return Node((Edge(chance, 1), Edge(1 - chance)), chance=True)


def running_out() -> Node:
    """Three steps at most; a rollout that has not answered by then is truncated, without reward."""
    last = Node((Edge(HALF, 1), Edge(Fraction(1, 4)), Edge(Fraction(1, 4), truncated=True)))
    return Node((Edge(Fraction(1, 4), 1), Edge(Fraction(1, 4)), Edge(HALF, 0, last)))


def small_worlds() -> list[Forest]:
    """Worlds that show the known faults, ordered by horizon, states and prompts."""
    third, easy, rare = Fraction(1, 3), Fraction(9, 10), Fraction(1, 10)
    pair = Node((Edge(third, 0, choice(HALF)), Edge(1 - third, HALF)))
    aliased = Node(
        (Edge(third, 0, choice(third, "both")), Edge(1 - third, 0, choice(third, "both")))
    )
    return [
        Forest("choice", (choice(HALF),)),
        Forest("rare choice", (choice(rare),)),
        Forest("two difficulties", (choice(HALF), choice(rare))),
        Forest("easy and rare", (choice(easy), choice(third))),
        Forest("shared parameters", (choice(third, "fact"), choice(third, "fact"))),
        Forest("go on or stop", (going_on(HALF, third, Fraction(0), 1),)),
        Forest("paid on the way", (going_on(HALF, third, Fraction(1, 4), 1),)),
        Forest("sure or risky", (pair,)),
        Forest("lock", (lock((HALF, third)),)),
        Forest("lock, full length", (lock((HALF, third), dead=False),)),
        Forest("running out", (running_out(),)),
        Forest("shared prefix", (aliased,)),
        Forest("tree", (tree(),)),
        Forest("lock beside choice", (lock((HALF, third)), choice(third))),
        Forest("three steps", (lock((HALF, third, HALF)),)),
        Forest("three paid steps", (going_on(third, HALF, Fraction(1, 8), 2),)),
    ]


def by_size(worlds: Sequence[Forest]) -> Iterator[Forest]:
    """Worlds by horizon, then number of states, then prompts."""
    yield from sorted(worlds, key=size)


def size(world: Forest) -> tuple[int, int, int]:
    """Horizon, states and prompts of a world."""
    longest = max(len(rollout) for start in world.starts for _, rollout in world.outcomes(start))
    states = sum(not node.chance for node in world.nodes)
    return longest, states, len(world.starts)
