"""What a task may write for the interventions. Imports no torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.contract import InterventionOptions, ViewRef


class AblationOptions(InterventionOptions):
    """Options of `ablation`."""

    mode: Literal["strict", "arditi"] = "strict"
    """`strict` edits what is added to the residual stream and the stream itself, so that nothing
    of the direction is left, and checks it. `arditi` edits the modules' own outputs, as the
    paper's code does; behind Gemma's post-norms the direction comes back, and the leak is reported.
    """


class AdditionOptions(InterventionOptions):
    """Options of `addition`."""

    coefficient: float = Field(default=1.0, allow_inf_nan=False)
    """What the direction is multiplied with; negative to subtract it, 0 to change nothing."""
    scale: Literal["as_fitted", "reference"] = "as_fitted"
    """`as_fitted` adds the direction at its own length; `reference` at the length of the direction
    that it rebuilds or imitates.
    """


class PcInjectionOptions(InterventionOptions):
    """Options of `pc_injection`."""

    alpha: float = Field(default=1.0, allow_inf_nan=False)
    """How many times σ_i/√N of each component is added; negative to take it back, 0 for nothing."""
    tuned: ViewRef | None = None
    """The view whose change along the components each token gets, for a view that reads
    (`[views.NAME] edit`). Without it every token gets the same, also in completions.
    """

    def beside(self) -> str | None:
        """The tuned view, where tokens get their own change."""
        return self.tuned


class FeatureZeroingOptions(InterventionOptions):
    """Options of `feature_zeroing`: it has none."""

    on_sae: ClassVar[bool] = True
