"""Prepared benchmarks, read back: nothing is read that is not what its manifest says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpi_theory.checks import InvalidInput, choose_among
from llm.data.prepare import MANIFEST, digest
from llm.data.records import read_records
from llm.rewards.sandbox.cases import CodeTests, read_tests
from llm.task import Problem

_PREPARE = "prepare it again: cpi-resets data prepare NAME"


@dataclass(frozen=True, slots=True)
class Prepared:
    """One split of a prepared benchmark.

    Attributes:
        problems: in the order of the file.
        held_out: id -> tests kept for evaluation, of training problems on programs.
    """

    problems: tuple[Problem, ...]
    held_out: Mapping[str, CodeTests]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a prepared benchmark.

    Raises:
        InvalidInput: if there is none.
    """
    path = folder / MANIFEST
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        # What everything else relies on.
        list(found["splits"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = "holds no manifest of a prepared benchmark"
        raise InvalidInput("folder", folder, problem, _PREPARE) from error
    return found


def may_be_passed_on(source: Path) -> bool:
    """Tell whether the licence of a benchmark allows copies of its problems.

    Args:
        source: its folder, or one of its files. Of what ``cpi-resets data prepare`` has not made
            nothing is known, and nothing is forbidden.

    Raises:
        InvalidInput: the manifest beside it cannot be read.
    """
    folder = source if source.is_dir() else source.parent
    if not (folder / MANIFEST).is_file():
        return True
    licence = read_manifest(folder).get("licence", {})
    return bool(licence.get("redistribute", True))


def read_split(folder: Path, split: str) -> Prepared:
    """Return a split, each of whose rows is the one that the manifest names.

    Args:
        folder: of the benchmark.
        split: "train", "test", ...

    Raises:
        InvalidInput: if there is no such split, or its file was changed.
    """
    splits = read_manifest(folder)["splits"]
    if split not in splits:
        raise InvalidInput("split", split, "not there", choose_among(split, splits))
    path, digests = folder / splits[split]["file"], dict(splits[split]["digests"])
    problems, held_out = [], {}
    for record in read_records(str(path)):
        row = {name: value for name, value in record.values.items() if name != "digest"}
        if digests.pop(row.get("id"), None) != digest(row):
            raise InvalidInput(record.place, row.get("id"), "not what was prepared", _PREPARE)
        answers = row["answers"]
        more = (tuple(answers[1:]), record.place)
        problem = Problem(row["id"], row["question"], answers[0], row["kind"], *more)
        problems.append(problem)
        if row["held_out"]:
            held_out[problem.id] = read_tests(row["held_out"])
    if digests:
        raise InvalidInput("file", path, f"lacks {len(digests)} problems", _PREPARE)
    return Prepared(tuple(problems), held_out)
