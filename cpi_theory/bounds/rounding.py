"""What exact and floating-point bounds share: admissible ranges, rounding, capped step sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from numbers import Real

from cpi_theory.checks import Exact, check_in_range

DeviationProbabilities = Callable[[Exact], Iterable[Exact]]
"""Maps a step size alpha to P(D_0), ..., P(D_{H-1})."""

# Sums over a world's states and layers are off by less; those of fractions are not off at all.
_ROUNDING = 1e-9

# Largest denominator of a step size found in floats. The bound is flat at its maximum, so a step
# that is 1e-6 off loses nothing to speak of, and exact arithmetic on it stays quick.
_RESOLUTION = 1 << 20


def capped(
    advantage: Exact, curvature: Exact, bound: Callable[[Exact], Exact]
) -> tuple[Exact, Exact]:
    """Maximise a concave parabola through 0 over [0, 1]; slope and curvature are given."""
    if advantage <= 0:
        return 0, 0
    # Compared before dividing: the curvature is 0 at horizon 1 or spread 0.
    alpha = 1 if advantage >= curvature else advantage / curvature
    return alpha, bound(alpha)


def in_kind_of(model: Exact, alpha: float) -> Exact:
    """Return `alpha` as a rational of moderate size when the model is exact."""
    if isinstance(model, Fraction):
        return Fraction(alpha).limit_denominator(_RESOLUTION)
    return alpha


def check_within(field: str, value: Exact, low: Exact, high: Exact) -> None:
    """Refuse a value outside [low, high]; a float may exceed it by rounding, a rational may not."""
    if not isinstance(value, Real) or not math.isfinite(value):
        check_in_range(field, value, low, high)
    slack = 0 if isinstance(value, (int, Fraction)) else _ROUNDING * max(1, abs(value))
    if not low - slack <= value <= high + slack:
        check_in_range(field, value, low, high)
