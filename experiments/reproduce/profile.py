"""Profiles: the settings of every command that ``cpi-resets reproduce`` runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from experiments.anatomy.config import AnatomyConfig
from experiments.compare.config import CompareConfig
from experiments.diagnose.config import DiagnoseConfig
from experiments.explore.config import ExploreConfig
from experiments.frontier.config import FrontierConfig
from experiments.learn.config import LearnConfig
from experiments.report.config import ReportConfig
from experiments.train.config import TrainConfig
from experiments.verify.config import VerifyConfig


@dataclass(frozen=True)
class Profile:
    """Settings of every command.

    Attributes:
        verify, compare, learn, frontier, diagnose, train, anatomy, explore, report: see
            ``cpi-resets COMMAND --help``.
    """

    verify: VerifyConfig = field(default_factory=VerifyConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    frontier: FrontierConfig = field(default_factory=FrontierConfig)
    diagnose: DiagnoseConfig = field(default_factory=DiagnoseConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    anatomy: AnatomyConfig = field(default_factory=AnatomyConfig)
    explore: ExploreConfig = field(default_factory=lambda: ExploreConfig(("learn", "train")))
    report: ReportConfig = field(default_factory=ReportConfig)
