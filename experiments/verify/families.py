"""Where `verify` takes its instances from: random, extremal and Gymnasium worlds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpi_theory.checks import Exact
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from experiments.verify.instances import Array, BoundInstance
from tabular.evaluation.evaluate import evaluate
from tabular.evaluation.optimal import solve
from tabular.evaluation.result import Evaluation
from tabular.mdp.mdp import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_policy, deterministic_policy, uniform_policy
from tabular.resets.updates import greedy_on
from tabular.simulation.reset_weight import reset_weight
from tabular.worlds.aliased import aliased
from tabular.worlds.from_gymnasium import from_gymnasium
from tabular.worlds.garnets import discounted_garnet, garnet
from tabular.worlds.locks import combination_lock
from tabular.worlds.traps import Trap, discounted_trap, two_state_trap
from tabular.worlds.trees import reasoning_tree

Rng = np.random.Generator

_FRACTION = np.frompyfunc(Fraction, 2, 1)
_EIGHTHS = 8


def make_instance(family: str, seed: int, index: int) -> BoundInstance:
    """BoundInstance `index` of a family; the same for the same seed, whatever else is drawn."""
    rng = Key.of(seed).child("verify", family, index).generator()
    return FAMILIES[family](rng, f"{family} {index}")


def ratios(tops: NDArray[np.int64], bottoms: Any, exact: bool) -> Array:
    """Divide integers by integers, into fractions or into floats."""
    if not exact:
        return np.asarray(tops / np.asarray(bottoms, dtype=np.float64))
    return np.asarray(_FRACTION(tops.astype(object), np.asarray(bottoms, dtype=object)))


def random_laws(rng: Rng, shape: tuple[int, ...], exact: bool) -> Array:
    """Distributions along the last axis: sparse ones and deterministic ones among them."""
    density = rng.choice([0.2, 0.6, 1.0])
    counts = rng.integers(1, 7, size=shape) * (rng.random(shape) < density)
    lucky = rng.integers(shape[-1], size=shape[:-1])
    empty = counts.sum(axis=-1) == 0
    np.put_along_axis(
        counts, lucky[..., None], counts.max(axis=-1)[..., None] + empty[..., None], -1
    )
    if not exact:
        noisy = counts * rng.uniform(0.1, 1.0, size=shape)
        return np.asarray(noisy / noisy.sum(axis=-1, keepdims=True))
    return ratios(counts, counts.sum(axis=-1, keepdims=True), exact)


def random_numbers(rng: Rng, shape: tuple[int, ...], exact: bool) -> Array:
    """Numbers in [0, 1], both ends included."""
    eighths = rng.integers(0, _EIGHTHS + 1, size=shape)
    if exact or rng.random() < 0.3:
        return ratios(eighths, _EIGHTHS, exact)
    return rng.random(shape)


def _number(rng: Rng, exact: bool) -> Exact:
    value: Any = random_numbers(rng, (), exact)
    number: Exact = value.item() if isinstance(value, np.ndarray) else value
    return number


def _alphas(rng: Rng, exact: bool) -> tuple[Exact, ...]:
    one = Fraction(1) if exact else 1.0
    return (one, _number(rng, exact), _number(rng, exact) / 4)


def _share(rng: Rng, exact: bool) -> Exact:
    eighths = int(rng.integers(1, _EIGHTHS + 1))
    return Fraction(eighths, _EIGHTHS) if exact else eighths / _EIGHTHS


def _policy(rng: Rng, mdp: FiniteHorizonMDP | DiscountedMDP) -> Array:
    if rng.random() < 0.2:
        return uniform_policy(mdp)
    layers = (mdp.horizon,) if isinstance(mdp, FiniteHorizonMDP) else ()
    return as_policy(mdp, random_laws(rng, (*layers, mdp.states, mdp.actions), mdp.exact))


def _candidate(rng: Rng, mdp: FiniteHorizonMDP | DiscountedMDP, evaluation: Evaluation) -> Array:
    kind = rng.choice(["greedy", "worst", "random"], p=[0.6, 0.1, 0.3])
    if kind == "greedy":
        return greedy_on(evaluation)
    if kind == "random":
        return _policy(rng, mdp)
    worst = evaluation.advantages.argmin(axis=-1)
    return as_policy(mdp, np.eye(mdp.actions, dtype=np.int64)[worst])


def _weight(rng: Rng, mdp: FiniteHorizonMDP | DiscountedMDP, evaluation: Evaluation) -> Array:
    shape, exact = evaluation.policy.shape[:-1], mdp.exact
    kind = rng.choice(
        ["one", "some", "start", "constant", "improvable"], p=[0.3, 0.3, 0.1, 0.1, 0.2]
    )
    if kind == "some":
        return random_numbers(rng, shape, exact)
    table = np.zeros(shape, dtype=np.int64)
    if kind == "improvable":
        best = evaluation.best_advantages
        return ratios((best >= best.max() * _share(rng, exact)).astype(np.int64), 1, exact)
    if kind == "start" and len(shape) == 2:
        table[0] = 1
        return ratios(table, 1, exact)
    top = int(rng.integers(1, _EIGHTHS)) if kind == "constant" else _EIGHTHS
    return ratios(table + top, _EIGHTHS, exact)


# Where bounds that are exact to second order in alpha show a wrong constant.
_NEAR_ZERO = Fraction(1, 1024)


def around(
    rng: Rng,
    label: str,
    mdp: FiniteHorizonMDP | DiscountedMDP,
    policy: Array | None = None,
    weight: Array | None = None,
    candidate: Array | None = None,
) -> BoundInstance:
    """An instance in a given world; what is not given is drawn."""
    policy = _policy(rng, mdp) if policy is None else policy
    evaluation = evaluate(mdp, policy)
    return BoundInstance(
        label=label,
        mdp=mdp,
        policy=policy,
        candidate=_candidate(rng, mdp, evaluation) if candidate is None else candidate,
        weight=_weight(rng, mdp, evaluation) if weight is None else weight,
        alphas=_alphas(rng, mdp.exact),
        share=_share(rng, mdp.exact),
    )


def _rewards(rng: Rng, shape: tuple[int, ...], exact: bool) -> Array:
    """Rewards whose sum over the layers (the first axis) stays in [0, 1]."""
    if rng.random() < 0.3:  # an outcome, paid in the last layer
        rewards = ratios(np.zeros(shape, dtype=np.int64), 1, exact)
        rewards[-1] = random_numbers(rng, shape[1:], exact)
        return rewards
    return random_numbers(rng, shape, exact) / shape[0]


def _layered(rng: Rng, label: str, exact: bool) -> BoundInstance:
    top = (4, 4, 4) if exact else (6, 5, 7)
    states, actions, horizon = (int(rng.integers(1, limit)) for limit in top)
    kernel = random_laws(rng, (horizon, states, actions, states), exact)
    rewards = _rewards(rng, (horizon, states, actions), exact)
    start = random_laws(rng, (states,), exact)
    tables: Any = kernel
    if not exact and rng.random() < 0.2:
        tables = [sparse.csr_array(layer.reshape(-1, states)) for layer in kernel]
    return around(rng, label, FiniteHorizonMDP(tables, rewards, start, horizon))


def _discounted(rng: Rng, label: str, exact: bool) -> BoundInstance:
    states, actions = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    discount = _discount(rng, exact)
    kernel = random_laws(rng, (states, actions, states), exact)
    rewards = random_numbers(rng, (states, actions), exact)
    mdp = DiscountedMDP(kernel, rewards, random_laws(rng, (states,), exact), discount)
    return around(rng, label, mdp)


def _discount(rng: Rng, exact: bool) -> Exact:
    tenths = int(rng.choice([0, 3, 5, 8, 9]))
    return Fraction(tenths, 10) if exact else tenths / 10


# (gain, loss) of the fixed traps. On the second fail bounds that ignore the unit of the reward,
# on the third, where the candidate is worse everywhere, those that shrink a negative slope, and on
# the last, where more is to be had after a deviation, those that count negative spreads twice.
_STAKES = ((Fraction(1, 5), Fraction(-3, 10)), (20, -30), (-1, -1), (1, 0), (0, -1), (1, 2))
_CONSTANTS = (Fraction(1), Fraction(2, 5))
_DISCOUNTS = (Fraction(9, 10), Fraction(0), Fraction(1, 2))
FIXED_TRAPS: tuple[tuple[Any, ...], ...] = tuple(
    case
    for stakes in _STAKES
    for constant in _CONSTANTS
    for pair in zip(_DISCOUNTS, (2, 1, 3), strict=True)
    for case in ((None, pair[1], *stakes, constant), (pair[0], None, *stakes, constant))
)
"""(discount, horizon, gain, loss, weight) of the first instances of the family of traps."""


def _trap(rng: Rng, label: str) -> BoundInstance:
    """The extremal instances: the bounds that can be attained are attained here."""
    index = int(label.rsplit(" ", 1)[1])
    fixed = index < len(FIXED_TRAPS)
    discount, horizon, gain, loss, constant = FIXED_TRAPS[index] if fixed else _random_trap(rng)
    gain, loss = Fraction(gain), Fraction(loss)
    if gain < 0:
        world = _worse_everywhere(discount, horizon, gain)
    elif loss > 0:
        world = _better_after(discount, horizon, gain, loss)
    elif discount is None:
        world = two_state_trap(horizon, gain, loss)
    else:
        world = discounted_trap(discount, gain, loss)
    weight = np.full(world.policy.shape[:-1], constant, dtype=object)
    instance = around(rng, label, world.mdp, world.policy, weight, world.candidate)
    return replace(instance, alphas=(*instance.alphas, Fraction(1, 3), _NEAR_ZERO))


def _worse_everywhere(discount: Exact | None, horizon: int, loss: Fraction) -> Trap:
    """One state in which the candidate's action always pays less by -loss."""
    kernel = ratios(np.ones((1, 2, 1), dtype=np.int64), 1, True)
    rewards = np.array([[-loss, Fraction(0)]], dtype=object)
    start = kernel[0, 0]
    mdp: FiniteHorizonMDP | DiscountedMDP
    if discount is None:
        mdp = FiniteHorizonMDP(kernel, rewards, start, horizon, -loss * horizon)
    else:
        mdp = DiscountedMDP(kernel, rewards, start, discount)
    return Trap(mdp, deterministic_policy(mdp, [0]), deterministic_policy(mdp, [1]))


