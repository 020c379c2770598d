"""The worlds of the conformance battery: a scripted chain, tabular worlds of every kind, a language
model by script and a real one.

Each is made afresh by a function, with start states to run from. What it is made of and never
changes, a problem or a model's weights, is made once.
"""

from __future__ import annotations

from functools import cache

from cpi_theory.resets.uniform import UniformReset
from llm.localizers.oracle import OracleLocalizer
from llm.sampling.transformers.sampler import TransformersSampler
from llm.simulator import LanguageModelSimulator
from llm.text.thoughts import ThoughtFormat
from tabular.mdp.policies import uniform_policy
from tabular.resets.localizer import Localizer
from tabular.simulation.conservative import ConservativeTabular
from tabular.simulation.revising import RevisingTabular
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.from_gymnasium import from_gymnasium
from tabular.worlds.garnets import garnet
from tabular.worlds.second_attempts import in_all_copies, second_attempts
from tabular.worlds.trees import reasoning_tree
from tests.conformance.replay import replayed, start
from tests.cpi_theory.chain import Blind, Chain
from tests.llm.words import END, Boxes, random_model, vocabulary

_tree, _garnet, _model = cache(reasoning_tree), cache(garnet), cache(random_model)


def chain():
    return Chain(right=(0.9, 0.5, 0.8), recovery=0.2)


def blind_chain():
    """No oracle, and a localiser that often finds no words."""
    return Blind(Chain(right=(0.9, 0.5, 0.8), blind=0.4, abort=True))


def tree():
    problem = _tree(6, 3, 2, 0.4, 0.9, problems=4, seed=1)
    return ConservativeTabular(problem.mdp, problem.policy)


def blurred_tree():
    problem = _tree(6, 3, 2, 0.4, 0.9, 0.3, problems=4, seed=2)
    return ConservativeTabular(problem.mdp, problem.policy, localizer=Localizer(accuracy=0.5))


def frozen_lake():
    """Rollouts end early; the policy is on the way from uniform to good."""
    return ConservativeTabular(*_half_learned_lake())


@cache
def _half_learned_lake():
    mdp = from_gymnasium("FrozenLake", 12, is_slippery=False)
    world = ConservativeTabular(mdp, uniform_policy(mdp))
    for _ in range(2):
        candidate, _ = world.exact_step(UniformReset())
        world = world.mix(candidate, UniformReset(), 0.5)
    return mdp, world.policy


def random_garnet():
    """Rewards on the way; a success is a return above one half."""
    problem = _garnet(8, 3, 2, 4, seed=3)
    return ConservativeTabular(problem.mdp, problem.policy, success=0.5)


def revised_tree():
    """A tree whose problems can be attempted again."""
    problem = _tree(4, 3, 1, 0.5, 0.9, problems=3, seed=5)
    table = in_all_copies(problem.policy, 3)
    return RevisingTabular(second_attempts(problem.mdp), table)


def replayed_tree():
    """A language model that says what a tree's policy does."""
    problem = _tree(5, 3, 1, 0.5, 0.9, problems=4, seed=3)
    return replayed(ConservativeTabular(problem.mdp, problem.policy), problem)


def tiny_transformer():
    """A real model that was never trained, and a task that it solves by chance."""
    words, task = vocabulary("q", "a", "b", END, "\\boxed{1}", "\\boxed{2}"), Boxes()
    return LanguageModelSimulator(
        TransformersSampler(_model(9, seed=24), words),
        words,
        task,
        ThoughtFormat(max_thoughts=4, max_tokens=10),
        localizer=OracleLocalizer(task, words),
    )


WORLDS = {
    f.__name__: f
    for f in (
        chain,
        blind_chain,
        tree,
        blurred_tree,
        frozen_lake,
        random_garnet,
        revised_tree,
        replayed_tree,
        tiny_transformer,
    )
}
LANGUAGE = ("replayed_tree", "tiny_transformer")
ORACLES = {name: f for name, f in WORLDS.items() if name not in ("blind_chain", *LANGUAGE)}
CONSERVATIVE = {f.__name__: f for f in (tree, blurred_tree, frozen_lake, random_garnet)}


def starts(world, count=12):
    if isinstance(world, TabularSimulator):
        return world.start_states(count, 0)
    if isinstance(world, LanguageModelSimulator):
        return [start(world, i % 4) for i in range(count)]
    return [(0, 0)] * count


def plain(value):
    """A state or an action that can be compared, whoever made it."""
    if hasattr(value, "kept"):
        return (value.problem.id, value.tokens)
    return tuple(map(int, value)) if isinstance(value, tuple) else int(value)


def fingerprint(rollout):
    return (
        [plain(s) for s in rollout.states],
        [plain(a) for a in rollout.actions],
        float(rollout.reward),
        bool(rollout.failed),
        rollout.ended,
    )
