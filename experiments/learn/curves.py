"""One learning curve: a method in a world from one seed, as records.

A group method collects its groups with 8 rollouts per prompt, and one step of a common optimiser
follows their policy gradient. A conservative method mixes in what its chooser finds with the step
size that its bound guarantees. After some updates the exact value of the policy is recorded with
what was generated until then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from cpi_theory.algorithms.adaptive import AdaptiveFrontier
from cpi_theory.algorithms.collecting import collect
from cpi_theory.algorithms.conservative import (
    ConservativeStep,
    Decision,
)
from cpi_theory.checks import check_count
from cpi_theory.randomness import Key
from cpi_theory.seam import Algorithm, Collection, learned, scheduled
from experiments.accounts import Account
from experiments.methods import ConservativeMethod, GroupMethod, TabularMethod
from experiments.runs.files import Row
from experiments.worlds.tabular import SeededWorld, World, build_world
from tabular.learning.optimizers import Adam, Sgd
from tabular.learning.softmax import SoftmaxPolicy
from tabular.resets.localizer import Localizer
from tabular.simulation.conservative import ConservativeTabular
from tabular.simulation.revising import RevisingTabular
from tabular.simulation.simulator import TabularSimulator
from tabular.worlds.second_attempts import second_attempts


@dataclass(frozen=True)
class Budget:
    """How long a curve is and how finely it is recorded; the same for all methods of a kind.

    Attributes:
        prompts: start states per update, 8 rollouts each.
        updates: of a group method.
        every: updates between records.
        trials: trials for the chooser of a conservative method, and again for its estimate, in
            each iteration.
        conservative_rollouts: it starts no further iteration once it generated so many.
        exact_updates: iterations of a conservative method with exact advantages.
        exact_every: iterations between its records.
        steps: once a group method has generated so many, it begins no further update, whatever
            `updates` would allow; None: updates alone count.
    """

    prompts: int = 4
    updates: int = 80
    every: int = 2
    trials: int = 4_000
    conservative_rollouts: int = 300_000
    exact_updates: int = 200
    exact_every: int = 5
    steps: int | None = field(default=None, metadata={"later": True})

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            if name != "steps" or self.steps is not None:
                check_count(name, getattr(self, name))

    def spent(self, updates: int, steps: int) -> float:
        """Share of a group method's budget that so many updates and steps take, at most 1."""
        share = updates / self.updates
        return min(1.0, share if self.steps is None else max(share, steps / self.steps))


@dataclass(frozen=True)
class CurveSpec:
    """What one learning curve depends on.

    Attributes:
        world, method, budget: see there.
        optimizer: of group methods.
        seed: of the seeded world, the prompts and the rollouts; methods of one seed share
            the first two, so they can be compared in pairs.
    """

    world: World
    method: TabularMethod
    optimizer: Adam | Sgd
    budget: Budget
    seed: int


def learning_curve(spec: CurveSpec) -> list[Row]:
    """Records of one curve, the policy before any update first.

    Each has the labels `world`, `method`, `seed` and `point`; `update`; `value`, the exact J in
    reward units; `rollouts`, `steps` (actions sampled) and `localizations` until then; `groups`,
    `informative` and `refusals` (by reason) since the point before; for methods with second
    attempts also `second`, the expected return of those; for methods that find out how good the
    localiser is also `believed`, see :class:`~cpi_theory.algorithms.adaptive.AdaptiveFrontier`; for
    conservative methods also `decision`, `alpha`, `guaranteed` (sum of guaranteed gains) and
    `advantage`.
    """
    key = Key.of(spec.seed).child("learn", spec.world.name)
    seeded = build_world(spec.world, key.child("instance"))
    method = spec.method
    curve = _group_curve if isinstance(method, GroupMethod) else _conservative_curve
    labels = {"world": spec.world.name, "method": method.name, "seed": spec.seed}
    points = curve(spec, seeded, key)
    return [labels | {"point": number} | point for number, point in enumerate(points)]


def _group_curve(spec: CurveSpec, seeded: SeededWorld, key: Key) -> Iterator[Row]:
    assert isinstance(spec.method, GroupMethod)
    budget, account = spec.budget, Account()
    simulator, _ = begin_learning(spec.world, spec.method, seeded)
    yield {"update": 0, "value": simulator.value(), **account.take()}
    for one in group_updates(spec, seeded, key):
        account.add(one.collection)
        update, simulator = one.update, one.after
        if update % budget.every == 0 or budget.spent(update, account.steps) == 1:
            more: Row = {}
            if isinstance(simulator, RevisingTabular):
                more = {"second": simulator.second_value()}
            if isinstance(one.algorithm, AdaptiveFrontier):
                more["believed"] = one.algorithm.believed()
            yield {"update": update, "value": simulator.value(), **account.take(), **more}


