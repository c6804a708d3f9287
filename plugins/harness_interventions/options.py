"""What a task may write for the interventions. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.contract import InterventionOptions, SaeRef, ViewRef

Scale = Literal["as_fitted", "reference"]
"""At which length a direction is added: its own, or that of the one that it rebuilds or imitates.
"""
Part = Literal["bias", "error"]
"""What of two views no latent says: the decoder's bias, and what is not rebuilt."""
Latent = Annotated[int, Field(ge=0, lt=2**24)]
"""The index of a latent; edits hold it in float32, which is exact up to 16 million."""


class AblationOptions(InterventionOptions):
    """Options of `ablation`."""

    mode: Literal["strict", "arditi"] = "strict"
    """`strict` edits what is added to the residual stream and the stream itself, so that nothing
    of the direction is left, and checks it. `arditi` edits the modules' own outputs, as the
    paper's code does; behind Gemma's post-norms the direction comes back, and the leak is reported.
    """

    def reads_vectors(self) -> bool:
        """It reads what lies along the vectors."""
        return True


class AdditionOptions(InterventionOptions):
    """Options of `addition`."""

    coefficient: float = Field(default=1.0, allow_inf_nan=False)
    """What the direction is multiplied with; negative to subtract it, 0 to change nothing."""
    scale: Scale = "as_fitted"
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

    def reads_vectors(self) -> bool:
        """With `tuned` it reads the change along the components."""
        return self.tuned is not None


class FeatureZeroingOptions(InterventionOptions):
    """Options of `feature_zeroing`: it has none."""

    on_sae: ClassVar[bool] = True


class ConditionalAdditionOptions(AdditionOptions):
    """Options of `conditional_addition`."""

    on_sae: ClassVar[bool] = True

    sae: SaeRef | None = None
    """The SAE whose latents open the gate; it must read the site where the direction lives.
    Without it, the direction's own SAE.
    """
    latents: tuple[Latent, ...] = ()
    """The latents of which any opens the gate. Without them, the direction's own features."""
    threshold: float = Field(default=0.0, allow_inf_nan=False)
    """The gate is open where |z_j| of one of the latents is above this, in the SAE's unit. 0 opens
    it wherever one is active; a negative number opens it always.
    """

    @model_validator(mode="after")
    def _of_one_sae(self) -> Self:
        """The features of a direction are latents of its own SAE, not of another."""
        if self.sae is not None and not self.latents:
            raise ValueError("sae needs latents: which of its latents open the gate")
        return self

    def own_sae(self) -> str | None:
        """The SAE of the gate, where it is not the direction's."""
        return self.sae


class LatentClampOptions(InterventionOptions):
    """Options of `latent_clamp`."""

    on_sae: ClassVar[bool] = True

    value: float = Field(allow_inf_nan=False)
    """What the direction's features are held at, in the SAE's unit; 0 switches them off. The
    table `contexts` of a run shows how large they become by themselves.
    """
    where: Literal["everywhere", "active"] = "everywhere"
    """`everywhere` holds them at every token; `active` only those that are active at a token."""
    strength: float = Field(default=1.0, allow_inf_nan=False)
    """How much of the way to `value` is gone: 1 all of it, 0 changes nothing."""


class AffineEditingOptions(InterventionOptions):
    """Options of `affine_editing`."""

    coefficient: float = Field(default=0.0, allow_inf_nan=False)
    """How many times the direction is added to the reference point: 0 is what the data without the
    concept have on average, 1 what those with it have.
    """
    scale: Scale = "as_fitted"
    """`as_fitted` adds the direction at its own length; `reference` at the length of the direction
    that it rebuilds or imitates.
    """

    def reads_vectors(self) -> bool:
        """It reads what lies along the vectors."""
        return True


class ConceptErasureOptions(InterventionOptions):
    """Options of `concept_erasure`."""

    strength: float = Field(default=1.0, allow_inf_nan=False)
    """How much of what is read is taken out: 1 all of it, 0 changes nothing."""


class ProjectionOptions(InterventionOptions):
    """Options of `projection`."""

    mode: Literal["out", "onto"] = "out"
    """`out` takes the span of the direction's vectors away; `onto` takes everything else away."""
    strength: float = Field(default=1.0, allow_inf_nan=False)
    """How much of the way to the projection is gone: 1 all of it, 0 changes nothing."""

    def reads_vectors(self) -> bool:
        """It reads what lies along the vectors."""
        return True


class LatentSwapOptions(InterventionOptions):
    """Options of `latent_swap`."""

    on_sae: ClassVar[bool] = True

    other: ViewRef
    """The view with whose activations of the same tokens the latents are swapped."""
    mode: Literal["only", "without"] = "only"
    """`only`: the other view's stream, in which these latents alone are the edited view's.
    `without`: the edited view's stream, in which these latents are the other view's.
    """
    latents: Literal["chosen", "all", "none"] = "chosen"
    """Which latents: those that the direction is made of, all of the SAE, or none."""
    parts: tuple[Part, ...] = ()
    """What goes with the latents though no latent says it: `bias`, what the SAE rebuilds of no
    latent, and `error`, what it does not rebuild.
    """
    side: Literal["left", "right"] = "right"
    """Which side of a crosscoder the edited view is; the other view is the other side. An SAE of
    one model has no sides.
    """
    sae: SaeRef | None = None
    """The SAE; it must read the site where the direction lives. Without it, the direction's own.
    """
    strength: float = Field(default=1.0, allow_inf_nan=False)
    """How much of the way is gone: 1 all of it, 0 changes nothing."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        """What is asked for can change something, and features are of one SAE."""
        if self.mode == "without" and self.latents == "none" and not self.parts:
            raise ValueError(
                "without no latent and no part is the view as it is. Allowed: latents = "
                '"chosen" or "all", or parts'
            )
        if self.sae is not None and self.latents == "chosen":
            raise ValueError(
                "sae is for all latents or none: those that the direction is made of are of its "
                'own SAE. Remove sae, or write latents = "all"'
            )
        return self

    @property
    def keeps_everything(self) -> bool:
        """Whether all that the other view lacks is put in again: only rounding changes then."""
        everything = self.latents == "all" and {*self.parts} == {"bias", "error"}
        return everything and self.mode == "only"

    def own_sae(self) -> str | None:
        """The SAE whose latents are meant where the direction is made of none."""
        return self.sae

    def encodes(self, *, of_pair: bool) -> int:
        """Both views together, or each by itself."""
        return 1 if of_pair else 2

    def beside(self) -> str | None:
        """The other view."""
        return self.other

    def own_side(self) -> Literal["left", "right"]:
        """The side of the edited view."""
        return self.side
