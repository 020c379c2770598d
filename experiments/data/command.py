"""``cpi-resets data``: the benchmarks that there are recipes for, and preparing them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from cpi_theory.checks import InvalidInput
from experiments.console import give
from experiments.data.config import DataConfig
from experiments.documents.words import counted
from experiments.errors import CannotWrite
from experiments.execution.settings import Execution
from experiments.runs.files import Row
from llm.data.prepare import prepare
from llm.data.recipes.catalogue import CATALOGUE, find_recipe
from llm.data.recipes.recipe import Licence, Official, Recipe, Shuffled


def run(config: DataConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Do what is asked; 0 when done."""
    if config.action == "list":
        about = [{"name": recipe.name, "about": recipe.about} for recipe in CATALOGUE.values()]
        give(console, {"benchmarks": about})
    lines = _list() if config.action == "list" else _of_one(config, output, console)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0


def _list() -> Iterator[str]:
    width = max(map(len, CATALOGUE))
    for recipe in CATALOGUE.values():
        yield f"{recipe.name:<{width}}  {recipe.about}"


def _of_one(config: DataConfig, output: Path, console: Console) -> Iterator[str]:
    if not config.name:
        remedy = f"cpi-resets data {config.action} NAME; see cpi-resets data list"
        raise InvalidInput("name", config.name, "no benchmark is named", remedy)
    recipe = find_recipe(config.name)
    if config.action == "show":
        give(console, recipe_tables(recipe))
        return _show(recipe)
    return _prepare(config, recipe, output, console)


def recipe_tables(recipe: Recipe) -> dict[str, list[Row]]:
    """What is known of a benchmark before it is read.

    Tables: `benchmark`, one row: `name`, `about`, `source`, `licence`, `redistribute` and `note`;
    `columns` that every record must have, by `name`; `splits`, see below; and `filters`, rules by
    which records and problems are left out: `name`, `about` what each keeps.

    Rows of `splits`: `split`; `of`, the source's own split that it is taken from (null: the source
    is one table); `most` problems (null: all there are, or that remain); `seed` of what is drawn.
    """
    terms = recipe.licence
    about = {"name": recipe.name, "about": recipe.about, "source": recipe.source.describe()}
    licence = {"licence": terms.name, "redistribute": terms.redistribute, "note": terms.note}
    return {
        "benchmark": [about | licence],
        "columns": [{"name": name} for name in recipe.needs],
        "splits": _splits(recipe),
        "filters": _rules(recipe),
    }


def _rules(recipe: Recipe) -> list[Row]:
    records = [{"name": rule.name, "about": rule.about} for rule in recipe.filters]
    return records + [{"name": rule.name, "about": rule.about} for rule in recipe.answers]


def _splits(recipe: Recipe) -> list[Row]:
    split = recipe.split
    parts: list[tuple[str, str | None, int | None]]
    if isinstance(split, Shuffled):
        parts = [("train", None, split.train), ("test", None, split.test)]
        parts += [("test_large", None, split.larger)] if split.larger else []
    elif isinstance(split, Official):
        parts = [("train", split.train, split.most_train), ("test", split.test, split.most_test)]
    else:
        parts = [("test", None, split.most)]
    return [{"split": name, "of": of, "most": most, "seed": split.seed} for name, of, most in parts]


def _show(recipe: Recipe) -> Iterator[str]:
    yield f"{recipe.name}: {recipe.about}"
    yield f"source: {recipe.source.describe()}"
    yield f"licence: {_licence(recipe.licence)}"
    yield f"columns: {', '.join(recipe.needs)}"
    yield f"split: {_split(recipe)}"
    for rule in _rules(recipe):
        yield f"filter {rule['name']}: {rule['about']}"


def _licence(licence: Licence) -> str:
    terms = "may be passed on" if licence.redistribute else "must not be passed on"
    return "; ".join(filter(None, (licence.name, terms, licence.note)))


def _split(recipe: Recipe) -> str:
    rows = _splits(recipe)
    if isinstance(recipe.split, Shuffled):
        sizes = (f"{row['split']} {row['most'] or 'all others'}" for row in rows)
        return f"shuffled with seed {recipe.split.seed}: {', '.join(sizes)}"
    return ", ".join(
        f"{row['split']}: {_most(row['most'])}" + (f" of its {row['of']}" if row["of"] else "")
        for row in rows
    )


def _most(count: int | None) -> str:
    return "all" if count is None else f"at most {count}"


def _prepare(config: DataConfig, recipe: Recipe, output: Path, console: Console) -> Iterator[str]:
    folder = output / "data" / recipe.name if config.to is None else config.to.expanduser()
    try:
        found = prepare(recipe, folder, config.path, config.revision, config.similarity)
    except OSError as error:
        raise CannotWrite(folder, error) from error
    give(console, _prepared_tables(found))
    yield f"{recipe.name}: {folder}"
    yield f"licence: {_licence(recipe.licence)}"
    yield from _counts(found)
    yield from _world(recipe, folder, found)


def _prepared_tables(found: Mapping[str, Any]) -> dict[str, Any]:
    """How many problems each split has, in which file, and what was left out by what."""
    files = ("rows", "file")
    return {
        "splits": [
            {"split": name} | {key: one[key] for key in files}
            for name, one in found["splits"].items()
        ],
        "dropped": [{"rule": rule, "records": n} for rule, n in found["dropped"].items()],
        "unreadable": list(found["unreadable"]),
        "repeated": len(found["repeated"]),
    }


def _counts(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"read: {found['read']} records"
    for rule, count in found["dropped"].items():
        yield f"dropped by {rule}: {count}"
    if found["repeated"]:
        yield f"dropped, question came before: {len(found['repeated'])}"
    near = found["near duplicates of training problems"]
    if near:
        yield f"dropped, nearly a training problem: {', '.join(pair['test'] for pair in near)}"
    for one in found["unreadable"]:
        yield f"left out, {one['name']}: {one['problem']} ({one['value']!r})"
    for name, split in found["splits"].items():
        yield f"{name}: {counted(split['rows'], 'problem')}, {split['file']}"


def _world(recipe: Recipe, folder: Path, found: Mapping[str, Any]) -> Iterator[str]:
    """How settings files use it."""
    train = "train" if "train" in found["splits"] else "test"
    yield "use it, in a settings file:"
    yield "  [[more]]"
    if recipe.code:
        yield from ('  type = "CodeWorld"', f'  name = "{recipe.name}"', f'  folder = "{folder}"')
        return
    yield from ('  type = "DatasetWorld"', f'  name = "{recipe.name}"')
    yield f'  source = "{folder / train}.parquet"'
    if train == "train":
        yield f'  test_source = "{folder / "test"}.parquet"'
    else:
        yield "  test_share = 1.0"
    yield '  fields = { id = "id", kind = "kind", answer = "answers" }'
