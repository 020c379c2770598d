"""The command ``cpi-resets``: ``cpi-resets COMMAND [options]``, ``cpi-resets COMMAND --help``.

A command's options are the fields of its frozen configuration. ``--config FILE.toml`` gives them
values, options on the command line override those. A command's module, and with it everything
heavy, is imported only when that command runs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from experiments import exit_codes
from experiments.clashes import check_names
from experiments.commands import COMMANDS, GROUPS, OF_LANGUAGE_MODELS
from experiments.execution.threads import start_with_one, use

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from rich.console import Console

    from experiments.execution.settings import Execution


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    What each means stands in :data:`experiments.exit_codes.EXIT_CODES`.

    Args:
        argv: the arguments, by default those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    own_threads = start_with_one()
    _open_streams()
    try:
        # Looked for before options are parsed: mistakes in these are to be JSON, too.
        run = _as_json if "--json" in arguments[1:] else _complete
        return run(arguments, own_threads)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last one to know of it
        return _explain(error)


def _complete(arguments: list[str], own_threads: int) -> int:
    try:
        code = _dispatch(arguments, own_threads, _console())
    except SystemExit as end:
        code = _code(end)
    sys.stdout.flush()  # an output that is full or closed must not be found out at exit only
    return code


def _code(end: SystemExit) -> int:
    """How the option parser ends after --help or a mistake."""
    return end.code if isinstance(end.code, int) else exit_codes.MISTAKE


def _as_json(arguments: list[str], own_threads: int) -> int:
    """Run a command and write what it gave, or what went wrong, as one JSON object."""
    from experiments.console import JsonConsole

    console, error = JsonConsole(), None
    helps = arguments[0] == "help" or bool(set(_HELP) & set(arguments))
    try:
        with contextlib.nullcontext() if helps else _nothing_else_on_stdout():
            code = _dispatch(arguments, own_threads, console)
    except SystemExit as end:
        code, error = _code(end), _described(end) if hasattr(end, "message") else None
    except (Exception, KeyboardInterrupt) as caught:  # noqa: BLE001 - the last one to know of it
        code, error = _explain(caught), _described(caught)
    if not helps:
        print(console.document(arguments[0], code, error), flush=True)  # noqa: T201 - no markup
    return code


@contextlib.contextmanager
def _nothing_else_on_stdout() -> Iterator[None]:
    """Have whatever is printed meanwhile, by anybody's code and other processes, on stderr."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed: nothing can get there
        kept = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def _described(error: BaseException) -> dict[str, object]:
    """What is known of an error, by its parts."""
    parts = ("field", "value", "problem", "remedy")
    message = getattr(error, "message", str(error))
    found: dict[str, object] = {"type": type(error).__name__, "message": message}
    return found | {name: str(getattr(error, name)) for name in parts if hasattr(error, name)}