def _better_after(discount: Exact | None, horizon: int, first: Fraction, later: Fraction) -> Trap:
    """The trap's moves, but the candidate's action pays in both states, and more after it left."""
    trap = two_state_trap(1, first, Fraction(0)).mdp
    rewards = np.array([[first * 0, first], [first * 0, later]], dtype=object)
    mdp: FiniteHorizonMDP | DiscountedMDP
    if discount is None:
        bound = horizon * max(first, later)
        mdp = FiniteHorizonMDP(trap.transitions, rewards, trap.start, horizon, bound)
    else:
        mdp = DiscountedMDP(
            trap.transitions, rewards, trap.start, discount, max(first, later) / (1 - discount)
        )
    return Trap(mdp, deterministic_policy(mdp, [0, 0]), deterministic_policy(mdp, [1, 1]))


def _random_trap(rng: Rng) -> tuple[Any, ...]:
    scale = int(rng.choice([1, 1, 30]))
    gain = scale * Fraction(int(rng.integers(0, 7)), 6)
    loss = -scale * Fraction(int(rng.integers(0, 7)), 6)
    constant = Fraction(int(rng.choice([8, 8, 8, 5, 2])), _EIGHTHS)
    if rng.random() < 0.3:
        return _discount(rng, True), None, gain, loss, constant
    return None, int(rng.choice([1, 2, 2, 3, 4, 6])), gain, loss, constant


