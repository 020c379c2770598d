"""The family of credit methods keeps the laws in every world that can do what it asks."""

from __future__ import annotations

import pytest

from cpi_theory import InvalidInput, collect
from cpi_theory.testing import check_algorithm
from tests.conformance.family import FAMILY, able
from tests.conformance.worlds import WORLDS, starts

COMBINATIONS = [
    pytest.param(name, make, id=f"{world}-{name}")
    for world, make in WORLDS.items()
    for name in FAMILY
]


@pytest.mark.parametrize(("name", "make"), COMBINATIONS)
def test_it_keeps_the_laws_or_is_refused_clearly(name, make):
    world = make()
    if able(name, world):
        check_algorithm(FAMILY[name], make, starts(world, 3), prompts=3)
        return
    with pytest.raises(InvalidInput, match=r"cannot|does not know"):
        collect(FAMILY[name], world, starts(world, 4), 0)
