"""Ranks and the agreement of orders: by hand, and how often their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr, ttest_rel

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.bootstrap import paired_p_value
from cpi_theory.statistics.rank_agreement import order_agreement
from cpi_theory.statistics.ranks import bootstrap_ranks


def test_ranks_are_of_mean_scores_and_ties_share_theirs() -> None:
    table = [[0.1, 0.9, 0.5, 0.5], [0.3, 0.7, 0.5, 0.5]]
    found = bootstrap_ranks([table], resamples=50)
    assert found.rank.tolist() == [4, 1, 2.5, 2.5]
    assert found.lower.tolist() == found.upper.tolist() == [4, 1, 2.5, 2.5]
    assert found.first.tolist() == [0, 1, 0, 0]


def test_ranks_over_settings_are_means() -> None:
    found = bootstrap_ranks([[[1, 2, 3]] * 2, [[1, 3, 2]] * 3], resamples=10)
    assert found.rank.tolist() == [3, 1.5, 1.5]
    assert found.first.tolist() == [0, 0.5, 0.5]


def test_seeds_are_shared_by_the_methods_that_are_resampled() -> None:
    """A seed that is good for all moves nobody: the second is always just behind the first."""
    luck = np.random.default_rng(0).normal(size=(20, 1))
    found = bootstrap_ranks([luck + np.array([0.01, 0.0])])
    assert found.lower.tolist() == found.upper.tolist() == [1, 2]


def test_a_rank_that_is_uncertain_has_an_interval() -> None:
    scores = np.random.default_rng(1).normal(size=(20, 3)) + np.array([0, 0, 1.5])
    found = bootstrap_ranks([scores])
    assert (found.lower[2], found.upper[2]) == (1, 1)
    assert (found.lower[0], found.upper[0]) == (2, 3)
    assert found.first.sum() == pytest.approx(1)


@pytest.mark.parametrize("bad", [[], [[[1, 2]]], [[[1, 2]] * 2, [[1, 2, 3]] * 2], [[1, 2]]])
def test_ranks_refuse_what_they_cannot_resample(bad: list) -> None:
    with pytest.raises(InvalidInput, match="settings"):
        bootstrap_ranks(bad)


def test_order_agreement_is_spearman_s_and_means_over_settings() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3, 9))
    x[0, 1] = x[0, 0]
    found = order_agreement(x, y, resamples=200)
    mean = np.mean([spearmanr(a, b).statistic for a, b in zip(x, y, strict=True)])
    assert found.correlation.estimate == pytest.approx(mean)
    assert (found.methods, found.settings) == (9, 3)
    assert found.correlation.lower < mean < found.correlation.upper


def test_methods_are_resampled_with_both_of_their_scores() -> None:
    x = np.random.default_rng(6).normal(size=(2, 9))
    found = order_agreement(x, np.exp(x), resamples=200).correlation
    assert (found.lower, found.estimate, found.upper) == pytest.approx((1, 1, 1))


def test_settings_that_are_all_alike_prove_no_more_than_one() -> None:
    x, y = np.random.default_rng(3).normal(size=(2, 1, 10))
    one, many = (order_agreement(x.repeat(n, 0), y.repeat(n, 0), resamples=500) for n in (1, 8))
    assert one.correlation.lower == pytest.approx(many.correlation.lower)
    assert one.p_value == pytest.approx(many.p_value)


def test_p_values_of_unrelated_orders_are_uniform_and_intervals_cover() -> None:
    rng = np.random.default_rng(4)
    p, covered = [], 0
    for i in range(300):
        found = order_agreement(*rng.normal(size=(2, 1, 15)), resamples=199, key=i)
        p.append(found.p_value)
        covered += 0 in found.correlation
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert covered / 300 > 0.9


def test_order_agreement_refuses_what_has_no_order() -> None:
    x = np.arange(10.0).reshape(2, 5)
    for bad in (x[:, :3], x[:1], np.ones((2, 5))):
        with pytest.raises(InvalidInput, match="predicted"):
            order_agreement(bad, x if bad.shape == x.shape else x[:, :4])


def test_the_p_value_of_pairs_is_that_of_the_paired_test() -> None:
    a, b = np.random.default_rng(5).normal(size=(2, 12))
    assert paired_p_value(a, b) == pytest.approx(ttest_rel(a, b).pvalue)
    assert paired_p_value([1.0, 2.0], [1.0, 2.0]) == 1
    assert paired_p_value([1.0, 2.0, 3.0], [0.0, 1.0, 2.0]) == 0.25  # three of a sign: 2 / 2^3
