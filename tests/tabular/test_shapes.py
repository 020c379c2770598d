"""The shapes in annotations are those of the arrays, on worlds of every kind.

Annotations are not checked when the package is used: here public functions are called through a
checker, and public records are held against the annotations of their fields. A whole-package import
hook would check every annotation in every test, those of tests of bad input included.
"""

from __future__ import annotations

import dataclasses
import typing

import hypothesis.strategies as st
import jaxtyping
import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from hypothesis import given, settings
from jaxtyping import Float, Shaped, TypeCheckError, jaxtyped

import tabular
from cpi_theory import FirstErrorReset, Key, ResetGRPO, UniformReset
from tabular import DiscountedMDP, FiniteHorizonMDP
from tabular.mdp.policies import as_weight
from tabular.resets.first_errors import first_error_weight
from tabular.resets.localizer import Localizer, best_advantages
from tabular.sampling.paths import Arcs
from tabular.sampling.rollouts import FlatSteps
from tabular.strategies import discounted_mdps, finite_horizon_mdps, policies, problems, traps

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for mypy

CHECKED: set[object] = set()
"""The public functions and records that the tests below have held against their annotations."""


def checked(function):
    """The function with its arguments and what it returns held against its annotations."""
    CHECKED.add(function)
    return jaxtyped(typechecker=checker)(function)


def is_shape(hint) -> bool:
    """Whether an annotation speaks of an array's shape, alone or among others."""
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(is_shape, typing.get_args(hint)))


def shapes(thing) -> dict[str, object]:
    """The annotations of a function or record that speak of shapes, by name."""
    return {name: hint for name, hint in typing.get_type_hints(thing).items() if is_shape(hint)}


def hold(record) -> None:
    """Hold the fields of a record against their annotations, all of them together."""
    CHECKED.add(type(record))
    with jaxtyped("context"):
        for name, hint in shapes(type(record)).items():
            kinds = typing.get_args(hint) or (hint,)
            value = getattr(record, name)
            fits = any(value is None if k is type(None) else isinstance(value, k) for k in kinds)
            assert fits, f"{type(record).__name__}.{name} of shape {np.shape(value)} is no {hint}"


def hold_properties(value, *names: str) -> None:
    """Hold properties of a value against the annotations of what they return."""
    for name in names:
        attribute = getattr(type(value), name)
        getter = getattr(attribute, "fget", None) or attribute.func
        assert isinstance(getattr(value, name), typing.get_type_hints(getter)["return"]), name


def test_a_wrong_annotation_is_noticed() -> None:
    def transposed(table: Shaped[np.ndarray, "S A"]) -> Shaped[np.ndarray, "S A"]:
        return table.T

    assert jaxtyped(typechecker=checker)(transposed)(np.ones((2, 2))).shape == (2, 2)
    with pytest.raises(TypeCheckError, match="return value"):
        jaxtyped(typechecker=checker)(transposed)(np.ones((2, 3)))

    @dataclasses.dataclass
    class Wrong:
        values: Shaped[np.ndarray, " S"]
        policy: Float[np.ndarray, "S A"]

    hold(Wrong(np.ones(2), np.ones((2, 3))))
    with pytest.raises(AssertionError, match=r"Wrong\.policy of shape \(3, 2\)"):
        hold(Wrong(np.ones(2), np.ones((3, 2))))
    with pytest.raises(AssertionError, match=r"Wrong\.policy"):
        hold(Wrong(np.ones(2), np.ones((2, 3), dtype=int)))
    CHECKED.discard(Wrong)


def test_a_wrong_shape_is_noticed_in_the_package() -> None:
    evaluation = tabular.evaluate(*_small())
    with pytest.raises(AssertionError, match=r"Evaluation\.visits"):
        hold(dataclasses.replace(evaluation, visits=evaluation.visits[:, :1]))
    with pytest.raises(TypeCheckError, match="candidate"):
        checked(tabular.mix)(evaluation.policy, evaluation.policy[:, :, :1], 1.0)


def _small():
    problem = tabular.garnet(3, 2, 2, 4, seed=1)
    return problem.mdp, problem.policy


worlds = st.one_of(
    *(finite_horizon_mdps(exact=exact) for exact in (False, True)),
    *(discounted_mdps(exact=exact) for exact in (False, True)),
)