def _garnet(rng: Rng, label: str) -> BoundInstance:
    states, actions = int(rng.integers(5, 30)), int(rng.integers(2, 6))
    branching, seed = int(rng.integers(1, 5)), int(rng.integers(2**31))
    if rng.random() < 0.3:
        discount = float(rng.choice([0.5, 0.9, 0.99]))
        mdp: Any = discounted_garnet(states, actions, branching, discount, seed=seed).mdp
    else:
        layered = bool(rng.random() < 0.3)
        horizon = int(rng.integers(2, 21))
        mdp = garnet(states, actions, branching, horizon, layered=layered, seed=seed).mdp
    return around(rng, label, mdp)


def _tree(rng: Rng, label: str) -> BoundInstance:
    horizon = int(rng.integers(2, 13))
    tree = reasoning_tree(
        horizon,
        int(rng.integers(2, 5)),
        int(rng.integers(1, horizon + 1)),
        float(rng.uniform(0.05, 0.6)),
        float(rng.uniform(0.8, 1.0)),
        float(rng.choice([0.0, 0.3, 1.0])),
        problems=int(rng.integers(1, 4)),
        seed=int(rng.integers(2**31)),
    )
    return _on_problem(rng, label, tree)


def _lock(rng: Rng, label: str) -> BoundInstance:
    length = int(rng.integers(1, 6))
    wrong = str(rng.choice(["dead", "start", "back"]))
    horizon = length + int(rng.integers(0, 6))
    seed = int(rng.integers(2**31))
    lock = combination_lock(length, int(rng.integers(2, 5)), horizon, wrong=wrong, seed=seed)
    return _on_problem(rng, label, lock)


