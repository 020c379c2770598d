"""What can go wrong around a run, told to the user in one sentence."""

from __future__ import annotations

import errno
from pathlib import Path

from cpi_theory.checks import InvalidInput

FAILED = 1
"""Exit code of a command whose claim did not hold, such as a violated bound."""
MISTAKE = 2
"""Exit code of a command that could not run as asked."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""

_OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class CorruptFile(InvalidInput):
    """A stored file does not hold what was written to it."""

    def __init__(self, path: Path, problem: str, line: int | None = None) -> None:
        super().__init__(
            "file" if line is None else f"line {line} of file",
            path,
            problem,
            "delete it and run the command again; whatever else is finished is kept",
        )
        self.path, self.line = path, line

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.path, self.problem, self.line))


class CannotWrite(InvalidInput):
    """The operating system refused to store a file; the old content, if any, is untouched."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__("file", path, f"cannot be written ({error.strerror})", remedy(error))
        self.path, self.error = path, error

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.path, self.error))


class WorkerLost(InvalidInput):
    """A worker process died and took its task with it."""


def remedy(error: OSError) -> str:
    """What the user can do about a write that failed."""
    if error.errno in _OUT_OF_SPACE:
        return "free some space and run the command again; finished results are kept"
    return "check that the folder exists and is writable, or choose another --output"


def is_out_of_space(error: OSError) -> bool:
    """Whether a write failed for want of space (disk, quota or file-size limit)."""
    return error.errno in _OUT_OF_SPACE
