"""Where commands print."""

from __future__ import annotations

from rich.console import Console


class CommandConsole(Console):
    """A console that raises an error when the reader of the output has left."""

    def on_broken_pipe(self) -> None:
        """Pass on the error that is being handled; rich would end the process with code 1."""
        raise
