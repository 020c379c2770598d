"""The chooser's exact sampling law, and how the number of samples it needs is read off."""

import math
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from cpi_theory.algorithms.chooser import Baseline
from cpi_theory.checks import InvalidInput
from cpi_theory.randomness import Key
from experiments.compare.chooser_samples import TrialLaw, fit_exponent, samples_to_reach


def two_arms(gap: float) -> TrialLaw:
    """One observation, two actions with success 1/2 +- gap; the chooser is right on action 0."""
    success = np.array([[0.25 + gap / 2, 0.25 - gap / 2]])
    return TrialLaw(success, np.array([[gap, -gap]]), np.array([1.0]))


def exact_share(law: TrialLaw, trials: int) -> float:
    """P(right) without a baseline: the multinomial of a one-observation, two-action law."""
    a, b = law.success[0]
    rest = 1 - a - b
    total = 0.0
    for i, j in product(range(trials + 1), repeat=2):
        if i + j > trials:
            continue
        ways = math.comb(trials, i) * math.comb(trials - i, j)
        mass = ways * a**i * b**j * rest ** (trials - i - j)
        total += mass * (1.0 if i > j else 0.5 if i == j else 0.0)
    return total


@pytest.mark.parametrize("trials", [1, 2, 7, 30])
def test_share_right_is_the_exact_probability(trials: int) -> None:
    law, replications = two_arms(0.15), 40_000
    exact = exact_share(law, trials)
    key = Key.of(5).child(trials)
    measured = law.share_right(trials, replications, key, baseline=Baseline.NONE)
    assert abs(measured - exact) < 4 * math.sqrt(exact * (1 - exact) / replications)


