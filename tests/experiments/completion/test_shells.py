"""Completion, as shells do it: those that are installed are run, and typed into."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.commands import COMMANDS
from experiments.completion.options import Usage, usages
from experiments.completion.scripts import script

SHELLS = ("bash", "zsh", "fish")
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
BEGIN = {"bash": "", "zsh": "autoload -U compinit && compinit -u -D; "}
ECHO = "cpi-resets() { printf '<'; printf '[%s]' \"$@\"; printf '>\\n'; }"


@pytest.fixture(scope="module")
def every() -> list[Usage]:
    return usages()


@pytest.fixture(scope="module")
def written(every: list[Usage], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("completion")
    files = {shell: folder / f"cpi-resets.{shell}" for shell in SHELLS}
    for shell, file in files.items():
        file.write_text(script(shell, every))
    return files


def installed(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")


class Typed:
    """An interactive shell, typed into as by hand."""

    def __init__(self, shell: str, file: Path, home: Path) -> None:
        self.ours, theirs = pty.openpty()
        environment = os.environ | {"TERM": "dumb", "PS1": "$ ", "HOME": str(home)}
        self.process = subprocess.Popen(
            START[shell], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=home,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.ask(f"{BEGIN[shell]}{ECHO}; source {file}; echo '<'rea''dy'>'\n", "<ready>")

    def ask(self, text: str, until: str) -> str:
        """What is shown after a text is typed, until something is, or for a minute."""
        os.write(self.ours, text.encode())
        shown, end = b"", time.monotonic() + 60
        while not re.search(until.encode(), shown) and time.monotonic() < end:
            if select.select([self.ours], [], [], 0.5)[0]:
                shown += os.read(self.ours, 4096)
        return shown.decode(errors="replace")

    def arguments(self, text: str) -> list[str]:
        """What the command is given after a line with tabs is typed."""
        shown = self.ask(text + "\n", r"\r\n<.*>\r")
        (last,) = re.findall(r"\r\n<(.*)>\r", shown)[-1:]
        return re.findall(r"\[(.*?)\]", last)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


TYPED = [
    ("fronti\t--accur\t0.5", ["frontier", "--accuracies", "0.5"]),
    ("learn --methods VineP\tTreeR", ["learn", "--methods", "VinePPO", "TreeR"]),
    ("learn --methods GRPO VineP\t--seeds 3",
     ["learn", "--methods", "GRPO", "VinePPO", "--seeds", "3"]),
    ("train --model.precision bf\t--seed\t", ["train", "--model.precision", "bfloat16", "--seed"]),
    ("train --engine=tr\t", ["train", "--engine=trl"]),
    ("data prep\t", ["data", "prepare"]),
    ("export --format ins\t--to fold\t",
     ["export", "--format", "inspect", "--to", "folder-of-mine"]),
    ("plan setti\t--dev\tH100", ["plan", "settings.toml", "--device", "H100"]),
    ("learn --methods CPI-CARO,\\ e\t", ["learn", "--methods", "CPI-CARO, exact"]),
    ("learn --methods 'CPI-CARO, e\t", ["learn", "--methods", "CPI-CARO, exact"]),
]  # fmt: skip


@pytest.mark.parametrize("shell", START)
def test_what_is_typed_is_completed(shell: str, written: dict[str, Path], tmp_path: Path) -> None:
    installed(shell)
    (tmp_path / "folder-of-mine").mkdir()
    (tmp_path / "settings.toml").touch()
    terminal = Typed(shell, written[shell], tmp_path)
    with contextlib.closing(terminal):
        for text, expected in TYPED:
            # zsh takes the slash behind a folder away again.
            found = [word.removesuffix("/") for word in terminal.arguments(f"cpi-resets {text}")]
            assert found == expected, text


@pytest.fixture(scope="module")
def fish(written: dict[str, Path]) -> Callable[[str], list[str]]:
    """The words that fish offers behind a text."""
    installed("fish")

    def offered(text: str) -> list[str]:
        code = f"source {written['fish']}; complete -C {text!r}"
        done = subprocess.run(
            ["fish", "-N", "-c", code], capture_output=True, text=True, check=True
        )
        return [line.partition("\t")[0] for line in done.stdout.splitlines()]

    return offered


def test_fish_offers_commands_options_and_names(fish: Callable[[str], list[str]]) -> None:
    assert set(fish("cpi-resets ")) == set(COMMANDS)
    assert fish("cpi-resets frontier --accur") == ["--accuracies"]
    assert fish("cpi-resets learn --methods CPI-CARO") == ["CPI-CARO", "CPI-CARO, exact"]
    assert "VinePPO" in fish("cpi-resets learn --methods GRPO Vine")
    assert fish("cpi-resets data pre") == ["prepare"]
    assert set(fish("cpi-resets train --model.precision ")) == {"float32", "bfloat16", "float16"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_word_is_completed_without_starting_anything(
    shell: str, written: dict[str, Path]
) -> None:
    """Reading the script is all that it takes, and that is quick."""
    installed(shell)
    assert "python" not in written[shell].read_text()
    before = os.times()
    subprocess.run([shell, "-c", f"source {written[shell]} 2>/dev/null; true"], check=True)
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 0.5


def test_all_options_of_all_commands_are_there(every: list[Usage]) -> None:
    assert [usage.name for usage in every] == list(COMMANDS)
    for usage in every:
        flags = {option.flag for option in usage.options}
        assert {"--output", "--config", "--json", "--workers"} <= flags
        for option in usage.options:
            assert not option.about.startswith("(default"), (usage.name, option)
            assert not option.about.endswith("e.g"), (usage.name, option)
    frontier = next(usage for usage in every if usage.name == "frontier")
    methods = next(option for option in frontier.options if option.flag == "--methods")
    assert "Frontier, rank" in methods.values
    learn = next(usage for usage in every if usage.name == "learn")
    methods = next(option for option in learn.options if option.flag == "--methods")
    assert methods.most is None
    assert {"GRPO", "VinePPO", "CPI-RR, exact"} <= set(methods.values)


def test_odd_characters_are_data_in_every_shell(tmp_path: Path) -> None:
    from experiments.completion.options import Option

    odd = 'it\'s $(touch broken) `touch broken` \\ "x"'
    usage = Usage("odd", odd, (Option("--odd", odd, (odd,), False, 1),), ())
    for shell in SHELLS:
        if shutil.which(shell) is None:
            continue
        file = tmp_path / f"odd.{shell}"
        file.write_text(script(shell, [usage]))
        ask = {
            "bash": "COMP_WORDS=(cpi-resets odd --odd ''); COMP_CWORD=3; _cpi_resets; "
            'eval "printf %s ${COMPREPLY[0]}"',
            "zsh": "_cpi_resets_values 'odd --odd'; printf %s $found",
            "fish": "complete -C 'cpi-resets odd --odd '",
        }[shell]
        command = [shell, "-c", f"compdef() {{ :; }}; source {file}; {ask}"]
        if shell == "fish":
            command = [shell, "-N", "-c", f"source {file}; {ask}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert odd in done.stdout, (shell, done.stdout, done.stderr)
        assert not (tmp_path / "broken").exists()
