"""What a task may write for the analyses. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from harness.contract import AnalysisOptions, Options, Ref

EvaluatorRef = Annotated[str, Ref("evaluators")]
ExperimentRef = Annotated[str, Ref("experiments")]


class Judge(Options):
    """One of the two judges: a yes-or-no score of an evaluator."""

    evaluator: EvaluatorRef
    """The evaluator, as the task calls it."""
    score: str
    """One of its scores, such as refusal or safe."""
    means: bool = True
    """The value of the score that says the same as the other judge's."""

    def __str__(self) -> str:
        return f"{self.evaluator}.{self.score}"


class AgreementOptions(AnalysisOptions):
    """Options of `agreement`."""

    left: Judge
    """One judge, such as { evaluator = "substrings", score = "refusal" }."""
    right: Judge
    """The other one, such as { evaluator = "harmbench", score = "safe" }."""
    experiments: Annotated[tuple[ExperimentRef, ...], Field(min_length=1)] | None = None
    """The experiments whose completions count; all of them without it."""

    @model_validator(mode="after")
    def _two_judges(self) -> AgreementOptions:
        if str(self.left) == str(self.right):
            raise ValueError(f"left and right are both {self.left}; a judge agrees with itself")
        return self
