"""From a recipe to files: parquet with a manifest that says what was read, dropped and kept."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput
from cpi_theory.files import written_whole
from llm.data.overlap import SIMILARITY, Overlap, QuestionIndex
from llm.data.problems import normalized_question
from llm.data.recipes.recipe import Official, Recipe, Shuffled, TestOnly
from llm.data.recipes.sources import Hub, Package, local_records
from llm.data.recipes.wording import checked
from llm.data.records import Record
from llm.rewards.sandbox.cases import read_tests
from llm.task import SCORED, Problem

MANIFEST = "manifest.json"


@dataclass(slots=True)
class Tally:
    """What became of the records of a source.

    Attributes:
        read: records.
        dropped: rule -> records that it left out.
        unreadable: records whose reference or question cannot be used: name and reason.
        repeated: ids of problems whose question had come before.
        near: test problems left out because a training problem is nearly the same.
    """

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unreadable: list[dict[str, str]] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    near: list[Overlap] = field(default_factory=list)

    def left_out(self) -> dict[str, int]:
        """Records that are in no split, by the reason."""
        return {
            **{f"dropped by {rule}": count for rule, count in self.dropped.items()},
            "that cannot be read": len(self.unreadable),
            "whose question came before": len(self.repeated),
            "for testing that nearly are training problems": len(self.near),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """A problem that is kept.

    Attributes:
        problem: with all that it is judged by.
        held_out: of a training problem on programs, the tests kept for evaluation; else empty.
    """

    problem: Problem
    held_out: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the columns of the row, a digest of the others among them."""
        problem = self.problem
        found = {
            "id": problem.id,
            "question": problem.question,
            "kind": problem.kind,
            "answers": list(problem.answers),
            "held_out": self.held_out,
        }
        return {**found, "digest": digest(found)}


