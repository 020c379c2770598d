"""Whether programs can be run in a sandbox on this machine."""

from __future__ import annotations

import pytest

from cpi_theory.checks import InvalidInput
from llm.rewards.sandbox.bubblewrap import check_sandbox
from llm.rewards.sandbox.cases import Call, CodeTests, Stream


def _reason():
    try:
        check_sandbox()
    except InvalidInput as error:
        return str(error)
    return None


needs_sandbox = pytest.mark.skipif(_reason() is not None, reason=str(_reason()))


def prints(stdout, stdin=""):
    return CodeTests(streams=(Stream(stdin, stdout),))


def returns(function, *pairs):
    """Calls of a function: arguments and what comes back, as JSON."""
    return CodeTests(calls=tuple(Call(a, b) for a, b in pairs), function=function)


def checks(function, check, preamble=""):
    return CodeTests(check=check, function=function, preamble=preamble)
