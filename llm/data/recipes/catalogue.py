"""All recipes by their names."""

from __future__ import annotations

from collections.abc import Mapping

from cpi_theory.checks import InvalidInput, nearest
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
        near = nearest(name, CATALOGUE)
        hint = "see cpi-resets data list" if near is None else f"did you mean {near!r}?"
        raise InvalidInput("name", name, "no such recipe", hint)
    return CATALOGUE[name]
