"""What may be typed after ``cpi-resets``: commands, their options, and the values of these."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.commands import COMMANDS, OF_LANGUAGE_MODELS, Command
from experiments.options import option_parser

_PATHS = re.compile(r"\b(PATH|DIR|FILE)\b")
_LONGEST = 60
"""Characters of a description."""


@dataclass(frozen=True)
class Option:
    """An option, or a place for a value without one.

    Attributes:
        flag: such as "--seeds"; empty for a place.
        about: what it says, in a few words.
        values: those that are known; there may be others.
        path: whether a value is a file or folder.
        most: values that it takes; None: any number.
    """

    flag: str
    about: str
    values: tuple[str, ...]
    path: bool
    most: int | None


@dataclass(frozen=True)
class Usage:
    """What may follow a command.

    Attributes:
        name, about: of the command.
        options: with flags.
        places: values without, in order.
    """

    name: str
    about: str
    options: tuple[Option, ...]
    places: tuple[Option, ...]


def usages() -> list[Usage]:
    """Of all commands; of one that cannot run here for want of the extra `llm` the name alone."""
    return [_usage(name, command) for name, command in COMMANDS.items()]


def _usage(name: str, command: Command) -> Usage:
    try:
        module = importlib.import_module(f"{command.folder}.config")
    except ModuleNotFoundError as error:
        if error.name not in OF_LANGUAGE_MODELS:
            raise
        return Usage(name, command.summary, (), ())
    parser = option_parser(name, getattr(module, command.config))
    names = _names(name)
    found = [_option(action, names) for action in parser._actions]
    return Usage(
        name,
        command.summary,
        tuple(one for one in found if one.flag),
        tuple(one for one in found if not one.flag),
    )


def _option(action: argparse.Action, names: Mapping[str, Sequence[str]]) -> Option:
    flag = next((text for text in action.option_strings if text.startswith("--")), "")
    choices = [] if action.choices is None else [str(choice) for choice in action.choices]
    values = choices or names.get(action.dest.rpartition(".")[2], ())
    known = "" if action.metavar is None else str(action.metavar)
    most = 0 if action.nargs == 0 else None if action.nargs in ("*", "+") else 1
    return Option(flag, _words(action.help), tuple(values), bool(_PATHS.search(known)), most)


def _words(text: str | None) -> str:
    """The first few words of a help text."""
    whole = " ".join((text or "").partition("(default")[0].split())
    first = re.split(r"(?<=[a-z])(?<!e\.g)[.:;] ", whole)[0].rstrip(".")
    return first if len(first) <= _LONGEST else first[: _LONGEST - 3].rsplit(" ", 1)[0] + "..."


def _names(command: str) -> dict[str, Sequence[str]]:
    """Names that options of a command stand for, where they are in tables of ours."""
    from cpi_theory.audit.worlds import small_worlds
    from experiments.audit.subjects import OURS
    from experiments.frontier.worlds import TREES
    from experiments.methods import ALGORITHMS, LANGUAGE_METHODS, TABULAR_METHODS, GroupMethod
    from experiments.worlds.language import WORLDS as LANGUAGE
    from experiments.worlds.named_localizers import LOCALIZERS
    from experiments.worlds.tabular import WORLDS as TABULAR

    playing = [name for name, one in TABULAR_METHODS.items() if isinstance(one, GroupMethod)]
    audited: dict[str, Sequence[str]] = {
        "estimators": ("ours", "trl", "verl", *OURS),
        "worlds": [world.name for world in small_worlds()],
    }
    tables: dict[str, dict[str, Sequence[str]]] = {
        "audit": audited,
        "learn": {"methods": tuple(TABULAR_METHODS), "worlds": tuple(TABULAR)},
        "frontier": {"methods": tuple(ALGORITHMS), "worlds": tuple(TREES)},
        "league": {"methods": playing, "baseline": playing, "worlds": (*TABULAR, *LANGUAGE)},
        "diagnose": {"world": (*TABULAR, *LANGUAGE)},
        "train": {"methods": tuple(LANGUAGE_METHODS), "worlds": tuple(LANGUAGE)},
        "anatomy": {"worlds": tuple(LANGUAGE)},
        "evaluate": {"benchmarks": tuple(LANGUAGE)},
        "localize": {"worlds": tuple(LANGUAGE), "localizers": tuple(LOCALIZERS)},
        "warm-start": {"world": tuple(LANGUAGE)},
    }
    return tables.get(command, {})
