"""Settings of ``cpi-resets explore``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from cpi_theory.checks import check_count
from experiments.config import check_folder

PAGES = (".html", ".htm")
"""How the name of a page of one file ends."""


@dataclass(frozen=True)
class ExploreConfig:
    """Look into the rollouts of runs: a page for each, which opens from disk in any browser.

    Of a run of train it shows the rollouts that were kept, of evaluate those of --texts, of
    localize the traces that people have marked; the rollouts of a run of learn are drawn again from
    its settings and seed, beside exact values.

    Attributes:
        runs: folders of runs, such as results/train, or their names below results.
        output: of a single run: a file that ends in .html, which holds everything, or a folder for
            the page with its data in parts beside it, for tens of thousands of rollouts. By
            default the file explore.html in the folder of the run.
        open: open the page in the browser.
        most: rollouts of a run that are shown, at most; the page says what was left out.
        seeds: of a run of learn, the first so many seeds of each world and method.
        updates: of those, so many updates, evenly spread.
    """

    runs: tyro.conf.Positional[tuple[str, ...]] = ()
    output: Path | None = None
    open: bool = False
    most: int = 20_000
    seeds: int = 1
    updates: int = 6

    def __post_init__(self) -> None:
        for name in ("most", "seeds", "updates"):
            check_count(name, getattr(self, name))
        if self.output is not None and self.output.suffix.lower() not in PAGES:
            remedy = "end it in .html for a page of one file, or give a folder"
            check_folder("output", self.output, remedy)

    @property
    def computes(self) -> Literal["tables"]:
        """No model runs."""
        return "tables"
