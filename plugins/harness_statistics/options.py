"""What a task may write for the statistics. Imports nothing heavy.

Options of `flip_rate` are in its folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from harness.contract import (
    DataRef,
    DirectionRef,
    Encodes,
    PairRef,
    Reads,
    SaeFacts,
    SaeRef,
    Site,
    SiteName,
    StatisticOptions,
    Stream,
    TaskView,
    ViewRef,
)
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError, listed


class FeatureShiftOptions(StatisticOptions):
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

    def fewest_tokens(self) -> float:
        """As many as make `minimum` of them the share `delta`."""
        return self.minimum / self.delta * (1 - 1e-9)  # 10/1e-4 is not a whole number in floats

    @model_validator(mode="after")
    def _absent_is_less_than_present(self) -> FeatureShiftOptions:
        if self.epsilon > self.delta:
            raise ValueError(
                f"epsilon is {self.epsilon} and delta {self.delta}; a feature would be absent and "
                "present at once. epsilon must not be larger than delta"
            )
        return self

    def keeps(self, width: int, latents: int) -> int:
        """Six sums of each latent."""
        return 6 * latents


class ShiftAlongOptions(StatisticOptions):
    """Options of `shift_along`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"direction"})

    pair: PairRef
    """The two views whose difference is projected, as a rule a model before and after tuning."""
    direction: DirectionRef
    """The direction along which they are compared."""
    site: SiteName
    """Where in the model; the direction must live there."""
    tokens: Literal["last", "all", "closing", "answer"] = "last"
    """Which tokens count: the last one of a prompt, all but the special ones, those that close a
    prompt after its content, or, of conversations, those of the last answer."""

    def reads(self, task: TaskView) -> Reads:
        """The pair at the site; the direction only at the end."""
        stream = replace(task.pair(self.pair), tokens=self.tokens)
        return Reads(streams=(stream,), sites=(parse_site(self.site),), finish=(self.direction,))

    def keeps(self, width: int, latents: int) -> int:
        """The sum of the changes under each draw of documents."""
        return 202 * width


class DirectionCosinesOptions(StatisticOptions):
    """Options of `direction_cosines`."""

    directions: Annotated[tuple[DirectionRef, ...], Field(min_length=2)]
    """The directions that are compared, each with each; one vector each, without variants."""

    def reads(self, task: TaskView) -> Reads:
        """No activations, only the directions."""
        return Reads(finish=self.directions)

    @field_validator("directions")
    @classmethod
    def _once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(given)) < len(given):
            raise ValueError("directions names one twice; allowed: each once")
        return given


class ContextsOptions(StatisticOptions):
    """Options of `contexts`."""

    joined_saes: ClassVar[bool] = True

    sae: SaeRef
    """The SAE whose features are looked up."""
    view: ViewRef | None = None
    """The view whose activations are read, on `data`; or else `pair`."""
    data: DataRef | None = None
    """The text."""
    pair: PairRef | None = None
    """A pair that is read anyway: its text, without a pass of its own."""
    side: Literal["left", "right"] = "left"
    """Which side of the pair."""
    count: int = Field(5, ge=1, le=100)
    """Contexts kept for each feature, each from another document."""
    before: int = Field(12, ge=0, le=200)
    """Tokens kept before the one where the feature is strongest."""
    after: int = Field(6, ge=0, le=200)
    """Tokens kept after it."""

    def reads(self, task: TaskView) -> Reads:
        """The SAE's latents of one view."""
        stream = stream_of(task, "contexts", self.pair, self.view, self.data)
        return Reads(streams=(stream,), sites=(task.sae_site(self.sae),), saes=(self.sae,))

    def encodes(self, task: TaskView, stream: str, sae: str) -> Encodes:
        """The side that is looked at."""
        return Encodes((self.side,))

    @model_validator(mode="after")
    def _one_stream(self) -> ContextsOptions:
        if (self.pair is None) == (self.view is None):
            raise ValueError("give exactly one of pair and view")
        if (self.view is None) != (self.data is None):
            raise ValueError("view and data belong together: a pair has its own data")
        if self.pair is None and self.side != "left":
            raise ValueError("side belongs to pair, and there is none")
        return self


class PcFeatureCosineOptions(StatisticOptions):
    """Options of `pc_feature_cosine`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"table"})

    pair: PairRef
    """The pair of views that the components were found on."""
    site: SiteName
    """Where in the model. With `sweep = { pair = […], site = […] }`, `pcs` needs the same sweep."""
    saes: Annotated[tuple[SaeRef, ...], Field(min_length=1)]
    """The SAEs whose decoder rows are compared, such as several widths; those that read at
    another site are left out, so that a sweep over sites can name all of them."""
    pcs: DirectionRef
    """The principal components, a direction of several vectors."""
    table: int = Field(default=20, ge=1)
    """How many features of each SAE the table shows for each component, best aligned first."""

    def reads(self, task: TaskView) -> Reads:
        """No activations: the SAEs' decoders, and the components."""
        saes = saes_at(task, self.saes, parse_site(self.site))
        return Reads(saes=saes, finish=(self.pcs,))


def check_apart(one_sided: float, shared: float) -> None:
    """ValueError where a latent could belong to one side and be shared at once."""
    if one_sided + shared > 0.5:
        raise ValueError(
            f"one_sided = {one_sided:g} and shared = {shared:g} overlap: their sum must not be "
            "above 0.5"
        )


