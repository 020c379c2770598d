"""Which mutants of the theory do its tests notice?  ``python -m experiments.mutation.run``.

The module's tests are collected once. Each mutant then gets a process of its own, forked from
there, in which the mutated function is put in place of the original and the tests run until the
first failure.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_theory.checks import InvalidInput, check_count
from experiments.mutation.mutants import ConstantMutant, Mutant, module_mutants

if TYPE_CHECKING:
    from rich.console import Console


class Fate(enum.Enum):
    """What the tests made of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMEOUT = "timed out"


@dataclass(frozen=True)
class MutationConfig:
    """Which modules to mutate and how long their tests may take.

    Attributes:
        modules: modules whose functions are mutated; the tests of ``a.b`` are tests/a/test_b.py.
        seconds: limit per mutant; one that runs longer counts as noticed.
        first: mutants to try at most per module; 0 for all.
    """

    modules: tuple[str, ...] = (
        "cpi_theory.bounds.finite_horizon",
        "cpi_theory.bounds.discounted",
        "cpi_theory.bounds.chooser",
        "cpi_theory.bounds.plans",
        "cpi_theory.algorithms.advantages",
    )
    seconds: int = 120
    first: int = 0

    def __post_init__(self) -> None:
        check_count("seconds", self.seconds)
        check_count("first", self.first, minimum=0)


def tests_of(module: str, root: Path) -> Path:
    """The file with the tests of a module, below the folder `root`.

    Raises:
        InvalidInput: if there are none.
    """
    package, _, name = module.rpartition(".")
    path = root / package.replace(".", "/") / f"test_{name}.py"
    if not path.is_file():
        raise InvalidInput("modules", module, f"{path} is not there", "run at the repository root")
    return path


class _Forks:
    """Pytest plugin: collect once, then run the tests in one fork per mutant.

    Attributes:
        fates: what the tests made of each mutant; the first entry is of no mutant at all.
    """

    def __init__(self, found: Sequence[Mutant | ConstantMutant], seconds: int) -> None:
        self.mutants = found
        self.seconds = seconds
        self.fates: list[Fate] = []

    def pytest_runtestloop(self, session: Any) -> bool:
        """Instead of pytest's own loop over the collected tests."""
        durations = self._durations(session)
        self.fates = [Fate.KILLED if session.testsfailed else Fate.SURVIVED]
        if not session.testsfailed:
            session.items.sort(key=durations.__getitem__)  # most mutants fall to a quick test
            self.fates += [self._fate(session, mutant) for mutant in self.mutants]
        return True

    def _durations(self, session: Any) -> dict[Any, float]:
        """Run every test without a mutant, in this process, and time it."""
        durations = {}
        for item in session.items:
            start = time.perf_counter()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            durations[item] = time.perf_counter() - start
        return durations

    def _fate(self, session: Any, mutant: Mutant | ConstantMutant) -> Fate:
        child = os.fork()
        if child == 0:
            self._run_tests(session, mutant)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return Fate.TIMEOUT if os.WTERMSIG(status) == signal.SIGALRM else Fate.KILLED
        return Fate.SURVIVED if os.WEXITSTATUS(status) == 0 else Fate.KILLED

    def _run_tests(self, session: Any, mutant: Mutant | ConstantMutant) -> None:
        """The child's whole life, up to the first failure; it never returns."""
        code = 1
        try:
            signal.alarm(self.seconds)
            with mutant.installed():
                code = int(self._first_failure(session))
        finally:
            os._exit(code)

    def _first_failure(self, session: Any) -> bool:
        items = session.items
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return True
        return False


def fates_of(
    found: Sequence[Mutant | ConstantMutant], tests: Path, seconds: int
) -> tuple[Fate, list[Fate]]:
    """What `tests` make of no mutant, and of each mutant if they pass without."""
    import pytest

    _report_first_failure()
    plugin = _Forks(found, seconds)
    arguments = ["-q", "-s", "-p", "no:cacheprovider", "--hypothesis-profile=mutation", str(tests)]
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(arguments, plugins=[plugin])
    first, *fates = plugin.fates or [Fate.KILLED]  # no loop at all: collection failed
    return first, fates


def _report_first_failure() -> None:
    """A mutant is noticed by any failing example: looking for a simpler one takes minutes."""
    from hypothesis import HealthCheck, Phase, settings

    settings.register_profile(
        "mutation",
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def run(config: MutationConfig, console: Console) -> int:
    """Print every mutant that the tests let pass; exit code 1 if the tests fail without mutants."""
    for name in config.modules:
        tests = tests_of(name, Path("tests"))
        found = module_mutants(importlib.import_module(name))[: config.first or None]
        without, fates = fates_of(found, tests, config.seconds)
        if without is not Fate.SURVIVED:
            console.print(f"{tests} fails without any mutant")
            return 1
        for mutant, fate in zip(found, fates, strict=True):
            if fate is Fate.SURVIVED:
                console.print(f"survived  {mutant}", markup=False, soft_wrap=True)
        counts = ", ".join(f"{fates.count(fate)} {fate.value}" for fate in Fate)
        console.print(f"{name}: {len(found)} mutants, {counts}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m experiments.mutation.run``."""
    import tyro
    from rich.console import Console

    config = tyro.cli(MutationConfig, args=arguments, description=MutationConfig.__doc__)
    return run(config, Console(highlight=False, file=sys.stdout))


if __name__ == "__main__":
    sys.exit(main())
