"""Keys of random streams: every draw is addressed by (seed, iteration, prompt, purpose).

A draw depends on its address alone, never on what was drawn before, so a resumed, re-ordered or
distributed run draws the same numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cpi_theory.checks import InvalidInput

Keys = NDArray[np.uint64]
"""One 64-bit key per rollout, shape (n,): the whole randomness of that rollout."""

# numpy's seed sequences take their entropy in words of 32 bits.
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Key:
    """Address of a random stream.

    >>> Key.of(7).child("rollouts", 3).integers(2) == Key.of(7).child("rollouts", 3).integers(2)
    array([ True,  True])
    """

    path: tuple[int, ...]

    @classmethod
    def of(cls, source: Key | int | np.random.Generator) -> Key:
        """Return a key from a key (itself), a seed, or one draw of a numpy generator.

        Raises:
            InvalidInput: if `source` is none of these or a seed outside [0, 2^64).
        """
        if isinstance(source, Key):
            return source
        if isinstance(source, np.random.Generator):
            return cls((int(source.integers(1 << 63)),))  # the most that numpy's int64 takes
        # True and False are integers to Python; as a seed they are a mistake.
        if isinstance(source, bool) or not hasattr(source, "__index__") or source < 0:
            raise InvalidInput("seed", source, "not a seed", "give an integer >= 0 or a Generator")
        if source >= 1 << 64:
            raise InvalidInput("seed", source, "outside [0, 2^64)", "give a smaller one")
        return cls((int(source),))

    def child(self, *parts: int | str) -> Key:
        """Return the stream below this one at some parts, as ``key.child(iteration, "base")``."""
        return Key(self.path + tuple(_number(part) for part in parts))

    def sequence(self) -> np.random.SeedSequence:
        """Return the numpy seed sequence of this address.

        Each part takes two words, after one for their number: numpy pads short entropy with zeros,
        so that without it a stream would be the same as its child 0.
        """
        words = [w for part in self.path for w in (part & _WORD, part >> 32)]
        return np.random.SeedSequence([len(self.path), *words])

    def integers(self, count: int) -> Keys:
        """Return one uint64 key per rollout, shape (count,); a longer request extends a shorter."""
        if count == 0:
            return np.empty(0, dtype=np.uint64)  # many requests are; a sequence takes 10 us
        return self.sequence().generate_state(count, np.uint64).astype(np.uint64, copy=False)

    def index(self, probabilities: NDArray[np.float64]) -> int:
        """Draw an index by inverse distribution function; rounding never picks probability 0.

        Args:
            probabilities: shape (n,), not all zero; they need not sum to one.
        """
        cumulative = np.cumsum(probabilities)
        # The top 53 bits, as many as a float holds: every value is equally likely, and none is 1.
        uniform = float(self.integers(1)[0] >> np.uint64(11)) * 2.0**-53
        index = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
        # The product may round up to the whole sum, whose index is past the last one with weight.
        return int(min(index, np.flatnonzero(probabilities)[-1]))

    def generator(self) -> np.random.Generator:
        """Return a numpy generator for this stream."""
        return np.random.default_rng(self.sequence())


def as_keys(keys: ArrayLike, count: int) -> Keys:
    """Check one key per rollout as a simulator is given them, shape (count,) uint64.

    Raises:
        InvalidInput: if they are not `count` integers.
    """
    given = np.asarray(keys)
    # Floats are refused and not rounded: beyond 2^53 they would merge different keys.
    if given.shape != (count,) or (count and given.dtype.kind not in "ui"):
        raise InvalidInput("keys", given, f"not {count} integers", "give one per rollout")
    # Kernels are compiled for contiguous and writeable arrays alone.
    return np.require(given, np.uint64, ["C", "W"])


def _number(part: int | str) -> int:
    """Part of an address as an integer below 2^64; text by a hash that never changes."""
    if isinstance(part, str):
        # Not `hash`, which Python salts anew in every process.
        return int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little")
    if not 0 <= part < 1 << 64:
        raise InvalidInput("key part", part, "outside [0, 2^64)", "give a 64-bit index or a name")
    return int(part)
