"""What a task may write for the direction finders. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from harness.contract import (
    Axes,
    DataRef,
    DirectionOptions,
    DirectionRef,
    FollowedOptions,
    PairRef,
    Reads,
    SaeFacts,
    SaeRef,
    SiteName,
    Stream,
    TaskView,
    ViewRef,
)
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError

Where = Literal["last", "all"]


class DifferenceInMeansOptions(DirectionOptions):
    """Options of `difference_in_means`."""

    view: ViewRef
    """The view whose activations are averaged: a model with the way its prompt is written."""
    site: SiteName
    """Where in the model, e.g. `resid_post.15` (the output of block 15)."""
    positive: DataRef
    """The data that show the behaviour; the direction points towards them."""
    negative: DataRef
    """The data that do not show it."""
    tokens: Where = "last"
    """Which tokens of a prompt are averaged: the last one, or all but the special ones."""

    def reads(self, task: TaskView) -> Reads:
        """Both sets of prompts at the site."""
        return Reads(
            streams=(
                Stream("positive", self.view, self.positive, tokens=self.tokens),
                Stream("negative", self.view, self.negative, tokens=self.tokens),
            ),
            sites=(parse_site(self.site),),
        )


class _Rebuilt(DirectionOptions):
    """What every rebuilding of a direction from SAE features has in common."""

    sets: ClassVar[tuple[str, ...]] = ("positive",)
    """The options that name the data whose latents choose the features."""

    target: DirectionRef
    """The direction to rebuild."""
    sae: SaeRef
    """The SAE whose features it is rebuilt from."""
    view: ViewRef
    """The view whose latents choose the features; it need not be the target's."""
    k: int = Field(ge=1)
    """How many features."""
    positive: DataRef | None = None
    """The data that show the behaviour; the target's where it is left out."""
    tokens: Where | None = None
    """Which tokens of a prompt count: the last one or all; as the target where it is left out."""
    fit: Literal["nnls"] = "nnls"
    """How the features are weighted: non-negative least squares, without an intercept."""

    def reads(self, task: TaskView) -> Reads:
        """The SAE's latents on each set of prompts; the target only at the end."""
        _check_latents(task, self.sae, "k", self.k, 1)
        tokens: Where = "all" if self._first("tokens", task) == "all" else "last"
        return Reads(
            streams=tuple(
                Stream(name, self.view, self._data(name, task), tokens=tokens) for name in self.sets
            ),
            sites=(task.sae_site(self.sae),),
            saes=(self.sae,),
            finish=(self.target,),
        )

    def _data(self, option: str, task: TaskView) -> str:
        """The data that it reads: its own, or its target's, or its target's target's."""
        data = self._first(option, task)
        if not isinstance(data, str):
            what = (
                f"is missing, and the target {self.target!r} has none to inherit. "
                f"Allowed: the name of an entry of [data]. Write {option} = '…'"
            )
            raise TaskError([Problem(option, what)])
        return data

    def _first(self, option: str, task: TaskView) -> object:
        """The first value of an option, here or along the chain of targets; None without one."""
        seen: set[str] = set()
        options: DirectionOptions = self
        while (value := getattr(options, option, None)) is None:
            name = getattr(options, "target", None)
            # A cycle of targets is the core's to report; here it only has to end.
            if not isinstance(name, str) or name in seen:
                return None
            seen.add(name)
            options = task.direction(name)
        return value


class SaeFeaturesOptions(_Rebuilt):
    """Options of `sae_features`."""

    # Not `target`: without data of its own a direction reads its target's, so its streams differ.
    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "against"})
    sets: ClassVar[tuple[str, ...]] = ("positive", "negative")

    negative: DataRef | None = None
    """The data that do not show the behaviour; the target's where it is left out."""
    against: DirectionRef | None = None
    """Another direction of this kind: report how many of the k features both have in common."""

    def reads(self, task: TaskView) -> Reads:
        """The SAE's latents on both sets of prompts; other directions only at the end."""
        reads = super().reads(task)
        others = () if self.against is None else (self.against,)
        return replace(reads, finish=(*reads.finish, *others))


class RandomFeaturesOptions(_Rebuilt):
    """Options of `random_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "draws"})

    draws: int = Field(default=5, ge=1)
    """How many independent draws of k features."""

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


class RandomVectorsOptions(DirectionOptions):
    """Options of `random`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"like", "draws"})

    like: DirectionRef
    """The direction whose site, rank and length they have."""
    draws: int = Field(default=5, ge=1)
    """How many independent random directions."""

    def reads(self, task: TaskView) -> Reads:
        """No activations; the direction to imitate only at the end."""
        return Reads(finish=(self.like,))

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


class FeatureOptions(DirectionOptions):
    """Options of `feature`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"index", "scale", "side"})
    joined_saes: ClassVar[bool] = True

    sae: SaeRef
    """The SAE."""
    index: int = Field(ge=0)
    """Which of its features, counted from 0."""
    side: Literal["left", "right"] | None = None
    """Of a crosscoder, the side whose decoder row is taken; every other SAE has one row."""
    scale: float = Field(default=1.0, allow_inf_nan=False)
    """What its decoder row is multiplied with; negative to point away from the feature."""

    @field_validator("scale")
    @classmethod
    def _not_zero(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("a direction of length 0 points nowhere; scale must not be 0")
        return scale

    def reads(self, task: TaskView) -> Reads:
        """No activations, only the SAE's decoder."""
        _check_latents(task, self.sae, "index", self.index, 0)
        if problem := unplaced_row(task.sae_facts(self.sae), self.sae, self.side):
            raise TaskError([problem])
        return Reads(saes=(self.sae,))


class PrincipalComponentsOptions(DirectionOptions):
    """Options of `principal_components`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"components", "ranks", "center"})

    pair: PairRef
    """The pair of views whose difference is taken apart: right minus left, on the same tokens."""
    site: SiteName
    """Where in the model, e.g. `resid_post.15` (the output of block 15)."""
    components: int = Field(default=10, ge=1)
    """How many principal components; each is a direction of its own with the axis `pc`, and all
    of them together are one without an axis."""
    ranks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """For each k of these, also the first k components together, as one direction with axis `k`."""
    center: bool = False
    """Whether the mean difference is taken off first. It is part of what a fine-tune did."""
    sketch: int = Field(default=512, ge=2)
    """Columns of the random sketch in place of the d x d matrix, where d is above 8,192."""

    @model_validator(mode="after")
    def _within(self) -> PrincipalComponentsOptions:
        beyond = [k for k in self.ranks if k > self.components]
        if beyond or len(set(self.ranks)) < len(self.ranks):
            raise ValueError(
                f"ranks = {list(self.ranks)} of {self.components} components. Allowed: different "
                "numbers from 1 to components. Raise components, or drop the larger ranks"
            )
        return self

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair at the site."""
        return Reads(streams=(task.pair(self.pair),), sites=(parse_site(self.site),))

    def variants(self) -> Sequence[Axes]:
        """All components together, each by itself, and the first k for each k of `ranks`."""
        single = ({"pc": pc} for pc in range(1, self.components + 1))
        return ({}, *single, *({"k": k} for k in self.ranks))

    def keeps(self, width: int, latents: int) -> int:
        """The second moments of the difference, whole or sketched."""
        return width * (width if width <= 8192 else self.sketch) + 4 * width


