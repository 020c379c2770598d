"""Settings of ``cpi-resets report``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cpi_theory.checks import InvalidInput, check_choice


@dataclass(frozen=True)
class ReportConfig:
    """One page that says what the stored runs came to, and every figure as a file.

    The page needs no other file and no network. It answers the main questions first and shows every
    run below the output folder; nothing is run again.

    Attributes:
        name: folder of the page and of the figures below the output folder.
        runs: names of the runs to show, by default all that are there; of a run and its quick form
            (e.g. "verify-quick") the quick one is then left out.
        vector: the form for papers in which each figure is written beside its PNG file: "pdf",
            "svg", or "none", which takes a third of the time.
        watch: seconds between two looks at runs that are under way, for which the page then shows
            what there is and loads itself again, until Ctrl-C; 0: write the page once.
    """

    name: str = "report"
    runs: tuple[str, ...] = ()
    vector: str = "pdf"
    watch: float = 0.0

    def __post_init__(self) -> None:
        check_choice("vector", self.vector, ("pdf", "svg", "none"))
        if not (math.isfinite(self.watch) and self.watch >= 0):
            problem, remedy = "no number of seconds", "choose 0 (once), or e.g. 20"
            raise InvalidInput("watch", self.watch, problem, remedy)

    def formats(self) -> tuple[str, ...]:
        """The kinds of files of each figure."""
        return ("png",) if self.vector == "none" else (self.vector, "png")