def _aliased(rng: Rng, label: str) -> BoundInstance:
    coverage = Fraction(int(rng.integers(1, 9)), 16)
    tau = Fraction(int(rng.integers(1, 9)), 16)
    return around(rng, label, aliased(coverage, tau, statewise=bool(rng.random() < 0.5)).mdp)


def _on_problem(rng: Rng, label: str, problem: Any) -> BoundInstance:
    """An instance with the problem's own policy, at times reset to its first errors."""
    weight = None
    if rng.random() < 0.4:
        weight = np.asarray(reset_weight(problem.mdp, problem.policy, FirstErrorReset()))
    return around(rng, label, problem.mdp, problem.policy, weight)


GYMNASIUM: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("FrozenLake", 20, {"map_name": "4x4", "is_slippery": True}),
    ("FrozenLake", 20, {"map_name": "4x4", "is_slippery": False}),
    ("FrozenLake", 40, {"map_name": "8x8", "is_slippery": True}),
    ("FrozenLake", 40, {"map_name": "8x8", "is_slippery": False}),
    ("Taxi", 20, {}),
    ("CliffWalking", 25, {}),
)


@cache
def _gymnasium_world(index: int) -> tuple[FiniteHorizonMDP, Array]:
    """The world and its optimal policy."""
    name, horizon, options = GYMNASIUM[index]
    mdp = from_gymnasium(name, horizon, **options)
    return mdp, solve(mdp).policy


def _gymnasium(rng: Rng, label: str) -> BoundInstance:
    number = int(label.rsplit(" ", 1)[1])
    mdp, best = _gymnasium_world(number % len(GYMNASIUM))
    mixed = float(rng.choice([1.0, 0.5, 0.2, 0.05]))
    policy = as_policy(mdp, (1 - mixed) * best + mixed * uniform_policy(mdp))
    label = f"{label}: {mdp.name}"
    if rng.random() < 0.2:  # the same world without an end, for the discounted bounds
        stationary = DiscountedMDP(mdp.transitions, mdp.reward(0), mdp.start, 0.9)
        return around(rng, label, stationary, as_policy(stationary, policy[0]))
    weight = None
    if "FrozenLake" in label and rng.random() < 0.2:
        weight = np.asarray(reset_weight(mdp, policy, FirstErrorReset()))
    return around(rng, label, mdp, policy, weight)


FAMILIES: dict[str, Callable[[Rng, str], BoundInstance]] = {
    "layered": lambda rng, label: _layered(rng, label, False),
    "layered exact": lambda rng, label: _layered(rng, label, True),
    "discounted": lambda rng, label: _discounted(rng, label, False),
    "discounted exact": lambda rng, label: _discounted(rng, label, True),
    "trap": _trap,
    "garnet": _garnet,
    "tree": _tree,
    "lock": _lock,
    "aliased": _aliased,
    "gymnasium": _gymnasium,
}
"""Makers by name: a generator and a label to an instance."""
