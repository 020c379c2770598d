"""Settings of ``cpi-resets verify``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cpi_theory.checks import check_count


@dataclass(frozen=True)
class VerifyConfig:
    """Check the bounds T1 to T8 and their sharp forms, and search for instances that press them.

    T9 to T11, which speak of what is seen over time, are held by the test suite alone.

    Attributes:
        instances: how many instances to check, all families together.
        seed: of everything that is drawn.
        search: evaluations of each adversarial search; 0 searches nothing.
        quick: a small run for a first look; lowers `instances` and `search`.
        mutate: instead, run the checks against every mutant of every bound; with `quick`, against a
            sample of each bound's.
        replay: instead, check a stored counterexample again.
    """

    instances: int = 10_000
    seed: int = 0
    search: int = 2_000
    quick: bool = False
    mutate: bool = False
    replay: Path | None = None

    def __post_init__(self) -> None:
        check_count("instances", self.instances)
        check_count("seed", self.seed, minimum=0)
        check_count("search", self.search, minimum=0)
