"""Every figure: what it is called, which tables of which run it is drawn from, what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from paper_figs.figures.conservative import conservative_figure
from paper_figs.figures.diagnosis import (
    diagnosis_coverage_figure,
    diagnosis_figure,
    diagnosis_order_figure,
)
from paper_figs.figures.evaluation import published_figure, results_figure
from paper_figs.figures.exponents import gain_figure, samples_figure
from paper_figs.figures.frontier import accuracy_figure, rule_figure
from paper_figs.figures.hero import hero_figure
from paper_figs.figures.imperfect import imperfect_figure
from paper_figs.figures.language import credit_figure, localization_figure, pass_curves_figure
from paper_figs.figures.league import league_figure, signal_figure
from paper_figs.figures.learning import (
    curves_figure,
    differences_figure,
    informative_figure,
    localiser_figure,
    training_differences_figure,
)
from paper_figs.figures.resets import (
    correction_figure,
    deviation_figure,
    passk_figure,
    relative_positions_figure,
)
from paper_figs.figures.tightness import tightness_figure
from paper_figs.figures.trees import layouts_figure, positions_figure, reset_figure
from paper_figs.figures.values import value_figure
from paper_figs.figures.worlds import worlds_figure


@dataclass(frozen=True)
class Entry:
    """A figure.

    Attributes:
        name: of its files.
        section: whose results it belongs to: "verify", "compare", "learn", "diagnose", ...
        tables: (command, table) pairs, in the order of `draw`'s arguments.
        draw: the tables' rows -> figure.
        caption: what it shows, for the report.
        settings: of the section's run, which `draw` is given by name; None where a run has none.
    """

    name: str
    section: str
    tables: tuple[tuple[str, str], ...]
    draw: Callable[..., Figure]
    caption: str
    settings: tuple[str, ...] = ()


FIGURES: tuple[Entry, ...] = (
    Entry(
        "hero",
        "compare",
        (("compare", "samples"), ("learn", "bands"), ("train", "bands")),
        hero_figure,
        "(a) What resets cost in theory and measured: with random resets the samples for a right "
        "choice grow as 1/p^2 when one parameter serves all states and as 1/p when every state has "
        "its own, with oracle resets not at all. (b, c) What they do to learning where about one "
        "rollout in a hundred succeeds, on tabular reasoning trees and, by the same algorithm "
        "objects, on a transformer that localises its own errors: interquartile mean over seeds "
        "with 95 % bootstrap bands.",
    ),
    Entry(
        "verify-tightness",
        "verify",
        (("verify", "summary"),),
        tightness_figure,
        "How close each bound comes to the gain that it bounds (left), and how much of the penalty "
        "that it subtracts an update really costs (right), at the worst instance found. 1 is "
        "attained: no constant of such a bound can be improved.",
    ),
    Entry(
        "compare-samples",
        "compare",
        (("compare", "samples"),),
        samples_figure,
        "How many trials the policy chooser needs until 90 % of its choices are right, against the "
        "coverage p (left; 95 % intervals are smaller than the markers), and how far the fitted "
        "exponent is from the theory's in every cell of the grid over tau, H and |A| (right).",
    ),
    Entry(
        "compare-gain",
        "compare",
        (("compare", "gains"),),
        gain_figure,
        "What one conservative step of the theory's size gains, exactly evaluated, beside what T2 "
        "guarantees before it is taken and what T5 plans from p and tau alone. Left with the "
        "spread known, right with its worst case.",
    ),
    Entry(
        "compare-imperfect",
        "compare",
        (("compare", "imperfect"),),
        imperfect_figure,
        "An oracle that errs, against random resets in the same world: samples saved (left, "
        "lines: T6) and gain of a step (right, line: T6).",
    ),
    Entry(
        "compare-worlds",
        "compare",
        (("compare", "worlds"),),
        worlds_figure,
        "One step towards the best candidate of the class on worlds that were not made for it: "
        "guaranteed (bar) and exact gain, and the samples that the choice takes where returns are "
        "0 or R_max. The oracle's level is a quarter of the largest advantage met. Resetting to "
        "first errors selects at most one step per rollout, which T2's gain per step pays for.",
    ),
    Entry(
        "reset-tree",
        "compare",
        (("compare", "anatomy"),),
        reset_figure,
        "One prompt's rollouts under SRPO as they were drawn: a failed parent is reset to just "
        "before its first error; each group is normalised on its own, and what was kept is not "
        "trained on.",
    ),
    Entry(
        "layouts",
        "compare",
        (("compare", "anatomy"),),
        layouts_figure,
        "The sampling layouts on the same prompt and random numbers. Layouts without a base group "
        "look for parents in rollouts that are drawn but not trained on; only those reset are "
        "shown.",
    ),
    Entry(
        "reset-positions",
        "compare",
        (("compare", "positions"),),
        positions_figure,
        "Where each reset policy resets the failed rollouts of a reasoning tree, relative to their "
        "first error. A reset after it keeps a wrong prefix.",
    ),
    Entry(
        "learn-curves",
        "learn",
        (("learn", "bands"),),
        curves_figure,
        "Learning curves against rollouts (left) and generated steps (right): interquartile mean "
        "of the exact J over seeds with 95 % bootstrap bands. All methods use the same optimiser, "
        "learning rate and number of rollouts per update.",
    ),
    Entry(
        "learn-differences",
        "learn",
        (("learn", "pairs"),),
        differences_figure,
        "Difference of mean J over the curve, paired by seed, up to the budget that all seeds of "
        "both reached, with 95 % intervals. A filled marker: the interval excludes 0. The "
        "intervals are not corrected for their number.",
    ),
    Entry(
        "learn-localiser",
        "learn",
        (("learn", "pairs"),),
        localiser_figure,
        "The same where the localiser names the first error with probability 0.7 or 0.4 and a "
        "uniform step otherwise.",
    ),
    Entry(
        "learn-informative",
        "learn",
        (("learn", "groups"),),
        informative_figure,
        "Share of groups whose rewards differ. A constant group teaches nothing; two groups of 4 "
        "are constant more often than one of 8.",
    ),
    Entry(
        "learn-conservative",
        "learn",
        (("learn", "conservative"),),
        conservative_figure,
        "Conservative policy iteration at the step size that its bound guarantees: per iteration "
        "with exact advantages, and per rollout with a sampled chooser. The oracle stops when "
        "no state of its level is left; a line ends where the first seed ended.",
    ),
    Entry(
        "frontier-accuracy",
        "frontier",
        (("frontier", "cells"),),
        accuracy_figure,
        "Mean of J over the curve against how often the localiser names the first error, with 95 % "
        "intervals over seeds; in brackets the pass rate of the base policy. GRPO asks nothing. "
        "Always taking the deepest named step wins with good answers and loses with poor ones; "
        "Frontier weighs them, and adaptive methods find out how good they are.",
        ("last_accuracy",),
    ),
    Entry(
        "frontier-rule",
        "frontier",
        (("frontier", "rule"),),
        rule_figure,
        "What four more rollouts are expected to teach after four failures, by where they start: "
        "before the deepest named step, the second deepest, ..., or from the start. Bold: the best "
        "choice at that accuracy. Pass rate 1 %, ten steps.",
    ),
    Entry(
        "league",
        "league",
        (("league", "places"), ("league", "overall")),
        league_figure,
        "Methods of credit at an equal number of generated steps (tokens, of a language model): "
        "the mean rank over worlds, 1 being the best, with a bootstrap interval over seeds, and "
        "the mean of J over the budget in each world with a 95 % interval. Filled: nobody is shown "
        "ahead there (Holm, 5 %). The line is J before anything was learned.",
    ),
    Entry(
        "league-signal",
        "league",
        (("league", "places"), ("league", "signals"), ("league", "agreement")),
        signal_figure,
        "Does the audit predict the league? The signal-to-noise ratio of an update per generated "
        "step, at each world's base policy, against the mean of J over the budget; a marker per "
        "method, with Spearman's correlation.",
    ),
    Entry(
        "train-curves",
        "train",
        (("train", "bands"),),
        pass_curves_figure,
        "A language model learns: pass rate on held-out problems against rollouts and against "
        "tokens generated (localisation included), interquartile mean over seeds with 95 % "
        "bootstrap bands. All methods start from the same checkpoint and use the same loss, "
        "optimiser and number of rollouts per update; every seed has its own held-out problems.",
    ),
    Entry(
        "train-published",
        "train",
        (("train", "bands"),),
        published_figure,
        "The paper's validation curves (OLMo-3-7B-Instruct, LiveCodeBench medium, three runs; its "
        "success is a share of tests on the training problems) with 95 % intervals of Student's t "
        "from the errors that it plots, and Welch's p-value of the last points; beside them the "
        "same methods on worlds of ours, much smaller models. Only the order of methods compares.",
    ),
    Entry(
        "train-differences",
        "train",
        (("train", "pairs"),),
        training_differences_figure,
        "Difference of the mean pass rate over the run, paired by seed, with 95 % intervals. A "
        "filled marker: the interval excludes 0. The intervals are not corrected for their number.",
    ),
    Entry(
        "train-informative",
        "train",
        (("train", "groups"),),
        informative_figure,
        "Share of groups whose rewards differ while the language model learns.",
    ),
    Entry(
        "train-localization",
        "train",
        (("train", "localization"),),
        localization_figure,
        "How often the policy names the first error of its own failures while it learns to solve, "
        "not to localise; bands: 95 % over seeds. Dotted: how often the first hard step of the "
        "question would have been right for the same failures, without looking at them.",
    ),
    Entry(
        "evaluate-results",
        "evaluate",
        (("evaluate", "models"), ("evaluate", "comparisons"), ("evaluate", "methods")),
        results_figure,
        "Methods on benchmarks: a dot per seed and the mean (top), and differences paired by "
        "problem and seed (bottom), with 95 % intervals for other seeds and problems. A filled "
        "marker: the p-value, adjusted by Holm over the benchmarks, is below .05.",
    ),
    Entry(
        "anatomy-tree",
        "anatomy",
        (("anatomy", "tree"),),
        credit_figure,
        "One prompt under SRPO, thought by thought: rewards, advantages and how hard the loss "
        "pulls at each thought (norm of its gradient in the thought's logits). What is kept has "
        "none. The first prompt whose groups both teach something: how it works, not how often.",
    ),
    Entry(
        "anatomy-positions",
        "anatomy",
        (("anatomy", "resets"),),
        relative_positions_figure,
        "Where failures are reset, relative to their length: steps named by the model against "
        "random ones. Positions on an edge count to the part that begins there.",
    ),
    Entry(
        "anatomy-deviations",
        "anatomy",
        (("anatomy", "deviations"),),
        deviation_figure,
        "How far reset steps are from the first error that an exact checker finds, with 95 % "
        "intervals over problems. Beside the model's own answer: the first hard step of the "
        "question, which takes no localiser, and a random step.",
    ),
    Entry(
        "anatomy-corrections",
        "anatomy",
        (("anatomy", "corrections"),),
        correction_figure,
        "How often suffixes succeed by the deviation of the reset step, with 95 % intervals over "
        "problems. Hollow, with the deviation of the reset that it controls: as many thoughts kept "
        "of another failure. Intervals of fewer than 20 resets may leave the panel.",
    ),
    Entry(
        "anatomy-passk",
        "anatomy",
        (("anatomy", "passk"),),
        passk_figure,
        "pass@k (unbiased) after clean and erroneous prefixes of named and random resets, with "
        "95 % intervals over problems. Hollow: as many thoughts kept of another failure, whatever "
        "its own prefix, and fresh rollouts of the same problems.",
    ),
    Entry(
        "localize-values",
        "localize",
        (("localize", "value_curve"), ("localize", "value_drops")),
        value_figure,
        "Success of the model's continuations of solutions whose first error is marked, by how "
        "many steps are kept (a; right of the dotted line the error is among them; four steps away "
        "stands for more), and how far it falls across the marked step and across the others of "
        "the same solutions (b). 95 % intervals over questions.",
    ),
    Entry(
        "diagnose",
        "diagnose",
        (("diagnose", "estimates"),),
        diagnosis_figure,
        "What a few thousand rollouts say before any training: when a rollout first meets an "
        "improvable state (a), how often a visited, a random and a named state is one (b), how "
        "often suffixes from named steps succeed beside the same step of another failure of the "
        "same prompt (c, d), which groups teach anything (e) and the predicted signal (f). 95 % "
        "intervals over prompts.",
    ),
    Entry(
        "diagnose-coverage",
        "diagnose-validate",
        (("diagnose-validate", "coverage"),),
        diagnosis_coverage_figure,
        "How often 95 % intervals of repeated diagnoses cover the exact value; a marker for every "
        "number of every world.",
    ),
    Entry(
        "diagnose-order",
        "diagnose-order",
        (("diagnose-order", "settings"),),
        diagnosis_order_figure,
        "Which method learns faster, predicted from one diagnosis of the base policy against "
        "measured on learning curves, a marker per setting. Filled: the 95 % interval of the "
        "measured difference, paired by seed, excludes 0. In the lower left and upper right "
        "quarters the prediction is right.",
    ),
)
