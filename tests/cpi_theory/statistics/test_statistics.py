"""Intervals against scipy and worked numbers, and their coverage where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.bootstrap import (
    bootstrap_interval,
    interquartile_mean,
    log_log_slope,
    paired_difference,
    stratified_interquartile_mean,
)
from cpi_theory.statistics.intervals import (
    Interval,
    bernstein_interval,
    chernoff_interval,
    clustered_proportion,
    harmonic_mean,
    wilson_interval,
)

RNG = np.random.default_rng(20260101)


def coverage_rate(draw, truth, repetitions):
    return np.mean([truth in draw() for _ in range(repetitions)])


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(successes, failures, level):
    ours = wilson_interval(successes, successes + failures, level)
    ref = stats.binomtest(successes, successes + failures).proportion_ci(level, method="wilson")
    assert (ours.lower, ours.upper) == pytest.approx((ref.low, ref.high), abs=1e-12)


def test_wilson_worked_by_hand():
    # 5 of 10, z = 1.96: centre .5, half width 1.96 / 1.384 * sqrt(.025 + .0096) = .2634.
    interval = wilson_interval(5, 10)
    assert (interval.lower, interval.estimate, interval.upper) == pytest.approx(
        (0.2366, 0.5, 0.7634), abs=1e-4
    )
    assert wilson_interval(0, 10).lower == 0
    assert wilson_interval(10, 10).upper == 1


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_wilson_covers_at_its_level(p):
    """Exact coverage: the binomial probability of the outcomes whose interval holds p."""
    n = 80
    held = [k for k in range(n + 1) if p in wilson_interval(k, n)]
    assert 0.93 < stats.binom.pmf(held, n, p).sum() < 0.98


def test_clusters_of_one_trial_give_wilson():
    outcomes = RNG.random(400) < 0.3
    ours = clustered_proportion(outcomes, np.ones(400))
    plain = wilson_interval(outcomes.sum(), 400)
    assert (ours.lower, ours.upper) == pytest.approx((plain.lower, plain.upper), abs=2e-3)


def test_clustered_intervals_cover_where_independent_ones_do_not():
    """Beta-binomial, intra-cluster correlation .3: attempts at a prompt share its difficulty."""
    p, correlation, clusters, attempts = 0.3, 0.3, 60, 8
    a = p * (1 - correlation) / correlation
    b = (1 - p) * (1 - correlation) / correlation

    def counts():
        return RNG.binomial(attempts, RNG.beta(a, b, clusters))

    def clustered():
        return clustered_proportion(counts(), np.full(clusters, attempts))

    def naive():
        return wilson_interval(counts().sum(), clusters * attempts)

    assert 0.93 < coverage_rate(clustered, p, 2000) < 0.97
    assert coverage_rate(naive, p, 2000) < 0.80


def test_clustered_intervals_cover_with_unequal_clusters():
    sizes = RNG.integers(1, 9, 80)
    difficulty = [0.1, 0.7]

    def draw():
        ps = np.array(difficulty)[RNG.integers(2, size=80)]
        return clustered_proportion(RNG.binomial(sizes, ps), sizes)

    assert 0.925 < coverage_rate(draw, 0.4, 2000) < 0.97


def test_unanimous_clusters_count_once_each():
    interval = clustered_proportion([4] * 10, [4] * 10)
    z = stats.t.ppf(0.975, 9)
    assert interval.estimate == interval.upper == 1
    assert interval.lower == pytest.approx(10 / (10 + z * z))  # Wilson's lower end at 10 of 10


def test_clusters_that_agree_on_a_middling_share_are_no_certainty():
    """Half right in each of 20: no variance between clusters, but not more than 80 trials."""
    interval = clustered_proportion([2] * 20, [4] * 20)
    z = stats.t.ppf(0.975, 19)
    half = z / (1 + z * z / 80) * np.sqrt(0.25 / 80 + z * z / (4 * 80**2))
    assert (interval.lower, interval.upper) == pytest.approx((0.5 - half, 0.5 + half))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_interquartile_mean_agrees_with_scipy(values):
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-12)


def test_interquartile_mean_of_curves_and_an_outlier():
    assert interquartile_mean([0, 1, 2, 100]) == 1.5
    curves = np.array([[0.0, 5], [1, 6], [2, 7], [100, 8]])
    assert interquartile_mean(curves).tolist() == [1.5, 6.5]
    assert interquartile_mean(curves, axis=1).tolist() == [2.5, 3.5, 4.5, 54]


def test_bootstrap_covers_the_mean_and_repeats_itself():
    def draw():
        return bootstrap_interval(RNG.normal(2, 3, 60), resamples=400, key=int(RNG.integers(1e9)))

    assert 0.91 < coverage_rate(draw, 2.0, 800) < 0.97
    values = RNG.normal(size=30)
    assert bootstrap_interval(values, key=3) == bootstrap_interval(values, key=3)
    assert bootstrap_interval(values, key=3) != bootstrap_interval(values, key=4)


def test_bootstrap_of_the_mean_has_the_standard_errors_width():
    values = RNG.normal(0, 1, 200)
    interval = bootstrap_interval(values, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(200)
    assert interval.upper - interval.lower == pytest.approx(2 * half, rel=0.07)
    narrow = bootstrap_interval(values, level=0.5, resamples=4000)
    assert narrow.upper - narrow.lower == pytest.approx(2 * half * 0.6745 / 1.96, rel=0.07)


def test_seeds_are_resampled_within_each_benchmark():
    """Benchmarks that are apart widen nothing; each keeps its place in every resample."""
    same = stratified_interquartile_mean([[0.0, 0.2, 0.4, 0.9]] * 2, resamples=50)
    # Of 0, 0, .2, .2, .4, .4, .9, .9 the middle half is .2, .2, .4, .4.
    assert (same.estimate, same.lower, same.upper) == pytest.approx((0.3, 0.3, 0.3))
    # One benchmark that was 0 or 1: of two resampled seeds a quarter are both 0, a quarter both 1.
    one = [stratified_interquartile_mean([[0.0], [1.0]], level, 4000) for level in (0.4, 0.6)]
    assert [(found.lower, found.upper) for found in one] == [(0.5, 0.5), (0, 1)]
    # Seeds of two benchmarks are drawn apart: 5 / 16 of resamples hold at most one 1 among four
    # scores, whose middle half is 0; drawn together it would be 1 / 4.
    both = [[0.0, 0.0], [1.0, 1.0]]
    two = [stratified_interquartile_mean(both, level, 4000) for level in (0.34, 0.44)]
    assert [found.lower for found in two] == [0.5, 0]


@pytest.mark.parametrize("values", [[0.1, 0.2], [[0.1, 0.2]], np.zeros((2, 0))])
def test_scores_without_two_seeds_of_a_benchmark_are_refused(values):
    with pytest.raises(InvalidInput, match=r"^values = .*two seeds or more"):
        stratified_interquartile_mean(values)


def test_bands_over_seeds_are_pointwise():
    curves = RNG.random((20, 7))
    band = bootstrap_interval(curves, interquartile_mean, resamples=500)
    assert band.estimate.shape == band.lower.shape == band.upper.shape == (7,)
    assert (band.lower < band.estimate).all()
    assert (band.estimate < band.upper).all()


def test_chunks_of_resamples_change_nothing(monkeypatch):
    import cpi_theory.statistics.bootstrap as module

    values = RNG.random((20, 3))
    whole = bootstrap_interval(values, resamples=700, key=1)
    monkeypatch.setattr(module, "_BATCH", 60 * 13)
    parts = bootstrap_interval(values, resamples=700, key=1)
    np.testing.assert_array_equal(whole.lower, parts.lower)


def test_paired_difference_agrees_with_the_t_test():
    a = RNG.normal(1, 1, 12)
    b = a + RNG.normal(-0.5, 0.2, 12)
    ours = paired_difference(a, b, 0.9)
    reference = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (ours.lower, ours.upper) == pytest.approx((reference.low, reference.high))
    assert ours.estimate == pytest.approx((a - b).mean())


def test_a_paired_difference_of_shares_ends_at_one():
    wide = paired_difference([1.0, 0.5], [0.0, 0.0])
    assert (wide.lower, wide.upper) == pytest.approx(
        (0.75 - 0.25 * 12.706, 0.75 + 0.25 * 12.706), abs=1e-3
    )
    cut = paired_difference([1.0, 0.5], [0.0, 0.0], limit=1.0)
    assert (cut.estimate, cut.lower, cut.upper) == (0.75, -1.0, 1.0)


def test_an_exact_power_law_has_an_exact_slope():
    x = np.array([0.5, 0.25, 0.125, 0.0625])
    y = 3 * x**-2
    interval = log_log_slope(x, np.stack([y, y, y], axis=1))
    assert (interval.lower, interval.estimate, interval.upper) == pytest.approx((-2, -2, -2))


@pytest.mark.parametrize("paired", [False, True])
def test_slope_intervals_cover(paired):
    x = np.array([1.0, 2, 4, 8])

    def draw():
        shared = RNG.lognormal(0, 0.5, (1, 40)) if paired else 1.0
        y = x[:, None] ** 1.5 * RNG.lognormal(0, 0.4, (4, 40)) * shared
        return log_log_slope(x, y, resamples=300, key=1, paired=paired)

    assert 0.90 < coverage_rate(draw, 1.5, 500) < 0.98


def test_pairing_removes_what_the_points_share():
    x = np.array([1.0, 2, 4])
    y = x[:, None] * RNG.lognormal(0, 1, (1, 30))
    paired = log_log_slope(x, y, paired=True)
    apart = log_log_slope(x, y)
    assert paired.upper - paired.lower < 1e-9 < apart.upper - apart.lower


def test_an_interval_knows_what_it_holds():
    assert 0.5 in Interval(0.4, 0.3, 0.5)
    assert 0.51 not in Interval(0.4, 0.3, 0.5)
    assert 0.3 in Interval(0.4, 0.3, 0.5)
    assert 1 not in Interval(np.ones(2), np.zeros(2), np.array([2.0, 0.5]))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: wilson_interval(3, 2), "successes"),
        (lambda: wilson_interval(-1, 2), "successes"),
        (lambda: wilson_interval(0, 0), "trials"),
        (lambda: wilson_interval(1, 2, level=1.0), "level"),
        (lambda: clustered_proportion([1], [1]), "trials"),
        (lambda: clustered_proportion([1, 1], [1, 0]), "successes"),
        (lambda: clustered_proportion([0, 0, 1], [0, 0, 1]), "trials"),
        (lambda: clustered_proportion([1, 2], [1, 2, 3]), "successes"),
        (lambda: bootstrap_interval([1.0]), "values"),
        (lambda: bootstrap_interval([1.0, 2], resamples=0), "resamples"),
        (lambda: bootstrap_interval([1.0, 2], resamples=10**9), "resamples"),
        (lambda: log_log_slope([1, 2], [[1, 1], [2, 2]], resamples=10**9), "resamples"),
        (lambda: paired_difference([1, 2], [1, 2, 3]), "second"),
        (lambda: paired_difference([1], [2]), "second"),
        (lambda: log_log_slope([1, 2], [[1, 1], [0, 0]]), "y"),
        (lambda: log_log_slope([0, 2], [[1, 1], [1, 1]]), "x"),
        (lambda: log_log_slope([2, 2], [[1, 1], [1, 1]]), "x"),
        (lambda: log_log_slope([1, 2], [1, 2]), "y"),
    ],
)
def test_bad_input_is_refused_by_name(call, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        call()


def test_bernstein_worked_by_hand():
    # Half 0s, half 1s, ln(4 / .1) = 3.6889. Ten of them: the interval is cut. A thousand:
    # V = 250 / 999 and the half width is .0430 + .0086.
    values = [0.0, 1] * 5
    wide = bernstein_interval(values, 0, 1, 0.1)
    assert (wide.lower, wide.upper) == (0, 1)
    many = bernstein_interval(values * 100, 0, 1, 0.1)
    assert (many.lower, many.upper) == pytest.approx((0.4484, 0.5516), abs=1e-4)
    assert many.estimate == 0.5


def test_a_small_variance_makes_the_bernstein_interval_narrow():
    calm = bernstein_interval(np.full(1000, 0.5), 0, 1, 0.05)
    assert calm.upper - calm.lower == pytest.approx(2 * 7 * np.log(80) / (3 * 999))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9), st.floats(0.1, 9), st.floats(-5, 5))
def test_bernstein_follows_shift_and_scale(values, scale, shift):
    unit = bernstein_interval(values, 0, 1, 0.2)
    moved = bernstein_interval(np.array(values) * scale + shift, shift, shift + scale, 0.2)
    for end in ("estimate", "lower", "upper"):
        assert getattr(moved, end) == pytest.approx(getattr(unit, end) * scale + shift, abs=1e-6)


def test_values_on_the_bounds_are_inside():
    assert bernstein_interval([2.0, 5.0], 2, 5, 0.2).estimate == 3.5


@pytest.mark.parametrize("draw", [lambda n: RNG.random(n) < 0.1, lambda n: RNG.random(n) ** 3])
def test_bernstein_misses_less_than_promised(draw):
    truth = draw(1_000_000).mean()
    held = coverage_rate(lambda: bernstein_interval(draw(60), 0, 1, 0.3), truth, 500)
    assert held >= 0.7


@given(st.integers(0, 50), st.integers(1, 50), st.floats(0.001, 0.5))
def test_chernoff_ends_solve_their_equation(successes, failures, delta):
    n = successes + failures
    interval = chernoff_interval(successes, n, delta)
    q = interval.estimate
    assert 0 <= interval.lower <= q < interval.upper <= 1
    for end in (interval.lower, interval.upper):
        if 1e-9 < end < 1 - 1e-9:
            kl = sum(a * np.log(a / b) for a, b in [(q, end), (1 - q, 1 - end)] if a > 0)
            assert n * kl == pytest.approx(np.log(2 / delta), rel=1e-6)


def test_chernoff_worked_by_hand():
    # No success in 100: (1 - p)^100 = .025 gives p = .0362; never all the way to 0 or 1 otherwise.
    interval = chernoff_interval(0, 100, 0.05)
    assert (interval.lower, interval.upper) == pytest.approx((0, 0.03621), abs=1e-5)
    assert chernoff_interval(100, 100, 0.05).upper == 1


@pytest.mark.parametrize("p", [0.02, 0.4])
def test_chernoff_covers_by_exact_binomial_sums(p):
    held = [k for k in range(61) if p in chernoff_interval(k, 60, 0.1)]
    assert stats.binom.pmf(held, 60, p).sum() >= 0.9


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: bernstein_interval([1.0], 0, 1, 0.1), "values"),
        (lambda: bernstein_interval([0.0, 1.1], 0, 1, 0.1), "values"),
        (lambda: bernstein_interval([0.0, 1.0], 0, 1, 0.0), "delta"),
        (lambda: chernoff_interval(1, 2, 1.5), "delta"),
        (lambda: chernoff_interval(3, 2, 0.1), "successes"),
        (lambda: chernoff_interval(0, 0, 0.1), "trials"),
    ],
)
def test_bad_input_of_the_exact_intervals_is_refused(call, field):
    with pytest.raises(InvalidInput, match=f"^{field} = "):
        call()


def test_harmonic_means_rise_in_both_and_hold_their_estimate() -> None:
    found = harmonic_mean(Interval(0.5, 0.4, 0.6), Interval(0.25, 0.1, 0.4))
    assert found.estimate == pytest.approx(1 / 3)
    assert (found.lower, found.upper) == (pytest.approx(0.16), pytest.approx(0.48))
    nothing = harmonic_mean(Interval(0.0, 0.0, 0.1), Interval(0.0, 0.0, 0.1))
    assert (nothing.estimate, nothing.lower, nothing.upper) == (0.0, 0.0, pytest.approx(0.1))
    assert harmonic_mean(Interval(0.0, 0.0, 0.1), Interval(1.0, 0.9, 1.0)).estimate == 0.0
    assert np.isnan(harmonic_mean(Interval(np.nan, 0.0, 1.0), Interval(1.0, 0.9, 1.0)).estimate)


def test_harmonic_means_cover_under_either_dependence() -> None:
    """Two shares of a known size, independent or drawn from the same trials."""
    rng, misses = np.random.default_rng(0), {"apart": 0, "alike": 0}
    for _ in range(400):
        hits = rng.random((2, 150)) < [[0.7], [0.3]]
        same = rng.random(150)
        for kind, pair in (("apart", hits), ("alike", np.array([same < 0.7, same < 0.3]))):
            shares = (wilson_interval(int(h.sum()), 150) for h in pair)
            misses[kind] += 0.42 not in harmonic_mean(*shares)
    assert max(misses.values()) / 400 < 0.05