def digest(fields: Mapping[str, Any]) -> str:
    """Return a digest of a row's columns."""
    text = json.dumps(fields, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def prepare(
    recipe: Recipe,
    folder: Path,
    path: Path | None = None,
    revision: str | None = None,
    least: float = SIMILARITY,
) -> dict[str, Any]:
    """Make the files of a benchmark.

    Each split becomes a parquet file with columns id, question, kind, answers, held_out and digest.
    A folder without a manifest, which is written last, is not ready.

    Args:
        recipe: what to make.
        folder: where; files of an earlier preparation are replaced.
        path: a local export in place of the recipe's source.
        revision: commit of the hub in place of the recipe's.
        least: similarity from which a test problem counts as one for training.

    Returns:
        The manifest.

    Raises:
        InvalidInput: the source cannot be read, lacks a column, or leaves a split without problems.
        OSError: the folder cannot be written.
    """
    _check_folder(recipe, folder, path)
    if revision is not None and (path is not None or not isinstance(recipe.source, Hub)):
        where = recipe.source.describe() if path is None else str(path)
        remedy = "leave it out; what is read is recorded by its digests"
        raise InvalidInput("revision", revision, f"{where} is no data set on the hub", remedy)
    tally = Tally()
    splits = _splits(recipe, _Reader(recipe, tally, path, revision), tally, least)
    for name, rows in splits.items():
        if not rows:
            raise _empty(recipe, name, tally, least)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    if not recipe.licence.redistribute:
        _write(folder / ".gitignore", _IGNORE)
    manifest = {
        "recipe": recipe.name,
        "about": recipe.about,
        "source": recipe.source.describe() if path is None else str(path),
        "revision": revision,
        "licence": {
            "name": recipe.licence.name,
            "redistribute": recipe.licence.redistribute,
            "note": recipe.licence.note,
        },
        "read": tally.read,
        "dropped": dict(tally.dropped),
        "unreadable": tally.unreadable,
        "repeated": tally.repeated,
        "near duplicates of training problems": [
            {"test": o.test, "train": o.train, "similarity": round(o.similarity, 3)}
            for o in tally.near
        ],
        "splits": {name: _write_split(folder, name, rows) for name, rows in splits.items()},
    }
    _write(folder / MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
    return manifest


_IGNORE = b"*\n"
"""So that no repository takes texts in by accident that must not be passed on."""


def _check_folder(recipe: Recipe, folder: Path, path: Path | None) -> None:
    """Refuse a folder in which something of the user's would be lost.

    Raises:
        InvalidInput: it holds what is read, or a .gitignore of its own where all has to be ignored.
    """
    remedy = "give a folder of its own"
    read = None if path is None else path.resolve()
    beside = read is not None and read.parent == folder.resolve() and read.suffix == ".parquet"
    if beside or (read == folder.resolve() and folder.is_dir()):
        raise InvalidInput("to", str(folder), f"holds {path}, which would be replaced", remedy)
    ignored = folder / ".gitignore"
    if not recipe.licence.redistribute and ignored.exists() and ignored.read_bytes() != _IGNORE:
        problem = f"has a .gitignore of its own, and {recipe.name} must not get into a repository"
        raise InvalidInput("to", str(folder), problem, remedy)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the problems of a recipe and keeps count of what is left out."""

    recipe: Recipe
    tally: Tally
    path: Path | None
    revision: str | None

    def problems(self, split: str | None = None) -> list[Problem]:
        """The problems that no rule leaves out, in the order of the source."""
        found: dict[str, Problem] = {}
        for record in self._records(split):
            self.tally.read += 1
            problem = self._problem(record)
            if problem is None:
                continue
            question = normalized_question(problem.question)
            if question in found:
                self.tally.repeated.append(problem.id)
            else:
                found[question] = problem
        return list(found.values())

    def _records(self, split: str | None) -> Iterator[Record]:
        source = self.recipe.source
        if self.path is None:
            return source.records(split, self.revision)
        inside = source.inside if isinstance(source, Package) else ""
        # A package has no splits; exports of the hub are named by them.
        wanted = split if isinstance(source, Package) else split or source.split
        return local_records(self.path, wanted, inside)

    def _problem(self, record: Record) -> Problem | None:
        self._check_columns(record)
        try:
            for rule in self.recipe.filters:
                if not rule.keeps(record):
                    self.tally.dropped[rule.name] += 1
                    return None
            problem = self.recipe.columns(record)
        except InvalidInput as error:
            self._unreadable(f"{record.unit} {record.position}", error)
            return None
        for answer_rule in self.recipe.answers:
            if not answer_rule.keeps(problem.answer):
                self.tally.dropped[answer_rule.name] += 1
                return None
        try:
            return problem if problem.kind == SCORED else checked(problem, record.place)
        except InvalidInput as error:
            self._unreadable(problem.id, error)
            return None

    def _unreadable(self, name: str, error: InvalidInput) -> None:
        value = error.value if isinstance(error.value, str) else repr(error.value)
        found = {"name": name, "value": value[:200], "problem": error.problem}
        self.tally.unreadable.append(found)

    def _check_columns(self, record: Record) -> None:
        missing = [name for name in self.recipe.needs if name not in record.values]
        if missing:
            raise InvalidInput(
                f"{record.place}, columns",
                sorted(record.values),
                f"{', '.join(map(repr, missing))} missing",
                f"give an export of {self.recipe.source.describe()}",
            )


def _splits(recipe: Recipe, reader: _Reader, tally: Tally, least: float) -> dict[str, list[Row]]:
    """The rows of each split; no test problem is among those for training, or nearly so."""
    split = recipe.split
    if isinstance(split, TestOnly):
        return {"test": list(map(Row, _some(reader.problems(), split.most, split.seed)))}
    if isinstance(split, Official):
        if reader.path is not None and reader.path.is_file():
            remedy = f"give a folder with files named {split.train}.* and {split.test}.*"
            raise InvalidInput("from", reader.path, "one file, but two splits are needed", remedy)
        train = _some(reader.problems(split.train), split.most_train, split.seed)
        rest = _some(reader.problems(split.test), None, split.seed)
        most = split.most_test or len(rest)
    else:
        shuffled = _some(reader.problems(), None, split.seed)
        count = len(shuffled) - split.test if split.train is None else split.train
        train, rest, most = shuffled[: max(count, 0)], shuffled[max(count, 0) :], split.test
    rows = _with_tests_held_out(recipe, train, tally)
    larger = split.larger if isinstance(split, Shuffled) else 0
    test = _apart(train, rest, max(most, larger), tally, least)
    found = {"train": rows, "test": list(map(Row, test[:most]))}
    return {**found, "test_large": list(map(Row, test))} if larger else found


def _some(problems: Sequence[Problem], most: int | None, seed: int) -> list[Problem]:
    """Problems in the order of ``DataFrame.sample(frac=1, random_state=seed)``, at most so many."""
    # The legacy generator, as pandas has it: the published splits hang on it.
    order = np.random.RandomState(seed).permutation(len(problems))
    return [problems[i] for i in order[:most]]


def _apart(
    train: Sequence[Problem], rest: Sequence[Problem], most: int, tally: Tally, least: float
) -> list[Problem]:
    """The first problems of `rest` that are not nearly among those for training."""
    index = QuestionIndex(least)
    for problem in train:
        index.add(problem)
    kept: list[Problem] = []
    for problem in rest:
        if len(kept) == most:
            break
        near = index.nearest(problem)
        if near is None:
            kept.append(problem)
        else:
            tally.near.append(near)
    return kept


def _with_tests_held_out(recipe: Recipe, train: Sequence[Problem], tally: Tally) -> list[Row]:
    if not recipe.hold_out_tests:
        return list(map(Row, train))
    rows = []
    for problem in train:
        # By the problem, so that a new problem in the source changes no other one's tests.
        seed = int.from_bytes(hashlib.blake2b(problem.id.encode(), digest_size=4).digest())
        try:
            learned, held_out = read_tests(problem.answer).halves(seed)
        except InvalidInput:
            tally.dropped["too few tests to hold some out"] += 1
            continue
        rows.append(Row(replace(problem, answer=learned.as_text()), held_out.as_text()))
    return rows


def _empty(recipe: Recipe, split: str, tally: Tally, least: float) -> InvalidInput:
    """Why a split has no problem, and what would give it some."""
    source, counts = recipe.source.describe(), tally.left_out()
    left = tally.read - sum(counts.values())
    why = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
    if tally.unreadable:
        why += f" (the first: {tally.unreadable[0]['problem']})"
    problem = f"no problem is left of {tally.read} records" + (f": {why}" if why else "")
    remedy = f"give an export of {source} with other records"
    if not tally.read:
        problem, remedy = "no record was read", f"give an export of {source} that holds some"
    elif split.startswith("test") and tally.near:
        remedy = f"raise --similarity, which is {least:g}, or give other problems for testing"
    elif isinstance(recipe.split, Shuffled) and left > 0:
        taken = recipe.split.test if split == "train" else recipe.split.train
        problem += f"; the {left} that are left go to the other split, which takes {taken}"
        remedy = f"give an export of {source} with more than {taken} problems"
    return InvalidInput(f"{recipe.name}, split {split}", tally.read, problem, remedy)


def _write_split(folder: Path, name: str, rows: Sequence[Row]) -> dict[str, Any]:
    import pyarrow
    from pyarrow import parquet

    table = [row.fields() for row in rows]
    columns = [(c, pyarrow.string()) for c in ("id", "question", "kind", "held_out", "digest")]
    schema = pyarrow.schema([*columns, ("answers", pyarrow.list_(pyarrow.string()))])
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(table, schema), sink)
    _write(folder / f"{name}.parquet", sink.getvalue().to_pybytes())
    return {
        "file": f"{name}.parquet",
        "rows": len(table),
        "digests": {row["id"]: row["digest"] for row in table},
    }


def _write(path: Path, data: bytes) -> None:
    with written_whole(path) as file:
        file.write(data)
