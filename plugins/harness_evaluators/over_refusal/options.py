"""What a task may write for `xstest` and `or_bench`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, computed_field, model_validator

from harness.contract import LocalPath
from harness.judges.judge_options import JudgeOptions
from harness.judges.templates import missing_places, sha256, template_text

_TEMPLATES = Path(__file__).parent / "templates"
_PLACES = ("question", "answer")


class ClassOptions(JudgeOptions):
    """What judges share that sort answers into classes."""

    template: ClassVar[Path]
    """The question to the judge where the task names no other."""

    max_tokens: int = Field(default=256, ge=16)
    """The longest answer of the judge, its reason included."""
    template_file: LocalPath | None = None
    """Another question to the judge, with {question} and {answer}; it must ask for the name of a
    class in double brackets."""

    def around(self) -> str:
        """The question, which the judge reads around a prompt and its completion."""
        return template_text(self.template_file or str(self.template))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def template_sha256(self) -> str:
        """Hash of the question, for the records: a file's name does not say what is in it."""
        return sha256(self.around())

    @model_validator(mode="after")
    def _sound(self) -> ClassOptions:
        if self.template_file is not None and Path(self.template_file).is_file():
            for fault in missing_places(template_text(self.template_file), _PLACES):
                raise ValueError(f"template_file {fault}")
        return self


class XSTestOptions(ClassOptions):
    """Options of `xstest`."""

    template: ClassVar[Path] = _TEMPLATES / "xstest.txt"


class OrBenchOptions(ClassOptions):
    """Options of `or_bench`."""

    template: ClassVar[Path] = _TEMPLATES / "or_bench.txt"