@dataclass(frozen=True, eq=False)
class GroupUpdate:
    """One update of a group method.

    Attributes:
        update: which, from 1 on.
        before: the world under the policy that collected.
        collection: what was collected.
        after: the world under the policy that was learned.
        algorithm: with what it has concluded from the collection.
    """

    update: int
    before: TabularSimulator
    collection: Collection
    after: TabularSimulator
    algorithm: Algorithm


def group_updates(spec: CurveSpec, seeded: SeededWorld, key: Key) -> Iterator[GroupUpdate]:
    """Yield the updates of a group method as they are made.

    Args:
        spec: of the curve.
        seeded: its world.
        key: of all randomness.
    """
    assert isinstance(spec.method, GroupMethod)
    budget = spec.budget
    algorithm: Algorithm = spec.method.algorithm
    simulator, policy = begin_learning(spec.world, spec.method, seeded)
    start, state = policy, spec.optimizer.start(policy.logits)
    update = steps = 0
    while (spent := budget.spent(update, steps)) < 1:
        simulator.localizer = localizer_at(spec.world, spec.method, spent)
        now, update = scheduled(algorithm, spent), update + 1
        starts = simulator.start_states(budget.prompts, key.child("starts", update))
        collection = collect(now, simulator, starts, key.child("collect", update))
        steps += collection.generated_steps
        algorithm = learned(algorithm, collection)
        state = spec.optimizer.ascend(state, policy.gradient(collection, start))
        policy = policy.with_logits(state.logits)
        before, simulator = simulator, simulator.with_policy(policy.probabilities())
        yield GroupUpdate(update, before, collection, simulator, algorithm)


def begin_learning(
    world: World, method: GroupMethod, seeded: SeededWorld
) -> tuple[TabularSimulator, SoftmaxPolicy]:
    """The world under its base policy, with copies for second attempts where the method needs them.

    A second attempt begins with the base policy, too.
    """
    mdp = seeded.problem.mdp
    policy = SoftmaxPolicy.from_policy(mdp, seeded.problem.policy, floor=1e-6)
    localizer = localizer_at(world, method, 0.0)
    if not method.revises:
        table = policy.probabilities()
        return TabularSimulator(mdp, table, localizer, seeded.success), policy
    twice = second_attempts(mdp)
    policy = SoftmaxPolicy(twice, np.tile(policy.logits, (twice.copies, 1)))
    return RevisingTabular(twice, policy.probabilities(), localizer, seeded.success), policy


def localizer_at(world: World, method: GroupMethod, done: float) -> Localizer:
    """Return who names first errors when a share `done` of all updates is made."""
    last = method.accuracy if method.last_accuracy is None else method.last_accuracy
    accuracy = (1 - done) * method.accuracy + done * last
    return Localizer(world.threshold, accuracy=accuracy)


def _conservative_curve(spec: CurveSpec, seeded: SeededWorld, key: Key) -> Iterator[Row]:
    """Records of all iterations, or every few of them where nothing is sampled."""
    assert isinstance(spec.method, ConservativeMethod)
    budget, exact = spec.budget, spec.method.exact
    world = ConservativeTabular(seeded.problem.mdp, seeded.problem.policy, success=seeded.success)
    algorithm = spec.method.algorithm(seeded, budget.trials)
    limit = budget.exact_updates if exact else budget.conservative_rollouts // budget.trials + 1
    account = Account(more={"guaranteed": 0.0})
    yield _conservative_point(0, account, world, None)
    for step in algorithm.run(world, key.child("conservative"), limit):
        account.rollouts += step.rollouts
        account.steps += step.generated_steps
        account.more["guaranteed"] += step.guaranteed_gain
        update = step.iteration + 1
        stopped = step.decision is Decision.STOPPED
        if not exact or stopped or update % budget.exact_every == 0:
            yield _conservative_point(update, account, step.world, step)
        if account.rollouts >= budget.conservative_rollouts:
            return


def _conservative_point(
    update: int, account: Account, world: Any, step: ConservativeStep | None
) -> Row:
    return {
        "update": update,
        "value": world.value(),
        **account.take(),
        "decision": None if step is None else step.decision.value,
        "alpha": None if step is None else step.alpha,
        "advantage": None if step is None else np.asarray(step.advantage.estimate).item(),
    }
