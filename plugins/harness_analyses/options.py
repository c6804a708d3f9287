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


class RejectionPairOptions(AnalysisOptions):
    """Options of `rejection_pair`."""

    toxic: ExperimentRef
    """The experiment whose prompts should be rejected: or-bench-toxic, XSTest's unsafe ones."""
    hard: ExperimentRef
    """The one whose prompts should not: or-bench-hard-1k, XSTest's safe ones."""
    evaluator: EvaluatorRef
    """Who judged both, as the task calls it."""
    record: str = "refusal_score.or_bench"
    """Its record that says what is rejected, without its version: `refusal_score.xstest`."""

    @model_validator(mode="after")
    def _two_experiments(self) -> RejectionPairOptions:
        if self.toxic == self.hard:
            raise ValueError(f"toxic and hard are both {self.toxic}; one rate alone says little")
        return self
