"""One algorithm object in two worlds: a reasoning tree, and a language model that replays it.

With the same key both collect the same groups with the same advantages, reset at the same steps.
"""

from __future__ import annotations

import numpy as np
import pytest

from cpi_theory import GRPO, RRPO, SRPO, FirstErrorReset, ResetGRPO
from cpi_theory.algorithms.collecting import collect
from cpi_theory.resets.uniform import StartReset
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.trees import reasoning_tree
from tests.conformance.family import FAMILY, REVISED, SHOWN
from tests.conformance.replay import replayed, start

TREE = reasoning_tree(6, 3, 2, 0.6, 0.95, problems=4, seed=1)

ALGORITHMS = {
    "grpo": GRPO(8),
    "rrpo": RRPO(),
    "srpo": SRPO(),
    "srpo, fresh on refusal": SRPO(on_refusal="fresh"),
    "srpo, one step earlier": ResetGRPO(FirstErrorReset(offset=1)),
    "srpo, published parents": SRPO(parent="published"),
    "srpo, 2x4": ResetGRPO.layout("2x4", FirstErrorReset()),
    "srpo, 1x8": ResetGRPO.layout("1x8", FirstErrorReset()),
    "rrpo, leave one out": RRPO(normalization="leave-one-out"),
    "restarts": ResetGRPO(StartReset()),
} | {
    # GiGPO is not among them: in the tree ways meet again, and texts remember theirs.
    name: FAMILY[name]
    for name in FAMILY
    if name not in ("GiGPO", "CAPO, every step", *REVISED, *SHOWN)
}


def both(algorithm, seed):
    table = TabularSimulator(TREE.mdp, TREE.policy)
    text = replayed(table, TREE)
    tabular = collect(algorithm, table, [(0, 2 * i) for i in range(4)], seed)
    language = collect(algorithm, text, [start(text, i) for i in range(4)], seed)
    return tabular, language, text


def actions(rollout, text):
    if isinstance(rollout.actions[0], tuple):
        return [int(text.vocabulary.piece(thought[0])[1:]) for thought in rollout.actions]
    return [int(a) for a in rollout.actions]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_equal_seeds_give_equal_groups_and_advantages(algorithm, seed):
    tabular, language, text = both(algorithm, seed)
    assert len(tabular) == len(language) > 0
    assert any(group.informative for group in tabular)
    for ours, theirs in zip(tabular, language, strict=True):
        assert (ours.prompt, ours.step) == (theirs.prompt, theirs.step)
        np.testing.assert_array_equal(ours.advantages, theirs.advantages)
        for one, other in zip(ours.rollouts, theirs.rollouts, strict=True):
            assert actions(one, text) == actions(other, text)
            np.testing.assert_equal((one.reward, one.failed), (other.reward, other.failed))
            assert one.states[0][0] == len(other.states[0].ends)
    for count in ("generated_rollouts", "generated_steps", "refusals", "localizations"):
        assert getattr(tabular, count) == getattr(language, count)


@pytest.mark.parametrize("algorithm", [SRPO(), RRPO()], ids=["srpo", "rrpo"])
def test_a_step_takes_two_calls_whatever_the_number_of_prompts(algorithm):
    _, _, text = both(algorithm, 0)
    assert text.sampler.work.calls == 2


def test_a_suffix_group_is_conditioned_on_the_prefix_of_its_parent():
    _, language, text = both(SRPO(), 1)
    suffixes = [group for group in language if group.parent is not None]
    assert suffixes
    for group in suffixes:
        state = group.parent.states[group.step]
        assert group.parent.tokens[: len(state.kept)] == state.kept
        for rollout in group.rollouts:
            assert rollout.states[0] == state
            assert len(state.ends) == group.step
            assert len(rollout) == TREE.horizon - group.step
            # The kept thoughts are right and the next one was wrong: what the oracle promised.
        made = [text.vocabulary.decode(t) for t in group.parent.thoughts]
        assert text.task.first_error(state.problem, made) == group.step
