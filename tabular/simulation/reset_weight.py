"""The reset weight that a reset policy induces on the rollouts of a policy, exact or sampled."""

from __future__ import annotations

from numpy.typing import ArrayLike

from cpi_theory.checks import Exact
from cpi_theory.randomness import Key
from cpi_theory.seam import ResetPolicy
from tabular.evaluation.evaluate import evaluate
from tabular.mdp.mdp import FiniteHorizonMDP
from tabular.resets.localizer import Localizer
from tabular.resets.weights import ResetWeight, exact_reset_weight
from tabular.simulation.simulator import TabularSimulator


def reset_weight(
    mdp: FiniteHorizonMDP,
    policy: ArrayLike,
    reset: ResetPolicy,
    *,
    localizer: Localizer | None = None,
    success: Exact | None = None,
    samples: int = 20_000,
    key: Key | int = 0,
) -> ResetWeight:
    """Return the reset weight w(s, h) of `reset` applied to every rollout of `policy`.

    That is what the bounds and conservative policy iteration speak of; UniformReset has w = 1. It
    is not where RRPO or SRPO restart from: they reset failures alone and draw one step of each,
    the law of which is :func:`tabular.reset_state_law`.

    Exact for `StartReset`, `UniformReset`, every `AdvantageBasedReset` and, as long as rollouts
    have few distinct returns, for `FirstErrorReset`; Monte Carlo with 95 % intervals otherwise.

    Args:
        mdp: the world.
        policy: shape (H, S, A) or (S, A).
        reset: any reset policy.
        localizer: how the world names first errors; by default exactly.
        success: a rollout fails if its return is below this; by default `reward_bound` less 1e-9.
        samples: number of rollouts if Monte Carlo is needed.
        key: their random stream.

    Raises:
        InvalidInput: if `policy` does not fit the MDP.

    Source: docs/theory.md, Notation, for the reset policies of arXiv 2605.25507.
    """
    exact = exact_reset_weight(mdp, evaluate(mdp, policy), reset, localizer, success)
    if exact is not None:
        return exact
    bar = None if success is None else float(success)
    simulator = TabularSimulator(mdp, policy, localizer=localizer, success=bar)
    return simulator.reset_weight(reset, samples=samples, key=key)
