"""What every reset policy is made of: weights, the refusal of empty rollouts, one-hot weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpi_theory.seam import Reason, Refusal

Weights = NDArray[np.float64]

EMPTY = Refusal(Reason.EMPTY)


def one_hot(steps: int, index: int) -> Weights:
    """Put weight 1 on step `index` of `steps`, 0 on all others."""
    weights = np.zeros(steps)
    weights[index] = 1.0
    return weights
