"""What a task may write for `sts`, `transfer_correlation` and `mixture_advice`. Nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.contract import AnalysisOptions, Options, Outlook, Ref, StatisticRef
from harness.contract.sites import parse_site
from harness_analyses.options import EvaluatorRef, ExperimentRef
from harness_statistics.options import LatentMomentsOptions

AnalysisRef = Annotated[str, Ref("analyses")]
Forecast = Literal["sts.act", "sts.icl"]


class StsOptions(AnalysisOptions):
    """Options of `sts`. Statistics are `latent_moments`."""

    shift: StatisticRef
    """The change that chooses the dimensions: the fine-tuning data without and with solved
    examples (a forecast), or before and after fine-tuning (afterwards, also for RL)."""
    domains: StatisticRef
    """The domains, each a category of its data; for `sts.icl` a pair without and with solved
    examples of that domain."""
    tuned: StatisticRef | None = None
    """What really shifted: before and after fine-tuning. Brings `shift.overlap`."""
    tuned_domains: StatisticRef | None = None
    """The domains before and after fine-tuning. Brings the baseline that looks at both models."""
    mode: Literal["aligned", "pooled"] = "aligned"
    """aligned: mean squared change, token by token; pooled: squared change of the mean."""
    ranks: tuple[int, int] = (0, 100)
    """Which dimensions, by the rank of their change: from the first number, below the second."""
    dimensions: int | None = Field(default=None, ge=1, exclude=True)
    """How many dimensions, in the place of `ranks`, so that a sweep makes the curve over N."""
    first: int | None = Field(default=None, ge=0, exclude=True)
    """With `dimensions`: the rank of the first of them, or 0. A sweep moves the window."""
    power: Literal[1, 2] = 1
    """sts.act sums latents (the paper's text), or their squares (its notebook)."""

    def foresee(self, task: Outlook) -> Iterator[str]:
        """Ranks beyond the latents of the SAE, or beyond the numbers of the raw activations."""
        first, end = self.ranks
        kept = [one for one in task.statistic(self.shift) if isinstance(one, LatentMomentsOptions)]
        spaces: dict[str, int | None] = {}
        for one in kept:
            stream = one.reads(task).streams[0]
            spaces[f"SAE {one.sae}"] = task.sae_facts(one.sae).d_sae
            if one.raw is not None:
                spaces[one.raw] = task.width(stream.view, parse_site(one.raw))
        for space, width in spaces.items():
            if width is None or end <= width:
                continue
            told = (
                "its numbers there will be undefined"
                if first >= width
                else f"it will take {width - first} dimensions there, not {end - first}"
            )
            yield (
                f"ranks = [{first}, {end}] go beyond the {width} dimensions of {space}: {told}. "
                f"Allowed: up to {width}."
            )

    @model_validator(mode="after")
    def _window(self) -> StsOptions:
        if self.first is not None and self.dimensions is None:
            raise ValueError("first is where a window begins; give dimensions, which is its length")
        if self.dimensions is not None:
            if "ranks" in self.model_fields_set:
                raise ValueError("give ranks or dimensions, not both")
            start = self.first or 0
            # The same numbers have the same options, whichever way they were written.
            object.__setattr__(self, "ranks", (start, start + self.dimensions))
        return self

    @model_validator(mode="after")
    def _range(self) -> StsOptions:
        first, end = self.ranks
        if not 0 <= first < end:
            raise ValueError(f"ranks is [{first}, {end}]; allowed: 0 <= first < end")
        return self


class Arm(Options):
    """Which answers: those of an arm of an experiment."""

    experiment: ExperimentRef
    """The experiment."""
    direction: str = "none"
    """Its arm; `none` is the one without intervention."""


class TransferCorrelationOptions(AnalysisOptions):
    """Options of `transfer_correlation`."""

    sts: AnalysisRef
    """The `sts` whose forecasts are held against what happened."""
    before: Arm
    """Accuracy before fine-tuning."""
    after: Arm
    """Accuracy after it."""
    evaluator: EvaluatorRef | None = None
    """The benchmark, where the experiments run several."""
    probe: StatisticRef | None = None
    """`latent_moments` of the domains: from their means a ridge regression predicts the change,
    as a baseline."""
    extremes: int = Field(default=4, ge=0)
    """How many domains of the largest and of the smallest change are also taken by themselves, as
    in the paper; 0 for none."""
    permutations: int = Field(default=10_000, ge=99)
    """Orders that are drawn for p; of up to 10 domains, all orders count instead."""
    draws: int = Field(default=2_000, ge=100)
    """Draws of domains for intervals."""


class MixtureAdviceOptions(AnalysisOptions):
    """Options of `mixture_advice`."""

    sts: AnalysisRef
    """The `sts` whose forecasts decide."""
    forecast: Forecast = "sts.icl"
    """Which of them."""
