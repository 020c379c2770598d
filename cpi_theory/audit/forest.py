"""Worlds whose policy gradient is known: a small decision tree for each prompt.

A tree says everything at once: what can be done in each state and how likely the policy does it,
what it pays and where it leads. Values, gradients and the law of a rollout are sums over its
branches, exact where the probabilities are fractions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import Exact, InvalidInput, check_probability
from cpi_theory.randomness import Keys, as_keys
from cpi_theory.seam import (
    Ending,
    FailedLocalization,
    Localization,
    Reason,
    Rollout,
    State,
)

_PROBABILITY_TOLERANCE = 1e-9
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Edge:
    """What an action, or chance, leads to.

    Attributes:
        probability: of it, by the policy or by chance.
        reward: paid on the way, in reward units.
        child: where it leads; None: the rollout is over.
        truncated: whether it is over because it ran out of steps.
    """

    probability: Exact
    reward: Exact = 0
    child: Node | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A state, or a place where chance decides.

    Attributes:
        edges: one for each action; their probabilities sum to one.
        observation: nodes with one observation share their parameters, and so their
            probabilities; None: parameters of its own.
        chance: whether chance decides and not the policy; such a node has no parameters.
    """

    edges: tuple[Edge, ...]
    observation: str | None = None
    chance: bool = False

    def __post_init__(self) -> None:
        for edge in self.edges:
            check_probability("probability", edge.probability)
        total = sum((edge.probability for edge in self.edges), Fraction(0))
        if abs(float(total - 1)) > (0 if isinstance(total, Fraction) else _PROBABILITY_TOLERANCE):
            remedy = "make those of a node sum to one"
            raise InvalidInput("probabilities", total, "are their sum", remedy)


