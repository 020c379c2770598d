"""Quantiles behind the intervals; scipy is loaded when the first one is asked for."""

from __future__ import annotations

from cpi_theory.checks import check_in_range


def tail_probability(level: float) -> float:
    """Return the probability beyond each end of a two-sided interval of that level."""
    # At 0 and 1 an interval would be a point or the whole line.
    check_in_range("level", level, 1e-12, 1 - 1e-12)
    return (1 - level) / 2


def normal_quantile(level: float) -> float:
    """Return the z of a two-sided normal interval."""
    from scipy.special import ndtri  # imported late: `import cpi_theory` stays quick

    return float(ndtri(1 - tail_probability(level)))


def student_quantile(level: float, freedom: float) -> float:
    """Return the t of a two-sided interval with so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - tail_probability(level)))


def student_p_value(t: float, freedom: float) -> float:
    """Return the two-sided p-value of a t statistic with so many degrees of freedom."""
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))
