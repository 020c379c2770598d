from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.bootstrap import paired_difference
from cpi_theory.statistics.intervals import clustered_proportion
from cpi_theory.statistics.paired import compare_paired, holm, mean_score, sign_flip_p_value


def table(rng, seeds, problems, of_seed, of_problem, noise, mean=0.0):
    """Differences with random rows and columns."""
    return (
        mean
        + of_seed * rng.standard_normal((seeds, 1))
        + of_problem * rng.standard_normal((1, problems))
        + noise * rng.standard_normal((seeds, problems))
    )


@pytest.mark.parametrize(
    ("of_seed", "of_problem"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.2, 0.3)]
)
def test_intervals_cover_whatever_varies(of_seed: float, of_problem: float) -> None:
    rng, covered, runs = np.random.default_rng(0), 0, 2000
    for _ in range(runs):
        gaps = table(rng, 5, 30, of_seed, of_problem, 0.5, mean=0.1)
        found = compare_paired(gaps, np.zeros_like(gaps))
        covered += 0.1 in found.difference
    # Within 3.5 standard errors of 95 % at least; where nothing varies it is conservative.
    assert covered / runs > 0.95 - 3.5 * (0.05 * 0.95 / runs) ** 0.5
    if of_seed or of_problem:
        assert covered / runs < 0.995


def test_treating_every_answer_as_a_trial_would_not_cover() -> None:
    """The control: the interval over all S x P differences, as if they were independent."""
    rng, covered = np.random.default_rng(1), 0
    for _ in range(500):
        gaps = table(rng, 5, 30, 0.3, 0.0, 0.5)
        covered += 0 in paired_difference(gaps.ravel(), np.zeros(gaps.size))
    assert covered / 500 < 0.7


def test_where_seeds_alone_vary_it_is_students_interval_over_seeds() -> None:
    gaps = np.repeat(np.array([[0.3], [0.1], [-0.1]]), 7, axis=1)
    found = compare_paired(gaps, np.zeros_like(gaps))
    over_seeds = paired_difference(gaps[:, 0], np.zeros(3))
    assert found.difference.lower == pytest.approx(over_seeds.lower)
    assert found.difference.upper == pytest.approx(over_seeds.upper)
    assert found.freedom == 2


def test_a_table_worked_by_hand() -> None:
    """Seeds -1, 1, problems -1, 0, 1 and a rest of .1, -.2, .1 of alternating signs.

    A = 3 * 2, B = 2 * 1 and E = .12 / 2: the variance is (6 + 2 - .06) / 6 and there are
    8^2 / (6^2 / 1 + 2^2 / 2) = 32 / 19 degrees of freedom.
    """
    rest = 0.1 * np.array([[1, -2, 1], [-1, 2, -1]])
    gaps = 0.5 + np.array([[-1.0], [1.0]]) + np.array([-1.0, 0.0, 1.0]) + rest
    found = compare_paired(gaps, np.zeros_like(gaps))
    assert found.freedom == pytest.approx(32 / 19)
    half = stats.t.ppf(0.975, 32 / 19) * np.sqrt(7.94 / 6)
    assert found.difference.upper - found.difference.estimate == pytest.approx(half)


def test_means_that_agree_by_chance_do_not_make_sure() -> None:
    """Nothing but a rest: A = B = 0 and E = 4, so that the variance is that of four numbers."""
    gaps = 0.5 + np.array([[1.0, -1.0], [-1.0, 1.0]])
    found = compare_paired(gaps, np.zeros_like(gaps))
    assert not found.shown
    half = stats.t.ppf(0.975, 1) * 1.0
    assert found.difference.upper == pytest.approx(0.5 + half)


def test_scores_that_differ_by_the_same_everywhere_are_no_certainty() -> None:
    """Of two methods that solve none of 20 problems either may solve up to z^2 / (20 + z^2)."""
    none = np.zeros((1, 20))
    found = compare_paired(none, none)
    z2 = stats.t.ppf(0.975, 19) ** 2
    end = z2 / (20 + z2)
    assert (found.difference.lower, found.difference.upper) == pytest.approx((-end, end))
    assert found.p_value == 1
    assert found.detectable == pytest.approx(end * (1 + stats.t.ppf(0.8, 19) / np.sqrt(z2)))
    # One that solves both of two problems, and one that solves neither: nothing is shown.
    two = compare_paired(np.ones((1, 2)), np.zeros((1, 2)))
    assert not two.shown
    assert two.p_value == 0.5
    assert compare_paired(np.ones((1, 20)), none).shown
    # Nothing is known of the scale of other scores.
    other = compare_paired(np.full((2, 3), 9.0), np.full((2, 3), 7.0))
    assert (other.difference.lower, other.difference.upper, other.p_value) == (2, 2, 0.25)


