"""The randomness of a completion as a function of its key and the position of a token."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# SplitMix64: its increment, 2^64 over the golden ratio, and the shifts and factors of its
# finaliser.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)


def uniforms(keys: NDArray[np.uint64], position: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """Return one number in [0, 1) per key for a token at `position`, shape (n,).

    A counter run through the finaliser of SplitMix64: any position is reached without those
    before it, so rows can leave or join a batch at will.

    Args:
        keys: of the completions, shape (n,).
        position: of the token in its completion, 0-based; one for all keys, or one each, (n,).

    Source: Steele, Lea and Flood (2014), doi:10.1145/2660193.2660195.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is meant
        # From 1 on: the finaliser maps 0 to 0, and so would key 0 at position 0.
        x = keys + _GOLDEN * np.asarray(position + 1).astype(np.uint64)
        for shift, factor in _MIX:
            x = (x ^ (x >> shift)) * factor
        x = x ^ (x >> np.uint64(31))
    # 53 bits are what a double holds: the result never rounds up to 1.
    drawn: NDArray[np.float64] = (x >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn
