"""What a task may write for the directions of a concept. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.contract import (
    Axes,
    DataRef,
    DirectionOptions,
    Reads,
    SaeRef,
    SiteName,
    Stream,
    TaskView,
    ViewRef,
)
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError

Tokens = Literal["last", "all", "closing", "answer"]


class _TwoSets(DirectionOptions):
    """What every direction has in common that tells two sets of text apart."""

    view: ViewRef
    """The view whose activations are read: a model with the way its prompt is written."""
    site: SiteName
    """Where in the model, e.g. `resid_post.15` (the output of block 15)."""
    positive: DataRef
    """The data that show the concept; the direction points towards them."""
    negative: DataRef
    """The data that do not show it."""
    tokens: Tokens = "last"
    """Which tokens count: the last one of a prompt, all but the special ones, those that close a
    prompt after its content, or, of conversations, those of the last answer."""

    def reads(self, task: TaskView) -> Reads:
        """Both sets of text at the site."""
        return Reads(
            streams=(
                Stream("positive", self.view, self.positive, tokens=self.tokens),
                Stream("negative", self.view, self.negative, tokens=self.tokens),
            ),
            sites=(parse_site(self.site),),
        )


class LinearProbeOptions(_TwoSets):
    """Options of `linear_probe`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"ridge", "held_out", "permutations"})

    ridge: float = Field(default=0.01, gt=0)
    """λ, how strongly long weights are held down, beside a loss that is an average over prompts."""
    held_out: float = Field(default=0.25, ge=0.05, le=0.75)
    """About which share of the prompts the probe is tried on, and not fitted to."""
    permutations: int = Field(default=20, ge=5, le=1000)
    """How often labels are permuted and the probe fitted again, for the null."""
    at_most: int = Field(default=512, ge=8, le=100_000)
    """Prompts of each set that are kept in memory, chosen by a hash of their content."""

    def keeps(self, width: int, latents: int) -> int:
        """One vector for each prompt that is kept."""
        return self.at_most * (width + 2)


class LeaceOptions(_TwoSets):
    """Options of `leace`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"shrinkage"})
    own_readers: ClassVar[bool] = True

    shrinkage: bool = False
    """Whether the covariance is shrunk towards a multiple of the identity, as the original's code
    does. Worth it with fewer tokens than numbers per token, where the plain one fits noise."""

    def keeps(self, width: int, latents: int) -> int:
        """The second moments of both sets together."""
        return width * width + 4 * width


class _Components(DirectionOptions):
    """What both finders of components have in common."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"components", "ranks"})

    components: int = Field(default=1, ge=1)
    """How many components. One is the direction; of several, each is one with the axis `pc`, and
    all of them together are one without an axis."""
    ranks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """For each k of these, also the first k components together, as one direction with axis `k`."""

    @model_validator(mode="after")
    def _within(self) -> _Components:
        beyond = [k for k in self.ranks if k > self.components]
        if beyond or len(set(self.ranks)) < len(self.ranks):
            raise ValueError(
                f"ranks = {list(self.ranks)} of {self.components} components. Allowed: different "
                "numbers from 1 to components. Raise components, or drop the larger ranks"
            )
        return self

    def variants(self) -> Sequence[Axes]:
        """All components together, each of several by itself, and the first k for each k of
        `ranks`."""
        single = [{"pc": pc} for pc in range(1, self.components + 1)]
        single = single if self.components > 1 else []
        return ({}, *single, *({"k": k} for k in self.ranks))

    def keeps(self, width: int, latents: int) -> int:
        """The second moments of each set."""
        return width * width + 4 * width


class ClassPcaOptions(_Components):
    """Options of `class_pca`."""

    view: ViewRef
    """The view whose activations are read: a model with the way its prompt is written."""
    site: SiteName
    """Where in the model, e.g. `resid_post.15` (the output of block 15)."""
    data: DataRef
    """The data of the class."""
    tokens: Tokens = "last"
    """Which tokens count: the last one of a prompt, all but the special ones, those that close a
    prompt after its content, or, of conversations, those of the last answer."""

    def reads(self, task: TaskView) -> Reads:
        """The data at the site."""
        stream = Stream("class", self.view, self.data, tokens=self.tokens)
        return Reads(streams=(stream,), sites=(parse_site(self.site),))


class ContrastPcaOptions(_Components, _TwoSets):
    """Options of `contrast_pca`."""


class PersonaVectorOptions(DirectionOptions):
    """Options of `persona_vector`."""

    view: ViewRef
    """The view that reads conversations which show the trait, with the system prompt that elicits
    it."""
    suppressed: ViewRef | None = None
    """The view that reads those that do not; `view` where it is left out. It must be a view of the
    same model, as a rule with a system prompt that suppresses the trait."""
    site: SiteName
    """Where in the model, e.g. `resid_post.15` (the output of block 15)."""
    positive: DataRef
    """Conversations whose last answer shows the trait."""
    negative: DataRef
    """Conversations whose last answer does not."""
    tokens: Literal["answer", "last", "all"] = "answer"
    """Which tokens are averaged: those of the last answer, as the paper does; the last one or all
    tokens of the prompt, for data without answers."""

    def reads(self, task: TaskView) -> Reads:
        """Both sets of conversations, each as its view writes them."""
        other = self.suppressed or self.view
        return Reads(
            streams=(
                Stream("positive", self.view, self.positive, tokens=self.tokens),
                Stream("negative", other, self.negative, tokens=self.tokens),
            ),
            sites=(parse_site(self.site),),
        )


class DecoderDifferenceOptions(DirectionOptions):
    """Options of `decoder_difference`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"k"})

    sae: SaeRef
    """The SAE whose decoder rows are added up."""
    view: ViewRef
    """The view whose latents are averaged."""
    positive: DataRef
    """The data that show the concept; the direction points towards them."""
    negative: DataRef
    """The data that do not show it."""
    tokens: Tokens = "last"
    """Which tokens count: the last one of a prompt, all but the special ones, those that close a
    prompt after its content, or, of conversations, those of the last answer."""
    k: int | None = Field(default=None, ge=1)
    """The k latents alone whose difference puts the longest part into the direction; all of them
    where it is left out."""

    def reads(self, task: TaskView) -> Reads:
        """The SAE's latents on both sets of text."""
        latents = task.sae_facts(self.sae).d_sae
        if latents is not None and self.k is not None and self.k > latents:
            what = (
                f"is {self.k}, and the SAE {self.sae} has {latents} features. Allowed: 1 to "
                f"{latents}."
            )
            raise TaskError([Problem("k", what)])
        return Reads(
            streams=(
                Stream("positive", self.view, self.positive, tokens=self.tokens),
                Stream("negative", self.view, self.negative, tokens=self.tokens),
            ),
            sites=(task.sae_site(self.sae),),
            saes=(self.sae,),
        )