def test_one_seed_speaks_of_problems() -> None:
    gaps = np.array([[0.0, 1.0, 1.0, 0.0, 1.0]])
    found = compare_paired(gaps, np.zeros_like(gaps))
    test = stats.ttest_1samp(gaps[0], 0)
    low, high = test.confidence_interval()
    expected = (low, min(high, 1))  # no share is larger
    assert (found.difference.lower, found.difference.upper) == pytest.approx(expected)
    assert found.p_value == pytest.approx(test.pvalue)


@given(st.integers(0, 10_000), st.floats(-0.5, 0.5))
def test_the_p_value_belongs_to_the_interval(seed: int, mean: float) -> None:
    gaps = table(np.random.default_rng(seed), 4, 12, 0.1, 0.1, 0.3, mean)
    found = compare_paired(gaps, np.zeros_like(gaps))
    assert found.shown == (found.p_value < 0.05)
    edge = compare_paired(gaps, np.zeros_like(gaps), level=1 - found.p_value)
    assert min(abs(edge.difference.lower), abs(edge.difference.upper)) == pytest.approx(0, abs=1e-6)


def test_three_noisy_seeds_show_no_headline() -> None:
    """The published curves' last step: 29.8 and 23.1 %, with their spread over three runs.

    Source: arXiv 2605.25507; means and standard errors as drawn there.
    """
    rng, problems = np.random.default_rng(0), 1000
    difficulty = rng.standard_normal(problems)

    def passes(rates: list[float]) -> np.ndarray:
        rows = np.zeros((3, problems))
        for row, rate in zip(rows, rates, strict=True):
            order = np.argsort(difficulty + 0.5 * rng.standard_normal(problems))
            row[order[: round(rate * problems)]] = 1
        return rows

    ours = passes([0.2983 - 0.0895, 0.2983, 0.2983 + 0.0895])
    theirs = passes([0.2312, 0.2312 - 0.0195, 0.2312 + 0.0195])
    welch = stats.ttest_ind(ours.mean(axis=1), theirs.mean(axis=1), equal_var=False).pvalue
    assert welch == pytest.approx(0.32, abs=0.01)
    found = compare_paired(ours, theirs)
    assert found.difference.estimate == pytest.approx(0.067, abs=1e-3)
    assert not found.shown
    assert found.p_value > 0.2
    assert found.sign_flips >= 0.25  # the least that three seeds can reach
    assert found.detectable > 2 * found.difference.estimate


def test_what_is_detectable_among_several_is_shown_by_holm() -> None:
    """Of four comparisons the error is a quarter each: t at 98.75 % in place of 95 %."""
    gaps = table(np.random.default_rng(2), 1, 30, 0.0, 0.1, 0.3)
    one, four = (compare_paired(gaps, 0 * gaps, comparisons=n) for n in (1, 4))
    error = (one.difference.upper - one.difference.estimate) / stats.t.ppf(0.975, 29)
    expected = error * (stats.t.ppf(1 - 0.05 / 8, 29) + stats.t.ppf(0.8, 29))
    assert four.detectable == pytest.approx(expected)
    assert four.detectable > one.detectable
    assert four.difference == one.difference
    with pytest.raises(InvalidInput, match="comparisons = 0"):
        compare_paired(gaps, gaps, comparisons=0)


def test_what_is_called_detectable_is_shown_in_four_of_five() -> None:
    rng, runs = np.random.default_rng(4), 1500
    shape = {"of_seed": 0.1, "of_problem": 0.3, "noise": 0.5}
    size = np.median(
        [
            compare_paired(t, 0 * t).detectable
            for t in (table(rng, 8, 40, **shape) for _ in range(300))
        ]
    )
    shown = [
        compare_paired(t, 0 * t).shown
        for t in (table(rng, 8, 40, **shape, mean=size) for _ in range(runs))
    ]
    assert 0.74 < np.mean(shown) < 0.88


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_sign_flips_are_scipys_exact_permutation_test(units: list[int]) -> None:
    values = np.array(units, float)
    expected = 1.0
    if len(values) > 1:
        expected = stats.permutation_test(
            (values, np.zeros_like(values)),
            lambda a, b, axis: abs((a - b).sum(axis=axis)),
            permutation_type="samples",
            alternative="greater",
            n_resamples=np.inf,
            vectorized=True,
        ).pvalue
    assert sign_flip_p_value(values) == pytest.approx(expected)


