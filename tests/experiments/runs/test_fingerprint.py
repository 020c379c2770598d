"""Content counts, wherever in a setting its path stands."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from experiments.diagnose.config import DiagnoseConfig
from experiments.runs.fingerprint import fingerprint
from experiments.train.config import TrainConfig
from experiments.worlds.language import DatasetWorld
from llm.models.settings import TINY_FOLDER, ModelSettings


@dataclass(frozen=True)
class Inner:
    worlds: tuple[DatasetWorld, ...]
    by_name: dict[str, ModelSettings] = field(default_factory=dict)


def test_paths_are_found_inside_settings(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    worlds = (
        DatasetWorld("x", str(tmp_path / "a")),
        DatasetWorld("y", "hub/name", test_source=str(tmp_path / "b")),
    )
    found = fingerprint([Inner(worlds, {"m": ModelSettings(str(tmp_path / "c"))})])
    assert set(found) == {str(tmp_path / name) for name in ("a", "b", "c")}
    assert len(set(found.values())) == 3
    assert fingerprint("a") == fingerprint(3) == {}


def test_content_decides_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    world = DatasetWorld("x", str(path))
    assert fingerprint(world) == {}
    path.write_text("one")
    first = fingerprint(world)
    os.utime(path, (1, 1))
    assert fingerprint(world) == first
    path.write_text("two")
    assert fingerprint(world) != first
    path.write_text("one")
    assert fingerprint(world) == first


def test_folders_count_with_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.bin").write_text("1")
    model = ModelSettings(str(folder))
    first = fingerprint(model)
    (folder / "deep" / "a.bin").rename(folder / "deep" / "b.bin")
    second = fingerprint(model)
    (folder / "c.bin").write_text("")
    assert len({str(first), str(second), str(fingerprint(model))}) == 3


def test_the_model_that_comes_with_the_package_counts_under_its_name() -> None:
    expected = fingerprint(ModelSettings(str(TINY_FOLDER)))[str(TINY_FOLDER)]
    assert fingerprint(TrainConfig()) == {"tiny": expected}
    assert fingerprint(DiagnoseConfig(model=ModelSettings("tiny"))) == {"tiny": expected}
    assert fingerprint(DiagnoseConfig()) == {}
