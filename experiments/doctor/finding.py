"""What is said of one part of an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["there", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """One part.

    Attributes:
        part: what was looked at.
        state: "there", "missing", or "broken": there, but of no use as it is.
        found: a version, a size, or what is wrong.
        needed: whether all commands need it.
        enables: what it is for.
        remedy: how to get or to mend it; empty where it is there.
    """

    part: str
    state: State
    found: str
    needed: bool = False
    enables: str = ""
    remedy: str = ""

    @property
    def fatal(self) -> bool:
        """Whether commands cannot run without it."""
        return self.needed and self.state != "there"
