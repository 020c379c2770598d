"""The built site in a browser: what axe finds, widths, complaints; skipped where it is not built.

``make docs`` builds it, before the tests in continuous integration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parent.parent.parent / "build" / "site"

# One of each kind: the start, wide tables, formulas, figures, code to copy, made from docstrings.
PAGES = (
    "index.html",
    "league.html",
    "theory.html",
    "pictures.html",
    "tutorials/write_and_race.html",
    "methods/srpo.html",
    "commands/train.html",
    "reference/experiments.evaluate.html",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_site_is_accessible(browser: Any, name: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    if not (SITE / name).is_file():
        pytest.skip("the site is not built (`make docs`)")
    complaints: list[str] = []
    page = browser.new_page(
        color_scheme=scheme, viewport={"width": 390, "height": 844}, reduced_motion="reduce"
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((SITE / name).as_uri())
    found = axe.Axe().run(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert found.violations_count == 0, found.generate_report()
    assert wide <= 390
    assert complaints == []
