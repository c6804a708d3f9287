"""From rows of tokens to batches of measured tokens: one forward per model, shared by all jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from harness.contract import Activations, Batch, Model, Sae, Site, Stream, Tokens
from harness.errors import ModelError
from harness.running.reading.filters import chosen, no_sink
from harness.running.reading.rows import Measured, Row, aligned, check_aligned, measured
from harness.running.reading.sides import ModelSide, SelectedSide


@dataclass(frozen=True)
class Wanted:
    """A stream, and what the jobs that read it ask of it."""

    stream: Stream
    sites: frozenset[Site] = frozenset()
    encoded: frozenset[tuple[str, Site]] = frozenset()
    """SAEs, with the site whose activations they encode."""
    logits: bool = False


@dataclass(frozen=True)
class _Read:
    """What one model made of one rendering."""

    activations: Activations
    rows: Sequence[Row]


@dataclass(frozen=True)
class Reader:
    """Reads the batches of streams that share their documents: one forward per model."""

    wanted: tuple[Wanted, ...]
    models: Mapping[str, Model]
    """By view."""
    saes: Mapping[str, Sae]
    sae_sites: Mapping[str, Site]

    def read(self, rows: Sequence[Row], other: Sequence[Row] | None = None) -> Iterator[Batch]:
        """One batch for each stream, from one forward of each model.

        `other` is the right side's own rendering of the same documents, where there is one.
        """
        if other is not None:
            check_aligned(rows, other, f"pair of {self.wanted[0].stream.view} and its right side")
        found: dict[tuple[int, bool], _Read] = {}
        for one in self.wanted:
            for view, own in self._sides(one.stream):
                self._forward(found, view, own, other if own and other is not None else rows)
        documents = tuple(part.tokens.example for row in rows for part in row.parts)
        sides: dict[tuple[object, ...], ModelSide] = {}
        for one in self.wanted:
            yield self._batch(one, found, rows, other, documents, sides)

    def _sides(self, stream: Stream) -> list[tuple[str, bool]]:
        """The views of a stream, each with whether it has a rendering of its own."""
        right = [(stream.right, stream.align == "span")] if stream.right is not None else []
        return [(stream.view, False), *right]

    def _forward(
        self, found: dict[tuple[int, bool], _Read], view: str, own: bool, rows: Sequence[Row]
    ) -> None:
        model = self.models[view]
        key = (id(model), own)
        if key in found:
            return
        wanting = [
            one
            for one in self.wanted
            for name, its in self._sides(one.stream)
            if its == own and self.models[name] is model
        ]
        sites = sorted({site for one in wanting for site in one.sites}, key=str)
        logits = any(one.logits for one in wanting)
        tokens = [row.tokens for row in rows]
        self._check_vocabulary(view, model, tokens)
        activations = model.activations(tokens, sites, logits=logits)
        self._check_finite(view, activations, rows)
        found[key] = _Read(activations, rows)

    def _batch(
        self,
        wanted: Wanted,
        found: Mapping[tuple[int, bool], _Read],
        rows: Sequence[Row],
        other: Sequence[Row] | None,
        documents: tuple[str, ...],
        sides: dict[tuple[object, ...], ModelSide],
    ) -> Batch:
        stream, where = wanted.stream, wanted.stream.where
        views = self._sides(stream)
        # What is special to either side is measured on neither.
        masked = frozenset().union(*(self.models[view].masked_ids for view, _ in views))
        kept = measured(rows, stream, masked)
        policy: tuple[object, ...] = (stream.tokens, masked, where.skip_first)
        if where.max_norm_ratio is not None:
            site = _site(where.site)
            there = [
                self._tokens(kept, own, rows, other).of(
                    found[id(self.models[view]), own].activations, site
                )
                for view, own in views
            ]
            kept = kept.keep(no_sink(there, kept.document, where.max_norm_ratio))
            policy += (where.max_norm_ratio, site, tuple(id(self.models[v]) for v, _ in views))

        def side(view: str, own: bool) -> ModelSide:
            model = self.models[view]
            # The same tokens of the same model are one side, encoded once for all streams.
            key = (id(model), own, *policy)
            if key not in sides:
                places = self._tokens(kept, own, rows, other)
                sides[key] = self._side(model, found[id(model), own], places)
            return sides[key]

        whole = [side(*one) for one in views]
        selected = torch.arange(len(kept.ids))
        both = whole
        if where.selects:
            site = _site(where.site)
            left, right = (one.x(site) for one in whole)
            selected = chosen(left, right, where).nonzero().squeeze(1).cpu()
            both = []
            for (view, own), one in zip(views, whole, strict=True):
                key = (id(self.models[view]), own, *policy, where)
                if key not in sides:
                    sides[key] = SelectedSide(one, selected, self._shared(view, own))
                both.append(sides[key])
        row = kept.document
        return Batch(
            stream.name,
            documents,
            row,
            selected,
            both[0],
            both[1] if len(both) > 1 else None,
            ids=kept.ids,
            position=kept.position,
        )

    def _tokens(
        self, kept: Measured, own: bool, rows: Sequence[Row], other: Sequence[Row] | None
    ) -> Measured:
        return aligned(rows, other, kept) if own and other is not None else kept

    def _shared(self, view: str, own: bool) -> _Shared:
        """What is encoded on this side by streams with different choices of tokens."""
        users: dict[tuple[str, Site], set[object]] = {}
        for one in self.wanted:
            for name, its in self._sides(one.stream):
                if its == own and self.models[name] is self.models[view]:
                    for key in one.encoded:
                        users.setdefault(key, set()).add(one.stream.where)
        return _Shared(frozenset(key for key, choices in users.items() if len(choices) > 1))

    def _side(self, model: Model, read: _Read, kept: Measured) -> ModelSide:
        activations = read.activations

        def sequences(site: Site) -> tuple[list[Tensor], Tensor]:
            found, begins = [], []
            total = 0
            for number, row in enumerate(read.rows):
                for part in row.parts:
                    start = activations.start[number] + part.begin
                    found.append(
                        activations.sites[site][number, start : start + len(part.tokens.ids)]
                    )
                    begins.append(total)
                    total += len(part.tokens.ids)
            first = torch.tensor(begins, dtype=torch.long)[kept.document]
            shift = [p.begin for row in read.rows for p in row.parts]
            return found, first + kept.offset - torch.tensor(shift)[kept.document]

        def logits() -> Tensor:
            assert activations.logits is not None
            return kept.at(activations, activations.logits).float()

        return ModelSide(
            lambda site: kept.of(activations, site),
            sequences,
            self.saes,
            self.sae_sites,
            model.facts.layers or 0,
            logits if activations.logits is not None else None,
        )

    def _check_vocabulary(self, view: str, model: Model, tokens: Sequence[Tokens]) -> None:
        size = model.facts.vocabulary
        largest = max((max(prompt.ids) for prompt in tokens if prompt.ids), default=0)
        if size is not None and largest >= size:
            raise ModelError(
                f"views.{view}: token {largest} is beyond the model's vocabulary of {size}. Both "
                "sides of a pair read the same tokens: choose models that share a tokenizer."
            )

    def _check_finite(self, view: str, found: Activations, rows: Sequence[Row]) -> None:
        for site, values in found.sites.items():
            # A sum is finite only if everything in it is; one reduction instead of a mask.
            if torch.isfinite(values.float().abs().sum()):
                continue
            for number, row in enumerate(rows):
                for part in row.parts:
                    start, prompt = found.start[number] + part.begin, part.tokens
                    if not torch.isfinite(values[number, start : start + len(prompt.ids)]).all():
                        raise ModelError(
                            f"views.{view}: the activations at {site} are not finite for document "
                            f'{prompt.example} ({prompt.text[:60]!r}). Try dtype = "float32"; '
                            "if they stay so, the weights are broken."
                        )


@dataclass(frozen=True)
class _Shared:
    """The (SAE, site) that several choices of tokens want encoded."""

    keys: frozenset[tuple[str, Site]]

    def __call__(self, sae: str, site: Site) -> bool:
        return (sae, site) in self.keys


def _site(site: Site | None) -> Site:
    if site is None:
        raise ValueError("a filter of tokens needs the site where it looks")
    return site


def at_depth(stream: Stream, layers: int | None) -> Stream:
    """The same with the filters' site as a block."""
    site = stream.where.site
    if site is None or not layers:
        return stream
    return replace(stream, where=replace(stream.where, site=site.at(layers)))