class _Shifted(DirectionOptions):
    pair: PairRef
    """Where they change: without and with solved examples, or before and after tuning."""
    sae: SaeRef
    """Whose features."""
    n: int = Field(default=100, ge=1)
    """How many of the most shifted ones."""

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair, encoded."""
        _check_latents(task, self.sae, "n", self.n, 1)
        return Reads(streams=(task.pair(self.pair),), saes=(self.sae,))


class ShiftedFeaturesOptions(_Shifted):
    """Options of `shifted_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"n"})


class MatchedFeaturesOptions(_Shifted):
    """Options of `matched_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"n", "draws"})

    draws: int = Field(default=5, ge=1)
    """How many independent draws of them."""

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair, encoded."""
        reads = super().reads(task)
        latents = task.sae_facts(self.sae).d_sae
        if latents is not None and 2 * self.n > latents:
            what = (
                f"is {self.n}, and of the {latents} features of the SAE {self.sae} as many others "
                f"are drawn. Allowed: 1 to {latents // 2}."
            )
            raise TaskError([Problem("n", what)])
        return reads

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


class AttributedFeaturesOptions(FollowedOptions, DirectionOptions):
    """Options of `attributed_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "gap_max", "rank", "vectors"})

    pair: PairRef
    """The two models, left before and right after, on prompts where the behaviour shows."""
    sae: SaeRef
    """Whose features; an SAE that rebuilds what it reads, not a transcoder."""
    k: int = Field(ge=1)
    """How many."""
    rank: Literal["attribution", "change"] = "attribution"
    """What they are ranked by: what they add to the number, or how much they change, Σ_t |Δz|,
    whatever comes of it, for comparison."""
    vectors: Literal["rows", "change"] = "rows"
    """What the direction is: the decoder rows of the features, one each, for interventions on
    features; or one vector, what the features' mean change adds to the activations, for `addition`
    (with coefficient = -1 it takes the change back)."""
    gap_max: float = Field(0.1, gt=0, le=1)
    """The largest gap of completeness with which features are ranked at all."""

    def reads(self, task: TaskView) -> Reads:
        """The pair at the SAE's site, its latents, and the path between its sides."""
        _check_latents(task, self.sae, "k", self.k, 1)
        facts, site = task.sae_facts(self.sae), task.sae_site(self.sae)
        if facts.site_out is not None and facts.site_out != site:
            what = (
                f"is {self.sae}, a transcoder: it writes at {facts.site_out} what it does not read "
                f"there, so its latents do not rebuild the activations at {site}. Allowed: an SAE "
                "that rebuilds what it reads"
            )
            raise TaskError([Problem("sae", what)])
        return Reads(
            streams=(replace(task.pair(self.pair), tokens=self.tokens),),
            saes=(self.sae,),
            paths=(self.path(site),),
        )


class AttributedControlsOptions(AttributedFeaturesOptions):
    """Options of `attributed_controls`."""

    finish_only: ClassVar[frozenset[str]] = AttributedFeaturesOptions.finish_only | {"draws"}

    draws: int = Field(default=5, ge=1)
    """How many independent draws of them."""

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


class SidedFeaturesOptions(DirectionOptions):
    """Options of `sided_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"k", "side", "one_sided"})
    joined_saes: ClassVar[bool] = True

    pair: PairRef
    """The pair that the crosscoder reads, on the text that counts."""
    sae: SaeRef
    """The crosscoder."""
    side: Literal["left", "right"] = "right"
    """Whose features: those of the right side are as a rule the tuned model's."""
    k: int = Field(ge=1)
    """How many."""
    one_sided: float = Field(default=0.1, gt=0, lt=0.5)
    """A latent belongs to the side above 1 minus this, as in `decoder_norms`."""
    tokens: Where = "all"
    """Which tokens of a prompt count: the last one or all."""

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair, encoded together."""
        if problem := without_two_rows(task.sae_facts(self.sae), self.sae):
            raise TaskError([problem])
        _check_latents(task, self.sae, "k", self.k, 1)
        stream = replace(task.pair(self.pair), tokens=self.tokens)
        return Reads(streams=(stream,), saes=(self.sae,))


class SharedFeaturesOptions(SidedFeaturesOptions):
    """Options of `shared_features`."""

    finish_only: ClassVar[frozenset[str]] = SidedFeaturesOptions.finish_only | {"shared", "draws"}

    shared: float = Field(default=0.1, gt=0, lt=0.5)
    """A latent is shared where its number is no further than this from 0.5."""
    draws: int = Field(default=5, ge=1)
    """How many independent draws of them."""

    @model_validator(mode="after")
    def _apart(self) -> SharedFeaturesOptions:
        if self.one_sided + self.shared > 0.5:
            raise ValueError(
                f"one_sided = {self.one_sided:g} and shared = {self.shared:g} overlap. Allowed: "
                "two numbers whose sum is at most 0.5"
            )
        return self

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


class GenuineFeaturesOptions(DirectionOptions):
    """Options of `genuine_features`."""

    finish_only: ClassVar[frozenset[str]] = frozenset(
        {"kind", "order", "k", "one_sided", "error", "reconstruction", "minimum"}
    )
    joined_saes: ClassVar[bool] = True

    pair: PairRef
    """The pair that the crosscoder reads, on the text that counts."""
    sae: SaeRef
    """The crosscoder."""
    side: Literal["left", "right"] = "right"
    """Whose features: those of the right side are as a rule the tuned model's."""
    kind: Literal["genuine", "artefact"] = "genuine"
    """`genuine`: features of the side alone that are free of the known artefacts. `artefact`: those
    that are of the side alone by their rows, and in truth are on the other side, too."""
    order: Literal["written", "ratios"] = "written"
    """`written`: those that write most come first. `ratios`: those with the smallest ratios, by the
    sum of their ranks."""
    k: int = Field(ge=1)
    """How many."""
    one_sided: float = Field(default=0.1, gt=0, lt=0.5)
    """A latent belongs to the side above 1 minus this, as in `decoder_norms`."""
    error: float = Field(default=0.2, gt=0, lt=2)
    """From this ratio on, the other side's error holds the latent, as in `latent_scaling`."""
    reconstruction: float = Field(default=0.5, gt=0, lt=2)
    """From this ratio on, other latents write it on the other side, as in `latent_scaling`."""
    minimum: int = Field(default=10, ge=1)
    """Tokens on which a latent must be active to be judged."""
    tokens: Where = "all"
    """Which tokens of a prompt count: the last one or all."""

    def reads(self, task: TaskView) -> Reads:
        """Both sides of the pair, and what the crosscoder makes of them together."""
        if problem := without_two_rows(task.sae_facts(self.sae), self.sae):
            raise TaskError([problem])
        _check_latents(task, self.sae, "k", self.k, 1)
        stream = replace(task.pair(self.pair), tokens=self.tokens)
        return Reads(streams=(stream,), sites=(task.sae_site(self.sae),), saes=(self.sae,))

    def keeps(self, width: int, latents: int) -> int:
        """Seven sums of each latent."""
        return 7 * latents