@dataclass(frozen=True, eq=False)
class Forest:
    """A decision tree for each prompt, under a softmax policy: a world on the seam.

    States are numbers of nodes; prompt i starts at ``starts[i]``. J is the mean over the prompts of
    the expected sum of rewards. The policy's parameters are logits, one for each action of each
    observation, so that d log pi(a|o) / d logit(o, b) = 1{a = b} - pi(b|o).

    Attributes:
        name: of the world.
        roots: the tree of each prompt; decisions of the policy, not of chance.
        success: a rollout fails if its rewards sum to less.
        precision: with this probability the world names the true first error of a failure, the
            first action with a negative advantage; otherwise a uniform one of its other steps.

    Raises:
        InvalidInput: for a tree that begins with chance, or nodes of one observation that differ.
    """

    name: str
    roots: tuple[Node, ...]
    success: Exact = 1
    precision: Exact = Fraction(1)
    _parameters: dict[tuple[str, int], int] = field(default_factory=dict, init=False, repr=False)
    _chances: dict[str, tuple[Exact, ...]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        check_probability("precision", self.precision)
        if not self.roots or any(root.chance for root in self.roots):
            raise InvalidInput("roots", self.name, "no decision to begin with", "begin with one")
        for node in range(len(self.nodes)):
            if not self.nodes[node].chance:
                self._register(node)

    def _register(self, node: int) -> None:
        observation, edges = self.observation(node), self.nodes[node].edges
        chances = tuple(edge.probability for edge in edges)
        if self._chances.setdefault(observation, chances) != chances:
            problem = f"two sets of probabilities, {chances} is one"
            raise InvalidInput("observation", observation, problem, "give both nodes the same")
        for action in range(len(edges)):
            self._parameters.setdefault((observation, action), len(self._parameters))

    @cached_property
    def nodes(self) -> list[Node]:
        """All nodes, by their numbers."""
        return [node for root in self.roots for node in _preorder(root)]

    @cached_property
    def _children(self) -> list[tuple[int | None, ...]]:
        sizes = [sum(1 for _ in _preorder(node)) for node in self.nodes]
        rows = []
        for number, node in enumerate(self.nodes):
            # In preorder the first child follows its parent, the next one that child's whole tree.
            follows, row = number + 1, []
            for edge in node.edges:
                row.append(None if edge.child is None else follows)
                follows += 0 if edge.child is None else sizes[follows]
            rows.append(tuple(row))
        return rows

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The start state of each prompt."""
        sizes = [sum(1 for _ in _preorder(root)) for root in self.roots]
        return tuple(int(n) for n in np.cumsum([0, *sizes])[:-1])

    def observation(self, node: int) -> str:
        """What a policy sees at a node."""
        given = self.nodes[node].observation
        return f"state {node}" if given is None else given

    @property
    def parameters(self) -> tuple[tuple[str, int], ...]:
        """(observation, action) of each parameter, in the order of gradients."""
        return tuple(self._parameters)

    @cached_property
    def q_values(self) -> list[list[Exact]]:
        """Q of each action of each node."""
        table: list[list[Exact]] = [[] for _ in self.nodes]
        for number in reversed(range(len(self.nodes))):  # children before their parents
            for edge, child in zip(self.nodes[number].edges, self._children[number], strict=True):
                later = 0 if child is None else self._mean(child, table[child])
                table[number].append(edge.reward + later)
        return table

    def _mean(self, node: int, values: Sequence[Exact]) -> Exact:
        edges = self.nodes[node].edges
        total: Exact = Fraction(0)
        for edge, value in zip(edges, values, strict=True):
            total = total + edge.probability * value
        return total

    def value(self, node: Any) -> Exact:
        """V of a state."""
        return self._mean(node, self.q_values[node])

    def advantage(self, node: Any, action: int) -> Exact:
        """A(s, a) = Q(s, a) - V(s)."""
        q_value: Exact = self.q_values[node][action]
        return q_value - self.value(node)

    @property
    def objective(self) -> Exact:
        """J: the mean value of the starts."""
        total: Exact = Fraction(0)
        for start in self.starts:
            total = total + self.value(start)
        return total / Fraction(len(self.starts))

    def gradient_at(self, node: int) -> NDArray[Any]:
        """Gradient of V(node), shape (parameters,), of fractions where the world is exact."""
        total = np.full(len(self._parameters), Fraction(0), dtype=object)
        edges = zip(self.nodes[node].edges, self._children[node], strict=True)
        for action, (edge, child) in enumerate(edges):
            if not self.nodes[node].chance:
                # sum_a pi(a) A(a) (e_a - pi) = sum_a pi(a) A(a) e_a, as the mean advantage is 0.
                place = self._parameters[self.observation(node), action]
                total[place] += edge.probability * self.advantage(node, action)
            if child is not None:
                total = total + edge.probability * self.gradient_at(child)
        return total

    @cached_property
    def gradient(self) -> NDArray[Any]:
        """Gradient of J, shape (parameters,)."""
        total = np.full(len(self._parameters), Fraction(0), dtype=object)
        for start in self.starts:
            total = total + self.gradient_at(start)
        return np.asarray(total / Fraction(len(self.starts)))

    def score(self, node: int, action: int) -> NDArray[Any]:
        """Gradient of log pi(action | node), shape (parameters,)."""
        observation = self.observation(node)
        out = np.full(len(self._parameters), Fraction(0), dtype=object)
        for other, chance in enumerate(self._chances[observation]):
            place = self._parameters[observation, other]
            out[place] = (1 if other == action else 0) - chance
        return out

    def chance(self, node: int, action: int) -> Exact:
        """pi(action | node)."""
        return self.nodes[node].edges[action].probability

    def numbers(self, node: Any, action: int) -> tuple[float, float, float]:
        """log pi(action | node), the sum of pi^2 over the actions there, and V(node)."""
        known = self._numbers.get((node, action))
        if known is None:
            chances = [float(edge.probability) for edge in self.nodes[node].edges]
            squares = sum(chance**2 for chance in chances)
            known = (float(np.log(chances[action])), squares, float(self.value(node)))
            self._numbers[node, action] = known
        return known

    @cached_property
    def _numbers(self) -> dict[tuple[int, int], tuple[float, float, float]]:
        return {}

    def greedy_value(self, node: Any) -> float:
        """Expected reward from a state on under the likeliest actions, the first of equals."""
        known = self._greedy.get(node)
        if known is None:
            known = self._greedy[node] = float(self._greedy_value(node))
        return known

    @cached_property
    def _greedy(self) -> dict[int, float]:
        return {}

    def _greedy_value(self, node: int) -> Exact:
        edges, chance = self.nodes[node].edges, self.nodes[node].chance
        likeliest = max(range(len(edges)), key=lambda a: edges[a].probability)
        total: Exact = Fraction(0)
        for action, (edge, child) in enumerate(zip(edges, self._children[node], strict=True)):
            if chance or action == likeliest:
                later = 0 if child is None else self._greedy_value(child)
                total += (edge.probability if chance else 1) * (edge.reward + later)
        return total

    def paths(self, node: int) -> Iterator[tuple[Exact, tuple[tuple[int, int], ...], bool]]:
        """Every way on from a node: its probability, (node, branch) pairs, whether truncated."""
        for branch, (edge, child) in enumerate(
            zip(self.nodes[node].edges, self._children[node], strict=True)
        ):
            if edge.probability == 0:
                continue
            here = (node, branch)
            if child is None:
                yield edge.probability, (here,), edge.truncated
                continue
            for probability, later, truncated in self.paths(child):
                yield edge.probability * probability, (here, *later), truncated

    def outcomes(self, node: Any, steps: int | None = None) -> list[tuple[Exact, Rollout]]:
        """Every rollout from a state with its probability, cut after `steps` if that is given."""
        known = self._outcomes.get((node, steps))
        if known is None:
            drawn = [(p, self._rollout(path, cut)) for p, path, cut in self.paths(node)]
            known = drawn if steps is None else _cut(drawn, steps)
            self._outcomes[node, steps] = known
        return known

    @cached_property
    def _outcomes(self) -> dict[tuple[int, int | None], list[tuple[Exact, Rollout]]]:
        return {}

    def _rollout(self, path: Sequence[tuple[int, int]], truncated: bool) -> Rollout:
        decisions = [(n, a) for n, a in path if not self.nodes[n].chance]
        reward = sum((self.nodes[n].edges[a].reward for n, a in path), Fraction(0))
        ending = Ending.HORIZON if truncated else Ending.TERMINAL
        states, actions = zip(*decisions, strict=True)
        rollout = Rollout(states, actions, float(reward), reward < self.success, ending)
        self._rewards[states, actions, rollout.reward] = self._paid(path)
        return rollout

    @cached_property
    def _rewards(self) -> dict[tuple[Any, ...], tuple[Exact, ...]]:
        return {}

    def _paid(self, path: Sequence[tuple[int, int]]) -> tuple[Exact, ...]:
        """What followed each decision until the next one."""
        paid: list[Exact] = []
        for node, branch in path:
            reward = self.nodes[node].edges[branch].reward
            if self.nodes[node].chance:
                paid[-1] += reward
            else:
                paid.append(reward)
        return tuple(paid)

    def rewards(self, rollout: Rollout) -> tuple[Exact, ...]:
        """What each step of a rollout of this world was paid, chance that followed it included."""
        place = (tuple(rollout.states), tuple(rollout.actions), rollout.reward)
        if place not in self._rewards:
            self.outcomes(rollout.states[0])  # registers what can happen from there
        return self._rewards[place]

    def answers(self, rollout: Rollout) -> list[tuple[Exact, Localization | FailedLocalization]]:
        """Every answer about a rollout's first error, with its probability."""
        if not rollout.failed:
            return [(Fraction(1), FailedLocalization(Reason.NOT_FAILED))]
        steps = zip(rollout.states, rollout.actions, strict=True)
        wrong = [t for t, (s, a) in enumerate(steps) if self.advantage(s, a) < 0]
        if not wrong:
            return [(Fraction(1), FailedLocalization(Reason.NO_ERROR))]
        others = [t for t in range(len(rollout)) if t != wrong[0]]
        if not others or self.precision == 1:
            return [(Fraction(1), Localization(wrong[0]))]
        each = (1 - self.precision) / len(others)
        return [
            (self.precision, Localization(wrong[0])),
            *((each, Localization(t)) for t in others),
        ]

    def rollout(self, states: Sequence[State], keys: Keys) -> list[Rollout]:
        """Continue the policy from each state, see :class:`~cpi_theory.seam.Simulator`."""
        keys = as_keys(keys, len(states))
        return [
            _pick(self.outcomes(state), key, 0)
            for state, key in zip(states, keys.tolist(), strict=True)
        ]

    def locate_first_error(
        self, rollouts: Sequence[Rollout], keys: Keys
    ) -> list[Localization | FailedLocalization]:
        """Name first errors, right with probability `precision`."""
        keys = as_keys(keys, len(rollouts))
        return [
            _pick(self.answers(rollout), key, 1)
            for rollout, key in zip(rollouts, keys.tolist(), strict=True)
        ]

    def step_logprobs(self, rollouts: Sequence[Rollout]) -> list[NDArray[np.float64]]:
        """Log-probability of each step, see :class:`~cpi_theory.seam.ScoringSimulator`."""
        return [
            np.array([self.numbers(s, a)[0] for s, a in zip(r.states, r.actions, strict=True)])
            for r in rollouts
        ]

    def solutions(self, node: Any) -> list[tuple[Exact, Rollout]]:
        """Every rollout of the best policy from a state with its probability.

        Of equally good actions it takes the first; actions that the policy never takes count, too.
        """
        known = self._solutions.get(node)
        if known is None:
            paths = self._best_paths(node)
            known = [(p, self._rollout(path, cut)) for p, path, cut in paths]
            self._solutions[node] = known
        return known

    @cached_property
    def _solutions(self) -> dict[int, list[tuple[Exact, Rollout]]]:
        return {}

    def _best_paths(self, node: int) -> Iterator[tuple[Exact, tuple[tuple[int, int], ...], bool]]:
        best = None if self.nodes[node].chance else self._best(node)[1]
        edges = zip(self.nodes[node].edges, self._children[node], strict=True)
        for branch, (edge, child) in enumerate(edges):
            if best not in (None, branch) or (best is None and not edge.probability):
                continue
            weight = edge.probability if best is None else Fraction(1)
            here = (node, branch)
            if child is None:
                yield weight, (here,), edge.truncated
                continue
            for chance, later, truncated in self._best_paths(child):
                yield weight * chance, (here, *later), truncated

    def _best(self, node: int) -> tuple[Exact, int]:
        """Value of the best policy and its first action, at a node."""
        edges = zip(self.nodes[node].edges, self._children[node], strict=True)
        values = [e.reward + (0 if c is None else self._best(c)[0]) for e, c in edges]
        if self.nodes[node].chance:
            return self._mean(node, values), 0
        return max(values), values.index(max(values))

    def demonstrate(self, states: Sequence[State], keys: Keys) -> list[Rollout]:
        """Show the best policy, see :class:`~cpi_theory.seam.DemonstratingSimulator`."""
        keys = as_keys(keys, len(states))
        return [
            _pick(self.solutions(state), key, 2)
            for state, key in zip(states, keys.tolist(), strict=True)
        ]


def _preorder(node: Node) -> Iterator[Node]:
    yield node
    for edge in node.edges:
        if edge.child is not None:
            yield from _preorder(edge.child)


def _cut(drawn: Sequence[tuple[Exact, Rollout]], steps: int) -> list[tuple[Exact, Rollout]]:
    """Cut each rollout, and add up the probabilities of those that are then alike."""
    merged: dict[tuple[Any, ...], tuple[Exact, Rollout]] = {}
    for probability, whole in drawn:
        rollout = whole if len(whole) <= steps else whole.cut(0, steps)
        place = (rollout.states, rollout.actions, rollout.ended, rollout.last, str(rollout.reward))
        before = merged.get(place, (Fraction(0), rollout))[0]
        merged[place] = (before + probability, rollout)
    return list(merged.values())


def _pick(options: Sequence[tuple[Exact, Any]], key: int, purpose: int) -> Any:
    """One of the options by their probabilities, drawn from a key."""
    uniform = (_mixed(key + purpose) >> 11) * 2.0**-53
    for probability, option in options:
        uniform -= float(probability)
        if uniform < 0:
            return option
    return options[-1][1]


def _mixed(number: int) -> int:
    """SplitMix64 of a key: every bit depends on all.

    Source: Steele, Lea and Flood, OOPSLA 2014.
    """
    z = (number + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
