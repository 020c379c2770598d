"""The report's section on frontier resets."""

from __future__ import annotations

from experiments.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.frontier import verdicts
from experiments.store import Run


def frontier_section(run: Run) -> list[Block]:
    """Who is ahead at which accuracy of the localiser."""
    cells = ("world", "base_pass", "accuracy", "method", "mean", "lower", "upper", "seeds")
    compared = ("world", "accuracy", "method", "better", "difference", "lower", "upper", "aim")
    goals = run.read("goals")
    return [
        Heading("Frontier resets"),
        Paragraph(
            "If the first half of a prompt's rollouts failed altogether, the world names the first "
            "error of each and the other half restarts from before one of the named steps: that "
            "with the largest expected lesson (Frontier) or always the deepest. The localiser is "
            "right with the probability given and else names a uniform step. Differences are in "
            "the mean of J over the curve, to the better of GRPO and SRPO, paired by seed."
        ),
        Verdicts(tuple(verdicts(goals))),
        DataTable.of(goals, (*compared, "met")),
        Heading("Mean of J over the curve", 3),
        DataTable.of(run.read("cells"), cells),
    ]
