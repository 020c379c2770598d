"""Configuration files: TOML into frozen dataclasses, strictly.

Every key must be a field and every value of the field's type; a mistake names the key's full path,
the value and the nearest key that exists. Where a field allows several classes (one reset policy
or another), the table says which by ``type = "ClassName"``. Where one field says most, as the path
of a model does, its value may stand for the table.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import tomllib
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from cpi_theory.checks import InvalidInput, choose_among

Config = TypeVar("Config")
Value = TypeVar("Value")

_TAG = "type"

_SEEDS = 1 << 63
"""First seeds are below: later ones, as many as any command takes, stay below 2^64."""


def load_config(cls: type[Config], path: Path | str) -> Config:
    """The TOML file at `path` as a `cls`; fields that it does not name keep their defaults.

    Args:
        cls: a dataclass; fields may be dataclasses, tuples, literals, enums, paths and unions.
        path: the file.

    Raises:
        InvalidInput: no such file, not TOML, an unknown key, a value of a wrong type or one that
            the class refuses.
    """
    return build(cls, _parse(Path(path)))


def build(cls: type[Config], values: Mapping[str, Any], where: str = "") -> Config:
    """A `cls` from nested plain values; `where` is the path of keys above it, for messages."""
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    # Files from before a field was renamed are read; one that gives both names is refused.
    older = {
        f.metadata["stored"]: name
        for name, f in fields.items()
        if "stored" in f.metadata and name not in values
    }
    values = {older.get(key, key): value for key, value in values.items()}
    for name, field in fields.items():
        if field.metadata.get("flat"):
            values = _nested(values, name, hints[name], fields, where)
    for key in values:
        if key not in fields:
            raise _unknown(_join(where, key), values[key], key, fields)
    for name, field in fields.items():
        if name not in values and _required(field):
            raise InvalidInput(_join(where, name), None, "missing", f"give {name} a value")
    converted = {k: _convert(hints[k], v, _join(where, k)) for k, v in values.items()}
    check_seed(converted.get("seed"), _join(where, "seed"))
    try:
        return cls(**converted)
    except InvalidInput as error:
        raise below(where, error) from error


def check_seed(seed: object, where: str = "seed") -> None:
    """Refuse a first seed of which nothing could be drawn; what is no integer is left alone.

    Args:
        seed: as it was given; the seeds of a command follow one another from it on.
        where: name of the field.

    Raises:
        InvalidInput: naming the field.
    """
    if isinstance(seed, int) and not 0 <= seed < _SEEDS:
        raise InvalidInput(where, seed, "outside [0, 2^63)", "give a seed in between, such as 0")


def below(where: str, error: InvalidInput) -> InvalidInput:
    """What a table refused, with its field's whole path of keys.

    Args:
        where: the path of the table; empty for the whole file.
        error: what its class said, which knows its own fields alone, or its table's name at most.
    """
    if not where or type(error) is not InvalidInput:  # others name a file, whose place is known
        return error
    above, _, table = where.rpartition(".")
    named = re.sub(r"\[\d+\]$", "", table)
    field = error.field.removeprefix(f"{named}.")
    return InvalidInput(_join(_join(above, table), field), error.value, error.problem, error.remedy)


def _nested(
    values: Mapping[str, Any], name: str, cls: Any, ours: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """`values` with what stands beside the table `name`, as in older files, put into it."""
    theirs = {f.name for f in dataclasses.fields(cls) if f.init} - ours.keys()
    moved = {key: value for key, value in values.items() if key in theirs}
    table = values.get(name, {})
    if not moved or not isinstance(table, dict):
        return dict(values)
    for key in moved:
        if key in table:
            problem = f"given as {_join(name, key)} too"
            raise InvalidInput(_join(where, key), moved[key], problem, "give it once")
    rest = {key: value for key, value in values.items() if key not in moved}
    return {**rest, name: {**table, **moved}}


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise InvalidInput("config", path, problem, "give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput("config", path, f"not TOML ({error})", "correct the file") from error


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _unknown(
    path: str, value: object, key: str, known: Sequence[str] | Mapping[str, Any]
) -> InvalidInput:
    return InvalidInput(path, value, f"unknown key {key!r}", choose_among(key, sorted(known)))


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint`, or an InvalidInput that names the key `where`."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _convert(typing.get_args(hint)[0], value, where)
    if origin in (Union, types.UnionType):
        return _one_of(typing.get_args(hint), value, where)
    if origin is Literal:
        return _choice(typing.get_args(hint), value, where)
    if origin in (tuple, list):
        return _sequence(hint, origin, value, where)
    if origin is dict:
        return _table(typing.get_args(hint)[1], value, where)
    if dataclasses.is_dataclass(hint):
        return _one_of((hint,), value, where)
    return _scalar(hint, value, where)


def _mismatch(where: str, value: object, expected: str) -> InvalidInput:
    return InvalidInput(where, value, f"not {expected}", f"give {expected}")


def _one_of(options: tuple[Any, ...], value: Any, where: str) -> Any:
    """The option that fits: a table chooses a dataclass by its tag, other values by their type."""
    # TOML has no null, but stored settings, which are JSON, do.
    if value is None and type(None) in options:
        return None
    classes: dict[str, Any] = {_name(o): o for o in options if dataclasses.is_dataclass(o)}
    words = [w for o in options if typing.get_origin(o) is Literal for w in typing.get_args(o)]
    if isinstance(value, dict) and classes:
        _refuse_word(words, value, where)
        return _tagged(classes, value, where)
    if isinstance(value, str) and str not in options:
        for option in classes.values():
            if name := field_alone(option):
                return build(option, {name: value}, where)
    others = [o for o in options if not dataclasses.is_dataclass(o)]
    for option in others:
        if option is type(None):
            continue
        try:
            return _convert(option, value, where)
        except InvalidInput:
            if option is others[-1] and not classes:
                raise
    raise _unfit(words, others, classes, value, where)


def _refuse_word(words: Sequence[Any], table: dict[str, Any], where: str) -> None:
    """Refuse a table that is tagged by a word, which has none."""
    if (tag := table.get(_TAG)) in words:
        remedy = f"write {where.rpartition('.')[2]} = {tag!r}"
        raise InvalidInput(_join(where, _TAG), tag, "a word, which no table stands for", remedy)


def _unfit(
    words: Sequence[Any], others: Sequence[Any], classes: dict[str, Any], value: Any, where: str
) -> InvalidInput:
    """The error for a value that is none of the words, other types and tables that there are."""
    if isinstance(value, str) and value in classes:
        remedy = f'write {where.rpartition(".")[2]} = {{ {_TAG} = "{value}" }}'
        return InvalidInput(where, value, "the name of a table", remedy)
    if isinstance(value, str) and words:
        remedy = choose_among(value, [*words, *classes])
        return InvalidInput(where, value, "neither a choice nor a table", remedy)
    expected = " or ".join([*map(_name, others), *(f"a table of {c}" for c in classes)])
    return InvalidInput(where, value, "of no kind that fits", f"give {expected}")


def _tagged(classes: dict[str, Any], value: dict[str, Any], where: str) -> Any:
    values = dict(value)
    tag = values.pop(_TAG, next(iter(classes)) if len(classes) == 1 else None)
    if tag not in classes:
        problem = f'needs {_TAG} = "..."' if tag is None else "unknown class"
        raise InvalidInput(_join(where, _TAG), tag, problem, choose_among(tag, classes))
    return build(classes[tag], values, where)


def field_alone(cls: type[Any]) -> str | None:
    """The field of a dataclass that may be given alone, in place of a table; None: none may."""
    named = [f.name for f in dataclasses.fields(cls) if f.metadata.get("alone")]
    return named[0] if named else None


def _choice(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value in options:
        return value
    raise InvalidInput(where, value, "not a choice", choose_among(value, options))


def _sequence(hint: Any, origin: type, value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise _mismatch(where, value, "a list")
    arguments = typing.get_args(hint)
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        if len(value) != len(arguments):
            raise _mismatch(where, value, f"a list of {len(arguments)} values")
        kinds = arguments
    else:
        kinds = (arguments[0],) * len(value)
    items = [
        _convert(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
    ]
    return origin(items)


def _table(hint: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _mismatch(where, value, "a table")
    return {k: _convert(hint, v, _join(where, k)) for k, v in value.items()}


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(_choice(tuple(member.value for member in hint), value, where))
    if hint is float and type(value) is int:
        return float(value)
    if hint in (Path, Fraction) and isinstance(value, str):
        return _parsed(hint, value, where)
    if type(value) is not hint:  # bool is an int to isinstance, but not to a reader
        raise _mismatch(where, value, _name(hint))
    return value


def _parsed(parse: Callable[[str], Any], value: str, where: str) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise _mismatch(where, value, f"a {_name(parse)}") from error


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    names = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))


def named_values(field: str, names: Sequence[str], known: Mapping[str, Value]) -> list[Value]:
    """What the names stand for, in their order.

    Args:
        field: the setting that holds the names, for messages.
        names: chosen ones.
        known: all there are.

    Raises:
        InvalidInput: for a name that is not known, one given twice, or no name at all.
    """
    if not names:
        choices = ", ".join(map(repr, known))
        raise InvalidInput(field, names, "empty", f"name at least one of {choices}")
    found = [named_value(f"{field}[{i}]", name, known) for i, name in enumerate(names)]
    check_given_once(field, names)
    return found


def named_value(field: str, name: str, known: Mapping[str, Value]) -> Value:
    """What one name stands for, where a setting holds a single one.

    Args:
        field: the setting, for messages.
        name: the chosen one.
        known: all there are.

    Raises:
        InvalidInput: for a name that is not known.
    """
    if name not in known:
        raise InvalidInput(field, name, "unknown", choose_among(name, known))
    return known[name]


def check_given_once(field: str, values: Sequence[object]) -> None:
    """Refuse a list with a value that comes twice.

    Args:
        field: the setting that holds it, for messages.
        values: what it holds.

    Raises:
        InvalidInput: naming the place of the second one.
    """
    for i, value in enumerate(values):
        if value in values[:i]:
            raise InvalidInput(f"{field}[{i}]", value, "given twice", "give it once")


_FILES = re.compile(
    r"\.(bin|csv|gguf|gz|html?|jpg|jsonl?|log|md|parquet|pdf|png|pt|py|safetensors|svg|tar|toml|tsv"
    r"|txt|xml|ya?ml|zip)"
)
"""How names of files end that somebody may mean where a folder is wanted."""


def check_folder(field: str, path: Path, remedy: str) -> None:
    """Refuse a path for a folder that is a file, or is called like one and is no folder yet.

    Args:
        field: the setting that holds the path, for messages.
        path: where a folder is to be.
        remedy: what to give in its place.

    Raises:
        InvalidInput: for such a path.
    """
    path = path.expanduser()
    if path.is_file():
        raise InvalidInput(field, path, "is a file, where a folder is written", remedy)
    if _FILES.fullmatch(path.suffix.lower()) and not path.is_dir():
        raise InvalidInput(field, path, "is called like a file, and a folder is written", remedy)


def check_new_names(field: str, names: Sequence[str], known: Collection[str]) -> None:
    """Refuse names of a user's own that stand for something already.

    Args:
        field: the setting that holds what they name, for messages.
        names: theirs.
        known: those that are taken.

    Raises:
        InvalidInput: for a name that is taken, or one given twice.
    """
    for i, name in enumerate(names):
        if name in known or name in names[:i]:
            problem = "the name of another one"
            raise InvalidInput(f"{field}[{i}].name", name, problem, "choose another name")
