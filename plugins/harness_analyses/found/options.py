"""What a task may write for `found`. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from harness.contract import (
    AnalysisOptions,
    Capability,
    LocalPath,
    ModelRef,
    Options,
    Outlook,
    PairRef,
    Ref,
    StatisticRef,
)
from harness_analyses.found.truth import Sort, truths_of
from harness_analyses.options import ExperimentRef

AnalysisRef = Annotated[str, Ref("analyses")]
Called = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]{0,59}$")]
Column = Annotated[str, Field(min_length=1, max_length=100)]


class MethodOptions(Options):
    """A method: which entry of the task says what it found, and how that is read.

    A table has a row for each candidate: `item` is its number, `score` what the method gives it. An
    array of a statistic has a score for each candidate, or the vectors themselves.
    """

    name: Called
    """What it is called in the league."""
    sort: Sort
    """What it finds: tokens of the model, latents of the SAE, or directions."""
    statistic: StatisticRef | None = None
    """The statistic of the task that made it; swept over the pairs."""
    analysis: AnalysisRef | tuple[AnalysisRef, ...] | None = None
    """The analysis that made it, or several, such as one for each model: each has a column `pair`.
    They must stand before this one in the task."""
    table: Column | None = None
    """The table, without the name of its entry: `features`, `tokens`."""
    item: Column = "feature"
    """The column of the table that numbers tokens or latents."""
    score: Column | None = None
    """The column that says how sure the method is. Of several rows of a candidate the best counts;
    candidates without a row come last, all alike."""
    where: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Only rows with these values, such as { source = "difference" }."""
    array: Column | None = None
    """In place of a table an array of the statistic: a number for each token or latent, or vectors;
    the name, or what stands in it behind the last `/`. Of vectors with further axes before the last
    two the sum over these is taken."""
    magnitude: bool = False
    """Whether a large negative score says as much as a large positive one."""
    ascending: bool = False
    """Whether a small score is a good one, as of a rank or a p."""
    control: bool = False
    """Whether it is a control, such as the mean of the base: it stands beside the methods and is
    none of them, as it cannot know what was planted."""

    @property
    def entries(self) -> tuple[str, ...]:
        """The names of the entries that made it."""
        if self.statistic is not None:
            return (self.statistic,)
        given = self.analysis or ()
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _readable(self) -> MethodOptions:
        if (self.statistic is None) == (self.analysis is None):
            raise ValueError(f"{self.name}: give either statistic or analysis")
        if (self.table is None) == (self.array is None):
            raise ValueError(f"{self.name}: give either table or array")
        if self.array is not None and self.statistic is None:
            raise ValueError(f"{self.name}: only a statistic has arrays; give table and score")
        if self.table is not None and self.score is None:
            raise ValueError(f"{self.name}: score is missing: the column to rank by")
        if self.table is not None and self.sort == "directions":
            raise ValueError(f"{self.name}: directions are read from an array of a statistic")
        if self.sort == "directions" and (self.ascending or self.magnitude):
            raise ValueError(f"{self.name}: directions have no score; they are ranked by |cos|")
        return self


class BaselineOptions(Options):
    """What can be known without looking inside: the words that a model writes more often."""

    name: Called = "completions"
    """What it is called in the league."""
    base: ExperimentRef
    """Completions of the base, without an intervention."""
    tuned: Annotated[tuple[ExperimentRef, ...], Field(min_length=1)]
    """Completions of the same prompts by each model, in the order of `pairs`."""
    smoothing: float = Field(0.5, gt=0)
    """What is added to each token's count."""


class FoundOptions(AnalysisOptions):
    """Options of `found`."""

    model_needs: ClassVar[frozenset[Capability]] = frozenset(
        {"activations", "logits", "edits", "tokens"}
    )

    truths: LocalPath
    """A folder with the truth of every pair, `<pair>/truth.json` (docs/league.md)."""
    pairs: Annotated[tuple[PairRef, ...], Field(min_length=1)]
    """The pairs that take part: base on the left, a model whose change is known on the right."""
    model: ModelRef
    """The base: its vocabulary, and the rows of its unembedding."""
    dictionary: StatisticRef | None = None
    """A statistic `kept_vectors` of the SAE's decoder: how many latents there are, and candidates
    for directions. Needed where a method finds either."""
    methods: Annotated[tuple[MethodOptions, ...], Field(min_length=1)]
    """Who takes part."""
    baseline: BaselineOptions | None = None
    """What completions alone tell."""
    random: int = Field(1000, ge=0, le=100_000)
    """Random directions among the candidates."""
    top: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 10)
    """Ranks up to which `found.hits` counts a model as found."""

    @field_validator("pairs")
    @classmethod
    def _known_truth(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if len(set(given)) < len(given):
            raise ValueError("a pair is named twice; allowed: each once")
        place = Path(info.data.get("truths", ""))
        if place.is_absolute() and place.exists():  # else the path itself is reported
            if not place.is_dir():
                raise ValueError(f"truths is {place}, a file. Allowed: a folder of folders")
            truths_of(place, given)
        return given

    @model_validator(mode="after")
    def _fits(self) -> FoundOptions:
        names = [one.name for one in self.methods]
        names += [] if self.baseline is None else [self.baseline.name]
        if len(set(names)) < len(names):
            raise ValueError("two methods have one name; allowed: each its own")
        if self.dictionary is None and any(one.sort != "tokens" for one in self.methods):
            raise ValueError(
                "dictionary is missing: methods that find latents or directions need it. "
                "Name a statistic with method = kept_vectors and the SAE"
            )
        if self.baseline is not None and len(self.baseline.tuned) != len(self.pairs):
            raise ValueError(
                f"baseline.tuned has {len(self.baseline.tuned)} experiments, and there are "
                f"{len(self.pairs)} pairs. Allowed: one for each, in their order"
            )
        return self

    def foresee(self, task: Outlook) -> Iterator[str]:
        """Kinds of which there is one model alone: nothing can be permuted."""
        if len(self.pairs) == 1:
            yield (
                "with one pair no truth can be exchanged with another, so found.permuted will be "
                "undefined. Allowed: two pairs or more."
            )
