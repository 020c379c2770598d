"""How many rollouts and localisations a method draws for a prompt, in expectation and at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from math import comb

from cpi_theory.algorithms.adaptive import AdaptiveFrontier
from cpi_theory.algorithms.frontier import FrontierGRPO
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.relabelling import GiGPO, LambdaGRPO
from cpi_theory.algorithms.reset_grpo import ResetGRPO
from cpi_theory.checks import InvalidInput
from cpi_theory.diagnosis.budget import Amount
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.uniform import UniformReset


@dataclass(frozen=True)
class Draws:
    """What a prompt takes in one update.

    Attributes:
        whole: rollouts from the start.
        suffixes: rollouts from reset states.
        localizations: failures whose first error somebody is asked for.
        learned_whole, learned_suffixes: those of each kind in groups that are learned from.
        first: rollouts of the first call, which all prompts make together.
    """

    whole: Amount
    suffixes: Amount
    localizations: Amount
    learned_whole: float
    learned_suffixes: float
    first: float


@singledispatch
def draws(algorithm: object, passes: float, named: float) -> Draws:
    """The draws of an algorithm where each rollout passes by itself with one probability.

    Args:
        algorithm: what collects.
        passes: probability that a rollout passes.
        named: probability that a localiser names a step of a failure.

    Raises:
        InvalidInput: of other algorithms than GRPO, uniform and first-error resets, and Frontier
            nothing is worked out.
    """
    del passes, named
    raise _unknown(type(algorithm).__name__)


def _unknown(name: str) -> InvalidInput:
    problem = "what it draws is not worked out"
    remedy = "plan GRPO, resets to uniform steps or first errors, and Frontier"
    return InvalidInput("methods", name, problem, remedy)


@draws.register(GRPO)
def _(algorithm: GRPO, passes: float, named: float) -> Draws:
    del passes, named  # it draws the same whatever comes of it
    count, none = algorithm.rollouts, Amount(0, 0)
    return Draws(Amount(count, count), none, none, count, 0, count)


@draws.register(LambdaGRPO)
@draws.register(GiGPO)
def _(algorithm: LambdaGRPO | GiGPO, passes: float, named: float) -> Draws:
    # They give other credit to what GRPO draws.
    return draws(GRPO(algorithm.rollouts), passes, named)


@draws.register(FrontierGRPO)
def _(algorithm: FrontierGRPO, passes: float, named: float) -> Draws:
    base, rest = algorithm.base, algorithm.rollouts - algorithm.base
    failing = (1 - passes) ** base
    # A step is chosen as soon as one of the failures has one.
    reset = failing * (1 - (1 - named) ** base)
    whole = base + (1 - reset) * rest
    return Draws(
        Amount(whole, algorithm.rollouts),
        Amount(reset * rest, rest),
        Amount(failing * base, base),
        whole,
        reset * rest,
        base,
    )


@draws.register(AdaptiveFrontier)
def _(algorithm: AdaptiveFrontier, passes: float, named: float) -> Draws:
    # While its ledger allows resets; GRPO has as many rollouts and asks nobody.
    return draws(algorithm.frontier, passes, named)


@draws.register(ResetGRPO)
def _(algorithm: ResetGRPO, passes: float, named: float) -> Draws:
    asks = isinstance(algorithm.reset, FirstErrorReset)
    if not asks and not isinstance(algorithm.reset, UniformReset):
        raise _unknown(type(algorithm.reset).__name__)
    named = named if asks else 1.0
    search = _uniform if algorithm.parent == "uniform" else _published
    whole = learned = suffixes = asked = 0.0
    fails = 1 - passes if algorithm.failures_only else 1.0
    for (seen, base, parents), probability in search(algorithm, fails).items():
        resets = parents * (1.0 if algorithm.on_refusal == "uniform" else named)
        missing = float(algorithm.parents - parents)
        if algorithm.on_refusal == "fresh":
            missing = algorithm.parents - resets
        # As in the plan: without a base group what the search drew stands for some of them.
        stands_for = 0 if algorithm.base else base
        fresh = max(missing * algorithm.suffix - stands_for, 0.0)
        whole += probability * (seen + fresh)
        learned += probability * (base + fresh)
        suffixes += probability * resets * algorithm.suffix
        asked += probability * parents * asks
    most = algorithm.parents * algorithm.suffix
    first = algorithm.base if algorithm.parent == "uniform" else algorithm.base + algorithm.parents
    return Draws(
        Amount(whole, _most_seen(algorithm) + most),
        Amount(suffixes, most),
        Amount(asked, algorithm.parents * asks),
        learned,
        suffixes,
        first,
    )


def _most_seen(algorithm: ResetGRPO) -> int:
    return algorithm.base if algorithm.parent == "uniform" else algorithm.attempts


_Found = Mapping[tuple[int, int, int], float]
"""(rollouts drawn, base rollouts that are kept, parents) -> probability."""


def _uniform(algorithm: ResetGRPO, fails: float) -> _Found:
    """Failures, or whatever may be a parent, of a fixed base group."""
    base, found = algorithm.base, dict[tuple[int, int, int], float]()
    kept = base if algorithm.train_base else 0
    for failures in range(base + 1):
        chance = comb(base, failures) * fails**failures * (1 - fails) ** (base - failures)
        key = (base, kept, min(failures, algorithm.parents))
        found[key] = found.get(key, 0.0) + chance
    return found


def _published(algorithm: ResetGRPO, fails: float) -> _Found:
    """One rollout after the other until both kinds are there, or the attempts are used up."""
    base, parents = algorithm.base, algorithm.parents
    open_ = {(0, 0): 1.0}
    found: dict[tuple[int, int, int], float] = {}
    for seen in range(1, algorithm.attempts + 1):
        after: dict[tuple[int, int], float] = {}
        for (kept, failed), chance in open_.items():
            for may_be, p in ((True, fails), (False, 1 - fails)):
                to_parent = may_be and failed < parents
                to_base = not to_parent and kept < base
                state = (kept + to_base, failed + to_parent)
                after[state] = after.get(state, 0.0) + chance * p
        open_ = {}
        for (kept, failed), chance in after.items():
            if (kept, failed) == (base, parents):
                found[seen, kept, failed] = found.get((seen, kept, failed), 0.0) + chance
            else:
                open_[kept, failed] = chance
    for (kept, failed), chance in open_.items():
        # Parents that are too few are given up; without a base group what was drawn is one.
        if failed < parents:
            kept = kept if base else min(algorithm.attempts, parents * algorithm.suffix)
            failed = 0
        key = (algorithm.attempts, kept, failed)
        found[key] = found.get(key, 0.0) + chance
    return found


def informative(passes: float, size: float) -> float:
    """Probability that a group of so many rollouts holds a success and a failure."""
    return 1 - passes**size - (1 - passes) ** size if size else 0.0
