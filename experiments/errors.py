"""What can go wrong around a run, told to the user in one sentence."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from cpi_theory.checks import InvalidInput
from experiments.exit_codes import CANNOT_WRITE, LOST, MISTAKE

_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class CorruptFile(InvalidInput):
    """A stored file does not hold what was written to it.

    Attributes:
        path: the file.
        line: of it; None: all of it.
        read_only: whether the run is another command's, which this one only reads.
    """

    def __init__(
        self, path: Path, problem: str, line: int | None = None, read_only: bool = False
    ) -> None:
        super().__init__(
            "file" if line is None else f"line {line} of file",
            path,
            problem,
            _MAKE_AGAIN
            if read_only
            else "delete it and run the command again; whatever else is finished is kept",
        )
        self.path, self.line, self.read_only = path, line, read_only

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.path, self.problem, self.line, self.read_only))

    def for_reader(self) -> CorruptFile:
        """The same of a file that the command has not made and would not make anew."""
        return CorruptFile(self.path, self.problem, self.line, read_only=True)


_MAKE_AGAIN = (
    "leave that run out, put the file back from a copy, or delete it and run the command that made "
    "the run again"
)


@contextlib.contextmanager
def only_read() -> Iterator[None]:
    """Say of damaged files in this block what to do about those of another command."""
    try:
        yield
    except CorruptFile as error:
        raise error.for_reader() from error


class StaleTable(InvalidInput):
    """A stored table was made of tables that have changed since."""


class MissingTable(InvalidInput):
    """A table is not there."""


class CannotWrite(InvalidInput):
    """The operating system refused to store a file; the old content, if any, is untouched."""

    exit_code = CANNOT_WRITE

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__("file", path, f"cannot be written ({error.strerror})", remedy(error))
        self.path, self.error = path, error

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.path, self.error))


class WorkerLost(InvalidInput):
    """A worker process or the cluster died and took its tasks with it."""

    exit_code = LOST


class Terminated(KeyboardInterrupt):
    """SIGTERM, as batch systems send it shortly before they kill.

    It is a KeyboardInterrupt so that whatever cleans up after Ctrl-C cleans up after it too.
    """


def exit_code(error: InvalidInput) -> int:
    """Exit code of a command that an error ended."""
    return int(getattr(error, "exit_code", MISTAKE))


def remedy(error: OSError) -> str:
    """What the user can do about a write that failed."""
    if error.errno in _OUT_OF_SPACE:
        return "free some space and run the command again; finished results are kept"
    return "check that the folder exists and is writable, or choose another folder"


def is_out_of_space(error: OSError) -> bool:
    """Whether a write failed for want of space (disk, quota or file-size limit)."""
    return error.errno in _OUT_OF_SPACE
