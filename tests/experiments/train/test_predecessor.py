"""What other code left, and a run that takes its place and may end at any point."""

from __future__ import annotations

import shutil

import pytest

from experiments.runs import claims
from experiments.train import predecessor
from experiments.train.engines import training_curve
from experiments.train.spec import Checkpoints
from experiments.train.training import Training
from tests.experiments.train.test_command import spec, without_seconds


class Killed(BaseException):
    """Stands for a kill: nothing that tidies up may run after it."""


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The folder of a finished run of other code, and what it held."""
    monkeypatch.setattr(claims, "code_digest", lambda: "old")
    training_curve(spec(), Checkpoints(tmp_path, 1))
    monkeypatch.setattr(claims, "code_digest", lambda: "new")
    folder = tmp_path / "short-SRPO-0"
    return folder, content(folder)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in files(folder)}


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def checkpoints(folder):
    return Checkpoints(folder.parent, 1, replace=True)


def die_at(monkeypatch, updates):
    """Training ends after so many updates."""
    begin = Training.begin

    def dying(self, update):
        if update > updates:
            raise Killed
        return begin(self, update)

    monkeypatch.setattr(Training, "begin", dying)


@pytest.mark.parametrize("engine", ["lean", "trl"])
def test_an_end_before_the_first_checkpoint_brings_it_back(stored, monkeypatch, engine):
    folder, before = stored
    die_at(monkeypatch, 0)
    with pytest.raises(Killed):
        training_curve(spec(engine=engine), checkpoints(folder))
    assert content(folder) == before
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("updates", [0, 1, 2])
def test_a_kill_at_any_update_loses_nothing_and_the_run_goes_on(stored, monkeypatch, updates):
    folder, before = stored
    whole = training_curve(spec())
    with monkeypatch.context() as patch:
        die_at(patch, updates)
        patch.setattr("experiments.train.training.settle", lambda folder: None)
        with pytest.raises(Killed):
            training_curve(spec(), checkpoints(folder))
    aside = folder.with_name(f".{folder.name}.before") / folder.name
    # The first checkpoint is stored behind update 1, and seen at the next one.
    assert aside.exists() == (updates < 2)
    if updates < 2:
        assert content(aside) == before
    assert without_seconds(training_curve(spec(), checkpoints(folder))) == without_seconds(whole)
    assert list(folder.parent.iterdir()) == [folder]
    assert content(folder) != before


def test_checkpoints_of_trl_count(stored, monkeypatch):
    folder, before = stored
    with monkeypatch.context() as patch:
        die_at(patch, 2)
        with pytest.raises(Killed):
            training_curve(spec(engine="trl"), checkpoints(folder))
    assert list(folder.parent.iterdir()) == [folder]
    assert list(folder.glob("checkpoint-*"))
    assert content(folder) != before


@pytest.mark.parametrize("step", ["mkdir", "renamed", "claimed", "deleted"])
def test_the_code_that_made_it_finds_it_again_after_a_kill_between_any_two_steps(
    stored, monkeypatch, step
):
    folder, before = stored
    if step == "mkdir":
        folder.with_name(f".{folder.name}.before").mkdir()
    elif step == "renamed":
        predecessor.set_aside(folder)
    else:
        checkpoints(folder).of(spec())
        if step == "deleted":  # in the middle of coming back
            shutil.rmtree(folder)
    monkeypatch.setattr(claims, "code_digest", lambda: "old")
    assert Checkpoints(folder.parent, 1).of(spec()) == folder
    assert content(folder) == before
    assert list(folder.parent.iterdir()) == [folder]