def test_many_units_are_drawn_and_never_give_zero() -> None:
    assert sign_flip_p_value(np.ones(12), draws=1) == 2 / 2**12  # the last that are gone through
    assert sign_flip_p_value(np.ones(40), draws=1000) == pytest.approx(1 / 1001)
    rng = np.random.default_rng(0)
    found = [sign_flip_p_value(rng.standard_normal(30), draws=400, key=i) for i in range(400)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_holm_worked_by_hand() -> None:
    # .01 x 3, .02 x 2, .04 x 1, each at least the one before.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(InvalidInput, match="p_values"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_lies_between_each_and_bonferroni(values: list[float]) -> None:
    for p, adjusted in zip(values, holm(values), strict=True):
        assert p <= adjusted <= min(1, len(values) * p) + 1e-12


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_what_does_not_pair_is_refused(shape) -> None:
    with pytest.raises(InvalidInput, match="pair"):
        compare_paired(np.zeros(shape), np.zeros(shape))
    with pytest.raises(InvalidInput, match="pair"):
        compare_paired(np.zeros((3, 4)), np.zeros((3, 5)))


# --- the score of one method ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "of_seed", "of_problem", "mean"),
    [(1, 0.0, 1.5, -1.0), (1, 0.0, 0.0, -3.0), (5, 0.0, 1.5, 0.0), (5, 0.7, 1.0, -1.5)],
)
def test_intervals_of_a_score_cover(seeds, of_seed, of_problem, mean) -> None:
    """Four attempts at each of 40 problems; seeds and problems shift the logit of success."""
    rng, covered, runs = np.random.default_rng(0), 0, 800
    # What the score is for other seeds and problems, by quadrature over the normal shift.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = np.hypot(of_seed, of_problem)
    truth = float(weights @ _logistic(mean + spread * nodes) / weights.sum())
    for _ in range(runs):
        chance = _logistic(table(rng, seeds, 40, of_seed, of_problem, 0.0, mean))
        covered += truth in mean_score(rng.binomial(4, chance) / 4, trials=4)
    # Within 3.5 standard errors of 93 %: the ends are approximate.
    assert covered / runs > 0.93 - 3.5 * (0.07 * 0.93 / runs) ** 0.5
    assert covered / runs < 0.985


def _logistic(x):
    return 1 / (1 + np.exp(-x))


def test_problems_alone_would_not_cover_where_seeds_differ() -> None:
    """The control: means over seeds as if those were the only seeds."""
    rng, two_way, over_problems = np.random.default_rng(1), 0, 0
    for _ in range(300):
        scores = _logistic(table(rng, 5, 200, 1.0, 0.3, 0.0))
        two_way += 0.5 in mean_score(scores, trials=99)
        hits = 5 * 99 * scores.mean(axis=0)
        over_problems += 0.5 in clustered_proportion(hits, np.full(200, 5 * 99))
    assert two_way > 270 > 150 > over_problems


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_with_one_seed_problems_are_the_clusters(right: list[int]) -> None:
    found = mean_score([np.array(right) / 4], trials=4)
    expected = clustered_proportion(right, np.full(len(right), 4))
    for end in ("estimate", "lower", "upper"):
        assert getattr(found, end) == pytest.approx(getattr(expected, end), abs=1e-12)


def test_many_single_attempts_have_the_wilson_interval_of_a_peer() -> None:
    scores = np.repeat([0.0, 1.0], [1900, 100])
    peer = stats.binomtest(100, 2000).proportion_ci(method="wilson")
    found = mean_score([scores])
    assert (found.lower, found.upper) == pytest.approx((peer.low, peer.high), rel=2e-3)


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_success_is_no_certainty(seeds: int) -> None:
    none, all_ = mean_score(np.zeros((seeds, 20))), mean_score(np.ones((seeds, 20)))
    # 20 trials without a success under Student's quantile t: t^2 / (20 + t^2).
    t = stats.t.ppf(0.975, 19)
    assert (none.lower, none.upper) == pytest.approx((0, t**2 / (20 + t**2)))
    assert (all_.lower, all_.upper) == pytest.approx((1 - none.upper, 1))


def test_seeds_that_are_apart_are_worth_no_more_than_seeds() -> None:
    # All problems alike: three trials' worth of knowledge, whatever the number of problems.
    few, many = (mean_score(np.repeat([[0.2], [0.5], [0.8]], n, axis=1)) for n in (5, 5000))
    assert (few.lower, few.upper) == pytest.approx((many.lower, many.upper))
    assert few.upper - few.lower > 0.6


@pytest.mark.parametrize("scores", [[0.5, 0.5], [[0.5]], [[]], [[0.5, 1.1]], [[0.5, np.nan]]])
def test_what_is_no_table_of_scores_is_refused(scores) -> None:
    with pytest.raises(InvalidInput, match="scores"):
        mean_score(scores)