@given(worlds, st.data())
@settings(max_examples=60)
def test_evaluation_and_updates(mdp: FiniteHorizonMDP | DiscountedMDP, data: st.DataObject) -> None:
    policy = checked(tabular.as_policy)(mdp, data.draw(policies(mdp)))
    evaluation = tabular.evaluate(mdp, policy)
    hold(evaluation)
    hold_properties(evaluation, "occupancy", "best_advantages")
    hold(tabular.evaluate_many(mdp, checked(tabular.as_policies)(mdp, [policy, policy])))
    hold(tabular.solve(mdp))
    assert checked(tabular.uniform_policy)(mdp).shape == policy.shape
    mask = checked(tabular.improvable)(evaluation, 0.1)
    candidate = checked(tabular.greedy_on)(evaluation, mask)
    weight = checked(as_weight)(mask, policy.shape[:-1], mdp.exact)
    assert checked(tabular.mix)(policy, candidate, weight).shape == policy.shape
    actions = evaluation.advantages.argmax(axis=-1)
    assert checked(tabular.deterministic_policy)(mdp, actions).shape == policy.shape
    if isinstance(mdp, FiniteHorizonMDP):
        assert checked(tabular.deviation_probabilities)(mdp, policy, weight, 1).size == mdp.horizon
        assert checked(tabular.visit_counts)(mdp, policy, mask).size == mdp.horizon + 1


@given(problems())
@settings(max_examples=25)
def test_worlds_and_what_resets_induce(problem: tabular.Problem) -> None:
    hold(problem)
    mdp, policy = problem.mdp, problem.policy
    if isinstance(problem, tabular.ReasoningTree):
        hold_properties(problem, "gaps", "on_path", "off_values", "best_advantages")
        assert checked(tabular.ReasoningTree.first_error_law)(problem).shape == (mdp.horizon + 1,)
    hold(tabular.reset_weight(mdp, policy, UniformReset()))
    hold(tabular.reset_weight(mdp, policy, FirstErrorReset()))
    checked(first_error_weight)(mdp, tabular.evaluate(mdp, policy), 1, Localizer())
    hold(tabular.reset_state_law(mdp, policy, ResetGRPO(UniformReset())))


@given(st.one_of(traps(), traps(exact=True)))
@settings(max_examples=10)
def test_traps(trap: tabular.Trap) -> None:
    hold(trap)


def test_discounted_families() -> None:
    hold(tabular.discounted_garnet(4, 2, 2, 0.5))
    hold(tabular.discounted_trap(0.5, 1.0, -0.5))


@given(problems(), st.integers(1, 5))
@settings(max_examples=15)
def test_simulation_and_learning(problem: tabular.Problem, count: int) -> None:
    simulator = tabular.TabularSimulator(problem.mdp, problem.policy)
    hold_properties(simulator, "advantages", "policy")
    starts = checked(tabular.TabularSimulator.draw_starts)(simulator, count, 0)
    keys = Key.of(1).integers(count)
    for paths in (True, False):
        hold(simulator.simulate(0, starts, keys, paths=paths))
    arcs = Arcs.of(problem.mdp)
    hold(arcs)
    hold_properties(arcs, "rewards")
    steps = FlatSteps.of_paths(simulator.simulate(0, starts, keys))
    hold(steps)
    assert checked(FlatSteps.owners)(steps).size == steps.layers.size
    assert checked(FlatSteps.first)(steps, steps.layers == 0).size == count
    named = checked(Localizer.name)(Localizer(), steps, simulator.advantages, keys)
    assert named.size == count
    rollouts = simulator.rollout(simulator.start_states(count, 0), keys)
    best = np.asarray(simulator.evaluation.best_advantages, np.float64)
    assert len(checked(best_advantages)(rollouts, best)) == count
    policy = tabular.SoftmaxPolicy.from_policy(problem.mdp, problem.policy)
    hold(policy)
    hold_properties(policy, "by_observation")
    assert checked(tabular.SoftmaxPolicy.probabilities)(policy).shape == problem.policy.shape
    gradient = checked(tabular.SoftmaxPolicy.gradient)(policy, [])
    for optimizer in (tabular.Sgd(0.1), tabular.Adam(0.1)):
        state = checked(type(optimizer).start)(optimizer, policy.logits)
        hold(checked(type(optimizer).ascend)(optimizer, state, gradient))


def test_all_public_shapes_are_held() -> None:
    """Every exported function or record that states shapes is checked by a test above."""
    exported = [getattr(tabular, name) for name in tabular.__all__]
    stating = {one for one in exported if callable(one) and shapes(one)}
    assert len(stating) >= 15
    if not stating <= CHECKED:  # they ran in another process, or not at all
        test_evaluation_and_updates()
        test_worlds_and_what_resets_induce()
        test_traps()
        test_discounted_families()
        test_simulation_and_learning()
    assert stating <= CHECKED
