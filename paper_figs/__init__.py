"""Every figure and table: a function from stored records to a matplotlib figure."""

from __future__ import annotations

import contextlib
import os
import sys


def _load_matplotlib() -> None:
    """Import matplotlib whatever backend the environment names.

    Notebooks name one for all that they start, and where it is not installed matplotlib does not
    even load. Figures of this package are drawn on canvases of their own and need none; where the
    backend is there, it stays chosen for everybody else in this process.
    """
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = named


if "matplotlib" not in sys.modules:
    _load_matplotlib()
