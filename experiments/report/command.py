"""``cpi-resets report``: one page on what the stored runs came to, and every figure as a file.

Nothing is simulated here. Figures and sections whose records are not there, or not all of them, are
left out and named. With ``--watch`` the page is written again and again while runs are under way.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from experiments.execution.settings import Execution
from experiments.report.config import ReportConfig


def run(config: ReportConfig, output: Path, _execution: Execution, console: Console) -> int:
    """Write figures and page; 0 when done, with `watch` when it is interrupted.

    Raises:
        InvalidInput: if there is no run to show.
        CorruptFile: if no run is whole.
    """
    if config.watch:
        page = output / config.name / "report.html"
        said = f"watching {output}, every {config.watch:g} s; the page: {page} (Ctrl-C ends it)"
        console.print(said, markup=False, soft_wrap=True)
    from experiments.report import making  # what draws takes seconds to load

    if config.watch:
        return making.watch(config, output, console)
    return making.write(config, output, console)
