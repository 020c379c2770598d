"""Why a run has no rollouts to show: which case it is, and the remedy of that case."""

from __future__ import annotations

from collections.abc import Sequence

from cpi_theory.checks import InvalidInput
from experiments.runs.store import Run

GIVE_OTHER = "give a run of train, evaluate --texts, localize --traces or learn"
"""The remedy of all that is no run of a command that keeps rollouts."""

PUT_BACK = "put it where the settings of the run say, or start explore where it is"

_COPY = "copy it there from where the run was made"


def of_train(run: Run, trainings: bool) -> InvalidInput:
    """A run of train without rollouts.

    Args:
        run: the run.
        trainings: whether its trainings have left anything below `models`.
    """
    from experiments.train.spec import KeptRollouts  # takes a learning library, and learn has none

    new = "under a new --name"
    seeds = (run.config.get("rollouts") or {}).get("seeds", KeptRollouts().seeds)
    if not seeds:
        problem = "kept no rollouts, as its settings say (rollouts.seeds = 0)"
        return _of(run, problem, f"train with --rollouts.seeds 1, {new}")
    if run.config.get("checkpoint_every") == 0:
        problem = "kept no rollouts, as its settings say (checkpoint_every = 0: no models either)"
        return _of(run, problem, f"train with --checkpoint-every 10, {new}")
    if not run.tables():
        problem = "has kept no rollouts yet: no table of it is finished"
        return _of(run, problem, "wait for its first update, or run the same command again")
    place = "models/*/rollouts" if trainings else "models"
    problem = (
        f"keeps its rollouts by its settings, but {run.directory / place} is not there: deleted, "
        "never copied beside the records, or never made (on a cluster, or by an earlier version)"
    )
    return _of(run, problem, f"{_COPY}, or train with --checkpoint-every 10, {new}")


def of_evaluate(run: Run) -> InvalidInput:
    """A run of evaluate without texts."""
    if not run.config.get("texts"):
        problem = "kept no texts, as its settings say (texts = false)"
        return _of(run, problem, "run evaluate with --texts, under a new --name")
    return _without(run, "attempts")


def of_localize(run: Run, gone: Sequence[str]) -> InvalidInput:
    """A run of localize without traces.

    Args:
        run: the run.
        gone: files or folders of its traces that are not there.
    """
    if not run.config.get("traces"):
        problem = "is about rollouts of a model, of which localize keeps no texts"
        return _of(run, problem, "give a run of localize --traces")
    if gone:
        named = ", ".join(gone)
        problem = f"shows traces from files, which it does not hold itself; not there: {named}"
        return _of(run, problem, PUT_BACK)
    return _without(run, "answers")


def of_learn(run: Run) -> InvalidInput:
    """A run of learn without the curves that what is drawn again is held against."""
    return _without(run, "curves")


def of_others(run: Run, command: str) -> InvalidInput:
    """A run of a command that keeps no rollouts, whatever its settings are."""
    problem = f"is a run of {command}, a command that keeps no rollouts"
    return _of(run, problem, GIVE_OTHER)


def _without(run: Run, table: str) -> InvalidInput:
    """A run that lacks a table that it ends with."""
    path = run.path(table)
    problem = f"has no {path.name}: not finished yet, deleted, or never copied"
    return _of(run, problem, f"{_COPY}, or run the same command again")


def _of(run: Run, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput("runs", run.directory, problem, remedy)
