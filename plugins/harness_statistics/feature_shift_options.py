"""What a task may write for `feature_shift`. Imports nothing heavy."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from harness.contract import PairRef, Reads, SaeRef, StatisticOptions, TaskView


class FeatureShift(StatisticOptions):
    """Options of `feature_shift`."""

    finish_only: ClassVar[frozenset[str]] = frozenset(
        {"divergence", "epsilon", "delta", "minimum", "ratio", "table", "rank"}
    )

    pair: PairRef
    """The two views that are compared."""
    sae: SaeRef
    """The SAE whose features are compared."""
    divergence: float = Field(0.5, gt=0, lt=1)
    """Relative change of a mean above which a feature counts as shifted."""
    epsilon: float = Field(1e-5, ge=0, lt=1)
    """Share of tokens below which a feature counts as absent."""
    delta: float = Field(1e-4, gt=0, lt=1)
    """Share of tokens from which on a feature counts as present; it decides how many are needed."""
    minimum: int = Field(10, ge=1)
    """Tokens on which a present feature is active, at least."""
    ratio: float = Field(2.0, gt=1)
    """Ratio of frequencies above which a feature counts as changed in frequency."""
    table: int = Field(100, ge=1)
    """Rows of the table: the features that changed most. All of them are in the arrays."""
    rank: Literal["delta", "z"] = "delta"
    """What "most" means: |Δμ|, or |z| = |Δμ| / SE."""

    def reads(self, task: TaskView) -> Reads:
        """The pair, and the SAE's latents on both sides."""
        return Reads(
            streams=(task.pair(self.pair),), sites=(task.sae_site(self.sae),), saes=(self.sae,)
        )

    @model_validator(mode="after")
    def _absent_is_less_than_present(self) -> FeatureShift:
        if self.epsilon > self.delta:
            raise ValueError(
                f"epsilon is {self.epsilon} and delta {self.delta}; a feature would be absent and "
                "present at once. epsilon must not be larger than delta"
            )
        return self
