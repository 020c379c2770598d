r"""How much of an update is signal, estimated from independent draws of it, with its uncertainty.

The signal-to-noise ratio of an update U is S = |E U|^2 / E |U - E U|^2. Of n draws, the mean of
U_i . U_j over all pairs i != j estimates |E U|^2 without bias, and the mean of |U_i|^2 less that
the variance. The estimate of S may come out below 0 where there is no signal to speak of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.statistics.intervals import Array

# A share of the mean square that no variance is taken to be below: updates that are all alike.
_LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class SignalToNoise:
    """What draws of an update say of its signal-to-noise ratio.

    Attributes:
        estimate: of the ratio, from all draws; negative where they show none.
        values: pseudo-values of the jackknife, shape (draws,): n S - (n - 1) S_i, S_i the estimate
            without draw i. They behave like independent draws whose mean is the ratio, so that
            resampling them, jointly for several kinds of updates drawn for the same prompts,
            says how sure ratios and their order are.

    Source: J. W. Tukey (1958), Annals of Mathematical Statistics 29, 614 (pseudo-values); B. Efron
    and C. Stein, Annals of Statistics 9 (1981), https://doi.org/10.1214/aos/1176345462 (what the
    jackknife's variance is in the mean: not less than the true one).
    """

    estimate: float
    values: Array


def signal_to_noise(updates: Any) -> SignalToNoise:
    """Estimate |E U|^2 / E |U - E U|^2 from independent draws of U.

    Args:
        updates: shape (draws, parameters), three draws at least; a scipy.sparse array will do.

    Raises:
        InvalidInput: if there are fewer draws.
    """
    n = updates.shape[0]
    if n < 3:
        raise InvalidInput("updates", n, "no spread can be seen without one", "draw 3 or more")
    squares = np.asarray((updates * updates).sum(axis=1), np.float64).ravel()
    total = np.asarray(updates.sum(axis=0), np.float64).ravel()
    # Sum over j != i of U_i . U_j; each pair is in the sums of two draws.
    others = np.asarray(updates @ total, np.float64).ravel() - squares
    pairs, mass = float(others.sum()), float(squares.sum())
    estimate = float(_ratio(np.array(pairs / (n * (n - 1))), np.array(mass / n)))
    without = _ratio(
        (pairs - 2 * others) / ((n - 1) * (n - 2)),
        (mass - squares) / (n - 1),
    )
    return SignalToNoise(estimate, n * estimate - (n - 1) * without)


def _ratio(signal: Array, mass: Array) -> Array:
    """Of signal and the rest of the mean square; 0 where nothing is ever learned."""
    noise = np.maximum(mass - signal, _LEAST * mass)
    return np.divide(signal, noise, out=np.zeros_like(signal), where=noise > 0)
