"""The public surfaces: importing a package is cheap and every public name resolves."""

from __future__ import annotations

import importlib
import subprocess
import sys
import typing

import pytest

PACKAGES = ("cpi_theory", "tabular", "llm")


def public_names():
    return [(p, name) for p in PACKAGES for name in importlib.import_module(p).__all__]


@pytest.mark.parametrize(("package", "name"), public_names())
def test_public_name_resolves_and_is_documented(package, name):
    module = importlib.import_module(package)
    value = getattr(module, name)
    assert name in dir(module)
    alias = typing.get_origin(value) is not None or not value.__module__.startswith(package)
    if alias:  # of a type; it has neither name nor docstring of its own
        return
    assert value.__doc__
    assert getattr(value, "__name__", name) == name


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"No {package} attribute evaluat"):
        getattr(importlib.import_module(package), "evaluat")  # noqa: B009


def loaded(code, names):
    script = f"import sys\n{code}\nprint(*[m for m in {names!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("package", PACKAGES)
def test_import_loads_nothing_heavy(package):
    assert loaded(f"import {package}", ("numpy", "numba", "scipy", "torch")) == []


def test_building_a_world_loads_no_numba():
    assert loaded("from tabular import garnet; garnet(3, 2, 2, 2)", ("numba",)) == []


def test_a_task_loads_no_torch():
    assert loaded("from llm import ArithmeticTask; ArithmeticTask()", ("torch",)) == []
