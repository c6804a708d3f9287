"""What logit lens and patchscope of a mean difference share: all but how a vector is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.contract import Findings, Model, Outcome, Record, Site
from harness.contract.sites import parse_site
from harness_analyses.difference_lens.found import Found, read
from harness_analyses.difference_lens.head import Head
from harness_analyses.difference_lens.lists import Tokens
from harness_analyses.difference_lens.options import LogitLensOptions, PatchscopeOptions
from harness_analyses.difference_lens.readers import Reader
from harness_analyses.difference_lens.records import Report
from harness_analyses.difference_lens.tables import scale_rows, sentence, token_rows
from harness_analyses.difference_lens.variants import Chance, Variant, variants, vectors
from harness_analyses.difference_lens.words import Word, with_random_words, words_of
from harness_statistics.records import number

Options = LogitLensOptions | PatchscopeOptions


@dataclass(frozen=True)
class _Read:
    """What was read of one variant."""

    variant: Variant
    found: tuple[Found, ...] = ()
    """One for each position."""
    vocabulary: int = 0
    why: str | None = None
    """Why nothing was read at any position."""


class DifferenceReading(ABC):
    """Reads the mean difference of every pair and site, and the means of both sides beside it."""

    prefix: ClassVar[str]
    """How ids of its records begin."""
    called: ClassVar[str]
    """How a sentence calls it."""

    def __init__(self, given: Options) -> None:
        self.options: Options = given

    @abstractmethod
    def reader(self, model: Model, head: Head, site: Site, asked: Sequence[Tokens]) -> Reader:
        """How vectors of this site are read; `asked`: the words whose ranks are wanted."""

    @abstractmethod
    def unreadable(self, site: Site) -> str | None:
        """Why vectors of this site cannot be read; None where they can."""

    def run(self, findings: Findings) -> Outcome:
        """Makes the records and tables of every pair and site that the statistic kept."""
        given = self.options
        kept = [
            one
            for one in variants(findings, given.difference)
            if given.pair is None or one.place.pair == given.pair
        ]
        model = findings.tools.models.get(given.model)
        if not kept or model is None:
            of = "" if given.pair is None else f" of {given.pair}"
            why = f"the statistic {given.difference} kept no mean difference{of}"
            return Outcome((self._nothing(why, {}),))
        words, head = words_of(model, given.words), Head(model)
        asked = with_random_words(words, head.vocabulary, findings.seed)
        every = [self._read(model, head, variant, asked, findings.seed) for variant in kept]
        records: list[Record] = []
        rows: dict[str, list[Mapping[str, Any]]] = {"findings": [], "tokens": [], "scales": []}
        for one in every:
            mine = list(self._records(one, words, every))
            records += mine
            if one.why is None:
                place = {"pair": one.variant.place.pair, "site": one.variant.place.site}
                said = sentence(self.called, model, one.variant, one.found, mine)
                rows["findings"].append({**place, "verdict": said})
                rows["tokens"] += token_rows(model, one.variant, one.found, words)
                rows["scales"] += scale_rows(model, one.variant, one.found)
        tables = {name: found for name, found in rows.items() if found}
        return Outcome(tuple(records), tables, notes=tuple(_notes(given.words, words)))

    def _read(
        self, model: Model, head: Head, variant: Variant, asked: Sequence[Tokens], seed: int
    ) -> _Read:
        given, means, site = self.options, variant.means, parse_site(variant.place.site)
        why, width = self.unreadable(site), means.change.shape[-1]
        if width != model.facts.d_model:
            why = f"{site} has {width} numbers a token, and the head of {given.model} reads "
            why += f"{model.facts.d_model}"
        if why is not None:
            return _Read(variant, why=why)
        reader = self.reader(model, head, site, asked)
        each = [
            vectors(means, at, Chance(given.draws, given.splits, given.resamples, seed))
            for at in range(len(means.positions))
        ]
        return _Read(variant, read(reader, each), head.vocabulary)

    def _records(
        self, one: _Read, words: Sequence[Word], every: Sequence[_Read]
    ) -> Iterator[Record]:
        if one.why is not None:
            yield self._nothing(one.why, one.variant.axes)
            return
        report = Report(
            self.prefix,
            one.variant.axes,
            words,
            self.options.top,
            one.vocabulary,
            len(one.variant.means.count),
            self._told(),
        )
        yield from report.of_words(one.found)
        for at, found in enumerate(one.found):
            others = {
                other.variant.name: other.found[at]
                for other in every
                if other is not one and _same_places(one, other) and other.found[at].why is None
            }
            yield from report.of_lists(found, others)
            yield from report.of_strength(found)

    def _told(self) -> dict[str, Any]:
        """The options that the meaning of a number depends on."""
        left_out = {"difference", "pair", "words", "draws", "splits", "resamples"}
        return self.options.model_dump(mode="json", exclude=left_out)

    def _nothing(self, why: str, axes: Mapping[str, Any]) -> Record:
        return number(
            f"{self.prefix}.overlap@1", None, why, ci_why=why, n=0, n_of="tokens", unit="share",
            options=self._told(), axes=axes,
        )  # fmt: skip


def _same_places(one: _Read, other: _Read) -> bool:
    """Whether two variants are of one site and the same positions, so that lists compare."""
    alike = one.variant.place.site == other.variant.place.site and other.why is None
    places, theirs = one.variant.means.positions, other.variant.means.positions
    return alike and places.tolist() == theirs.tolist()


def _notes(asked: Sequence[str], found: Sequence[Word]) -> Iterator[str]:
    known = {word.text for word in found}
    if lost := [text for text in asked if text not in known]:
        yield f"these words have no token and are left out: {', '.join(map(repr, lost))}"
    if pieces := [word.text for word in found if not word.whole]:
        yield (
            f"these words are several tokens and are looked for by their first piece: "
            f"{', '.join(map(repr, pieces))}"
        )