class OtherFeaturesOptions(GenuineFeaturesOptions):
    """Options of `other_features`."""

    finish_only: ClassVar[frozenset[str]] = GenuineFeaturesOptions.finish_only | {"draws"}

    draws: int = Field(default=5, ge=1)
    """How many independent draws of them."""

    def variants(self) -> Sequence[Axes]:
        """One direction for each draw."""
        return tuple({"draw": draw} for draw in range(self.draws))


def without_two_rows(facts: SaeFacts, sae: str) -> Problem | None:
    """What is wrong with an SAE whose latents have no decoder row on both sides of a pair."""
    known = facts.d_in is not None or facts.inputs
    joined = facts.of_pair and facts.join == "concatenated" and not facts.one_sided
    if not known or joined:
        return None
    what = (
        f"is {sae}, whose features have no decoder row for each side of a pair. Allowed: a "
        "crosscoder with one code for both sides."
    )
    return Problem("sae", what)


def unplaced_row(facts: SaeFacts, sae: str, side: str | None) -> Problem | None:
    """What is wrong where it is not clear which row of a feature is meant; None where it is."""
    by_side = facts.of_pair and facts.join == "concatenated"
    if by_side and side is None:
        what = (
            f"is missing: a feature of {sae} has a decoder row for each side of the pair. "
            "Allowed: left, right."
        )
        return Problem("side", what)
    if not by_side and side is not None and facts.d_in is not None:
        what = f"is {side}, and a feature of {sae} has one decoder row. Remove side."
        return Problem("side", what)
    if facts.inputs and not facts.of_pair:
        what = (
            f"is {sae}, which reads {len(facts.inputs)} sites at once, and a direction lives at "
            "one. Allowed: an SAE of one site, or of a pair."
        )
        return Problem("sae", what)
    return None


def _check_latents(task: TaskView, sae: str, option: str, value: int, first: int) -> None:
    """TaskError where an option counts beyond the latents of an SAE, which are known."""
    latents = task.sae_facts(sae).d_sae
    if latents is not None and (last := latents - 1 + first) < value:
        what = f"is {value}, and the SAE {sae} has {latents} features. Allowed: {first} to {last}."
        raise TaskError([Problem(option, what)])
