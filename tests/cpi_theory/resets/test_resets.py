"""Reset policies: weights worked by hand, blur that has the promised precision and recall."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from cpi_theory.resets.first_error import FirstErrorReset
from cpi_theory.resets.oracle import (
    AdvantageReset,
    ImperfectReset,
    ImprovableReset,
    largest_threshold,
)
from cpi_theory.resets.uniform import StartReset, UniformReset
from cpi_theory.seam import (
    Ending,
    FailedLocalization,
    Localization,
    Reason,
    Refusal,
    ResetPolicy,
    Rollout,
)
from tests.cpi_theory.chain import Blind, Chain

EMPTY = Rollout((), (), 0.0, True, Ending.HORIZON)
KEYS = np.arange(1, 401, dtype=np.uint64)


def weights(reset, rollouts, world):
    return reset.step_weights(rollouts, world, Key.of(0).integers(len(rollouts)))


def probabilities(reset, rollouts, world):
    return reset.step_probabilities(rollouts, world, Key.of(0).integers(len(rollouts)))


def failures(world, count=400):
    return [r for r in world.rollout([(0, 0)] * count, KEYS[:count]) if r.failed]


def test_start_and_uniform_weights():
    (rollout,) = Chain().rollout([(0, 0)], KEYS[:1])
    (start,) = weights(StartReset(), [rollout], Chain())
    (uniform,) = weights(UniformReset(), [rollout], Chain())
    assert start.tolist() == [1, 0, 0]
    assert uniform.tolist() == [1, 1, 1]
    assert probabilities(UniformReset(), [rollout], Chain())[0] == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(
    "reset",
    [
        StartReset(),
        UniformReset(),
        ImprovableReset(0.1),
        ImperfectReset(0.9, 0.5, 0.1),
        AdvantageReset(0.1),
        FirstErrorReset(),
    ],
)
def test_an_empty_rollout_is_refused_and_leaves_the_others_alone(reset):
    world = Chain()
    rollouts = failures(world)[:3]
    alone = reset.step_probabilities(rollouts, world, KEYS[:3])
    mixed = reset.step_probabilities([EMPTY, *rollouts], world, KEYS[[9, 0, 1, 2]])
    assert mixed[0] == Refusal(Reason.EMPTY)
    for a, b in zip(alone, mixed[1:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_improvable_weights_follow_the_worked_chain():
    # V(on) backwards from 1: .9, .45, .405; off the path 0. So A(right) on the path is
    # .45 - .405 = .045, .9 - .45 = .45, 1 - .9 = .1, and 0 off the path.
    world = Chain()
    np.testing.assert_allclose(world.best()[:, 0], [0.045, 0.45, 0.1])
    (rollout,) = [r for r in failures(world) if r.actions[0] == 0 and r.actions[1] != 0][:1]
    assert weights(ImprovableReset(0.1 - 1e-12), [rollout], world)[0].tolist() == [0, 1, 0]
    assert weights(ImprovableReset(0.04), [rollout], world)[0].tolist() == [1, 1, 0]
    assert weights(ImprovableReset(0.45), [rollout], world)[0].tolist() == [0, 1, 0]


def test_nothing_improvable_is_a_typed_refusal():
    world = Chain()
    answers = probabilities(ImprovableReset(0.9), failures(world)[:2], world)
    assert answers == [Refusal(Reason.NO_ELIGIBLE_STEP)] * 2


@pytest.mark.parametrize(
    "reset", [ImprovableReset(0.1), ImperfectReset(0.9, 1, 0.1), AdvantageReset(0.1)]
)
@pytest.mark.parametrize("method", ["step_weights", "step_probabilities"])
def test_a_world_without_advantages_is_refused_with_a_remedy(reset, method):
    world = Chain()
    with pytest.raises(InvalidInput, match=r"Blind does not know its advantages.*FirstErrorReset"):
        getattr(reset, method)(failures(world)[:1], Blind(world), Key.of(0).integers(1))


@given(
    right=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=5),
    recovery=st.floats(0, 0.9),
    tau=st.floats(0.01, 0.5),
    recall=st.floats(0.05, 1),
    share=st.floats(0.0, 1.0),
)
def test_blur_has_the_promised_precision_and_recall(right, recovery, tau, recall, share):
    world = Chain(right=tuple(right), recovery=recovery)
    p = world.improvable_coverage(tau)
    lowest = p * recall / (p * recall + 1 - p) if p else 1.0
    precision = lowest + share * (1 - lowest)
    if not 0 < p < 1 or precision < 1e-3:
        return
    reset = ImperfectReset(precision, recall, tau)
    w = reset.weights_at(world.best(), reset.calibrate(world.improvable_coverage))
    occupancy = world.visits() / world.horizon
    improvable = world.best() >= tau
    assert w.min() >= 0
    assert w.max() <= 1
    assert (occupancy * w)[improvable].sum() / (occupancy * w).sum() == pytest.approx(precision)
    assert (occupancy * w)[improvable].sum() / occupancy[improvable].sum() == pytest.approx(recall)


def test_precision_p_with_recall_one_is_a_random_reset():
    world = Chain()
    p = world.improvable_coverage(0.09)
    (w,) = weights(ImperfectReset(p, 1.0, 0.09), failures(world)[:1], world)
    np.testing.assert_allclose(w, np.ones(3))


def test_rounding_never_makes_a_weight_above_one():
    """A precision that misses p by rounding asks for f = 1 + 1e-12."""
    assert ImperfectReset(0.5 * (1 - 1e-12), 1.0, 0.1).calibrate(lambda tau: 0.5) == 1.0


def test_levels_belong_to_the_improvable_set():
    at = np.array([0.1, np.nextafter(0.1, 0)])
    assert ImprovableReset(0.1).weights_at(at).tolist() == [1, 0]
    assert ImperfectReset(0.9, 0.5, 0.1).weights_at(at, 0.25).tolist() == [0.5, 0.25]


def test_states_better_than_any_visited_weigh_one():
    assert AdvantageReset(0.1).weights_at(np.array([0.5, 0.3]), 0.3).tolist() == [1, 1]


def test_a_precision_below_the_reachable_names_the_lowest():
    world = Chain()
    p = world.improvable_coverage(0.09)
    lowest = p * 0.9 / (p * 0.9 + 1 - p)
    with pytest.raises(InvalidInput, match=f"at least {lowest:.4g}"):
        weights(ImperfectReset(lowest * 0.9, 0.9, 0.09), failures(world)[:1], world)


def test_full_coverage_leaves_no_other_states_to_weigh():
    reset = ImperfectReset(0.5, 0.8, 0.1)
    assert reset.calibrate(lambda tau: 1.0) == 0.0
    assert reset.weights_at(np.array([0.2]), 0.0).tolist() == [0.8]


def test_advantage_weights_are_exponential_and_at_most_one():
    world = Chain()
    (rollout,) = [r for r in failures(world) if r.actions[0] == 0 and r.actions[1] != 0][:1]
    (w,) = weights(AdvantageReset(0.2), [rollout], world)
    np.testing.assert_allclose(w, np.exp([(0.045 - 0.45) / 0.2, 0.0, -0.45 / 0.2]))
    (p,) = probabilities(AdvantageReset(0.2), [rollout], world)
    np.testing.assert_allclose(p, w / w.sum())


def test_advantage_weights_do_not_depend_on_the_batch():
    world = Chain(recovery=0.3)
    batch = failures(world)
    together = weights(AdvantageReset(0.05), batch, world)
    for rollout, w in zip(batch[:5], together[:5], strict=True):
        np.testing.assert_array_equal(
            weights(AdvantageReset(0.05), [rollout], world)[0],
            w,
        )


def test_a_cold_softmax_picks_the_best_step_even_of_a_poor_rollout():
    world = Chain()
    (late,) = [r for r in failures(world) if r.actions[:2] == [0, 0]][:1]
    off = Rollout(((1, 1), (2, 1)), (0, 0), 0.0, True, Ending.HORIZON)
    p_late, p_off = probabilities(AdvantageReset(1e-4), [late, off], world)
    np.testing.assert_allclose(p_late, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(p_off, [0.5, 0.5])  # all its weights vanish, the softmax does not
    np.testing.assert_allclose(
        probabilities(AdvantageReset(1e6), [late], world)[0],
        [1 / 3] * 3,
        rtol=1e-5,
    )


@given(st.floats(0, 50))
def test_largest_threshold_is_where_coverage_ends(level):
    assert largest_threshold(lambda tau: 0.3 if tau <= level else 0.0) == pytest.approx(
        level, abs=1e-15
    )


def test_first_error_is_the_step_the_world_names():
    world = Chain(recovery=0.5, right=(0.7,) * 5)
    batch = failures(world)
    for rollout, w in zip(
        batch,
        weights(FirstErrorReset(), batch, world),
        strict=True,
    ):
        # The first step at which the right action was not taken is the first that leaves the path.
        first = next(i for i, a in enumerate(rollout.actions) if a != 0)
        assert w.tolist() == [float(i == first) for i in range(5)]


def test_offset_moves_earlier_but_never_before_the_start():
    world = Chain()
    batch = failures(world)
    named = weights(FirstErrorReset(), batch, world)
    earlier = weights(FirstErrorReset(offset=1), batch, world)
    moves = {(int(a.argmax()), int(b.argmax())) for a, b in zip(named, earlier, strict=True)}
    assert moves == {(0, 0), (1, 0), (2, 1)}


def test_a_refused_localisation_stays_a_refusal():
    world = Chain(blind=0.5)
    batch = failures(world)
    answers = FirstErrorReset().step_weights(batch, world, KEYS[: len(batch)])
    refused = sum(isinstance(a, Refusal) for a in answers)
    assert 0 < refused < len(batch)
    assert {a.reason for a in answers if isinstance(a, Refusal)} == {Reason.UNPARSABLE}
    success = next(r for r in world.rollout([(0, 0)] * 50, KEYS[:50]) if not r.failed)
    assert weights(FirstErrorReset(), [success], world) == [FailedLocalization(Reason.NOT_FAILED)]


@pytest.mark.parametrize("step", [-1, 3, 99])
def test_a_step_outside_the_rollout_is_out_of_range_not_clamped(step):
    class Confused(Chain):
        def locate_first_error(self, rollouts, keys):
            return [Localization(step)] * len(rollouts)

    world = Confused()
    answers = weights(FirstErrorReset(offset=1), failures(world)[:1], world)
    assert answers == [Refusal(Reason.OUT_OF_RANGE)]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: ImprovableReset(0.0), "tau"),
        (lambda: ImprovableReset(float("nan")), "tau"),
        (lambda: ImperfectReset(0.0, 1, 0.1), "precision"),
        (lambda: ImperfectReset(0.5, 1.5, 0.1), "recall"),
        (lambda: ImperfectReset(0.5, 0.5, -1), "tau"),
        (lambda: AdvantageReset(0), "temperature"),
        (lambda: FirstErrorReset(offset=-1), "offset"),
        (lambda: FirstErrorReset(offset=0.5), "offset"),
    ],
)
def test_impossible_parameters_are_refused_by_name(make, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        make()


def test_reset_policies_are_values():
    assert FirstErrorReset() == FirstErrorReset(offset=0)
    assert hash(ImprovableReset(0.1)) == hash(ImprovableReset(0.1))
    assert FirstErrorReset.localizes
    assert not any(
        policy.localizes
        for policy in (StartReset, UniformReset, ImprovableReset, ImperfectReset, AdvantageReset)
    )
    assert issubclass(FirstErrorReset, ResetPolicy)
