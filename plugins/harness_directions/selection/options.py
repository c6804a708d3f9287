"""What a task may write for the candidates of a selection, and for the selection. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.contract import (
    JSON,
    Axes,
    DataRef,
    DirectionOptions,
    DirectionRef,
    Reads,
    SiteName,
    Stream,
    StreamEdit,
    TaskView,
    ViewRef,
)
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError

Word = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Trial:
    """A candidate and the edits that try it."""

    number: int
    """Its place among the variants."""
    axes: tuple[tuple[str, JSON], ...]
    """Which variant it is."""
    direction: str
    """The direction whose variants are tried, by its name in the task."""
    mode: str
    """How it is ablated."""

    @property
    def ablated(self) -> StreamEdit:
        """Taking it out everywhere."""
        return StreamEdit("ablation", self.direction, self.axes, (("mode", self.mode),))

    @property
    def added(self) -> StreamEdit:
        """Adding it once, as long as it is, at its own site."""
        return StreamEdit("addition", self.direction, self.axes, (("coefficient", 1.0),))

    def named(self, what: Literal["ablated", "moved", "added"]) -> str:
        """The name of a stream under one of them."""
        return f"{what} {self.number}"


class ClosingMeansOptions(DirectionOptions):
    """Options of `closing_means`."""

    finish_only: ClassVar[frozenset[str]] = frozenset()

    view: ViewRef
    """The view whose activations are averaged: a model with the way its prompt is written."""
    positive: DataRef
    """The data that show the behaviour; the directions point towards them."""
    negative: DataRef
    """The data that do not show it."""
    positions: int = Field(default=5, ge=1, le=64)
    """At how many of the tokens that close a prompt, counted from its end. A chat template closes
    it with the end of the user's turn and the header of the answer: five tokens in Gemma, Llama 3
    and Qwen. Where there are more, a warning says so.
    """
    sites: tuple[SiteName, ...] = ()
    """Where in the model; the input of every block (`resid_pre.0`, `resid_pre.1`, …) where it is
    left out."""
    filter_prompts: bool = False
    """Whether only those prompts count to which the model reacts as it should: positive ones with a
    refusal score above 0, negative ones with one below 0. Needs `refusal_words`."""
    refusal_words: tuple[Word, ...] = ()
    """Words with which a refusal begins, each of one token: for `filter_prompts` alone."""

    @model_validator(mode="after")
    def _checked(self) -> ClosingMeansOptions:
        if self.filter_prompts != bool(self.refusal_words):
            raise ValueError(
                "filter_prompts and refusal_words go together: the words say what a refusal is. "
                "Write both, or none"
            )
        if len({parse_site(site) for site in self.sites}) < len(self.sites):
            raise ValueError("sites names a site twice. Name each once")
        return self

    def reads(self, task: TaskView) -> Reads:
        """The closing tokens of both sets of prompts, at all sites."""
        sites = self.sites_in(task)
        if not sites:
            what = (
                f"is missing, and how many blocks the model of {self.view} has is not known before "
                "it is loaded. Allowed: a list of sites, such as ['resid_pre.0', 'resid_pre.1']; "
                "or say the depth in the model's table: expect = { layers = … }."
            )
            raise TaskError([Problem("sites", what)])
        return Reads(
            streams=(
                Stream("positive", self.view, self.positive, tokens="closing"),
                Stream("negative", self.view, self.negative, tokens="closing"),
            ),
            sites=tuple(map(parse_site, sites)),
            logits=self.filter_prompts,
            words=self.refusal_words,
        )

    def sites_in(self, task: TaskView) -> tuple[str, ...]:
        """The sites: those that are written, or every block's input; none where that is unknown."""
        layers = task.view_facts(self.view).layers or 0
        return self.sites or tuple(f"resid_pre.{layer}" for layer in range(layers))

    def variants_in(self, task: TaskView) -> Sequence[Axes]:
        """One direction for each position, from the first on, and each site."""
        return [
            {"position": position, "site": site}
            for position in range(-self.positions, 0)
            for site in self.sites_in(task)
        ]

    def keeps(self, width: int, latents: int) -> int:
        """A sum for each position."""
        return self.positions * (width + 4)


class SelectedDirectionOptions(DirectionOptions):
    """Options of `selected_direction`."""

    finish_only: ClassVar[frozenset[str]] = frozenset(
        {"kl_max", "induce_min", "depth_below", "filter_prompts"}
    )

    candidates: DirectionRef
    """The directions to choose from: all variants of this one, such as of `closing_means`."""
    view: ViewRef
    """The view on which they are tried."""
    positive: DataRef
    """Prompts that are refused, other ones than the candidates were found with."""
    negative: DataRef
    """Prompts that are not, likewise."""
    refusal_words: tuple[Word, ...] = Field(min_length=1)
    """Words with which a refusal begins, each of one token: `I` for Gemma and Llama 3, `I` and
    `As` for Qwen. A word of several tokens is refused."""
    mode: Literal["strict", "arditi"] = "strict"
    """How the candidates are ablated: the modes of the intervention `ablation`. The paper's code
    does `arditi`."""
    kl_max: float = Field(default=0.1, ge=0)
    """A candidate is discarded whose ablation changes the predictions for negative prompts by more
    than this: KL divergence, in nats."""
    induce_min: float = 0.0
    """A candidate is discarded that gives negative prompts a mean refusal score below this when it
    is added."""
    depth_below: float = Field(default=0.8, gt=0, le=1)
    """A candidate of L layers is discarded from layer int(L · this) on, counted by blocks before
    it."""
    filter_prompts: bool = False
    """Whether only those prompts count to which the model reacts as it should: positive ones with a
    refusal score above 0, negative ones with one below 0."""

    def reads(self, task: TaskView) -> Reads:
        """The last position as it is, then under each candidate: ablated on both sets of prompts,
        and added on the negative ones."""
        if not self.trials(task):
            what = f"{self.candidates!r} has no variants to choose from."
            raise TaskError([Problem("candidates", what)])
        return Reads(
            streams=(
                Stream("closing", self.view, self.positive, tokens="closing"),
                Stream("positive", self.view, self.positive, tokens="last"),
                Stream("negative", self.view, self.negative, tokens="last"),
                *(stream for trial in self.trials(task) for stream in self._streams(trial)),
            ),
            logits=True,
            words=self.refusal_words,
        )

    def trials(self, task: TaskView) -> list[Trial]:
        """The candidates in their order, each with the edits that try it."""
        found = task.direction(self.candidates).variants_in(task)
        return [
            Trial(number, tuple(axes.items()), self.candidates, self.mode)
            for number, axes in enumerate(found)
        ]

    def _streams(self, trial: Trial) -> Iterator[Stream]:
        view = self.view
        yield Stream(trial.named("ablated"), view, self.positive, tokens="last", edit=trial.ablated)
        # A pair of the view with itself: both predictions are there at once.
        yield Stream(
            trial.named("moved"),
            view,
            self.negative,
            right=view,
            tokens="last",
            edit=trial.ablated,
        )
        yield Stream(trial.named("added"), view, self.negative, tokens="last", edit=trial.added)

    def keeps(self, width: int, latents: int) -> int:
        """A number for each prompt."""
        return 256
