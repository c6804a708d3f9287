"""What a task may write for `transfer_forecast`. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from harness.contract import AnalysisOptions, Options, Outlook, StatisticRef
from harness_analyses.options import EvaluatorRef
from harness_analyses.transfer.options import AnalysisRef, Arm


class Tune(Options):
    """One fine-tune: who forecast its changes, and what they were."""

    name: str = Field(min_length=1)
    """How results call it."""
    sts: AnalysisRef
    """The `sts` with its forecast of every domain."""
    after: Arm
    """The accuracies after this fine-tuning."""
    own: tuple[str, ...] = ()
    """Domains that it was trained on: foretelling that those change is no art, so the headline
    leaves them out."""
    tokens: StatisticRef | None = None
    """`token_counts` of its training data. Brings the baseline by shared tokens."""


class Plan(Options):
    """What the power is reckoned with before anything is measured."""

    correlation: float = Field(default=0.5, gt=0, lt=1)
    """The true correlation within fine-tunes that should be seen."""
    domains: int = Field(default=9, ge=2, le=1000)
    """How many domains the benchmark has."""
    shared: float = Field(default=0.3, ge=0, le=1)
    """How much of what varies within a fine-tune is alike in all of them, of the forecast and of
    the change. Afterwards the power is also reckoned with the measured shares."""
    draws: int = Field(default=1_000, ge=100, le=100_000)
    """Simulated experiments."""


class TransferForecastOptions(AnalysisOptions):
    """Options of `transfer_forecast`."""

    tunes: Annotated[tuple[Tune, ...], Field(min_length=1)]
    """The fine-tunes."""
    before: Arm
    """Accuracy before fine-tuning, the same for all."""
    evaluator: EvaluatorRef | None = None
    """The benchmark, where the experiments run several."""
    domain_tokens: StatisticRef | None = None
    """`token_counts` of the domains, for the baseline by shared tokens."""
    probe: bool = True
    """Whether a ridge regression on the domains' mean activations is a baseline, too; it is taught
    by the other domains of the same fine-tune."""
    plan: Plan = Plan()
    """For the power."""
    permutations: int = Field(default=2_000, ge=99)
    """Orders that are drawn for each p."""

    def foresee(self, task: Outlook) -> Iterator[str]:
        """The chance to see what is looked for, with so many fine-tunes and domains."""
        # Imported here, as `harness check` reads the options of analyses that need none of it.
        from harness_analyses.transfer.fine_tunes.intervals import FEWEST
        from harness_analyses.transfer.fine_tunes.power import planned, power

        tunes, plan = len(self.tunes), self.plan
        if tunes < FEWEST:
            yield (
                f"its intervals will be undefined: it has {tunes} fine-tune{'s' * (tunes != 1)}, "
                f"and intervals over fine-tunes need {FEWEST}. Give more, or use "
                "transfer_correlation for one."
            )
            return
        used = planned(tunes, plan.domains, sum(bool(one.own) for one in self.tunes))
        same = (plan.correlation, (plan.shared, plan.shared))
        ours = power(used, *same, "fine-tunes", plan.draws, 0) / plan.draws
        either = power(used, *same, "either", plan.draws, 0) / plan.draws
        yield (
            f"its power: of {tunes} fine-tunes and {plan.domains} domains, a true correlation of "
            f"{plan.correlation:g} within fine-tunes will be told from 0 with a chance of "
            f"{100 * ours:.0f}% (for other fine-tunes on these domains), {100 * either:.0f}% (for "
            f"other domains, too), if {100 * plan.shared:.0f}% of what varies within a fine-tune "
            "is alike in all. Give more fine-tunes or domains where that is too little."
        )

    @model_validator(mode="after")
    def _sound(self) -> TransferForecastOptions:
        names = [one.name for one in self.tunes]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"tunes has the name {twice[0]} twice; each fine-tune needs its own")
        if self.domain_tokens is None and any(one.tokens for one in self.tunes):
            raise ValueError("tunes name tokens; then domain_tokens is needed, too")
        if self.domain_tokens is not None and (
            lacking := [one.name for one in self.tunes if one.tokens is None]
        ):
            raise ValueError(
                f"domain_tokens is given, and the fine-tune {lacking[0]} has no tokens; give all "
                "of them, or leave domain_tokens out"
            )
        return self
