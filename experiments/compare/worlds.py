"""Worlds whose coverage, level, horizon and actions ``compare`` can set one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.compare.settings import Setting
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.worlds.calibration import calibrated_tree

Array = NDArray[np.float64]

_STATES = 4
"""Of :func:`one_decision`."""


@dataclass(frozen=True, eq=False)
class PolicyUpdate:
    """An MDP with the policy to improve and the best candidate of the class.

    Attributes:
        mdp: outcomes are 0 or 1.
        policy: pi, shape (H, S, A) or (S, A).
        candidate: pi', same shape; its advantage is tau where improvable and 0 elsewhere.
    """

    mdp: FiniteHorizonMDP
    policy: Array
    candidate: Array


def policy_update(setting: Setting) -> PolicyUpdate:
    """The MDP, policy and best candidate of a setting."""
    return _tree(setting) if setting.family == "tree" else one_decision(setting)


def _tree(setting: Setting) -> PolicyUpdate:
    """A reasoning tree whose first steps are hard; the others are never wrong.

    First and not last: L_w must hardly move with the coverage if exponents are to be p's alone.
    """
    parameters = (setting.horizon, setting.actions, setting.coverage, setting.tau)
    tree = calibrated_tree(*parameters, place="first")
    right = np.repeat(tree.right_actions.T, 2, axis=1)
    return PolicyUpdate(tree.mdp, tree.policy, np.eye(setting.actions)[right])


def one_decision(setting: Setting) -> PolicyUpdate:
    """Build an MDP with at most one decision that matters per rollout, at a step uniform on 0..H-2.

    Every step before the last is improvable with probability p H / (H - 1), at most once in a
    rollout, so that the coverage is p exactly. There action 0 raises the chance of outcome 1 from
    1/2 to 1/2 + tau and the others lower it, so that the uniform policy's is 1/2 and action 0 has
    advantage tau. Elsewhere actions do nothing. The outcome is paid at the last step: a rollout
    that has met its decision waits, won or lost, and looks to an aliased learner like any other.
    States: 0 undecided, 1 improvable, 2 won, 3 lost. With H = 2 and two actions these are the
    worlds of T7s' lower bound.
    """
    horizon, actions, tau = setting.horizon, setting.actions, setting.tau
    per_step = setting.coverage * horizon / (horizon - 1)
    transitions = np.zeros((horizon, _STATES, actions, _STATES))
    transitions[:, 2, :, 2] = transitions[:, 3, :, 3] = 1
    right = np.full(actions, 0.5 - tau / (actions - 1))
    right[0] = 0.5 + tau
    transitions[:, 1, :, 2], transitions[:, 1, :, 3] = right, 1 - right
    for h in range(horizon - 2):
        now = _hazard(per_step, h + 1)
        transitions[h, 0, :, 1], transitions[h, 0, :, 0] = now, 1 - now
    transitions[horizon - 2 :, 0, :, 2:] = 0.5
    rewards = np.zeros((horizon, _STATES, actions))
    rewards[-1, 2] = 1.0
    mdp = FiniteHorizonMDP(
        transitions,
        rewards,
        np.array([1 - per_step, per_step, 0.0, 0.0]),
        horizon,
        observations=np.zeros(4, np.int64) if setting.learner == "aliased" else np.arange(4),
        name=f"{setting.learner} p={setting.coverage:g} tau={tau:g} H={horizon} A={actions}",
    )
    return PolicyUpdate(mdp, np.full((4, actions), 1 / actions), np.eye(actions)[np.zeros(4, int)])


def transition_numbers(actions: int, horizon: int) -> int:
    """Probabilities that the transitions of :func:`one_decision` hold, step by step."""
    return horizon * _STATES * actions * _STATES


def _hazard(per_step: float, step: int) -> float:
    """Chance to be improvable at `step` given not before, so that it is `per_step` overall."""
    return min(1.0, per_step / (1 - per_step * step))
