"""Which mutants of the theory do its tests notice?  ``python -m experiments.mutation_run``.

Each mutant gets a process of its own, forked with everything imported, in which the mutated
function is put in place of the original and the module's tests run until the first failure.
"""

from __future__ import annotations

import enum
import importlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpi_theory.checks import InvalidInput, check_count
from experiments.mutation import ConstantMutant, Mutant, module_mutants

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

    modules: tuple[str, ...] = ("cpi_theory.bounds", "cpi_theory.plans", "cpi_theory.advantages")
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


def fate_of(mutant: Mutant | ConstantMutant | None, tests: Path, seconds: int) -> Fate:
    """Run `tests` in a forked process under the mutant; None stands for no mutant at all."""
    child = os.fork()
    if child == 0:
        _run_tests(mutant, tests, seconds)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Fate.TIMEOUT if os.WTERMSIG(status) == signal.SIGALRM else Fate.KILLED
    return Fate.SURVIVED if os.WEXITSTATUS(status) == 0 else Fate.KILLED


def _run_tests(mutant: Mutant | ConstantMutant | None, tests: Path, seconds: int) -> None:
    """The child's whole life; it never returns."""
    import pytest

    code = 3
    try:
        signal.alarm(seconds)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        _report_first_failure()
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutation"]
        arguments.append(str(tests))
        if mutant is None:
            code = int(pytest.main(arguments, plugins=[_QuickTestsFirst()]))
        else:
            with mutant.installed():
                code = int(pytest.main(arguments, plugins=[_QuickTestsFirst()]))
    finally:
        os._exit(code)


class _QuickTestsFirst:
    """Puts the property tests last, since most mutants fall to a worked value."""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Called by pytest with the collected tests, to be sorted in place."""
        items.sort(key=lambda item: hasattr(getattr(item, "function", None), "hypothesis"))


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
        if fate_of(None, tests, config.seconds) is not Fate.SURVIVED:
            console.print(f"{tests} fails or takes over {config.seconds} s without any mutant")
            return 1
        found = module_mutants(importlib.import_module(name))
        _report(name, found[: config.first or None], tests, config.seconds, console)
    return 0


def _report(
    name: str,
    found: Sequence[Mutant | ConstantMutant],
    tests: Path,
    seconds: int,
    console: Console,
) -> None:
    from rich.progress import track

    fates: Counter[Fate] = Counter()
    for mutant in track(found, description=name, console=console, transient=True):
        fate = fate_of(mutant, tests, seconds)
        fates[fate] += 1
        if fate is Fate.SURVIVED:
            console.print(f"survived  {mutant}", markup=False, soft_wrap=True)
    counts = ", ".join(f"{fates[fate]} {fate.value}" for fate in Fate)
    console.print(f"{name}: {len(found)} mutants, {counts}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m experiments.mutation_run``."""
    import tyro
    from rich.console import Console

    for heavy in ("hypothesis", "pytest", "numpy", "scipy.stats"):
        importlib.import_module(heavy)  # once here, inherited by every fork
    config = tyro.cli(MutationConfig, args=arguments, description=MutationConfig.__doc__)
    return run(config, Console(highlight=False))


if __name__ == "__main__":
    sys.exit(main())
