"""Finite MDPs on the seam of :mod:`cpi_theory.seam`: exact evaluation, simulation and learning.

Names are imported when they are first used, so that ``import tabular`` costs nothing and a use
that simulates nothing loads no numba. Hypothesis strategies live in :mod:`tabular.strategies`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tabular.conservative import ConservativeTabular as ConservativeTabular
    from tabular.evaluation import Evaluation as Evaluation
    from tabular.evaluation import evaluate as evaluate
    from tabular.evaluation import evaluate_many as evaluate_many
    from tabular.families import Problem as Problem
    from tabular.families import ReasoningTree as ReasoningTree
    from tabular.families import Trap as Trap
    from tabular.families import aliased as aliased
    from tabular.families import calibrated_tree as calibrated_tree
    from tabular.families import combination_lock as combination_lock
    from tabular.families import discounted_garnet as discounted_garnet
    from tabular.families import discounted_trap as discounted_trap
    from tabular.families import garnet as garnet
    from tabular.families import reasoning_tree as reasoning_tree
    from tabular.families import two_state_trap as two_state_trap
    from tabular.gym import from_gymnasium as from_gymnasium
    from tabular.induced_weights import reset_weight as reset_weight
    from tabular.localizer import Localizer as Localizer
    from tabular.mdp import DiscountedMDP as DiscountedMDP
    from tabular.mdp import FiniteHorizonMDP as FiniteHorizonMDP
    from tabular.mdp import RewardScaling as RewardScaling
    from tabular.mdp import as_policies as as_policies
    from tabular.mdp import as_policy as as_policy
    from tabular.mdp import deterministic_policy as deterministic_policy
    from tabular.mdp import uniform_policy as uniform_policy
    from tabular.optimal import Solution as Solution
    from tabular.optimal import solve as solve
    from tabular.reset_weights import ResetWeight as ResetWeight
    from tabular.scaling import rescale as rescale
    from tabular.scaling import rescale_discounted as rescale_discounted
    from tabular.simulation import TabularSimulator as TabularSimulator
    from tabular.softmax import Adam as Adam
    from tabular.softmax import Sgd as Sgd
    from tabular.softmax import SoftmaxPolicy as SoftmaxPolicy
    from tabular.storage import load as load
    from tabular.storage import save as save
    from tabular.weights import coverage as coverage
    from tabular.weights import deviation_probabilities as deviation_probabilities
    from tabular.weights import greedy_on as greedy_on
    from tabular.weights import improvable as improvable
    from tabular.weights import mix as mix
    from tabular.weights import reset_step as reset_step
    from tabular.weights import visit_counts as visit_counts

_NAMES = {
    "conservative": ("ConservativeTabular",),
    "evaluation": (
        "Evaluation",
        "evaluate",
        "evaluate_many",
    ),
    "families": (
        "Problem",
        "ReasoningTree",
        "Trap",
        "aliased",
        "calibrated_tree",
        "combination_lock",
        "discounted_garnet",
        "discounted_trap",
        "garnet",
        "reasoning_tree",
        "two_state_trap",
    ),
    "gym": ("from_gymnasium",),
    "localizer": ("Localizer",),
    "mdp": (
        "DiscountedMDP",
        "FiniteHorizonMDP",
        "RewardScaling",
        "as_policies",
        "as_policy",
        "deterministic_policy",
        "uniform_policy",
    ),
    "optimal": (
        "Solution",
        "solve",
    ),
    "induced_weights": ("reset_weight",),
    "reset_weights": ("ResetWeight",),
    "scaling": (
        "rescale",
        "rescale_discounted",
    ),
    "simulation": ("TabularSimulator",),
    "softmax": (
        "Adam",
        "Sgd",
        "SoftmaxPolicy",
    ),
    "storage": (
        "load",
        "save",
    ),
    "weights": (
        "coverage",
        "deviation_probabilities",
        "greedy_on",
        "improvable",
        "mix",
        "reset_step",
        "visit_counts",
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tabular' has no attribute {name!r}")
    value = getattr(import_module(f"tabular.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
