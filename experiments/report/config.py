"""Settings of ``cpi-resets figures``."""

from __future__ import annotations

from dataclasses import dataclass

from cpi_theory.checks import check_choice


@dataclass(frozen=True)
class FiguresConfig:
    """Draw every figure from stored records and write the report.

    Attributes:
        name: folder of figures and report below the output folder.
        verify, compare, learn, frontier, league, train, evaluate, anatomy, localize, diagnose:
            names of the runs to read; where `verify` or `frontier` is not there, its quick form
            (e.g. "verify-quick") is read, and with `diagnose` its validation and order.
        vector: the form for papers in which each figure is written beside the report's PNG file:
            "pdf", "svg", or "none", which takes a third of the time.
    """

    name: str = "report"
    verify: str = "verify"
    compare: str = "compare"
    learn: str = "learn"
    frontier: str = "frontier"
    league: str = "league"
    train: str = "train"
    evaluate: str = "evaluate"
    anatomy: str = "anatomy"
    localize: str = "localize"
    diagnose: str = "diagnose"
    vector: str = "pdf"

    def __post_init__(self) -> None:
        check_choice("vector", self.vector, ("pdf", "svg", "none"))

    def formats(self) -> tuple[str, ...]:
        """The kinds of files of each figure."""
        return ("png",) if self.vector == "none" else (self.vector, "png")
