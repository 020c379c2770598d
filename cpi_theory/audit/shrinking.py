"""The smallest world that shows a fault: the first of a list, and then whatever can be left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from cpi_theory.audit.branching import TooMany
from cpi_theory.audit.forest import Edge, Forest, Node
from cpi_theory.audit.judgement import Judgement, Verdict, judge
from cpi_theory.audit.law import listed
from cpi_theory.audit.subject import Subject
from cpi_theory.audit.worlds import by_size, size
from cpi_theory.checks import Exact, InvalidInput

Claim = Literal["J", "mixture", "weights"]
"""What an estimator says it follows: the gradient of J up to a factor, that of a mixture over the
states in which samples start, or that of some weighted sum of their values."""

ACCEPTED: dict[Claim, tuple[Verdict, ...]] = {
    "J": ("unbiased", "scaled"),
    "mixture": ("unbiased", "scaled", "mixture"),
    "weights": ("unbiased", "scaled", "mixture", "reweighted"),
}
"""The verdicts that a claim allows."""

PLAIN = 0.01
"""A fault worth showing: the expected update is off by this share of itself."""


def holds(claim: Claim, judgement: Judgement) -> bool:
    """Whether a claim is true on the world of a judgement."""
    return judgement.verdict in ACCEPTED[claim]


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A world on which a claim fails.

    Attributes:
        forest: the world.
        rollouts: size of a group.
        judgement: of the subject there.
    """

    forest: Forest
    rollouts: int
    judgement: Judgement


def smallest(
    subject_of: Callable[[int], Subject],
    claim: Claim,
    worlds: Sequence[Forest],
    sizes: Sequence[int],
    most: int = 1_000,
) -> Counterexample | None:
    """Find the smallest world that refutes a claim plainly; None if none of these does.

    Worlds are tried by horizon, number of states, and prompts, each with every size of a group;
    what is found is then simplified as long as the claim still fails.

    Args:
        subject_of: the subject with groups of that size.
        claim: to be refuted.
        worlds: to look in.
        sizes: of groups, ascending.
        most: branches that may be listed for one world; larger ones are passed over.
    """
    for forest in by_size(worlds):
        for rollouts in sizes:
            found = _refuted(subject_of(rollouts), claim, forest, most)
            if found is not None:
                return _shrunk(subject_of(rollouts), claim, forest, rollouts, found, most)
    return None


def _refuted(subject: Subject, claim: Claim, forest: Forest, most: int) -> Judgement | None:
    try:
        found = judge(listed(subject, forest, most))
    except TooMany:
        return None
    return found if not holds(claim, found) and _off(claim, found) >= PLAIN else None


def _off(claim: Claim, found: Judgement) -> float:
    """How far an update is from what it is claimed to follow, from 0 to 1."""
    if claim == "weights":
        return max(share.residual for share in found.shares)
    if math.isnan(found.cosine) or found.cosine < 0:
        return 1.0
    return math.sqrt(max(0.0, 1 - found.cosine**2))


def _shrunk(
    subject: Subject, claim: Claim, forest: Forest, rollouts: int, found: Judgement, most: int
) -> Counterexample:
    """Simplify as long as something simpler still refutes the claim."""
    shrinking = True
    while shrinking:
        shrinking = False
        for simpler in simplified(forest):
            if complexity(simpler) >= complexity(forest):
                continue
            judged = _tried(subject, claim, simpler, most)
            if judged is not None:
                forest, found, shrinking = simpler, judged, True
                break
    return Counterexample(forest, rollouts, found)


def _tried(subject: Subject, claim: Claim, forest: Forest, most: int) -> Judgement | None:
    try:
        return _refuted(subject, claim, forest, most)
    except InvalidInput:  # a world that the estimator cannot take says nothing about its bias
        return None


def complexity(forest: Forest) -> tuple[int, ...]:
    """Horizon, states, prompts, branches, and how long its numbers are to write down."""
    numbers = [n for node in forest.nodes for e in node.edges for n in (e.probability, e.reward)]
    written = sum(Fraction(n).denominator + abs(Fraction(n).numerator) for n in numbers)
    return (*size(forest), sum(len(node.edges) for node in forest.nodes), written)


def simplified(forest: Forest) -> Iterator[Forest]:
    """Worlds with one thing less: a prompt, a later decision, an action, an odd number."""
    for i in range(len(forest.roots)):
        if len(forest.roots) > 1:
            yield _with(forest, (*forest.roots[:i], *forest.roots[i + 1 :]))
    for i, root in enumerate(forest.roots):
        for simpler in _simpler(root):
            yield _with(forest, (*forest.roots[:i], simpler, *forest.roots[i + 1 :]))


def _with(forest: Forest, roots: tuple[Node, ...]) -> Forest:
    return replace(forest, name=f"part of {forest.name.removeprefix('part of ')}", roots=roots)


def _simpler(node: Node) -> Iterator[Node]:
    # Shared parameters tie nodes together: changed one by one they would be refused.
    if node.observation is None:
        yield from _fewer(node)
        even = Fraction(1, len(node.edges))
        edges = tuple(replace(edge, probability=even) for edge in node.edges)
        yield replace(node, edges=edges)
    for i, edge in enumerate(node.edges):
        for simpler in _simpler_edge(edge):
            yield replace(node, edges=(*node.edges[:i], simpler, *node.edges[i + 1 :]))


def _fewer(node: Node) -> Iterator[Node]:
    if len(node.edges) < 3:
        return
    for i in range(len(node.edges)):
        kept = (*node.edges[:i], *node.edges[i + 1 :])
        total = sum((edge.probability for edge in kept), Fraction(0))
        if total > 0:
            yield replace(
                node, edges=tuple(replace(e, probability=e.probability / total) for e in kept)
            )


def _simpler_edge(edge: Edge) -> Iterator[Edge]:
    whole: tuple[Exact, ...] = (Fraction(0), Fraction(1))
    if edge.child is not None:
        for reward in whole:
            yield replace(edge, child=None, reward=reward)
        for child in _simpler(edge.child):
            yield replace(edge, child=child)
    for reward in whole:
        if edge.reward != reward:
            yield replace(edge, reward=reward)
