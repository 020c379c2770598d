"""One-step trials at reset states, drawn from a tabular world: the sample of T4."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from cpi_theory.algorithms.trials import Trials
from cpi_theory.checks import check_count
from cpi_theory.randomness import Key, Keys
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import AdvantageBasedReset
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import Refusal, ResetPolicy
from tabular.mdp.validation import Floats, Integers
from tabular.sampling.paths import Paths, numbered_keys
from tabular.sampling.rollouts import FlatSteps, as_rollouts
from tabular.simulation.simulator import TabularSimulator

_ROUND = 1 << 16
"""Most rollouts in flight while reset states are drawn."""
_HOPELESS = 20_000
"""Draws without any weight after which a reset policy is taken to select nothing."""
_MOST_DRAWS = 1_000
"""Most draws per trial."""


@dataclass(frozen=True, eq=False)
class _Selected:
    """Reset states drawn so far, with the account of drawing them."""

    layers: Integers
    states: Integers
    weight: float
    draws: int
    steps: int

    def __add__(self, other: _Selected) -> _Selected:
        return _Selected(
            np.concatenate([self.layers, other.layers]),
            np.concatenate([self.states, other.states]),
            self.weight + other.weight,
            self.draws + other.draws,
            self.steps + other.steps,
        )


def draw_trials(simulator: TabularSimulator, reset: ResetPolicy, count: int, key: Key) -> Trials:
    """Draw `count` trials: (s, h) from nu_w, a uniform action, then the policy to the end.

    A draw of (s, h) from the on-policy occupancy is a rollout from the start and a uniform layer
    of it; it becomes a reset state with the probability w that `reset` gives that step.

    Returns: fewer trials, perhaps none, if `reset` selects hardly anything.

    Raises:
        InvalidInput: if `count` is no positive integer.
    """
    check_count("count", count)
    selected = _select(simulator, reset, count, key)
    # The first ones drawn: any other way to leave some out could bias the sample.
    layers, states = selected.layers[:count], selected.states[:count]
    returns, actions, steps = _try_actions(simulator, layers, states, key)
    mdp, policy = simulator.mdp, simulator.layered_policy
    return Trials(
        states=np.stack([layers, states], axis=1),
        observations=mdp.observations[layers, states],
        actions=actions,
        returns=returns,
        probabilities=policy[layers if policy.shape[0] > 1 else 0, states, actions],
        remaining=mdp.horizon - 1 - layers,
        coverage_hits=selected.weight,
        coverage_draws=selected.draws,
        rollouts=selected.draws + layers.size,
        generated_steps=selected.steps + steps,
    )


def _select(simulator: TabularSimulator, reset: ResetPolicy, count: int, key: Key) -> _Selected:
    """Draw at least `count` reset states, unless hardly anything is selected."""
    selected = _round(simulator, reset, min(count, _ROUND), key.child(0))
    number = 1
    while (missing := count - selected.layers.size) > 0:
        if selected.weight == 0 and selected.draws >= _HOPELESS:
            break
        if selected.draws >= _MOST_DRAWS * count:
            break
        # At least one: a rate of 0 would ask for infinitely many draws.
        rate = max(selected.layers.size, 1) / selected.draws
        # A tenth more than expected, so that mostly one more round is enough.
        size = min(int(1.1 * missing / rate) + 16, _ROUND)
        selected = selected + _round(simulator, reset, size, key.child(number))
        number += 1
    return selected


def _round(simulator: TabularSimulator, reset: ResetPolicy, size: int, key: Key) -> _Selected:
    starts = simulator.draw_starts(size, key.child("start"))
    paths = simulator.simulate(0, starts, numbered_keys(key.child("rollout"), size))
    lottery = key.child("select").generator()
    layers, coins = lottery.integers(simulator.horizon, size=size), lottery.random(size)
    # The occupancy counts all H layers: one that the rollout does not reach selects nothing.
    reached = np.flatnonzero(layers < paths.lengths)
    assert paths.states is not None
    states = np.full(size, -1, np.int64)
    states[reached] = paths.states[reached, layers[reached]]
    weights = np.zeros(size)
    weights[reached] = _weights(simulator, reset, paths, reached, layers, key)
    chosen = coins < weights
    # Coverage from the weights and not from the coins: the same mean with less variance.
    total, steps = float(weights.sum()), int(paths.lengths.sum())
    return _Selected(layers[chosen], states[chosen], total, size, steps)


def _weights(
    simulator: TabularSimulator,
    reset: ResetPolicy,
    paths: Paths,
    reached: Integers,
    layers: Integers,
    key: Key,
) -> Floats:
    """Weight that `reset` gives to the drawn step of each rollout in `reached`."""
    part, keys = paths.take(reached), numbered_keys(key.child("reset"), len(paths))[reached]
    return drawn_weights(reset, simulator, part, layers[reached], keys)


@singledispatch
def drawn_weights(
    reset: ResetPolicy, simulator: TabularSimulator, paths: Paths, steps: Integers, keys: Keys
) -> Floats:
    """Return the weight that `reset` gives to one step of each path, shape (n,).

    Faster ways for some reset policies are registered below; they give the same numbers.

    Args:
        reset: any reset policy.
        simulator: where the paths were drawn.
        paths: n rollouts from the start.
        steps: index of the step of each, shape (n,).
        keys: of the reset policy, shape (n,).
    """
    given = reset.step_weights(as_rollouts(paths, simulator.success), simulator, keys)
    return np.array(
        [0.0 if isinstance(w, Refusal) else w[h] for w, h in zip(given, steps, strict=True)]
    )


@drawn_weights.register(StartReset)
@drawn_weights.register(UniformReset)
@drawn_weights.register(AdvantageBasedReset)
def _weights_of_states(
    reset: ResetPolicy, simulator: TabularSimulator, paths: Paths, steps: Integers, keys: Keys
) -> Floats:
    """Their weight is a function of the state, so the rollouts need not be looked at."""
    assert paths.states is not None
    table = np.asarray(simulator.reset_weight(reset), np.float64)
    return np.asarray(table[steps, paths.states[np.arange(len(paths)), steps]])


@drawn_weights.register
def _weights_of_first_errors(
    reset: FirstErrorReset, simulator: TabularSimulator, paths: Paths, steps: Integers, keys: Keys
) -> Floats:
    """The localizer on whole arrays, without a `Rollout` for each path."""
    named = simulator.localizer.name(FlatSteps.of_paths(paths), simulator.advantages, keys)
    hit = (named >= 0) & (np.maximum(named - reset.offset, 0) == steps)
    return np.asarray(hit & (paths.returns < simulator.success), np.float64)


def _try_actions(
    simulator: TabularSimulator, layers: Integers, states: Integers, key: Key
) -> tuple[Floats, Integers, int]:
    """Return and action of one trial at each state, and the number of actions sampled."""
    n, arcs = layers.size, simulator.arcs
    lottery = key.child("try").generator()
    actions = lottery.integers(simulator.mdp.actions, size=n)
    after = arcs.after(layers, states, actions, lottery.random(n))
    rewards = arcs.rewards[layers if arcs.rewards.shape[0] > 1 else 0, states, actions]
    returns = np.array(rewards)
    # After the last layer there is nothing to go on with.
    going = np.flatnonzero(layers + 1 < simulator.horizon)
    # A key for each trial, used or not: trial i is the same whatever the others do.
    keys = numbered_keys(key.child("continue"), n)[going]
    rest = simulator.simulate(layers[going] + 1, after[going], keys, paths=False)
    returns[going] += rest.returns
    return returns, actions, n + int(rest.lengths.sum())
