"""Settings of ``cpi-resets reproduce``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cpi_theory.checks import InvalidInput, choose_among

_CONFIGS = Path(__file__).parent.parent / "configs" / "reproduce"


@dataclass(frozen=True)
class ReproduceConfig:
    """Run every command that measures, and the report, continuing where an earlier run was.

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
            remedy = f"{choose_among(self.profile, committed)}, or give a TOML file"
            raise InvalidInput("profile", self.profile, "no such profile", remedy)
        return given
