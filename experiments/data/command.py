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
from llm.data.prepare import prepare
from llm.data.recipes.catalogue import CATALOGUE, find_recipe
from llm.data.recipes.recipe import Licence, Official, Recipe, Shuffled


def run(config: DataConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Do what is asked; 0 when done."""
    if config.action == "list":
        about = [{"name": recipe.name, "about": recipe.about} for recipe in CATALOGUE.values()]
        give(console, {"benchmarks": about})
    lines = _list() if config.action == "list" else _of_one(config, output)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return 0


def _list() -> Iterator[str]:
    width = max(map(len, CATALOGUE))
    for recipe in CATALOGUE.values():
        yield f"{recipe.name:<{width}}  {recipe.about}"


def _of_one(config: DataConfig, output: Path) -> Iterator[str]:
    if not config.name:
        remedy = f"cpi-resets data {config.action} NAME; see cpi-resets data list"
        raise InvalidInput("name", config.name, "no benchmark is named", remedy)
    recipe = find_recipe(config.name)
    return _show(recipe) if config.action == "show" else _prepare(config, recipe, output)


def _show(recipe: Recipe) -> Iterator[str]:
    yield f"{recipe.name}: {recipe.about}"
    yield f"source: {recipe.source.describe()}"
    yield f"licence: {_licence(recipe.licence)}"
    yield f"columns: {', '.join(recipe.needs)}"
    yield f"split: {_split(recipe)}"
    rules = [(rule.name, rule.about) for rule in recipe.filters]
    for name, about in [*rules, *((rule.name, rule.about) for rule in recipe.answers)]:
        yield f"filter {name}: {about}"


def _licence(licence: Licence) -> str:
    terms = "may be passed on" if licence.redistribute else "must not be passed on"
    return "; ".join(filter(None, (licence.name, terms, licence.note)))


def _split(recipe: Recipe) -> str:
    split = recipe.split
    if isinstance(split, Shuffled):
        train = "all others" if split.train is None else split.train
        larger = f", test_large {split.larger}" if split.larger else ""
        return f"shuffled with seed {split.seed}: train {train}, test {split.test}{larger}"
    if isinstance(split, Official):
        most = [("train", split.train, split.most_train), ("test", split.test, split.most_test)]
        return ", ".join(f"{name}: {_most(count)} of its {its}" for name, its, count in most)
    return f"test: {_most(split.most)}"


def _most(count: int | None) -> str:
    return "all" if count is None else f"at most {count}"


def _prepare(config: DataConfig, recipe: Recipe, output: Path) -> Iterator[str]:
    folder = output / "data" / recipe.name if config.to is None else config.to.expanduser()
    try:
        found = prepare(recipe, folder, config.path, config.revision, config.similarity)
    except OSError as error:
        raise CannotWrite(folder, error) from error
    yield f"{recipe.name}: {folder}"
    yield f"licence: {_licence(recipe.licence)}"
    yield from _counts(found)
    yield from _world(recipe, folder, found)


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
