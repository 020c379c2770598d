"""Command-line options of a frozen configuration, on top of a configuration file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union

import tyro
from rich.text import Text

from cpi_theory.checks import InvalidInput, choose_among
from experiments.config import below, check_folder, check_seed, field_alone, load_config
from experiments.execution.settings import Execution

Config = TypeVar("Config")

_OUTPUT = Path("results")
_SETTINGS = "settings."
"""How the parser's paths of a command's own fields begin, see `_invocation`."""


_NUMBERS: Mapping[Any, tuple[str, str]] = {
    int: ("an integer", "10"),
    float: ("a number", "0.5 or 1e-4"),
}


class Misread(SystemExit):
    """Options that cannot be read; the parser has said on stderr what is wrong.

    Attributes:
        message: what it said first, on one line.
    """

    def __init__(self, code: object, message: str) -> None:
        super().__init__(code)
        self.message = message


def parse_options(
    program: str, cls: type[Config], arguments: Sequence[str], default: Config | None = None
) -> tuple[Config, Path, Execution]:
    """Options of one command: ``--config`` first, then what the command line says.

    Args:
        program: name shown in help texts.
        cls: the command's frozen configuration; all fields have defaults.
        arguments: what follows the command's name.
        default: values without ``--config``, by default the class's own.

    Returns:
        The configuration, the folder of runs and the execution.

    Raises:
        InvalidInput: the file cannot be used, or the configuration refuses a value.
        SystemExit: after ``--help``.
        Misread: an option that does not exist, or a value that it cannot have.
    """
    file = _config_file(arguments)
    values = load_config(cls, file) if file is not None else (default or cls())
    arguments = _written_out(cls, arguments)
    values = _filled(cls, values, arguments)
    invocation = _invocation(cls, values)
    with _choices(), _explained():
        parsed: Any = tyro.cli(
            invocation,
            args=list(arguments),
            prog=program,
            description=_about(cls),
            config=(tyro.conf.AvoidSubcommands,),
        )
    check_seed(getattr(parsed.settings, "seed", None))
    output = getattr(parsed, "output", _OUTPUT)
    check_folder("output", output, "give the folder of runs, such as results")
    for name in ("to", "into"):
        path = getattr(parsed.settings, name, None)
        if path is not None:
            check_folder(name, path, "give a folder")
    return parsed.settings, output, parsed.execution


def option_parser(program: str, cls: type[Any]) -> Any:
    """The options of a command as a parser, for whoever wants to list them; it parses nothing.

    Returns: what has the attributes of an `argparse.ArgumentParser`.
    """
    invocation = _invocation(cls, cls())
    with warnings.catch_warnings():
        # tyro means to drop it one day: completion alone hangs on it, and its tests would notice.
        warnings.simplefilter("ignore", DeprecationWarning)
        return tyro.extras.get_parser(
            invocation, prog=program, config=(tyro.conf.AvoidSubcommands,)
        )


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Let the parser end with what it said, for those who read JSON."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as end:
        refusal = _refusal(end)
        if refusal is not None:  # a table's class said no: its message is better than the box
            said.truncate(0)
            raise refusal from None
        if not said.getvalue():
            raise
        raise Misread(end.code, _first_words(said.getvalue())) from None
    finally:
        sys.stderr.write(said.getvalue())


def _refusal(end: SystemExit) -> InvalidInput | None:
    """What the class of a table among the options refused, if that is why the parser ended.

    tyro keeps the text of such an error only; the error itself is among those that led to the end.
    """
    error: BaseException | None = end
    where = ""
    while error is not None and not isinstance(error, InvalidInput):
        place = getattr(error, "arg", "")  # of tyro's own error: the path of fields of the table
        where = place if isinstance(place, str) and place else where
        error = error.__context__
    return None if error is None else below(where.removeprefix(_SETTINGS), error)


def _first_words(box: str) -> str:
    """What stands in a box below its title, down to the next rule, on one line."""
    # Where the output is not Unicode the box has rules of hyphens and no sides.
    rows = [line.strip("╭╮╰╯│─- ") for line in Text.from_ansi(box).plain.splitlines()]
    below = itertools.dropwhile(lambda row: not row, rows[1:])
    return " ".join(" ".join(itertools.takewhile(bool, below)).split())


def _about(cls: type[Any]) -> str:
    """What a configuration is for: its docstring less the fields, which the options describe."""
    return inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")[0].rstrip()


def _choices() -> tyro.constructors.ConstructorRegistry:
    """How options are read: what is no number or no choice is refused in words of this program.

    So it is where a value may be left out (``int | None``) and where there are several, whose
    mistakes the parser would answer with the names of its own types, or with no word at fault.
    """
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def rule(
        info: tyro.constructors.PrimitiveTypeInfo,
    ) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
        word = _word(info.type)
        if word is not None:
            return _read_by(word)
        origin, inner = typing.get_origin(info.type), typing.get_args(info.type)
        if origin is tuple and inner[1:] == (Ellipsis,) and (each := _word(inner[0])) is not None:
            return _read_several(each)
        if origin in (Union, types.UnionType) and len(inner) == 2 and type(None) in inner:
            given = _word(inner[inner[0] is type(None)])
            if given is not None:
                return _read_by(_or_none(given))
        return None

    return registry


@dataclasses.dataclass(frozen=True)
class _Word:
    """How one word of the command line is read as a number or a choice.

    Attributes:
        shown: what stands for it in help texts.
        read: the value of a word, or a ValueError in plain words.
        fits: whether something is such a value.
    """

    shown: str
    read: Callable[[str], Any]
    fits: Callable[[Any], bool]


def _word(kind: Any) -> _Word | None:
    """How words of a type are read; None: as the parser itself does."""
    choices = typing.get_args(kind)
    if kind in (int, float):
        return _Word(
            kind.__name__.upper(),
            functools.partial(_number, kind),
            lambda value: isinstance(value, kind),
        )
    if typing.get_origin(kind) is Literal and all(isinstance(one, str) for one in choices):
        return _Word(
            "{" + ",".join(choices) + "}",
            functools.partial(_choice, choices),
            lambda value: value in choices,
        )
    return None


def _number(kind: type[float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        expected, such = _NUMBERS[kind]
        raise ValueError(f"{text!r}: not {expected}; give one, such as {such}") from None


def _choice(choices: Sequence[str], text: str) -> str:
    if text not in choices:
        raise ValueError(f"{text!r}: not a choice; {choose_among(text, choices)}")
    return text


def _or_none(word: _Word) -> _Word:
    return _Word(
        f"{{None}}|{word.shown}",
        lambda text: None if text == "None" else word.read(text),
        lambda value: value is None or word.fits(value),
    )


def _read_by(word: _Word) -> tyro.constructors.PrimitiveConstructorSpec[Any]:
    """How the parser reads one such word."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=word.shown,
        instance_from_str=lambda texts: word.read(texts[0]),
        is_instance=word.fits,
        str_from_instance=lambda value: [str(value)],
    )


