"""The pictures of docs/pictures.md: real collections on a tree that is small enough to be drawn."""

from __future__ import annotations

from pathlib import Path

from website import groups, worlds
from website.links import ROOT
from website.method_pages import PAGES, collection

FOLDER = ROOT / "docs" / "pictures"
SHOWN = ("GRPO", "RRPO", "SRPO", "VinePPO", "VPPO", "Frontier")
"""Methods that the page shows side by side."""


def files() -> dict[Path, str]:
    """Path and SVG of each picture."""
    world = worlds.small_world()
    return {
        FOLDER / f"{page.slug}.svg": groups.picture(
            list(groups.rows(collection(page, 1), world)), f"Groups of {page.title} for one prompt"
        )
        for page in PAGES
        if page.title in SHOWN
    }
