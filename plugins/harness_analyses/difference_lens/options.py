"""What a task may write for `logit_lens` and `patchscope`. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from harness.contract import (
    AnalysisOptions,
    Asked,
    Capability,
    ModelRef,
    Outlook,
    PairRef,
    StatisticRef,
)
from harness.contract.sites import parse_site
from harness_statistics.mean_difference.options import MeanDifferenceOptions

_SCALES = (
    *(round(0.1 * tenth, 1) for tenth in range(5, 21)),
    3.0, 4.0, 5.0, 10.0,
    *(float(step) for step in range(20, 201, 20)),
)  # fmt: skip
ROWS = 64
"""At most so many prompts are read at a time."""
_PROMPTS = (("man", "1135", "hello"), ("bear", "42", "blue"), ("921", "target", "anna"))


class ReadingOptions(AnalysisOptions):
    """Options that both ways of reading share."""

    model_needs: ClassVar[frozenset[Capability]] = frozenset(
        {"activations", "logits", "edits", "tokens"}
    )

    difference: StatisticRef
    """A statistic `mean_difference`. Where it sweeps over pairs, the lists of one text are
    compared with those of the others."""
    pair: PairRef | None = None
    """Whose difference is read, where the statistic sweeps over pairs; those of all without it."""
    model: ModelRef
    """Whose head reads: the fine-tuned model. It must write next-token logits."""
    words: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    """Words that the fine-tuning is known to be about, where it is known: their ranks are
    records."""
    top: int = Field(20, ge=2, le=1000)
    """How many tokens a list has."""

    @field_validator("words")
    @classmethod
    def _once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if len({word.strip().casefold() for word in given}) < len(given):
            raise ValueError("words names a word twice; allowed: each once, in any case")
        return given

    def foresee(self, task: Outlook) -> Iterator[str]:
        """A statistic of another kind, which keeps nothing that can be read."""
        kinds = task.statistic(self.difference)
        if not any(isinstance(one, MeanDifferenceOptions) for one in kinds):
            yield (
                f"nothing will be read: the statistic {self.difference} keeps no mean difference. "
                "Allowed: a statistic whose method is mean_difference."
            )


class LogitLensOptions(ReadingOptions):
    """Options of `logit_lens`."""

    draws: int = Field(40, ge=5, le=1000)
    """Lists of differences with permuted labels that stand beside each list."""
    splits: int = Field(10, ge=1, le=1000)
    """How often the text is halved to see whether both halves give the same list."""
    resamples: int = Field(100, ge=0, le=10_000)
    """Draws of documents for the intervals of words; 0 makes none."""


class PatchscopeOptions(ReadingOptions):
    """Options of `patchscope`.

    Its cost: (4 + draws + 2 · splits + 2 · resamples) · positions · scales · prompts
    forwards over a short prompt.
    """

    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = _SCALES
    """The strengths that are tried, in units of the usual length of an activation."""
    prompts: Annotated[
        tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...], Field(min_length=1)
    ] = _PROMPTS
    """Prompts of the kind `man -> man`, line by line, each ending in a line `?`: the words."""
    keep: int = Field(16_384, ge=1)
    """A token counts if it is among so many of the likeliest after every prompt."""
    draws: int = Field(5, ge=1, le=1000)
    """Differences with permuted labels that are read likewise."""
    splits: int = Field(1, ge=1, le=1000)
    """How often the text is halved to see whether both halves give the same list."""
    resamples: int = Field(0, ge=0, le=10_000)
    """Draws of documents for the intervals of words; 0 makes none. Each is searched anew for its
    strength, so an interval, which needs 100 or so, costs more than all else."""

    @model_validator(mode="after")
    def _in_order(self) -> PatchscopeOptions:
        if list(self.scales) != sorted(set(self.scales)):
            raise ValueError("scales must rise from one to the next")
        return self

    def asked(self, task: Outlook) -> Mapping[str, Asked]:
        """Every vector at every strength, after every prompt; without prompts of one token, which
        read rows of the unembedding."""
        kinds = [one for one in task.statistic(self.difference)
                 if isinstance(one, MeanDifferenceOptions)]  # fmt: skip
        places = sum(
            len(one.positions)
            for one in kinds
            if parse_site(one.site).in_residual and self.pair in (None, one.pair)
        )
        vectors = 4 + self.draws + 2 * self.splits + 2 * self.resamples
        prompts = vectors * places * len(self.scales) * len(self.prompts)
        texts = ["\n".join([*(f"{word} -> {word}" for word in lines), "?"])
                 for lines in self.prompts]  # fmt: skip
        longest = max(texts, key=len)
        return {self.model: Asked(prompts, longest, batch=ROWS)} if prompts else {}

    def foresee(self, task: Outlook) -> Iterator[str]:
        """Also sites outside of the residual stream, where nothing can be replaced by a vector."""
        yield from super().foresee(task)
        for one in task.statistic(self.difference):
            if isinstance(one, MeanDifferenceOptions) and not parse_site(one.site).in_residual:
                yield (
                    f"nothing will be read at {one.site}: patchscope replaces the residual stream, "
                    "and it is not in it. Allowed: resid_pre, resid_post."
                )
