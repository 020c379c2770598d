"""Configuration files are read strictly, and every committed one is readable."""

from __future__ import annotations

import enum
import importlib
import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import experiments
from cpi_theory.checks import InvalidInput, check_probability
from experiments.commands import COMMANDS
from experiments.config import below, build, load_config
from experiments.reproduce.profile import Profile
from experiments.runs.encoding import plain
from experiments.worlds.language import ArithmeticWorld, LanguageWorld
from llm.training.settings import OptimizerSettings

RECORDS = Path(__file__).resolve().parents[2] / "docs" / "records"


class Kind(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@dataclass(frozen=True)
class Uniform:
    pass


@dataclass(frozen=True)
class Oracle:
    level: float = 0.1
    recall: float = 1.0

    def __post_init__(self) -> None:
        check_probability("recall", self.recall)


@dataclass(frozen=True)
class Config:
    seeds: int = 20
    rate: float = 0.5
    quick: bool = False
    name: str = "x"
    folder: Path = Path("a")
    exact: Fraction = Fraction(1, 2)
    kind: Kind = Kind.FAST
    layout: Literal["1x4", "2x4"] = "2x4"
    grid: tuple[float, ...] = (0.1, 0.2)
    pair: tuple[int, str] = (1, "a")
    limit: int | None = None
    reset: Uniform | Oracle = Uniform()
    oracles: tuple[Oracle, ...] = ()
    levels: dict[str, float] = field(default_factory=dict)
    noted: Annotated[int, "a note"] = 1


@dataclass(frozen=True)
class Demanding:
    must: int


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.toml"


def test_every_kind_of_value_is_read(file: Path) -> None:
    file.write_text(
        """
        seeds = 3
        rate = 1
        quick = true
        name = "y"
        folder = "b/c"
        exact = "1/3"
        kind = "slow"
        layout = "1x4"
        grid = [1, 0.5]
        pair = [2, "b"]
        limit = 7
        noted = 2
        oracles = [{ level = 0.3 }, {}]
        [reset]
        type = "Oracle"
        recall = 0.5
        [levels]
        easy = 0.25
        """
    )
    assert load_config(Config, file) == Config(
        seeds=3,
        rate=1.0,
        quick=True,
        name="y",
        folder=Path("b/c"),
        exact=Fraction(1, 3),
        kind=Kind.SLOW,
        layout="1x4",
        grid=(1.0, 0.5),
        pair=(2, "b"),
        limit=7,
        reset=Oracle(recall=0.5),
        oracles=(Oracle(level=0.3), Oracle()),
        levels={"easy": 0.25},
        noted=2,
    )


def test_integers_become_floats_where_floats_are_meant() -> None:
    config = build(Config, {"rate": 1, "grid": [1, 2]})
    assert [type(v) for v in (config.rate, *config.grid)] == [float] * 3


def test_an_empty_file_gives_the_defaults(file: Path) -> None:
    file.write_text("")
    assert load_config(Config, file) == Config()


@pytest.mark.parametrize(
    ("text", "place", "value", "message"),
    [
        ("sedes = 3", "sedes", 3, "unknown key 'sedes'; did you mean 'seeds'"),
        ("zzz = 3", "zzz", 3, "choose one of 'exact', 'folder', 'grid'"),
        ('seeds = "3"', "seeds", "3", "give an integer"),
        ("seeds = 3.0", "seeds", 3.0, "give an integer"),
        ("seeds = true", "seeds", True, "give an integer"),
        ("rate = true", "rate", True, "give a number"),
        ('rate = "fast"', "rate", "fast", "give a number"),
        ("quick = 1", "quick", 1, "give true or false"),
        ('exact = "one"', "exact", "one", "not a Fraction"),
        ('kind = "medium"', "kind", "medium", "choose one of 'fast', 'slow'"),
        ('layout = "3x4"', "layout", "3x4", "choose one of '1x4', '2x4'"),
        ('grid = [0.1, "a"]', "grid[1]", "a", "give a number"),
        ("grid = 0.1", "grid", 0.1, "give a list"),
        ("pair = [1]", "pair", [1], "a list of 2 values"),
        ('limit = "x"', "limit", "x", "give an integer"),
        ("levels = 3", "levels", 3, "give a table"),
        ('levels = { easy = "a" }', "levels.easy", "a", "give a number"),
        ("reset = 1", "reset", 1, "a table of Uniform or a table of Oracle"),
        ("reset = { level = 1 }", "reset.type", None, 'needs type = "..."'),
        (
            'reset = { type = "Oracel" }',
            "reset.type",
            "Oracel",
            r"mean 'Oracle'\? choose one of 'Uniform'",
        ),
        (
            'reset = { type = "Oracle", levle = 1 }',
            "reset.levle",
            1,
            "unknown key 'levle'; did you mean 'level'",
        ),
        ("oracles = [{}, { lvel = 1 }]", "oracles[1].lvel", 1, "did you mean 'level'"),
        ("oracles = [{ recall = 1.5 }]", "oracles[0].recall", 1.5, r"not a number in \[0, 1\]"),
    ],
)
def test_a_mistake_names_key_value_and_remedy(
    file: Path, text: str, place: str, value: object, message: str
) -> None:
    file.write_text(text)
    with pytest.raises(InvalidInput, match=message) as caught:
        load_config(Config, file)
    assert caught.value.field == place
    assert caught.value.value == value


def test_a_table_that_names_itself_is_not_named_twice() -> None:
    error = below("more[0].sampler", InvalidInput("sampler.engine", "x", "unknown", "choose"))
    assert error.field == "more[0].sampler.engine"
    error = below("models[1]", InvalidInput("models.method", "", "empty", "name it"))
    assert error.field == "models[1].method"


@dataclass(frozen=True)
class Mixed:
    how: Literal["all", "none"] | Oracle | Uniform = "all"


@pytest.mark.parametrize(
    ("value", "place", "remedy"),
    [
        ("al1", "how", "did you mean 'all'?"),
        ("Oracel", "how", "did you mean 'Oracle'?"),
        ("Oracle", "how", 'write how = { type = "Oracle" }'),
        ({"type": "all"}, "how.type", "write how = 'all'"),
        ({"type": "Oracel"}, "how.type", "did you mean 'Oracle'?"),
        (3, "how", "give 'all' or 'none' or a table of Oracle or a table of Uniform"),
    ],
)
def test_a_word_is_no_table_and_a_table_is_no_word(value: Any, place: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        build(Mixed, {"how": value})
    assert caught.value.field == place
    assert caught.value.remedy.startswith(remedy)
    assert build(Mixed, {"how": "none"}) == Mixed("none")


def test_a_missing_value_is_named() -> None:
    with pytest.raises(InvalidInput, match="must = None: missing; give must a value"):
        build(Demanding, {})


@pytest.mark.parametrize("content", [b"seeds = ", b"\xff\xfe", b"[a]\n[a]"])
def test_what_is_not_toml_is_refused_with_its_place(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match="not TOML") as caught:
        load_config(Config, file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.toml: cannot be read"):
        load_config(Config, tmp_path / "none.toml")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_config(Config, tmp_path)


CONFIGS = Path(experiments.__file__).parent / "configs"
# The paper's, which are made by a command, have tests of their own.
COMMITTED = sorted(set(CONFIGS.rglob("*.toml")) - set(CONFIGS.glob("paper/*.toml")))


def test_there_are_committed_configurations() -> None:
    assert {path.parent.name for path in COMMITTED} <= set(COMMANDS)
    assert {path.name for path in COMMITTED if path.parent.name == "reproduce"} == {
        "quick.toml",
        "full.toml",
    }


@pytest.mark.parametrize("path", COMMITTED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_committed_configuration_loads(path: Path) -> None:
    """The folder says which command it is for; reproduce's hold one table per command."""
    command = COMMANDS[path.parent.name]
    if path.parent.name == "reproduce":
        load_config(Profile, path)
        return
    module = importlib.import_module(f"{command.folder}.config")
    load_config(getattr(module, command.config), path)


@dataclass(frozen=True)
class Renamed:
    minibatches: int = field(default=1, metadata={"stored": "parts"})


@pytest.mark.parametrize("name", ["minibatches", "parts"])
def test_a_renamed_setting_is_read_by_either_name_and_stored_by_the_older(name):
    read = build(Renamed, {name: 3})
    assert read == Renamed(3)
    assert plain(read) == {"type": "Renamed", "parts": 3}


def test_a_renamed_setting_cannot_be_given_twice():
    with pytest.raises(InvalidInput, match="unknown key 'parts'"):
        build(Renamed, {"parts": 3, "minibatches": 2})


def test_settings_of_the_optimiser_are_stored_under_the_names_of_the_committed_records():
    stored = json.loads((RECORDS / "train" / "run.json").read_text())["config"]["optimizer"]
    assert plain(OptimizerSettings()).keys() == stored.keys()


def test_stored_settings_are_read_back():
    """JSON has a null, and stores classes by their name."""
    world = ArithmeticWorld("mine", horizon=4)
    stored = json.loads(json.dumps(plain(world)))
    assert stored["hard_steps"] is None
    assert build(_OneWorld, {"world": stored}) == _OneWorld(world)


@dataclass(frozen=True)
class _OneWorld:
    world: LanguageWorld
