"""The table that makes pairs of a folder of checkpoints: `[pairs.NAME]` with `from`."""

from __future__ import annotations

from pydantic import Field, model_validator

from harness.contract import ViewRef
from harness.task.spec import PairSpec, PromptSpec


class CheckpointsSpec(PairSpec):
    """The checkpoints of a training, each as a pair with its base: `[pairs.NAME]` with `from`.

    Each folder that fits becomes a model, a view and a pair `NAME.STEP`, with the axis
    `checkpoint`, in the order of the steps. A metric with `pair = "NAME"` is measured on each of
    them, a statistic or a direction finder is swept over them, and an analysis that takes several
    pairs takes them in order; anything else names one of them, such as `NAME.100`. Beside `from`
    stand the other keys of a pair but `right`: `left` is the base. A checkpoint that comes later
    adds work for itself alone, in the same folder.
    """

    from_: str = Field(alias="from", min_length=1)
    """Folders of checkpoints: `run/checkpoint-*`, relative to this file. Adapters or whole
    models. The step is what the trainer wrote down, or the number at the end of the name."""
    right: ViewRef = ""
    """Not written here: it comes from the checkpoints."""
    prompt: PromptSpec | None = None
    """How the checkpoints' prompts are written; without it as those of `left`."""
    every: int = Field(1, ge=1)
    """Take steps alone that are multiples of this."""
    limit: int = Field(20, ge=1)
    """The most checkpoints; more are an error. All models are in memory together."""

    @model_validator(mode="after")
    def _no_right(self) -> CheckpointsSpec:
        if self.right:
            raise ValueError("right comes from the checkpoints that `from` finds; leave it out")
        if "checkpoint" in self.axes:
            raise ValueError("the axis checkpoint is the step; leave it out of axes")
        return self
