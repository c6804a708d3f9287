"""What a task may write for `kept_vectors`. Imports nothing heavy."""

from __future__ import annotations

from pydantic import model_validator

from harness.contract import DirectionRef, PairRef, Reads, SaeRef, StatisticOptions, TaskView


class KeptVectorsOptions(StatisticOptions):
    """Options of `kept_vectors`."""

    direction: DirectionRef | None = None
    """The direction whose vectors are kept."""
    sae: SaeRef | None = None
    """Or the SAE whose decoder rows are. Memory: all of them, in float32."""
    pair: PairRef | None = None
    """The pair that the direction was found on, so that a sweep over pairs finds the direction of
    the same sweep."""

    @model_validator(mode="after")
    def _one_of_them(self) -> KeptVectorsOptions:
        if (self.direction is None) == (self.sae is None):
            raise ValueError("give either direction or sae")
        return self

    def reads(self, task: TaskView) -> Reads:
        """No activations: what was found on others, or the decoder."""
        return Reads(
            saes=() if self.sae is None else (self.sae,),
            finish=() if self.direction is None else (self.direction,),
        )
