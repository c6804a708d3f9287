"""What a task may write for `wildguard`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, computed_field

from harness.judges.judge_options import JudgeOptions
from harness.judges.templates import sha256

TEMPLATE = Path(__file__).parent / "templates" / "wildguard.txt"


class WildGuardOptions(JudgeOptions):
    """Options of `wildguard`. The judge is allenai/wildguard, or was trained on its prompt."""

    max_tokens: int = Field(default=32, ge=16)
    """The longest answer; its three lines have about 20 tokens."""

    def around(self) -> str:
        """The one prompt of the classifier; the line end at its end is part of it."""
        return TEMPLATE.read_bytes().decode()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def template_sha256(self) -> str:
        """Hash of the prompt."""
        return sha256(self.around())
