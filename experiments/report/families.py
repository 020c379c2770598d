"""What the report shows of the runs of each command: one line per family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.anatomy.report import anatomy_answers, anatomy_section
from experiments.audit.report import audit_answers, audit_section
from experiments.compare.report import compare_answers, compare_section
from experiments.diagnose.report import (
    diagnose_answers,
    diagnose_section,
    order_answers,
    order_section,
    validate_section,
)
from experiments.documents.document import Answer, Block
from experiments.evaluate.report import evaluate_answers, evaluate_section
from experiments.frontier.report import frontier_answers, frontier_section
from experiments.league.report import league_answers, league_section
from experiments.learn.report import learn_answers, learn_section
from experiments.localize.report import localize_answers, localize_section
from experiments.runs.store import Run
from experiments.train.report import train_answers, train_section
from experiments.verify.report import verify_answers, verify_section


def _nothing(_run: Run) -> tuple[Answer, ...]:
    return ()


@dataclass(frozen=True)
class Family:
    """The runs of one command.

    Attributes:
        kind: the command, with what it did if it does several things.
        settings: the class of its configuration, by which its runs are known.
        section: what is said of a run; its first block is the heading.
        answers: what a run has to say to the questions of the first screen.
        having: values of the configuration that tell its runs from others of the same class.
    """

    kind: str
    settings: str
    section: Callable[[Run], list[Block]]
    answers: Callable[[Run], Sequence[Answer]] = _nothing
    having: Mapping[str, object] = field(default_factory=dict)

    def made(self, config: Any) -> bool:
        """Whether a run with these stored settings is of this family."""
        return (
            isinstance(config, dict)
            and config.get("type") == self.settings
            and all(config.get(name) == value for name, value in self.having.items())
        )


_PLAIN = {"validate": False, "order": False}

FAMILIES: tuple[Family, ...] = (
    Family("verify", "VerifyConfig", verify_section, verify_answers),
    Family("compare", "CompareConfig", compare_section, compare_answers),
    Family("learn", "LearnConfig", learn_section, learn_answers),
    Family("frontier", "FrontierConfig", frontier_section, frontier_answers),
    Family("league", "LeagueConfig", league_section, league_answers),
    Family("audit", "AuditConfig", audit_section, audit_answers),
    Family("train", "TrainConfig", train_section, train_answers),
    Family("evaluate", "EvaluateConfig", evaluate_section, evaluate_answers),
    Family("anatomy", "AnatomyConfig", anatomy_section, anatomy_answers),
    Family("localize", "LocalizeConfig", localize_section, localize_answers),
    Family("diagnose", "DiagnoseConfig", diagnose_section, diagnose_answers, _PLAIN),
    Family("diagnose-validate", "DiagnoseConfig", validate_section, having={"validate": True}),
    Family("diagnose-order", "DiagnoseConfig", order_section, order_answers, {"order": True}),
)
"""In the order of the page."""


def family_of(config: Any) -> Family | None:
    """The family of a run with these stored settings; none: it has no section."""
    return next((family for family in FAMILIES if family.made(config)), None)
