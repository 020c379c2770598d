"""Exit codes of ``cpi-resets``; a module of its own, as the overview loads nothing else."""

from __future__ import annotations

from collections.abc import Mapping

DONE = 0
REFUTED = 1
MISTAKE = 2
LOST = 3
DEFECT = 70
CANNOT_WRITE = 74
INTERRUPTED = 130
TERMINATED = 143

# 70 and 74 are EX_SOFTWARE and EX_IOERR of sysexits.h; 130 and 143 are a shell's 128 + signal.
EXIT_CODES: Mapping[int, str] = {
    DONE: "done",
    REFUTED: "done, but a claim did not hold: a bound was violated, an interval covers too seldom, "
    "something that commands need is missing, a report had to leave out a damaged record",
    MISTAKE: "could not run as asked; the message says what to change",
    LOST: "a worker, the cluster or a task past its time limit was lost; run the command again",
    DEFECT: "a defect of this program, with its traceback",
    CANNOT_WRITE: "results could not be stored, or the reader of the output has left",
    INTERRUPTED: "interrupted by Ctrl-C; run the same command again to go on",
    TERMINATED: "ended by SIGTERM; run the same command again to go on",
}
"""What each exit code of ``cpi-resets`` means."""
