"""What every reset policy is made of: weights, the refusal of empty rollouts, one-hot weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpi_theory.seam import Reason, Refusal

Weights = NDArray[np.float64]

EMPTY = Refusal(Reason.EMPTY)


def one_hot(steps: int, index: int) -> Weights:
    """Weight 1 at step `index` of `steps`, 0 elsewhere."""
    weights = np.zeros(steps)
    weights[index] = 1.0
    return weights
