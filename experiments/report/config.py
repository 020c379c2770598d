"""Settings of ``cpi-resets figures``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FiguresConfig:
    """Draw every figure from stored records and write the report.

    Attributes:
        name: folder of figures and report below the output folder.
        verify, compare, learn, frontier, train, anatomy, diagnose: names of the runs to read;
            where `verify` or `frontier` is not there, its quick form (e.g. "verify-quick") is
            read, and with `diagnose` its validation and order.
    """

    name: str = "report"
    verify: str = "verify"
    compare: str = "compare"
    learn: str = "learn"
    frontier: str = "frontier"
    train: str = "train"
    anatomy: str = "anatomy"
    diagnose: str = "diagnose"
