"""`cpi-resets doctor`: what is there, what is not, and what that would enable."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cpi_theory.checks import InvalidInput
from experiments.cli import main
from experiments.doctor import machine, packages
from experiments.doctor.finding import Finding


def test_it_says_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--output", str(tmp_path / "runs"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["data"]["findings"]
    found = {row["part"]: row for row in rows}
    assert found["numpy"]["found"] == metadata.version("numpy")
    assert found["[llm]"]["state"] == "there"
    assert found["folder of runs"]["found"] == str(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    for row in rows:
        assert row["state"] == "there" or row["remedy"], row
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "[llm]" in printed
    assert "all that every command needs is there" in printed


def test_every_extra_says_what_it_is_for() -> None:
    declared = set(metadata.metadata("cpi-resets").get_all("Provides-Extra") or ())
    assert declared <= set(packages.EXTRAS)


@pytest.mark.parametrize(
    ("text", "state", "said"),
    [
        ("numpy", "there", ""),
        ("no-such-package>=3", "missing", "not installed"),
        ("numpy>=999", "broken", f"{metadata.version('numpy')}, not >=999"),
    ],
)
def test_packages_are_held_against_what_is_declared(
    text: str, state: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "requirements", lambda: [Requirement(text)])
    (found,) = packages.needed()
    assert found.state == state
    assert said in found.found
    assert found.fatal == (state != "there")
    assert found.remedy == ("" if state == "there" else f"pip install '{text}'")


def test_packages_of_an_extra_that_nobody_knows_are_not_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declared = ["rich>=13", "no-such-package>=1; extra == 'new'"]
    monkeypatch.setattr(metadata, "requires", lambda _name: declared)
    assert [one.part for one in packages.needed()] == ["rich"]


def test_what_an_extra_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ['no-such-package>=3; extra == "llm"', 'numpy; extra == "llm"', "scipy"]
    monkeypatch.setattr(packages, "requirements", lambda: [Requirement(text) for text in declared])
    found = next(one for one in packages.extras() if one.part == "[llm]")
    assert (found.state, found.found) == ("missing", "no-such-package: not installed")
    assert not found.fatal
    assert found.remedy == "pip install 'cpi-resets[llm]'"


def test_a_folder_that_cannot_be_written_to_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(dir: Path) -> None:  # root may write everywhere
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    assert main(["doctor", "--output", str(tmp_path)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"folder of runs is broken: {tmp_path.resolve()} cannot be written to" in said
    assert "needed: folder of runs, temporary folder" in said


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 2**30})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    found = machine.disk(tmp_path / "not" / "there")
    assert found.state == "broken"
    assert found.found.startswith(f"1.0 GiB free in {tmp_path}")


@pytest.mark.parametrize(("there", "state"), [(None, "missing"), ("/usr/bin/bwrap", "broken")])
def test_a_sandbox_that_does_not_start_is_told_from_one_that_is_not_there(
    there: str | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm.rewards.sandbox import bubblewrap

    def refuse() -> None:
        raise InvalidInput("sandbox", "bwrap", "does not start: no namespaces", "allow them")

    monkeypatch.setattr(bubblewrap, "check_sandbox", refuse)
    monkeypatch.setattr(machine.shutil, "which", lambda _: there)
    found = machine.sandbox()
    assert (found.state, found.remedy) == (state, "allow them")
    assert "CodeWorld" in found.enables


def test_only_what_is_needed_is_fatal() -> None:
    assert Finding("a", "missing", "", needed=True).fatal
    assert not Finding("a", "missing", "").fatal
    assert not Finding("a", "there", "", needed=True).fatal