@pytest.mark.parametrize("trials", [1, 2, 7, 30])
def test_half_as_baseline_makes_a_count_of_signs(trials: int) -> None:
    law, replications, chance = two_arms(0.15), 40_000, 0.65
    exact = binom.sf(trials / 2, trials, chance)
    if trials % 2 == 0:
        exact += binom.pmf(trials // 2, trials, chance) / 2
    key = Key.of(6).child(trials)
    measured = law.share_right(trials, replications, key, baseline=Baseline.HALF)
    assert abs(measured - exact) < 4 * math.sqrt(exact * (1 - exact) / replications)


def test_one_trial_by_hand() -> None:
    # A success (probability 1/2) decides; otherwise a coin does: 0.4 + 0.5 / 2.
    assert exact_share(two_arms(0.3), 1) == pytest.approx(0.4 + 0.25)


def test_several_observations_need_their_share_of_the_advantage() -> None:
    # Two observations of advantage 1 and 3: only the second reaches half of the best, 2 of 4.
    success = np.array([[0.0, 0.2], [0.2, 0.0]])
    law = TrialLaw(success, np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([0.5, 0.5]))
    assert law.best_advantage == 4.0
    assert law.best_candidate.tolist() == [0, 0]
    choices = np.array([[0, 0], [1, 0], [0, 1]])  # worth 4, 3 and 1
    assert law.is_right(choices).tolist() == [True, True, False]
    assert law.is_right(choices, share=0.8).tolist() == [True, False, False]
    assert law.is_right(choices, share=0.25).tolist() == [True, True, True]
    # Plenty of trials: always wrong at the first observation, always right at the second.
    assert law.share_right(200, 100, Key.of(0)) == 1.0
    assert law.share_right(200, 100, Key.of(0), share=0.8) == 0.0


def test_law_from_tables_by_hand() -> None:
    visits = np.array([[0.5, 0.5]])
    q_values = np.array([[[1.0, 0.0], [0.5, 0.25]]])
    advantages = np.array([[[0.5, -0.5], [0.1, -0.15]]])
    weight = np.array([[1.0, 0.5]])  # nu = (2/3, 1/3)
    law = TrialLaw.of(visits, weight, q_values, advantages, np.array([[0, 0]]))
    assert law.success == pytest.approx(np.array([[2 / 3 / 2 + 1 / 6 / 2, 1 / 12 / 2]]))
    assert law.advantage == pytest.approx(np.array([[1 / 3 + 1 / 30, -1 / 3 - 0.05]]))
    assert law.masses == pytest.approx([1.0])
    apart = TrialLaw.of(visits, weight, q_values, advantages, np.array([[1, 0]]))
    assert apart.success[1] == pytest.approx([1 / 3, 0])
    assert apart.masses == pytest.approx([1 / 3, 2 / 3])


def test_refusals() -> None:
    table = np.full((1, 2), 0.25)
    with pytest.raises(InvalidInput, match=r"not \(O, A\)"):
        TrialLaw(table, np.zeros((2, 2)), np.ones(1))
    with pytest.raises(InvalidInput, match=r"not \(O,\)"):
        TrialLaw(table, table, np.ones(2))
    with pytest.raises(InvalidInput, match="not probabilities"):
        TrialLaw(4 * table, table, np.ones(1))
    with pytest.raises(InvalidInput, match="selects nothing"):
        TrialLaw.of(np.ones((1, 1)), np.zeros((1, 1)), table[None], table[None], np.array([[0]]))
    with pytest.raises(InvalidInput, match="accuracy"):
        samples_to_reach(two_arms(0.2).share_right, 1.0, 100, Key.of(0))


def probit_world(needed: float, accuracy: float):
    """Experiments that succeed with probability `accuracy` at n = `needed`, as Phi(c sqrt n)."""
    slope = ndtri(accuracy) / math.sqrt(needed)

    def success(trials: int, replications: int, key: Key) -> float:
        chance = ndtr(slope * math.sqrt(trials))
        return float(key.generator().binomial(replications, chance) / replications)

    return success


@given(st.floats(10.0, 1e7), st.sampled_from([0.8, 0.9, 0.95]), st.integers(0, 1000))
@settings(max_examples=40)
def test_crossing_is_found(needed: float, accuracy: float, seed: int) -> None:
    found = samples_to_reach(probit_world(needed, accuracy), accuracy, 4000, Key.of(seed), 100)
    assert found.samples == pytest.approx(needed, rel=0.12)
    assert found.lower <= found.samples <= found.upper
    assert found.grid[0] < found.samples < found.grid[-1] or found.samples <= 12


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    world = probit_world(700.0, 0.9)
    found = [samples_to_reach(world, 0.9, 400, Key.of(i), 200) for i in range(150)]
    covered = np.mean([f.lower <= 700 <= f.upper for f in found])
    assert 0.88 <= covered <= 0.99
    widths = np.log([f.upper / f.lower for f in found])
    spread = np.std(np.log([f.samples for f in found]))
    assert widths.mean() / 3.92 == pytest.approx(spread, rel=0.25)


def test_two_arms_need_what_the_central_limit_says() -> None:
    # A trial moves the difference by +-1 with mean gap and variance 1/2 - gap^2; centred by +-1/2
    # with mean gap and variance 1/4 - gap^2.
    gap = 0.02
    for baseline, variance in (
        (Baseline.NONE, 0.5),
        (Baseline.HALF, 0.25),
        (Baseline.SHRUNK, 0.25),
    ):
        expected = ndtri(0.9) ** 2 * (variance - gap**2) / gap**2
        share_right = partial(two_arms(gap).share_right, baseline=baseline)
        found = samples_to_reach(share_right, 0.9, 8000, Key.of(3))
        assert found.samples == pytest.approx(expected, rel=0.05)


def test_small_answers_agree_with_enumeration() -> None:
    law = two_arms(0.25)
    shares = [exact_share(law, n) for n in range(1, 40)]
    truth = 1 + next(i for i, s in enumerate(shares) if s >= 0.9)
    plain = partial(law.share_right, baseline=Baseline.NONE)
    found = samples_to_reach(plain, 0.9, 20_000, Key.of(1))
    assert truth - 1.5 <= found.samples <= truth + 0.5


def test_out_of_reach_is_infinite() -> None:
    never = two_arms(0.0)  # no better action: right half of the time at any n
    tie = TrialLaw(never.success, np.array([[0.1, -0.1]]), np.array([1.0]))
    found = samples_to_reach(tie.share_right, 0.9, 100, Key.of(0), limit=1 << 12)
    assert math.isinf(found.samples)
    assert math.isinf(found.upper)


def test_reproducible_and_seeded() -> None:
    law = two_arms(0.1)
    one, same, other = (samples_to_reach(law.share_right, 0.9, 500, Key.of(s)) for s in (1, 1, 2))
    assert one.samples == same.samples
    assert one.draws.tolist() == same.draws.tolist()
    assert one.samples != other.samples


def test_exponent_of_a_power_law() -> None:
    factor = np.array([1.0, 2.0, 4.0, 8.0])
    estimates = 3 * factor**1.5
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal((4, 4000)))
    slope, lower, upper = fit_exponent(factor, estimates[:, None] * noise, estimates)
    assert slope == pytest.approx(1.5)
    # Sum of squares of the centred log factors: ln(2)^2 (2.25 + 0.25) 2 = 5 ln(2)^2.
    assert upper - lower == pytest.approx(2 * 1.96 * 0.1 / math.sqrt(5) / math.log(2), rel=0.08)