class DecoderNormsOptions(StatisticOptions):
    """Options of `decoder_norms`."""

    joined_saes: ClassVar[bool] = True
    finish_only: ClassVar[frozenset[str]] = frozenset({"one_sided", "shared", "table"})

    sae: SaeRef
    """The crosscoder."""
    one_sided: float = Field(default=0.1, gt=0, lt=0.5)
    """A latent belongs to the left side below this, to the right side above 1 minus this."""
    shared: float = Field(default=0.1, gt=0, lt=0.5)
    """A latent is shared where its number is no further than this from 0.5."""
    table: int = Field(default=20, ge=1)
    """How many latents the table shows at either end: the most one-sided ones."""

    @model_validator(mode="after")
    def _apart(self) -> DecoderNormsOptions:
        check_apart(self.one_sided, self.shared)
        return self

    def reads(self, task: TaskView) -> Reads:
        """No activations: the crosscoder's decoder."""
        if problem := without_two_rows(task.sae_facts(self.sae), self.sae):
            raise TaskError([problem])
        return Reads(saes=(self.sae,))


def without_two_rows(facts: SaeFacts, sae: str) -> Problem | None:
    """What is wrong with an SAE whose latents have no two decoder rows that can be compared."""
    if facts.one_sided:
        return Problem(
            "sae",
            f"{sae} keeps the codes of both models apart (DECOUPLED): each latent writes to one "
            "side alone. Allowed: a crosscoder with one code for both.",
        )
    known = facts.d_in is not None or facts.inputs
    if known and not (facts.of_pair and facts.join == "concatenated"):
        return Problem(
            "sae",
            f"{sae} has one decoder row for each latent. Allowed: a crosscoder, which has one for "
            "each side of a pair.",
        )
    return None


class LatentMomentsOptions(StatisticOptions):
    """Options of `latent_moments`."""

    pair: PairRef | None = None
    """The pair whose change is measured, such as without and with demonstrations."""
    view: ViewRef | None = None
    """A view by itself, with `data`, where nothing changes."""
    data: DataRef | None = None
    """What the view reads."""
    sae: SaeRef
    """Whose latents."""
    raw: SiteName | None = None
    """A site whose activations are measured, too: the control without an SAE."""
    groups: int = Field(default=10, ge=0, le=100)
    """Groups of documents whose sums are kept apart, for intervals; 0 keeps none. Memory: five
    float64 numbers per group, latent and category."""

    @model_validator(mode="after")
    def _pair_or_view(self) -> LatentMomentsOptions:
        if (self.pair is None) == (self.view is None) or (self.view is None) != (self.data is None):
            raise ValueError("give either pair, or view and data")
        if self.groups == 1:
            raise ValueError("groups is 1; an interval needs at least 2, and 0 keeps none")
        return self

    def reads(self, task: TaskView) -> Reads:
        """The pair's stream, or the view's, with the SAE and its site."""
        stream = stream_of(task, "view", self.pair, self.view, self.data)
        sites = (task.sae_site(self.sae), *([] if self.raw is None else [parse_site(self.raw)]))
        return Reads(streams=(stream,), sites=tuple(dict.fromkeys(sites)), saes=(self.sae,))

    def keeps(self, width: int, latents: int) -> int:
        """Five sums of each latent, for each group and for all together."""
        return 5 * (self.groups + 1) * (latents or width * (self.raw is not None))


class TokenCountsOptions(StatisticOptions):
    """Options of `token_counts`."""

    pair: PairRef | None = None
    """The pair whose tokens are counted, such as the query with and without demonstrations."""
    view: ViewRef | None = None
    """A view by itself, with `data`."""
    data: DataRef | None = None
    """What the view reads."""

    @model_validator(mode="after")
    def _pair_or_view(self) -> TokenCountsOptions:
        if (self.pair is None) == (self.view is None) or (self.view is None) != (self.data is None):
            raise ValueError("give either pair, or view and data")
        return self

    def reads(self, task: TaskView) -> Reads:
        """The pair's stream, or the view's, without any activation."""
        return Reads(streams=(stream_of(task, "view", self.pair, self.view, self.data),))

    def keeps(self, width: int, latents: int) -> int:
        """An id and a count for each kind of token that occurs."""
        return 2 * 4096


def saes_at(task: TaskView, saes: Sequence[str], site: Site) -> tuple[str, ...]:
    """Those SAEs that read at `site`. Raises TaskError where none does."""
    sites = {sae: task.sae_site(sae) for sae in saes}
    found = tuple(sae for sae, own in sites.items() if own == site)
    if found:
        return found
    have = listed(f"{sae} at {own}" for sae, own in sites.items())
    raise TaskError(
        [
            Problem(
                "site",
                f"none of the saes reads at {site}: {have}. Allowed: the site of an SAE, as a "
                "block such as resid_post.15. Change site, or add an SAE that reads there",
            )
        ]
    )


def stream_of(
    task: TaskView, name: str, pair: str | None, view: str | None, data: str | None
) -> Stream:
    """The stream of a pair or, where `pair` is None, of a view of some data, called `name`."""
    if pair is not None:
        return task.pair(pair)
    assert view is not None
    assert data is not None
    return Stream(name, view, data)
