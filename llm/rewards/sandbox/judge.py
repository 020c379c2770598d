"""Judging a program by its tests: every test runs, and how many passed is counted."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cpi_theory.checks import InvalidInput
from llm.rewards.sandbox.bubblewrap import Box
from llm.rewards.sandbox.cases import Call, CodeTests, Stream, same_output
from llm.rewards.sandbox.inside import CHECK, PROGRAM, decode, encode
from llm.rewards.sandbox.limits import Limits

RAISED, LATE, LOUD, WRONG = "raised", "took too long", "wrote too much", "wrong answer"
ENDED = "ended its process"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a program's tests.

    Attributes:
        passed: tests that passed.
        total: tests that there are.
        failures: reason -> tests that failed so.
    """

    passed: int
    total: int
    failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_passed(self) -> float:
        """1 if every test passed, else 0."""
        return float(self.passed == self.total > 0)

    @property
    def fraction(self) -> float:
        """Share of the tests that passed."""
        return self.passed / self.total if self.total else 0.0


def judge_program(source: str, tests: CodeTests, limits: Limits | None = None) -> Judgement:
    """Run a program's tests in the sandbox, each of them whatever became of others.

    Args:
        source: the program, which comes after the tests' preamble: one that begins with an indented
            line continues its last function.
        tests: what it has to pass.
        limits: of the program.

    Raises:
        InvalidInput: if the sandbox cannot be made, or the tests themselves fail to run.
    """
    limits = limits or Limits()
    deadline = time.monotonic() + limits.total_seconds
    before = tests.preamble if _continues(source) else _whole(tests.preamble)
    program = f"{before}\n{source}"
    files = {PROGRAM: program.encode(errors="replace")}
    if tests.streams:
        outcomes = [_stream(files, one, limits, deadline) for one in tests.streams]
    elif tests.calls:
        with _Program(files, tests.function, limits, deadline) as running:
            outcomes = [_call(running, one) for one in tests.calls]
    else:
        with _Program(files, tests.function, limits, deadline) as running:
            return _check(running, tests, limits, deadline)
    failures = Counter(reason for reason in outcomes if reason is not None)
    return Judgement(len(outcomes) - failures.total(), len(outcomes), dict(failures))


def _continues(source: str) -> bool:
    """Whether a program is the body of a function that the preamble begins."""
    first = next((line for line in source.splitlines() if line.strip()), "")
    return first[:1].isspace()


def _stream(
    files: Mapping[str, bytes], test: Stream, limits: Limits, deadline: float
) -> str | None:
    """Why a run failed; None if it passed."""
    end = min(time.monotonic() + limits.wall_seconds, deadline)
    if time.monotonic() >= end:
        return LATE
    with Box("run", files, limits, stdin=test.stdin.encode(errors="replace")) as box:
        written = box.everything(end)
        status = box.close(end if written is not None else None)
    if box.overflowed:
        return LOUD
    if written is None or status is None or status in _TIME_LIMIT:
        return LATE
    if status != 0:
        return RAISED if status == 1 else ENDED
    return None if same_output(test.stdout, written.decode(errors="replace")) else WRONG


_TIME_LIMIT = (128 + signal.SIGXCPU, 128 + signal.SIGKILL)
"""Exit statuses of a process that has used up its processor time."""


class _Program:
    """A program whose function is called; one that ends or hangs is started again for the next."""

    def __init__(
        self, files: Mapping[str, bytes], function: str, limits: Limits, deadline: float
    ) -> None:
        self._files, self._function, self._limits = files, function, limits
        self._deadline = deadline
        self._box: Box | None = None
        # A program that cannot be loaded is not loaded again for every test.
        self._broken: dict[str, Any] | None = None

    def call(self, arguments: bytes) -> dict[str, Any]:
        """The reply to a call: its "value" as JSON, or the reason why there is none, "failed"."""
        box = self._ready()
        if box is None:
            assert self._broken is not None
            return self._broken
        box.send(arguments)
        reply = self._reply(box)
        return reply if "value" in reply else {"failed": reply.get("failed", RAISED)}

    def _ready(self) -> Box | None:
        if self._box is None and self._broken is None:
            self._box = Box("serve", self._files, self._limits, self._function)
            reply = self._reply(self._box)
            if "ready" not in reply:
                self._broken = {"failed": reply.get("failed", RAISED)}
                self.close()
        return self._box

    def _reply(self, box: Box) -> dict[str, Any]:
        """What the program says; if nothing, it is ended, and the reason is given."""
        line = box.line(min(time.monotonic() + self._limits.wall_seconds, self._deadline))
        with contextlib.suppress(ValueError, RecursionError):
            found = None if line is None else json.loads(line)
            if isinstance(found, dict):
                return found
        status = self.close()
        if box.overflowed:
            return {"failed": LOUD}
        return {"failed": LATE if status in (None, *_TIME_LIMIT) else ENDED}

    def close(self) -> int | None:
        """End the process; its status as :meth:`Box.close` gives it."""
        box, self._box = self._box, None
        # What has closed its pipe ends within moments.
        return None if box is None else box.close(time.monotonic() + 0.2)

    def __enter__(self) -> _Program:
        return self

    def __exit__(self, *error: object) -> None:
        if self._box is not None:
            self._box.close()


def _call(program: _Program, test: Call) -> str | None:
    """Why a call failed; None if it passed."""
    reply = program.call(json.dumps(encode(_of_json(test.arguments))).encode())
    if "value" not in reply:
        return str(reply["failed"])
    try:
        value = _listed(decode(reply["value"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return WRONG
    return None if value == _of_json(test.expected) else WRONG


def _listed(value: Any) -> Any:
    """A value as JSON would have it: tuples are lists."""
    if isinstance(value, list | tuple):
        return [_listed(one) for one in value]
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return value


def _of_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        remedy = "correct the test, or leave the problem out"
        raise InvalidInput("test", text, f"not JSON: {error}", remedy) from error


def _check(program: _Program, tests: CodeTests, limits: Limits, deadline: float) -> Judgement:
    """Run a data set's checks in a second sandbox and pass its calls on to the program's."""
    content = {CHECK: json.dumps([_whole(tests.preamble), tests.check]).encode()}
    packages = ("numpy",) if "numpy" in tests.check else ()
    failures: Counter[str] = Counter()
    called = False
    with Box("check", content, limits, tests.function, packages=packages) as box:
        while (line := box.line(deadline)) is not None:
            said = json.loads(line)
            if "done" in said:
                passed, failed = said["done"]["passed"], said["done"]["failed"]
                # Each failed call fails one test; others got a wrong answer.
                failures[WRONG] = max(failed - failures.total(), 0)
                return Judgement(passed, passed + failed, dict(+failures))
            called = True
            reply = program.call(json.dumps(said["call"]).encode())
            if "value" not in reply:
                failures[str(reply["failed"])] += 1
            box.send(json.dumps(reply).encode())
    if time.monotonic() >= deadline:
        return Judgement(0, 1, {LATE: 1})
    if called:  # what the program returned has used up the limits of the checks
        return Judgement(0, 1, {LOUD: 1})
    remedy = "correct the checks, or leave the problem out"
    raise InvalidInput(f"checks of {tests.function}", tests.check, "do not run", remedy)


def _whole(preamble: str) -> str:
    """A preamble whose last function has only its first lines, made a program."""
    return (
        f"{preamble}\n    pass\n" if preamble.rstrip().endswith(('"""', "'''", ":")) else preamble
    )
