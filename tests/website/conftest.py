"""The sources of the site, made once."""

from __future__ import annotations

import json

import pytest

from website.navigation import settings
from website.stage import stage


def _pages(entries):
    for entry in entries:
        if isinstance(entry, str):
            yield entry
            continue
        for value in entry.values():
            yield from _pages([value] if isinstance(value, str) else value)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Folder of the sources, and the pages of the contents in order."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    stage(folder)
    return folder, list(_pages(json.loads(settings())["nav"]))
