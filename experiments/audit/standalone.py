"""What a counterexample's test consists of; its world and estimator are filled in."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction as F  # noqa: F401 - worlds are written with it
from types import SimpleNamespace

import numpy as np

# --- stand-ins ---
PROMPTS: list = []
GROUP = 2
TOGETHER = True


def estimator(batch):
    """Stand in until an estimator is filled in."""
    return batch.rewards


# --- world ---
# A node is (observation or None, whether chance decides, edges); an edge is (probability, reward,
# node that it leads to or None, whether it is the end by running out of steps). Nodes of one
# observation share their parameters, logits of a softmax policy. The estimator is given a batch:
# rewards (n,), groups (n,), starts (n,), mask (n, T), steps (n, T), states (n, T), step_rewards
# (n, T), truncated (n,), log_probs (n, T), squared_probs (n, T), values (n, T), greedy (n,).

_NODES = []


def _number(node):
    """List a tree's nodes; their places are their states."""
    _NODES.append(node)
    for _, _, child, _ in node[2]:
        if child is not None:
            _number(child)


for _root in PROMPTS:
    _number(_root)


def _state(node):
    return next(i for i, known in enumerate(_NODES) if known is node)


def _value(node):
    return sum(p * (r + (_value(child) if child else 0)) for p, r, child, _ in node[2])


def _greedy(node):
    """Expected reward if the likeliest action is taken."""
    edges = node[2] if node[1] else [(1, *max(node[2], key=lambda edge: edge[0])[1:])]
    return sum(p * (r + (_greedy(child) if child else 0)) for p, r, child, _ in edges)


def _observation(node):
    return node[0] or f"state {_state(node)}"


def _gradient(node):
    """Gradient of the node's value in the logits: {(observation, action): slope}."""
    slopes = {}
    for action, (p, r, child, _) in enumerate(node[2]):
        if not node[1]:
            gain = r + (_value(child) if child else 0) - _value(node)
            _add(slopes, (_observation(node), action), p * gain)
        for place, slope in _gradient(child).items() if child else ():
            _add(slopes, place, p * slope)
    return slopes


def _add(slopes, place, amount):
    slopes[place] = slopes.get(place, 0) + amount


def _outcomes(node):
    """Every rollout: (probability, [[node, action, reward]], truncated)."""
    for action, (p, r, child, cut) in enumerate(node[2]):
        here = [] if node[1] else [[node, action, r]]
        if child is None:
            yield p, here, cut, r if node[1] else 0
            continue
        for q, later, ended, paid in _outcomes(child):
            if here:  # what chance pays belongs to the action before it
                yield p * q, [[node, action, r + paid], *later], ended, 0
            else:
                yield p * q, later, ended, r + paid


class Batch(SimpleNamespace):
    """What an estimator is given."""

    def __len__(self):
        return len(self.rewards)


def _batch(rollouts):
    """Arrays of some (prompt, steps, truncated)."""
    width = max(len(steps) for _, steps, _ in rollouts)

    def table(entry, fill, kind=float):
        rows = [[entry(t, *step) for t, step in enumerate(steps)] for _, steps, _ in rollouts]
        return np.array([row + [fill] * (width - len(row)) for row in rows], dtype=kind)

    def chance(node, action):
        return float(node[2][action][0])

    step_rewards = table(lambda _t, _n, _a, reward: float(reward), 0.0)
    starts = [steps[0][0] for _, steps, _ in rollouts]
    return Batch(
        rewards=step_rewards.sum(axis=1),
        groups=np.array([prompt for prompt, _, _ in rollouts]),
        starts=np.array([_state(node) for node in starts]),
        mask=table(lambda *_: True, False, bool),
        steps=table(lambda t, *_: t, -1, int),
        states=table(lambda _t, node, *_: _state(node), -1, int),
        step_rewards=step_rewards,
        truncated=np.array([cut for _, _, cut in rollouts]),
        log_probs=table(lambda _t, n, a, _r: math.log(chance(n, a)), 0.0),
        squared_probs=table(lambda _t, n, *_: float(sum(e[0] ** 2 for e in n[2])), 0.0),
        values=table(lambda _t, n, *_: float(_value(n)), 0.0),
        greedy=np.array([float(_greedy(node)) for node in starts]),
        lengths=np.array([len(steps) for _, steps, _ in rollouts]),
        pick=lambda rows: _batch([rollouts[i] for i in rows]),
    )


def _expected_updates():
    """E of the update of each prompt, over every outcome of all groups: {parameter: amount}."""
    totals = [{} for _ in PROMPTS]
    each = [
        [(i, p, steps, cut) for p, steps, cut, _ in _outcomes(root)]
        for i, root in enumerate(PROMPTS)
        for _ in range(GROUP)
    ]
    for drawn in itertools.product(*each):
        probability = float(math.prod(p for _, p, _, _ in drawn))
        rollouts = [(i, steps, cut) for i, _, steps, cut in drawn]
        advantages = np.asarray(estimator(_batch(rollouts)), dtype=float)
        for row, (prompt, steps, _) in enumerate(rollouts):
            for t, (node, action, _) in enumerate(steps):
                one = advantages[row] if advantages.ndim == 1 else advantages[row, t]
                for other, edge in enumerate(node[2]):  # d log pi / d logit = 1{same} - pi
                    slope = (other == action) - float(edge[0])
                    _add(totals[prompt], (_observation(node), other), probability * one * slope)
    return totals


def _cosine(update, gradient):
    places = sorted({*update, *gradient})
    one = np.array([float(update.get(place, 0)) for place in places])
    other = np.array([float(gradient.get(place, 0)) for place in places])
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-300)


def _summed(parts):
    total = {}
    for part in parts:
        for place, amount in part.items():
            _add(total, place, amount)
    return total


def test_the_expected_update_points_along_the_gradient():
    """On average over everything that can happen an update climbs what is to be climbed."""
    updates, gradients = _expected_updates(), [_gradient(root) for root in PROMPTS]
    if TOGETHER:
        updates, gradients = [_summed(updates)], [_summed(gradients)]
    for update, gradient in zip(updates, gradients, strict=True):
        assert _cosine(update, gradient) > 1 - 1e-6, (update, gradient)
