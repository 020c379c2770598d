"""Profiles: the settings of every command that ``cpi-resets reproduce`` runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cpi_theory.checks import InvalidInput
from experiments.anatomy.config import AnatomyConfig
from experiments.compare.config import CompareConfig
from experiments.diagnose.config import DiagnoseConfig
from experiments.frontier.config import FrontierConfig
from experiments.learn.config import LearnConfig
from experiments.report.config import FiguresConfig
from experiments.train.config import TrainConfig
from experiments.verify.config import VerifyConfig

_CONFIGS = Path(__file__).parent.parent / "configs" / "reproduce"


@dataclass(frozen=True)
class Profile:
    """Settings of every command.

    Attributes:
        verify, compare, learn, frontier, diagnose, train, anatomy, figures: see
            ``cpi-resets COMMAND --help``.
    """

    verify: VerifyConfig = field(default_factory=VerifyConfig)
    compare: CompareConfig = field(default_factory=CompareConfig)
    learn: LearnConfig = field(default_factory=LearnConfig)
    frontier: FrontierConfig = field(default_factory=FrontierConfig)
    diagnose: DiagnoseConfig = field(default_factory=DiagnoseConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    anatomy: AnatomyConfig = field(default_factory=AnatomyConfig)
    figures: FiguresConfig = field(default_factory=FiguresConfig)


@dataclass(frozen=True)
class ReproduceConfig:
    """Run every command that measures, and the figures, continuing where an earlier run was.

    Attributes:
        profile: "quick" (a few minutes), "full", or a TOML file with a table per command. Runs are
            stored below the output folder, in a folder of the profile's name.
    """

    profile: str = "quick"

    def path(self) -> Path:
        """The profile's file.

        Raises:
            InvalidInput: if there is no such profile.
        """
        committed = {path.stem: path for path in sorted(_CONFIGS.glob("*.toml"))}
        given = Path(self.profile)
        if self.profile in committed:
            return committed[self.profile]
        if given.suffix != ".toml":
            remedy = f"choose among {', '.join(committed)}, or give a TOML file"
            raise InvalidInput("profile", self.profile, "no such profile", remedy)
        return given
