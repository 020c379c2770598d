"""Does a reset policy keep the laws of :class:`~cpi_theory.seam.ResetPolicy`?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from cpi_theory.seam import Refusal, ResetPolicy, Simulator, State
from cpi_theory.testing.comparing import Watched, check_world, law, same


def check_reset_policy(
    reset: ResetPolicy,
    make: Callable[[], Simulator],
    starts: Sequence[State],
    *,
    count: int = 24,
    seed: int = 0,
) -> None:
    """Check every law of reset policies on rollouts of a world.

    Args:
        reset: the policy.
        make: makes the world afresh.
        starts: start states, at least one.
        count: rollouts that it is asked about.
        seed: of all keys.

    Raises:
        AssertionError: naming the law that is broken.
        InvalidInput: there are no start states, or no rollouts to ask about.
    """
    check_world(make, starts)
    check_count("count", count)
    key = Key.of(seed).child("check reset policy")
    states = [starts[i % len(starts)] for i in range(count)]
    rollouts = list(make().rollout(states, key.child("rollouts").integers(count)))
    keys, world = key.child("reset").integers(count), Watched(make())
    weights = reset.step_weights(rollouts, world, keys)
    law(len(weights) == count, "step_weights is to answer each rollout", len(weights))
    asked = world.located > 0
    law(reset.localizes or not asked, "a policy that asks for first errors is to say `localizes`")
    drew = len(world.drawn) > 0
    law(reset.draws or not drew, "a policy that draws rollouts is to say `draws`")
    for rollout, answer in zip(rollouts, weights, strict=True):
        if isinstance(answer, Refusal):
            continue
        law(np.shape(answer) == (len(rollout),), "one weight per step", answer, len(rollout))
        inside = bool(((answer >= 0) & (answer <= 1)).all())
        law(inside, "weights are to lie in [0, 1]", answer)
    for answer in reset.step_probabilities(rollouts, make(), keys):
        if not isinstance(answer, Refusal):
            sums = bool((answer >= 0).all()) and abs(float(answer.sum()) - 1) < 1e-9
            law(sums, "probabilities are to sum to one", answer)
    order = Key.of(1).child("order").generator().permutation(count)
    mixed = reset.step_weights([rollouts[i] for i in order], make(), keys[order])
    for i, answer in zip(order, mixed, strict=True):
        unchanged = same(answer, weights[i])
        law(unchanged, "weights are to depend on rollout and key alone", answer, weights[i])
    law(reset.step_weights([], make(), keys[:0]) == [], "no rollouts are to give no weights")
