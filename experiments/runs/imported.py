"""Files of a user's own that a module's file imports: what it says depends on them, too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from experiments.runs.provenance import ALL_PACKAGES

_INSTALLED = {"site-packages", "dist-packages"}


def named_sources(name: str, file: Path) -> Mapping[str, Path]:
    """What a setting "module:attribute" points to.

    For :func:`~experiments.runs.fingerprint.points_to`.

    Args:
        name: the setting.
        file: of the module.
    """
    first, *others = with_imports(file)
    return {name: first} | {
        f"{name} imports {path.name} ({n})": path for n, path in enumerate(others)
    }


def with_imports(file: Path) -> tuple[Path, ...]:
    """A module's file, and the files of what it imports that lie beside it, in its package or here.

    They are found by reading, so that nothing runs. What is imported by a name that is only known
    when it does (``importlib``), what is installed and this project itself are not among them.

    Args:
        file: of a Python module; one that cannot be parsed stands for itself alone.

    Returns:
        The file first, the others in the order in which they are met.
    """
    found: dict[Path, None] = {}
    waiting = [file.resolve()]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = None
            waiting += [path for path in _imports(one) if not _INSTALLED & {*path.parts}]
    return file, *list(found)[1:]


def _imports(file: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    package = _package(file)
    # Where Python looks: the folder of a script, that of its outermost package, and this one.
    roots = dict.fromkeys((file.parent, package[0], Path.cwd()))
    yield from _files((package[0],), package[1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield from _files(roots, name.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            if node.level:
                own = package[1][: len(package[1]) - node.level + 1]
                within: Iterable[Path] = (package[0],)
                parts = [*own, *parts]
            else:
                within = roots
            yield from _files(within, parts)
            for name in node.names:  # each may be a module
                yield from _files(within, [*parts, name.name])


def _package(file: Path) -> tuple[Path, list[str]]:
    """The folder that a file's outermost package lies in, and the names down to its own package."""
    folder = file.parent
    names: list[str] = []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, names


def _files(roots: Iterable[Path], parts: list[str]) -> Iterator[Path]:
    """The files of a module and of the packages that it is in, below the first root that has it."""
    if not parts or parts[0] in ALL_PACKAGES:
        return
    for root in roots:
        at = [root.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)]
        files = [p for one in at for p in (one / "__init__.py", one.with_suffix(".py"))]
        known = [path.resolve() for path in files if path.is_file()]
        if any(path in known for path in (p.resolve() for p in files[-2:])):
            yield from known
            return
