"""Decision trees as worlds: values and gradients against differences, and the laws of the seam."""

from fractions import Fraction as F

import numpy as np
import pytest

from cpi_theory.audit.forest import Edge, Forest, Node
from cpi_theory.audit.worlds import choice, lock, small_worlds
from cpi_theory.checks import InvalidInput
from cpi_theory.testing import check_simulator
from tabular import FiniteHorizonMDP, evaluate

WORLDS = small_worlds()
NAMED = {world.name: world for world in WORLDS}


def moved(world, parameter, by):
    """The world under logits of which one is raised."""
    observation, action = world.parameters[parameter]

    def move(node, number):
        edges = [float(edge.probability) for edge in node.edges]
        if not node.chance and world.observation(number) == observation:
            edges = [p * (np.exp(by) if a == action else 1) for a, p in enumerate(edges)]
            edges = [p / sum(edges) for p in edges]
        children = iter(c for c in world._children[number] if c is not None)
        return Node(
            tuple(
                Edge(p, float(e.reward), None if e.child is None else move(e.child, next(children)))
                for p, e in zip(edges, node.edges, strict=True)
            ),
            node.observation,
            node.chance,
        )

    roots = zip(world.roots, world.starts, strict=True)
    return Forest("moved", tuple(move(root, start) for root, start in roots))


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_the_gradient_is_what_differences_of_values_say(world):
    step = 1e-5
    for i, slope in enumerate(world.gradient):
        up, down = (float(moved(world, i, by).objective) for by in (step, -step))
        assert (up - down) / (2 * step) == pytest.approx(float(slope), abs=1e-9)


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_outcomes_are_a_law_whose_mean_is_the_value(world):
    for node in range(len(world.nodes)):
        if world.nodes[node].chance:
            continue
        outcomes = world.outcomes(node)
        assert sum(p for p, _ in outcomes) == 1
        mean = sum(p * sum(world.rewards(rollout)) for p, rollout in outcomes)
        assert mean == world.value(node)
        cut = world.outcomes(node, 1)
        assert sum(p for p, _ in cut) == 1
        assert all(len(rollout) == 1 for _, rollout in cut)


def test_the_gradient_of_an_mdp_written_as_a_tree_is_that_of_its_evaluation():
    """A lock of two steps: state 0, then 1, then right; state 2 is dead."""
    moves = np.zeros((3, 2, 3), dtype=object) + F(0)
    moves[0, 0, 1] = moves[0, 1, 2] = moves[1, :, 2] = moves[2, :, 2] = F(1)
    rewards = np.zeros((3, 2), dtype=object) + F(0)
    rewards[1, 0] = F(1)
    chances = [(F(1, 2), F(1, 2)), (F(1, 3), F(2, 3)), (F(1, 2), F(1, 2))]
    start = np.array([F(1), F(0), F(0)])
    mdp = FiniteHorizonMDP(moves, rewards, start, 2, terminal=[False, False, True])
    found = evaluate(mdp, np.array(chances))
    world = Forest("lock", (lock((F(1, 2), F(1, 3))),))
    slopes = found.visits[..., None] * found.policy * found.advantages
    assert world.objective == found.value
    assert list(world.gradient) == [*slopes[0, 0], *slopes[1, 1]]


def test_trees_keep_the_laws_of_worlds():
    for name in ("lock, full length", "running out", "tree"):
        world = NAMED[name]
        check_simulator(lambda world=world: world, list(world.starts))


def test_a_localizer_of_some_precision_names_other_steps_as_often_as_it_says():
    world = Forest("blurred", (lock((F(1, 2), F(1)), dead=False),), precision=F(3, 4))
    ((_, wrong),) = [(p, r) for p, r in world.outcomes(0) if r.failed and r.actions[1] == 0]
    assert {answer.step: p for p, answer in world.answers(wrong)} == {0: F(3, 4), 1: F(1, 4)}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Node((Edge(F(1, 2)), Edge(F(1, 3)))), "sum to one"),
        (lambda: Forest("x", (Node((Edge(F(1)),), chance=True),)), "begin with one"),
        (lambda: Forest("x", (choice(F(1, 2), "o"), choice(F(1, 3), "o"))), "the same"),
    ],
)
def test_trees_that_are_no_worlds_are_refused(make, match):
    with pytest.raises(InvalidInput, match=match):
        make()


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_solutions_are_rollouts_of_the_best_policy(world):
    for start in world.starts:
        solutions = world.solutions(start)
        assert sum(p for p, _ in solutions) == 1
        reached = sum(p * sum(world.rewards(rollout)) for p, rollout in solutions)
        assert reached == best_value(world.nodes[start])
        drawn = world.demonstrate([start] * 20, np.arange(20, dtype=np.uint64))
        assert all(any(rollout is one for _, one in solutions) for rollout in drawn)


def best_value(node):
    """Value of the best policy from a node, for as many steps as there are."""
    values = [e.reward + (best_value(e.child) if e.child else 0) for e in node.edges]
    if node.chance:
        return sum(e.probability * v for e, v in zip(node.edges, values, strict=True))
    return max(values)


def test_a_solution_may_hold_actions_that_the_policy_never_takes():
    never = Forest("never", (Node((Edge(F(0), 1), Edge(F(1)))),))
    ((chance, rollout),) = never.solutions(0)
    assert (chance, rollout.actions, rollout.reward) == (1, (0,), 1.0)


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.name)
def test_steps_are_as_likely_as_the_policy_makes_them(world):
    for start in world.starts:
        for _, rollout in world.outcomes(start):
            (logs,) = world.step_logprobs([rollout])
            steps = zip(rollout.states, rollout.actions, strict=True)
            chances = [float(world.chance(s, a)) for s, a in steps]
            assert np.exp(logs) == pytest.approx(chances)
