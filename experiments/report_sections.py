"""The report's sections: verdicts and tables of each run."""

from __future__ import annotations

from experiments.document import Block, DataTable, Heading, Paragraph, Verdicts
from experiments.store import Run
from experiments.verdicts import (
    bound_verdicts,
    check_verdict,
    cost_verdict,
    difference_verdicts,
    exponent_verdicts,
    imperfect_verdicts,
    learning_summary,
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


def verify_section(run: Run) -> list[Block]:
    """Whether the bounds held, and how tight they are."""
    summary = run.read("summary")
    columns = ("theorem", "instances", "checks", "exact_checks", "violations", "attained")
    tight = ("tightness", "adversarial_tightness", "penalty_used", "adversarial_penalty_used")
    return [
        Heading("Do the bounds hold?"),
        Paragraph(
            "Every statement is checked on random, extremal and Gymnasium worlds, many of them in "
            "exact fractions where no tolerance is needed, and pressed by adversarial search."
        ),
        Verdicts(bound_verdicts(summary)),
        DataTable.of(summary, (*columns, *tight)),
    ]


def learn_section(run: Run) -> list[Block]:
    """What resets do to learning."""
    pairs = run.read("pairs")
    reach = ("world", "method", "axis", "level", "median", "reached", "seeds")
    made = ("world", "method", "rollouts", "steps", "localizations", "informative")
    return [
        Heading("Learning with resets"),
        Paragraph(
            "The same algorithm objects, optimiser and budget in every world. Differences are in "
            "the mean of J over the curve, paired by seed; a rollout counts as one wherever it "
            "starts, a step is one generated action, and kept prefixes cost nothing."
        ),
        Verdicts((*learning_summary(pairs), *difference_verdicts(pairs))),
        Heading("Until half of what can be gained is gained", 3),
        DataTable.of(run.read("reach"), reach),
        Heading("What was generated", 3),
        DataTable.of(run.read("collections"), (*made, "lower", "upper")),
    ]
