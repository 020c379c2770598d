"""`import tabular` is cheap and every public name resolves."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tabular


@pytest.mark.parametrize("name", tabular.__all__)
def test_public_name_resolves_and_is_documented(name):
    value = getattr(tabular, name)
    assert value.__name__ == name
    assert value.__doc__
    assert name in dir(tabular)


def test_unknown_name():
    with pytest.raises(AttributeError, match="No tabular attribute evaluat"):
        tabular.evaluat  # noqa: B018


def test_import_loads_nothing_heavy():
    code = (
        "import sys, tabular; print(*[m for m in ('numpy', 'numba', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_building_a_world_loads_no_numba():
    code = (
        "import sys; from tabular import garnet; garnet(3, 2, 2, 2); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
