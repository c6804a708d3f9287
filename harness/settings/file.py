"""Finds and reads a person's configuration file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import Problem, TaskError, UsageError
from harness.settings.spec import SettingsSpec
from harness.task.file import display, source_of
from harness.task.validate import validated

if TYPE_CHECKING:
    from harness.task.file import Source

VARIABLE = "HARNESS_CONFIG"
"""A variable of the environment: names another file; empty: none."""


@dataclass(frozen=True)
class Settings:
    """What a person's file says, and where each key of it is written."""

    spec: SettingsSpec = field(default_factory=SettingsSpec.model_construct)
    source: Source | None = None
    """None where there is no file."""

    @property
    def file(self) -> str:
        """The file, for messages and results."""
        return display(self.source.file) if self.source else ""


def settings() -> Settings:
    """Reads the file that HARNESS_CONFIG names, or else `sae-harness/config.toml` in the folder for
    configuration (XDG_CONFIG_HOME, or `~/.config`), where it is there.

    Raises TaskError with everything that is wrong with it, UsageError for a file that is named and
    cannot be read.
    """
    named = os.environ.get(VARIABLE)
    if named == "":
        return Settings()
    file = Path(named).expanduser() if named else _usual_file()
    if file is None or not (named or file.is_file()):
        return Settings()
    source = source_of(_text(file, f"{VARIABLE}: " if named else ""), file.absolute())
    spec, problems = validated(SettingsSpec, source.values, source)
    if spec is None:
        raise TaskError(problems)
    return Settings(spec, source)


def _usual_file() -> Path | None:
    base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        # What is no absolute path, the specification says, is as if it were not set.
        folder = base if base.is_absolute() else Path.home() / ".config"
    except RuntimeError:
        return None
    return folder / "sae-harness" / "config.toml"


def _text(file: Path, who: str) -> str:
    try:
        if file.exists() and not file.is_file():  # a device or a pipe may never end
            raise UsageError(f"{who}{file} is no file. Name a file, or set {VARIABLE} empty.")
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TaskError([Problem(display(file), f"is not UTF-8 text: {error}.")]) from None
    except OSError as error:
        raise UsageError(
            f"{who}{file} cannot be read: {error.strerror}. Allowed: a file in TOML. Name another, "
            f"or set {VARIABLE} empty to have none."
        ) from None
