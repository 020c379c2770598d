"""Bounds on a sum of conditional means that hold at all times at once, whatever drifts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpi_theory.checks import InvalidInput, check_in_range, check_probability

Floats = NDArray[np.float64]

# Bets: half of all that one can lose, a quarter and so on; the smallest is for 10^7 values.
_BETS: Floats = np.power(0.5, np.arange(1.0, 13.0))
# What each value may cost a bet, psi(b) = -ln(1 - b) - b, about b^2 / 2.
_COSTS: Floats = -np.log1p(-_BETS) - _BETS
# 1 / (j (j + 1)), made to add up to one: large bets, which few values decide, are the likelier.
_SHARES: Floats = 1 / (np.arange(1, 13) * np.arange(2, 14)) * 13 / 12
_LOG_SHARES: Floats = np.log(_SHARES)


@dataclass(frozen=True, slots=True)
class RunningSum:
    r"""Values that come one after the other, and bounds on the sum of their expectations.

    Statement (T9): let m_i be the expectation of x_i given all that was known before it. With
    probability >= 1 - delta, m_1 + ... + m_n is at least :meth:`lower` at every n at once; likewise
    at most :meth:`upper`. The m_i may drift and depend on what was seen, and n may be chosen by
    looking.

    Formula: with y = (x - low) / (high - low), T the sum of y, S that of their expectations, V that
    of (y - yhat)^2 and yhat = (1/2 + sum of the y before) / (1 + their number), S is no less than
    where :math:`\sum_j w_j \exp(b_j (T - S) - \psi(b_j) V) = 1 / \delta`,
    :math:`\psi(b) = -\ln(1 - b) - b`, over twelve bets b_j = 1/2, 1/4, ... of weights w_j.

    Assumptions: A1 every x lies in [low, high].

    Attributes:
        low, high: bounds of each value.
        count: n.
        total: T.
        spread: V.

    Source: the method of mixtures with the inequality of X. Fan, I. Grama and Q. Liu, Electronic
        Journal of Probability 20 (2015), arXiv 1502.00221, as in S. Howard, A. Ramdas, J. McAuliffe
        and J. Sekhon, Annals of Statistics 49 (2021), arXiv 1810.08240. Proof: docs/theory.md, T9.
    """

    low: float = 0.0
    high: float = 1.0
    count: int = 0
    total: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InvalidInput("high", self.high, f"not above low = {self.low}", "exchange them")

    def add(self, value: float) -> RunningSum:
        """Return the sum with one more value.

        Raises:
            InvalidInput: if it is outside [low, high].
        """
        check_in_range("value", value, self.low, self.high)
        y = (value - self.low) / (self.high - self.low)
        # Known before the value, as the proof asks.
        guess = (0.5 + self.total) / (1 + self.count)
        spread = self.spread + (y - guess) ** 2
        return RunningSum(self.low, self.high, self.count + 1, self.total + y, spread)

    @property
    def sum(self) -> float:
        """The sum of the values."""
        return self._in_units(self.total)

    def lower(self, delta: float) -> float:
        """Return what the sum of expectations exceeds at all times, but with probability `delta`.

        Args:
            delta: in (0, 1].
        """
        return self._in_units(max(0.0, self.total - self._slack(delta)))

    def upper(self, delta: float) -> float:
        """Return what the sum of expectations stays below at all times; see :meth:`lower`."""
        # 1 - y has the same spread, so that the same slack serves the other side.
        return self._in_units(min(float(self.count), self.total + self._slack(delta)))

    def surely_at_most(self, limit: float, delta: float) -> bool:
        """Tell whether :meth:`upper` is at most `limit`, without working it out."""
        goal = _goal(delta)
        most = (limit - self.low * self.count) / (self.high - self.low)
        return most >= self.count or self._log_capital(most - self.total) >= goal

    def _in_units(self, total: float) -> float:
        return self.low * self.count + (self.high - self.low) * total

    def _slack(self, delta: float) -> float:
        """The T - S at which the mixture of bets has won 1 / delta."""
        goal = _goal(delta)
        if self.count == 0:
            return 0.0
        # One bet alone would have to win 1 / (delta w): the mixture is no worse than its best.
        alone = (goal - _LOG_SHARES + _COSTS * self.spread) / _BETS
        inside, outside = 0.0, float(alone.min())
        for _ in range(60):
            middle = (inside + outside) / 2
            if self._log_capital(middle) < goal:
                inside = middle
            else:
                outside = middle
        return outside

    def _log_capital(self, lead: float) -> float:
        """Logarithm of what the mixture of bets has made of 1, with T - S = `lead`."""
        won = _LOG_SHARES + _BETS * lead - _COSTS * self.spread
        top = float(won.max())
        return top + math.log(float(np.exp(won - top).sum()))


def _goal(delta: float) -> float:
    """ln(1 / delta)."""
    check_probability("delta", delta)
    if delta <= 0:
        raise InvalidInput("delta", delta, "not above 0", "choose e.g. 0.05")
    return math.log(1 / delta)
