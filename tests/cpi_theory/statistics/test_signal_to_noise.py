"""The signal-to-noise ratio of updates: by hand, unbiased, and how often its interval covers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import t as student

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.signal_to_noise import signal_to_noise


def test_a_known_law() -> None:
    rng = np.random.default_rng(0)
    # Mean (3, 4), standard deviation 2 in each of 2 dimensions: 25 / 8.
    found = signal_to_noise(np.array([3.0, 4.0]) + 2 * rng.standard_normal((100_000, 2)))
    assert found.estimate == pytest.approx(25 / 8, rel=0.02)
    assert found.values.mean() == pytest.approx(found.estimate, rel=1e-3)


def test_by_hand() -> None:
    # Products of pairs 2, 3, 6: |E U|^2 is 11 / 3; squares 1, 4, 9: their mean is 14 / 3.
    found = signal_to_noise(np.array([[1.0], [2.0], [3.0]]))
    assert found.estimate == pytest.approx(11 / 3)
    # Without the first 6 / (13/2 - 6), the second 3 / (5 - 3), the third 2 / (5/2 - 2).
    without = np.array([12, 1.5, 4])
    assert found.values.tolist() == pytest.approx((3 * 11 / 3 - 2 * without).tolist())


def test_sparse_updates_give_the_same() -> None:
    updates = np.random.default_rng(1).poisson(0.3, (40, 7)).astype(float)
    dense, sparse = signal_to_noise(updates), signal_to_noise(csr_array(updates))
    assert sparse.estimate == pytest.approx(dense.estimate)
    assert sparse.values.tolist() == pytest.approx(dense.values.tolist())


def test_a_signal_that_is_not_there_is_0_in_the_mean() -> None:
    rng = np.random.default_rng(2)
    found = [signal_to_noise(rng.standard_normal((50, 3))).estimate for _ in range(2000)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(len(found))
    assert min(found) < 0


@pytest.mark.parametrize("size", [0.1, 1.0])
def test_the_interval_of_the_values_covers(size: float) -> None:
    """Skewed updates, most of which are nothing, as those of rare successes are."""
    rng, n, covered = np.random.default_rng(3), 300, 0
    # U = (B + c, B' ) with B, B' = +1 or 0: E U = (p + c, p), variance 2 p (1 - p).
    p = 0.1
    mean = np.array([p + size - 0.1, p])
    truth = float(mean @ mean) / (2 * p * (1 - p))
    for _ in range(300):
        updates = (rng.random((n, 2)) < p) + np.array([size - 0.1, 0])
        values = signal_to_noise(updates).values
        half = student.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
        covered += abs(values.mean() - truth) <= half
    assert 0.9 <= covered / 300 <= 0.99


def test_nothing_is_ever_learned_and_nothing_ever_varies() -> None:
    nothing = signal_to_noise(np.zeros((5, 2)))
    assert nothing.estimate == 0
    assert nothing.values.tolist() == [0] * 5
    assert signal_to_noise(np.ones((5, 2))).estimate > 1e6


def test_two_draws_are_refused() -> None:
    with pytest.raises(InvalidInput, match="updates = 2"):
        signal_to_noise(np.zeros((2, 1)))
