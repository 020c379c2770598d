"""The policy gradient of groups for a policy that is neither a table nor a torch module."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput
from cpi_theory.seam import Group, State


def policy_gradient(
    groups: Iterable[Group], score: Callable[[State, Any], NDArray[np.float64]]
) -> NDArray[np.float64] | float:
    r"""Sum of advantage times score over every step of every group.

    Formula:  sum over samples and steps t of  A_t grad log pi(a_t | s_t).  With advantages that are
    returns less a baseline independent of them, its expectation is the gradient of the expected
    return times the number of rollouts (Williams, Machine Learning 8, 1992).

    Args:
        groups: e.g. a `Collection`. A suffix group holds its suffixes alone, so a kept prefix has
            no part in it.
        score: grad log pi(action | state) with respect to the policy's parameters, of any shape.

    Returns:
        The shape of `score`; 0.0 where no step has an advantage.

    Raises:
        InvalidInput: if a sample is to be learned in another context than it was sampled in, shaped
            or held near the start policy.
    """
    # A number until the first score is seen: only that tells the shape.
    total: NDArray[np.float64] | float = 0.0
    for group in groups:
        for sample in group.samples:
            if sample.context is not None:
                remedy = "form the gradient where states after that context are known"
                raise InvalidInput("context", sample.context, "of another rollout", remedy)
            if sample.shaping or sample.kl:
                shown = (sample.shaping, sample.kl)
                remedy = "form the gradient where probabilities and the start policy are known"
                raise InvalidInput("shaping, kl", shown, "more than scores can tell", remedy)
            steps = zip(
                sample.rollout.states, sample.rollout.actions, sample.advantages, strict=True
            )
            for state, action, advantage in steps:
                # Zero advantages, as in constant groups, are spared their scores.
                if advantage:
                    total = total + advantage * np.asarray(score(state, action), np.float64)
    return total