def _read_several(word: _Word) -> tyro.constructors.PrimitiveConstructorSpec[Any]:
    """How it reads any number of them."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"[{word.shown} [{word.shown} ...]]",
        instance_from_str=lambda texts: tuple(map(word.read, texts)),
        is_instance=lambda value: isinstance(value, tuple) and all(map(word.fits, value)),
        str_from_instance=lambda value: [str(one) for one in value],
    )


def _config_file(arguments: Sequence[str]) -> Path | None:
    """The value of ``--config``: it must be read before the options are parsed on top of it."""
    found: Path | None = None
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag != "--config":
            continue
        if not equals and i + 1 == len(arguments):
            raise InvalidInput("config", None, "--config without a file", "give a TOML file")
        found = Path(value if equals else arguments[i + 1])
    return found


def _alone(cls: type[Any]) -> Iterator[tuple[str, type[Any], str]]:
    """Fields of `cls` whose table may be given as one of its values: name, class and that value."""
    for name, hint in typing.get_type_hints(cls).items():
        for option in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(option) and isinstance(option, type):
                inner = field_alone(option)
                if inner is not None:
                    yield name, option, inner


def _written_out(cls: type[Any], arguments: Sequence[str]) -> list[str]:
    """`arguments` with ``--model.path X`` for ``--model X``."""
    whole = {f"--{name}": f"--{name}.{inner}" for name, _, inner in _alone(cls)}
    written = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        written.append(whole.get(flag, flag) + equals + value)
    return written


def _filled(cls: type[Any], values: Any, arguments: Sequence[str]) -> Any:
    """`values` with a table where there is none and options name parts of one.

    Raises:
        InvalidInput: if they do not name what it is all about, as ``--model.device`` alone does.
    """
    for name, option, inner in _alone(cls):
        named = [a for a in arguments if a.startswith(f"--{name}.")]
        if getattr(values, name) is not None or not named:
            continue
        flag = f"--{name}.{inner}"
        found = [
            value if equals else following
            for a, following in zip(arguments, [*arguments[1:], ""], strict=True)
            for key, equals, value in [a.partition("=")]
            if key == flag
        ]
        if not found:
            raise InvalidInput(name, named[0], "none is given", f"give --{name} too")
        values = dataclasses.replace(values, **{name: option(**{inner: found[-1]})})
    return values


def _invocation(cls: type[Any], values: Any) -> Any:
    """A dataclass of the command's own fields and of those that all commands share.

    A command that writes one file has an `output` of its own.
    """
    unnamed = tyro.conf.arg(name="")
    path_help = tyro.conf.arg(help="folder below which runs are stored", metavar="DIR")
    json_help = tyro.conf.arg(help="print one JSON object instead of tables and sentences")
    file_help = tyro.conf.arg(help="TOML file with values for these options", metavar="FILE")
    fields: list[tuple[str, Any, Any]] = [
        ("settings", Annotated[cls, unnamed], dataclasses.field(default=values)),
        ("execution", Annotated[Execution, unnamed], dataclasses.field(default=Execution())),
        ("output", Annotated[Path, path_help], dataclasses.field(default=_OUTPUT)),
        ("config", Annotated[Path | None, file_help], dataclasses.field(default=None)),
        (
            "json",
            Annotated[tyro.conf.FlagCreatePairsOff[bool], json_help],
            dataclasses.field(default=False),
        ),
    ]
    own = {field.name for field in dataclasses.fields(cls)}
    fields = [field for field in fields if field[0] not in own]
    return dataclasses.make_dataclass(cls.__name__, fields, frozen=True)
