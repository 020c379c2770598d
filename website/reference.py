"""Reference pages: packages from their docstrings (mkdocstrings), commands from their options."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from experiments.commands import COMMANDS
from website.links import ROOT

PACKAGES = ("cpi_theory", "tabular", "llm", "experiments", "paper_figs")


def files() -> Iterator[tuple[str, str]]:
    """Path below the site's sources, and text."""
    yield "reference/index.md", _overview()
    for package in PACKAGES:
        for part in parts(package):
            yield f"reference/{part}.md", _page(part)
    for name in COMMANDS:
        yield f"commands/{name}.md", _command(name)
    yield "commands/index.md", _commands()


def parts(package: str) -> list[str]:
    """The package itself and its folders, by their dotted names."""
    folders = sorted(path.parent for path in (ROOT / package).glob("*/__init__.py"))
    return [package, *(f"{package}.{folder.name}" for folder in folders)]


def modules(part: str) -> list[str]:
    """What a page of the reference shows: the modules of a folder, those of folders in it too."""
    folder = ROOT / part.replace(".", "/")
    found = folder.glob("*.py") if "." not in part else folder.rglob("*.py")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found]
    return sorted(name for name in names if not name.endswith("__init__"))


def summary(path: Path) -> str:
    """The first sentence of a module's docstring."""
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(said.partition("\n\n")[0].split())


def _page(part: str) -> str:
    init = ROOT / part.replace(".", "/") / "__init__.py"
    shown = [f"::: {name}\n    options:\n      heading_level: 2\n" for name in modules(part)]
    return "\n".join([f"# {part}", "", summary(init), "", *shown])


def _overview() -> str:
    lines = ["# Reference", "", "From the docstrings, module by module.", ""]
    for package in PACKAGES:
        lines += [f"## {package}", "", "| part | holds |", "| --- | --- |"]
        for part in parts(package):
            said = summary(ROOT / part.replace(".", "/") / "__init__.py")
            lines.append(f"| [{part}]({part}.md) | {said} |")
        lines.append("")
    return "\n".join(lines)


def _command(name: str) -> str:
    command = COMMANDS[name]
    config = getattr(importlib.import_module(f"{command.folder}.config"), command.config)
    said = inspect.cleandoc(config.__doc__ or "")
    return "\n".join(
        [
            f"# cpi-resets {name}",
            "",
            f"{command.summary[0].upper()}{command.summary[1:]}.",
            "",
            "```bash",
            f"cpi-resets {name} --help",
            "```",
            "",
            "An option is a field of the configuration below, on the command line with dashes and "
            "with dots into tables (`--budget.updates 20`), or in a file that `--config` names. "
            "[Running experiments](/docs/running.md) has what all commands share.",
            "",
            "```text",
            said,
            "```",
            "",
            *_configs(name),
            f"Its code: [{command.folder.replace('.', '/')}](/{command.folder.replace('.', '/')}).",
            "",
        ]
    )


def _configs(name: str) -> list[str]:
    paths = sorted((ROOT / "experiments" / "configs" / name).glob("*.toml"))
    if not paths:
        return []
    links = (f"[{path.name}](/{path.relative_to(ROOT)})" for path in paths)
    return [f"Files for it that come with the repository: {', '.join(links)}.", ""]


def _commands() -> str:
    rows = [f"| [{name}]({name}.md) | {one.summary} |" for name, one in COMMANDS.items()]
    return "\n".join(["# Commands", "", "| command | |", "| --- | --- |", *rows, ""])
