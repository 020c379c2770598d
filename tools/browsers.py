"""The browser of tests and benchmarks: a Chromium of the system, or that of ``make browser``."""

from __future__ import annotations

import shutil
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome")

_MADE = Path(__file__).parent.parent / "build" / "browser" / "chromium"


def chromium() -> str | None:
    """The program; None where there is none."""
    return next(filter(None, map(shutil.which, (*_NAMES, str(_MADE)))), None)
