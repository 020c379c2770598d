"""Write the paper's settings files and the page on them: ``python -m experiments.paper``."""

from __future__ import annotations

from pathlib import Path

from experiments.paper.page import page
from experiments.paper.recipes import Recipe, recipes
from experiments.paper.toml import as_toml

ROOT = Path(__file__).resolve().parents[2]
FOLDER, PAGE = ROOT / "experiments" / "configs" / "paper", ROOT / "docs" / "paper.md"


def text_of(recipe: Recipe) -> str:
    """The text of a settings file."""
    head = f"# {recipe.about}. For one {recipe.gpu}; see docs/paper.md.\n"
    return f"{head}# Made by python -m experiments.paper, not by hand.\n{as_toml(recipe.config)}"


def files() -> dict[Path, str]:
    """All that is written, by path."""
    found = {FOLDER / f"{recipe.name}.toml": text_of(recipe) for recipe in recipes()}
    return {**found, PAGE: page()}


def main() -> None:
    """Write what is new, and delete settings of recipes that are no more."""
    made = files()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in set(FOLDER.glob("*.toml")) - made.keys():
        path.unlink()
    for path, text in made.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
