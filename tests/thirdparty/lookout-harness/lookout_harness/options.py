"""What a task may write for `lookout`. Imports nothing heavy."""

from __future__ import annotations

from pydantic import Field

from harness.contract import LocalPath, ObserverOptions


class LookoutOptions(ObserverOptions):
    """Options of `lookout`. `patience`, which all observers have, is among them."""

    folder: LocalPath | None = None
    """A folder that is there, for the status of many runs: the file of each has the name of its
    run's folder, such as `drift.json`. Without it, it is `lookout.json` in the run's folder."""
    every: float = Field(1.0, ge=0, le=3600)
    """Seconds between two writings while a stage goes on. Where a stage begins or ends, or
    the run does, it is written at once."""
    texts: bool = False
    """Whether the last warning, the problems and the error are in it: they may quote what
    models wrote."""
