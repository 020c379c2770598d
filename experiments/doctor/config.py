"""Settings of ``cpi-resets doctor``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DoctorConfig:
    """Look at this environment: what is there, what is missing, and what that would enable.

    Nothing is changed but that a file is written into each folder that must be writable, and
    deleted again. The exit code is 1 if something is missing that every command needs.
    """
