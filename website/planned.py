"""The table of docs/plan.md: what is planned for an update beside what was measured of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from experiments.config import build
from experiments.plan.config import Assumptions, PlanConfig
from experiments.plan.plan import Plan, make_plan
from experiments.runs.store import Run
from experiments.train.config import TrainConfig
from experiments.train.spec import TrainBudget
from llm.models.settings import TINY_NAME, ModelSettings
from llm.sampling.settings import SamplerSettings
from llm.training.settings import LossSettings, OptimizerSettings
from website.stored import DOCS, Row, lines, read

_ASSUMED = ("pass_rate", "tokens", "longest", "reply", "prompt")
_PRECISIONS = {
    ("weights", "model"): "float32",
    ("autocast", "model"): "learning in autocast",
    ("autocast", "bfloat16"): "bfloat16 copy and autocast",
}


def measured() -> list[Row]:
    """Updates whose seconds were measured."""
    return read("measurements/plan.jsonl")


def plan_of(row: Row) -> Plan:
    """The plan of one update that was measured, told its pass rate and lengths."""
    config = TrainConfig(
        worlds=("natural" if row["model"] == TINY_NAME else "sums-four",),
        methods=(row["method"],),
        seeds=1,
        model=ModelSettings(row["model"]),
        optimizer=OptimizerSettings(
            precision=row.get("learning_precision", "weights"),
            micro_batch=row.get("micro_batch", 64),
        ),
        loss=LossSettings("corrected"),
        sampler=SamplerSettings(precision=row.get("sampler_precision", "model")),
        budget=TrainBudget(prompts=row["prompts"], updates=1, every=1),
    )
    assume = Assumptions(**{name: row[name] for name in _ASSUMED if name in row})
    return make_plan(config, PlanConfig(assume=assume), row["threads"])


def plan_like(run: str) -> tuple[Plan, Run]:
    """The plan of a recorded run, told what it drew, and its records."""
    record = Run.existing(DOCS / "records", run)
    config = build(TrainConfig, {k: v for k, v in record.config.items() if k != "type"})
    if config.model.path == "smollm2-four":  # made by a warm start, of the same sizes
        model = replace(config.model, path="HuggingFaceTB/SmolLM2-135M-Instruct")
        config = replace(config, model=model)
    return make_plan(config, PlanConfig(like=DOCS / "records" / run), 1), record


def updates() -> str:
    """Seconds of an update, planned and measured."""
    head = ("an update, seconds", "sampling and localising: planned / measured")
    return lines([*head, "learning: planned / measured"], [_update(row) for row in measured()])


def _update(row: Row) -> list[str]:
    seconds = plan_of(row).planned[0].cost.seconds
    digits = 2 if row["model"] == TINY_NAME else 1
    pairs = (
        (seconds.sampling + seconds.localisation, row["sampling"]),
        (seconds.learning, row["learning"]),
    )
    return [_label(row), *(f"{p:.{digits}f} / {m:.{digits}f}" for p, m in pairs)]


def _label(row: Row) -> str:
    threads = {1: "one thread", 2: "two threads"}[row["threads"]]
    if row["model"] == TINY_NAME:
        return f"tiny, {row['method']}, {threads}"
    precision = _PRECISIONS[row["learning_precision"], row["sampler_precision"]]
    return f"{row['model'].rpartition('/')[2]}, {precision}, {threads}"


def recorded() -> str:
    """What is planned for the stored runs."""
    real, tiny = (plan_like(run)[0].planned for run in ("smollm2-sums", "train"))
    minutes = [(one.cost.seconds.total - one.cost.seconds.evaluation) / 60 for one in real]
    seconds = [one.cost.seconds.total for one in tiny]
    return (
        f"Planned for a training of [smollm2-sums](records/smollm2-sums), evaluations apart: "
        f"{min(minutes):.1f} to {max(minutes):.1f} minutes; of [train](records/train), evaluations "
        f"included: {min(seconds):.0f} to {max(seconds):.0f} seconds, by method."
    )


TABLES: dict[str, Callable[[], str]] = {"updates": updates, "recorded": recorded}
"""By name: what makes the table."""
