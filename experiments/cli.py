"""The command ``cpi-resets``: ``cpi-resets COMMAND [options]``, ``cpi-resets COMMAND --help``.

A command's options are the fields of its frozen configuration. ``--config FILE.toml`` gives them
values, options on the command line override those. A command's module, and with it everything
heavy, is imported only when that command runs.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.commands import COMMANDS
from experiments.runs.threads import start_with_one, use

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from experiments.runs.sweep import Execution


_LANGUAGE_MODELS = {"torch", "transformers", "tokenizers", "trl", "peft", "datasets", "sympy"}
"""Packages that only commands on language models need."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0: done; 1: done, but a claim did not hold; 2: could not run as asked; 130: interrupted.

    Args:
        argv: the arguments, by default those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    own_threads = start_with_one()
    try:
        return _dispatch(arguments, own_threads)
    except SystemExit as end:  # how the option parser ends after --help or a mistake
        return end.code if isinstance(end.code, int) else 2
    except (ValueError, OSError, KeyboardInterrupt, ModuleNotFoundError) as error:
        return _explain(error)  # InvalidInput is a ValueError


def _dispatch(arguments: list[str], own_threads: int) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        _overview()
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        _console().print(f"cpi-resets {version('cpi-resets')}")
        return 0
    name, *rest = arguments
    config, output, execution = parse(name, rest)
    execution = execution.settled(getattr(config, "computes", "tables"), own_threads)
    use(execution.threads or _cores())
    module = importlib.import_module(f"{COMMANDS[name].folder}.command")
    return int(module.run(config, output, execution, _console()))


def _cores() -> int:
    """Cores that this process may use."""
    import joblib

    return int(joblib.cpu_count())


def parse(name: str, arguments: Sequence[str]) -> tuple[Any, Path, Execution]:
    """Configuration, output folder and execution of the command `name`.

    Raises:
        InvalidInput: an unknown command, a configuration file that cannot be used, or a value
            that the configuration refuses.
        SystemExit: after ``--help`` or an option that does not exist.
    """
    from experiments.options import parse_options

    if name not in COMMANDS:
        raise _unknown_command(name)
    command = COMMANDS[name]
    cls = getattr(importlib.import_module(f"{command.folder}.config"), command.config)
    return parse_options(f"cpi-resets {name}", cls, arguments)


def _unknown_command(name: str) -> ValueError:
    from cpi_theory.checks import InvalidInput

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose among {', '.join(COMMANDS)}"
    return InvalidInput("command", name, "no such command", hint)


def _console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def _overview() -> None:
    console = _console()
    usage = "usage: cpi-resets COMMAND [options]      (cpi-resets COMMAND --help for them)\n"
    console.print(usage, markup=False)
    for name, command in COMMANDS.items():
        console.print(f"  [bold]{name:<10}[/bold] {command.summary}")
    console.print(
        "\ncommon options: --config FILE.toml  --output DIR  --workers N  --threads N  "
        "--cluster ADDRESS"
    )


def _explain(error: BaseException) -> int:
    """Print what the user should know and return the exit code; raise again what is a defect."""
    from cpi_theory.checks import InvalidInput
    from experiments.errors import FAILED, INTERRUPTED, MISTAKE, is_out_of_space, remedy

    console = _console(stderr=True)
    if isinstance(error, BrokenPipeError):  # whoever read the output, such as `head`, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if isinstance(error, KeyboardInterrupt):
        console.print("\ninterrupted; run the same command again to continue where it was")
        return INTERRUPTED
    if isinstance(error, InvalidInput):
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return MISTAKE
    if isinstance(error, ModuleNotFoundError) and error.name in _LANGUAGE_MODELS:
        problem = f"error: {error.name} is not installed; run pip install 'cpi-resets[llm]'"
        console.print(problem, style="red", markup=False, soft_wrap=True)
        return MISTAKE
    if isinstance(error, OSError) and is_out_of_space(error):
        problem = f"error: {error.filename or 'output'}: {error.strerror}; {remedy(error)}"
        console.print(problem, style="red", markup=False, soft_wrap=True)
        return MISTAKE
    raise error


if __name__ == "__main__":
    sys.exit(main())
