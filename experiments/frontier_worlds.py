"""Where frontier resets are measured: reasoning trees from easy to hopeless, and who competes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cpi_theory.algorithms.frontier import FrontierGRPO, FrontierParent
from cpi_theory.algorithms.grpo import GRPO
from cpi_theory.algorithms.parent_choice import FirstErrorModel
from cpi_theory.algorithms.reset_grpo import SRPO, ResetGRPO
from experiments.learn_worlds import TreeWorld

GroupAlgorithm = GRPO | ResetGRPO | FrontierGRPO

TREES: Mapping[str, TreeWorld] = {
    world.name: world
    for world in (
        TreeWorld("one hard", hard_steps=1),
        TreeWorld("two hard", hard_steps=2),
        TreeWorld("eight mild", hard_steps=8, right_probability=0.7),
        TreeWorld("three early", hard_steps=3, hard_within=5),
        TreeWorld("long, twelve mild", horizon=20, hard_steps=12, right_probability=0.7),
        TreeWorld("four hard", hard_steps=4),
        TreeWorld("five hard", hard_steps=5),
        TreeWorld("long, fourteen mild", horizon=20, hard_steps=14, right_probability=0.65),
        TreeWorld("long, ten hard", horizon=20, hard_steps=10, right_probability=0.5),
    )
}
"""By name, from a base pass rate of about 0.27 down to 0.0009."""


def _frontier(
    parent: FrontierParent = "posterior", keep_parent: bool = True, told: float | None = None
) -> Callable[[float], GroupAlgorithm]:
    """The algorithm for a localiser of some accuracy, of which it is told the truth or `told`."""

    def make(accuracy: float) -> GroupAlgorithm:
        model = FirstErrorModel(accuracy if told is None else told)
        return FrontierGRPO(model, parent=parent, keep_parent=keep_parent)

    return make


METHODS: Mapping[str, Callable[[float], GroupAlgorithm]] = {
    "GRPO": lambda _: GRPO(8),
    "SRPO": lambda _: SRPO(on_refusal="fresh"),
    "deepest": _frontier(1),
    "Frontier": _frontier(),
    "Frontier, rank": _frontier("rank"),
    "Frontier, plain": _frontier(keep_parent=False),
    "Frontier, told 0.7": _frontier(told=0.7),
    "second": _frontier(2),
    "third": _frontier(3),
}
"""By name: what collects where the localiser has a given accuracy, 8 rollouts per prompt each."""
