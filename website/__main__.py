"""``python -m website FOLDER``, or ``--update``; see the package."""

from __future__ import annotations

import sys
from pathlib import Path

from website import pictures, tables
from website.navigation import settings
from website.stage import stage


def main(arguments: list[str]) -> None:
    """Update what is committed, or write the sources of the site."""
    if arguments == ["--update"]:
        for path, text in {**tables.pages(), **pictures.files()}.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    elif len(arguments) == 1:
        folder = Path(arguments[0])
        count = stage(folder / "docs")
        (folder / "mkdocs.yml").write_text(settings())
        print(f"sources of {count} pages in {folder}")
    else:
        sys.exit("usage: python -m website FOLDER | --update")


if __name__ == "__main__":
    main(sys.argv[1:])
