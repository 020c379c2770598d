"""The report's sections: verdicts and tables of each run."""

from __future__ import annotations

from experiments.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.store import Run
from experiments.verdicts import (
    check_verdict,
    cost_verdict,
    exponent_verdicts,
    imperfect_verdicts,
    looseness_verdicts,
    world_verdicts,
)


def compare_section(run: Run) -> list[Block]:
    """What oracle resets are worth against random ones."""
    samples, gains = run.read("samples"), run.read("gains")
    checks = [check_verdict(run.read("checks"))] if run.has("checks") else []
    worlds = run.read("worlds")
    columns = ("world", "policy", "resets", "tau", "selected", "advantage", "alpha")
    measured = ("guaranteed", "sharp", "gain", "samples")
    return [
        Heading("Oracle resets against random resets"),
        Paragraph(
            "A policy chooser draws trials at reset states, tries a uniform action and rolls out. "
            "Its choice is right if its reset advantage is at least half of the best in its class, "
            "the target of T5. `aliased` learners have one action for all states, `statewise` "
            "ones an action per state. The price 1/p^2 of random resets is real for aliased "
            "learners; for statewise ones it is 1/p (T7)."
        ),
        Verdicts((*exponent_verdicts(samples, gains), *checks, cost_verdict(samples))),
        Heading("Imperfect oracles", 3),
        Verdicts(imperfect_verdicts(run.read("imperfect"))),
        Heading("Bounds against facts", 3),
        Verdicts(looseness_verdicts(run.read("looseness"))),
        Heading("On other worlds", 3),
        Verdicts(world_verdicts(worlds)),
        DataTable.of(worlds, (*columns, *measured)),
    ]
