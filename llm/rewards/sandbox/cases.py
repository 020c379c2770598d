"""Tests of programs as values: inputs and outputs, calls of a function, or a data set's checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cpi_theory.checks import InvalidInput


@dataclass(frozen=True, slots=True)
class Stream:
    """A run of the whole program.

    Attributes:
        stdin: what it reads.
        stdout: what it has to write; see :func:`same_output`.
    """

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one function.

    Attributes:
        arguments: a JSON list.
        expected: what it has to return, as JSON; tuples count as lists.
    """

    arguments: str
    expected: str


@dataclass(frozen=True, slots=True)
class CodeTests:
    """All tests of one problem, of one of three sorts.

    Attributes:
        streams: runs of the program, each in a process of its own.
        calls: calls of `function`.
        check: Python statements that test `function`, which they may also find as the argument of a
            function ``check`` of theirs, as in HumanEval.
        function: what is called: a function, or else a method of the program's class ``Solution``.
        preamble: the beginning of the program that a problem gives, such as imports and helpers;
            `check` may use them, and so may the program.
    """

    streams: tuple[Stream, ...] = ()
    calls: tuple[Call, ...] = ()
    check: str = ""
    function: str = ""
    preamble: str = ""

    def __post_init__(self) -> None:
        sorts = [name for name in ("streams", "calls", "check") if getattr(self, name)]
        if len(sorts) != 1:
            problem = "no tests" if not sorts else f"several sorts: {', '.join(sorts)}"
            raise InvalidInput("tests", sorts, problem, "give streams, calls or a check")
        if not self.streams and not self.function.isidentifier():
            remedy = "name the function that is tested"
            raise InvalidInput("tests.function", self.function, "not a name", remedy)

    def as_text(self) -> str:
        """Return the tests as JSON; :func:`read_tests` reads it."""
        found: dict[str, Any] = {"preamble": self.preamble} if self.preamble else {}
        if self.streams:
            return json.dumps({**found, "streams": [[s.stdin, s.stdout] for s in self.streams]})
        found["function"] = self.function
        if self.calls:
            return json.dumps({**found, "calls": [[c.arguments, c.expected] for c in self.calls]})
        return json.dumps({**found, "check": self.check})

    def digests(self) -> frozenset[str]:
        """Return a digest of each test; equal tests have equal ones."""
        texts = [f"{s.stdin}\0{s.stdout}" for s in self.streams]
        texts += [f"{self.function}\0{c.arguments}\0{c.expected}" for c in self.calls]
        texts += [self.check] if self.check else []
        return frozenset(_digest(text) for text in texts)

    def halves(self, seed: int) -> tuple[CodeTests, CodeTests]:
        """Split streams or calls at random into tests to learn from and tests held out.

        Tests that come twice count once, so that the halves share none. With an odd number the
        first half is the larger one.

        Raises:
            InvalidInput: if there are fewer than two, or the tests are one check.
        """
        tests: Sequence[Any] = list(dict.fromkeys(self.streams or self.calls))
        if len(tests) < 2:
            remedy = "leave the problem out, or use it in one split alone"
            raise InvalidInput("tests", len(tests), "too few to hold some out", remedy)
        order = np.random.default_rng(seed).permutation(len(tests))
        cut = (len(tests) + 1) // 2
        first, second = (tuple(tests[i] for i in half) for half in (order[:cut], order[cut:]))
        if self.streams:
            return replace(self, streams=first), replace(self, streams=second)
        return replace(self, calls=first), replace(self, calls=second)


def read_tests(text: str) -> CodeTests:
    """Read what :meth:`CodeTests.as_text` wrote.

    Raises:
        InvalidInput: if it is anything else.
    """
    try:
        found: Mapping[str, Any] = json.loads(text)
        return CodeTests(
            tuple(Stream(str(a), str(b)) for a, b in found.get("streams", ())),
            tuple(Call(str(a), str(b)) for a, b in found.get("calls", ())),
            found.get("check", ""),
            found.get("function", ""),
            found.get("preamble", ""),
        )
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, InvalidInput):
            raise
        remedy = "give what CodeTests.as_text writes"
        raise InvalidInput("tests", text, f"not tests of programs: {error}", remedy) from error


def same_output(expected: str, found: str) -> bool:
    """Return whether two outputs have the same lines.

    Blanks at the ends of lines and empty lines at the end do not count, as on the judges of
    programming contests.
    """
    return _lines(expected) == _lines(found)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
