"""All recipes by their names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from cpi_theory.checks import InvalidInput
from llm.data.recipes import knowledge, mathematics, procedural, programs
from llm.data.recipes.recipe import Recipe

CATALOGUE: Mapping[str, Recipe] = {
    recipe.name: recipe
    for module in (mathematics, knowledge, programs, procedural)
    for recipe in module.RECIPES
}
"""Name -> recipe."""


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        InvalidInput: if there is none, naming the nearest.
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see cpi-resets data list"
        raise InvalidInput("name", name, "no such recipe", hint)
    return CATALOGUE[name]