def _open_streams() -> None:
    """Have outputs that take everything: characters that an encoding lacks become "?"."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started this process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """End in order when a batch system says that it is time to; a second SIGTERM ends at once."""
    from experiments.errors import Terminated

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield  # another thread can neither set handlers nor be told
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


_HELP = ("-h", "--help")


def _help_asked(arguments: list[str]) -> list[str]:
    """`arguments` with ``--help`` for ``help`` and ``COMMAND --help`` for ``help COMMAND``."""
    if arguments[:1] != ["help"]:
        return arguments
    named = [one for one in arguments[1:] if one not in ("help", *_HELP, "--json")]
    return [*named[:1], "--help"]


def _dispatch(arguments: list[str], own_threads: int, console: Console) -> int:
    arguments = _help_asked(arguments)
    if not arguments or arguments[0] in _HELP:
        _overview()
        return exit_codes.DONE if arguments else exit_codes.MISTAKE
    if arguments[0] == "--version":
        from importlib.metadata import version

        _console().print(f"cpi-resets {version('cpi-resets')}")
        return 0
    name, *rest = arguments
    if name != "doctor":  # which tells of all that is wrong
        check_names()
    try:
        config, output, execution = parse(name, rest)
    except SystemExit as end:
        if not end.code:  # after --help
            _console().print(f"\nexample:\n  {example(name)}", markup=False, soft_wrap=True)
            _exit_codes()
        raise
    execution = execution.settled(getattr(config, "computes", "tables"), own_threads)
    use(execution.threads or _cores())
    with _terminable():
        module = importlib.import_module(f"{COMMANDS[name].folder}.command")
        return int(module.run(config, output, execution, console))


def _cores() -> int:
    """Cores that this process may use."""
    import joblib

    return int(joblib.cpu_count())


def parse(name: str, arguments: Sequence[str]) -> tuple[Any, Path, Execution]:
    """Configuration, output folder and execution of the command `name`.

    Raises:
        InvalidInput: an unknown command, a configuration file that cannot be used, or a value
            that the configuration refuses.
        SystemExit: after ``--help``.
        Misread: options that cannot be read.
    """
    from experiments.options import parse_options

    if name not in COMMANDS:
        raise _unknown_command(name)
    command = COMMANDS[name]
    cls = getattr(importlib.import_module(f"{command.folder}.config"), command.config)
    return parse_options(f"cpi-resets {name}", cls, arguments)


def _unknown_command(name: str) -> ValueError:
    from cpi_theory.checks import InvalidInput, choose_among

    if name.startswith("-"):
        remedy = "only --help and --version stand alone; put others behind a command, see --help"
        return InvalidInput("command", name, "an option, where a command is expected", remedy)
    return InvalidInput("command", name, "no such command", choose_among(name, (*COMMANDS, "help")))


def _console(stderr: bool = False) -> Console:
    from experiments.console import CommandConsole

    # Names of a user's own may look like codes of emoji: "rewards.py:zero: ...".
    return CommandConsole(stderr=stderr, highlight=False, emoji=False)


def _overview() -> None:
    console = _console()
    usage = "usage: cpi-resets COMMAND [options]      (cpi-resets COMMAND --help for them)\n"
    console.print(usage, markup=False)
    width = max(map(len, COMMANDS))
    for group in GROUPS:
        console.print(f"{group}:")
        for name, command in COMMANDS.items():
            if command.group == group:
                console.print(f"  [bold]{name:<{width}}[/bold]  {command.summary}")
                console.print(f"  {'':<{width}}  [dim]{example(name)}[/dim]")
        console.print()
    console.print(
        "options of all commands: --config FILE.toml  --output DIR  --json  --workers N  "
        "--threads N  --cluster ADDRESS",
        soft_wrap=True,
    )
    _exit_codes()


def example(name: str) -> str:
    """How a command may be used at first."""
    return f"cpi-resets {name} {COMMANDS[name].example}".rstrip()


def _exit_codes() -> None:
    console = _console()
    console.print("\nexit codes:")
    for code, meaning in exit_codes.EXIT_CODES.items():
        console.print(f"  {code:<4} {meaning}", markup=False, soft_wrap=True)


def _explain(error: BaseException) -> int:
    """Print what the user should know, with a traceback if it is a defect; the exit code."""
    from cpi_theory.checks import InvalidInput
    from experiments import errors

    if isinstance(error, BrokenPipeError):  # whoever read the output, such as `head`, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.CANNOT_WRITE
    if isinstance(error, KeyboardInterrupt):
        ended = isinstance(error, errors.Terminated)
        text = "ended by SIGTERM" if ended else "interrupted"
        _say(f"\n{text}; run the same command again to continue where it was", style=None)
        return exit_codes.TERMINATED if ended else exit_codes.INTERRUPTED
    if isinstance(error, InvalidInput):
        _say(f"error: {error}")
        return errors.exit_code(error)
    if isinstance(error, ModuleNotFoundError) and error.name in OF_LANGUAGE_MODELS:
        _say(f"error: {error.name} is not installed; run pip install 'cpi-resets[llm]'")
        return exit_codes.MISTAKE
    if isinstance(error, OSError) and errors.is_out_of_space(error):
        _say(
            f"error: {error.filename or 'output'}: {error.strerror}; {errors.remedy(error)}",
        )
        return exit_codes.CANNOT_WRITE
    traceback.print_exception(error)
    return exit_codes.DEFECT


def _say(text: str, style: str | None = "red") -> None:
    _console(stderr=True).print(text, style=style, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
