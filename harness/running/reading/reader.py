"""From rows of tokens to batches of measured tokens: one forward per model, shared by all jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import torch

from harness.contract import (
    Batch,
    FollowedPath,
    GradientPath,
    Model,
    Sae,
    Scalar,
    Side,
    Site,
    Stream,
    Tokens,
    Where,
)
from harness.errors import ModelError
from harness.running.reading.filters import chosen, no_sink
from harness.running.reading.joined import DifferenceSide, PairCode, PairSide, SelectedCode
from harness.running.reading.paths import End, RowsPath, follow, scalars_of
from harness.running.reading.rows import Measured, Row, aligned, check_aligned, measured, parts
from harness.running.reading.sides import Forward, ModelSide, SelectedSide


@dataclass(frozen=True)
class Wanted:
    """A stream, and everything that its jobs need of it."""

    stream: Stream
    sites: frozenset[Site] = frozenset()
    encoded: frozenset[tuple[str, Site]] = frozenset()
    """SAEs, with the site whose activations they encode."""
    logits: bool = False
    paths: tuple[GradientPath, ...] = ()
    """Paths between both sides, their sites blocks of the models."""


@dataclass(frozen=True)
class _Source:
    """Where the activations of one side of a stream come from."""

    view: str
    model: Model
    own: bool
    """Whether the model reads its own rendering of the documents, and not the left side's."""

    @property
    def key(self) -> tuple[int, bool]:
        """The same for sources that one forward serves."""
        return id(self.model), self.own


@dataclass(frozen=True)
class _Needed:
    """What all streams together need of a source."""

    sites: Sequence[Site]
    logits: bool
    shared: frozenset[tuple[str, Site]]
    """SAEs, each with its site, that streams with different filters have encoded."""


_Key = tuple[object, ...]
"""The same for what is made once: the tokens that streams measure, or a side with these tokens."""


@dataclass(frozen=True)
class Reader:
    """Reads the batches of streams that share their documents: one forward per model."""

    wanted: tuple[Wanted, ...]
    models: Mapping[str, Model]
    """By view."""
    saes: Mapping[str, Sae]
    sae_sites: Mapping[str, Site]

    def read(self, rows: Sequence[Row], other: Sequence[Row] | None = None) -> dict[Stream, Batch]:
        """The batch of each stream, from one forward of each model.

        `other` is the right side's own rendering of the same documents, where it has one. Raises
        ModelError where the two renderings do not have the same measured tokens, where a token is
        not in a model's vocabulary, and for activations that are not finite.
        """
        if other is not None:
            check_aligned(rows, other, f"pair of {self.wanted[0].stream.view} and its right side")
        forwards: dict[tuple[int, bool], Forward] = {}
        for source in chain.from_iterable(self.sources.values()):
            if source.key not in forwards:
                mine = other if source.own and other is not None else rows
                forwards[source.key] = _forward(source, self.needed[source.key], mine)
        read = _ReadRows(self, rows, other, forwards)
        return {stream: read.batch(stream) for stream in self.sources}

    @cached_property
    def sources(self) -> Mapping[Stream, Sequence[_Source]]:
        """By stream, where its sides come from: left, and right where it is a pair."""
        return {one.stream: list(self._sources(one.stream)) for one in self.wanted}

    @cached_property
    def needed(self) -> Mapping[tuple[int, bool], _Needed]:
        """By the key of a source, what all streams together need of it."""
        users: dict[tuple[int, bool], list[Wanted]] = {}
        for one in self.wanted:
            for source in self.sources[one.stream]:
                users.setdefault(source.key, []).append(one)
        return {key: _needed(some) for key, some in users.items()}

    @cached_property
    def followed(self) -> Mapping[Stream, Mapping[GradientPath, Scalar]]:
        """By stream, the paths that its jobs read, with their numbers in the tokens of the model
        that writes the prompts."""
        paths: dict[Stream, list[GradientPath]] = {}
        for one in self.wanted:
            paths.setdefault(one.stream, []).extend(one.paths)
        return {
            stream: scalars_of(list(dict.fromkeys(some)), self.models[_writer(stream)])
            for stream, some in paths.items()
        }

    def _sources(self, stream: Stream) -> Iterator[_Source]:
        yield _Source(stream.view, self.models[stream.view], own=False)
        if stream.right is not None:
            own = stream.align == "span"
            yield _Source(stream.right, self.models[stream.right], own)


def _writer(stream: Stream) -> str:
    """The view that writes the prompts which both sides read."""
    return stream.right if stream.render == "right" and stream.right else stream.view


def _needed(users: Sequence[Wanted]) -> _Needed:
    filters: dict[tuple[str, Site], set[Where]] = {}
    for one in users:
        for key in one.encoded:
            filters.setdefault(key, set()).add(one.stream.where)
    return _Needed(
        sorted({site for one in users for site in one.sites}, key=str),
        any(one.logits for one in users),
        frozenset(key for key, found in filters.items() if len(found) > 1),
    )


def _forward(source: _Source, needed: _Needed, rows: Sequence[Row]) -> Forward:
    """Lets the model of a source read the rows, once for all that is needed of it."""
    tokens = [row.tokens for row in rows]
    _check_vocabulary(source, tokens)
    forward = Forward(source.model.activations(tokens, needed.sites, logits=needed.logits), rows)
    _check_finite(source, forward)
    return forward


@dataclass(frozen=True)
class _ReadRows:
    """Rows that all models have read: makes the batches of streams, and each side once.

    The same tokens of the same source are one side, encoded once for all streams.
    """

    reader: Reader
    rows: Sequence[Row]
    other: Sequence[Row] | None
    forwards: Mapping[tuple[int, bool], Forward]
    sides: dict[_Key, ModelSide] = field(default_factory=dict)
    codes: dict[_Key, PairCode] = field(default_factory=dict)
    followed: dict[_Key, RowsPath] = field(default_factory=dict)

    def batch(self, stream: Stream) -> Batch:
        """The batch of a stream: its measured tokens on each side, and those its filter selects."""
        sources = self.reader.sources[stream]
        tokens, key = self._measured(stream, sources)
        sides = [self._whole_side(source, tokens, key) for source in sources]
        code = self._code(sources, sides, key) if len(sides) > 1 else None
        selected = torch.arange(len(tokens.ids))
        if stream.where.selects:
            x, y = (side.x(_filter_site(stream)) for side in sides)
            selected = chosen(x, y, stream.where).nonzero().squeeze(1).cpu()
            sides = [
                self._selected_side(source, (*key, stream.where), whole, selected)
                for source, whole in zip(sources, sides, strict=True)
            ]
            code = code and self._selected_code(sources, (*key, stream.where), code, selected)
        left, right, difference = _seen(sides, code, selected)
        copies = tuple(part.tokens.copies for _, part in parts(self.rows))
        return Batch(
            stream.name,
            tuple(part.tokens.example for _, part in parts(self.rows)),
            tokens.document,
            selected,
            left,
            right,
            ids=tokens.ids,
            position=tokens.position,
            difference=difference,
            copies=copies if any(copies) else (),
            saes=self.reader.saes,
            paths=self._paths(stream, sources, tokens),
        )

    def _paths(
        self, stream: Stream, sources: Sequence[_Source], tokens: Measured
    ) -> dict[GradientPath, FollowedPath]:
        """The paths of a stream at its measured tokens, each followed once for all streams."""
        found = {}
        for path, scalar in self.reader.followed[stream].items():
            key = (*(source.key for source in sources), path, _writer(stream))
            if key not in self.followed:
                ends = [End(one.view, one.model, self.forwards[one.key]) for one in sources]
                self.followed[key] = follow(path, self.rows, ends[0], ends[1], scalar)
            found[path] = self.followed[key].of(tokens)
        return found

    def _measured(self, stream: Stream, sources: Sequence[_Source]) -> tuple[Measured, _Key]:
        """The measured tokens, without sinks of massive norm where the stream leaves them out."""
        where = stream.where
        # What is special to either side is measured on neither.
        masked = frozenset[int]().union(*(source.model.masked_ids for source in sources))
        tokens = measured(self.rows, stream, masked)
        key: _Key = (stream.tokens, masked, where.skip_first)
        if where.max_norm_ratio is None:
            return tokens, key
        site = _filter_site(stream)
        sides = [self.forwards[one.key].at(self._places(one, tokens), site) for one in sources]
        kept = tokens.keep(no_sink(sides, tokens.document, where.max_norm_ratio))
        models = tuple(id(source.model) for source in sources)
        return kept, (*key, where.max_norm_ratio, site, models)

    def _whole_side(self, source: _Source, tokens: Measured, key: _Key) -> ModelSide:
        """A side with all measured tokens."""
        key = (*source.key, *key)
        if key not in self.sides:
            self.sides[key] = ModelSide(
                self.forwards[source.key],
                self._places(source, tokens),
                self.reader.saes,
                self.reader.sae_sites,
                source.model.facts.layers or 0,
            )
        return self.sides[key]

    def _selected_side(
        self, source: _Source, key: _Key, whole: ModelSide, selected: torch.Tensor
    ) -> ModelSide:
        """A side with all measured tokens, but with latents of the selected ones alone."""
        key = (*source.key, *key)
        if key not in self.sides:
            self.sides[key] = SelectedSide(whole, selected, self.reader.needed[source.key].shared)
        return self.sides[key]

    def _code(self, sources: Sequence[_Source], sides: Sequence[ModelSide], key: _Key) -> PairCode:
        """What SAEs of a pair make of two sides, once for all streams of these sides."""
        key = (*(source.key for source in sources), *key)
        if key not in self.codes:
            saes = self.reader.saes.items()
            own = {name: sae for name, sae in saes if sae.facts.of_pair}
            self.codes[key] = PairCode(sides[0], sides[1], own)
        return self.codes[key]

    def _selected_code(
        self, sources: Sequence[_Source], key: _Key, whole: PairCode, selected: torch.Tensor
    ) -> PairCode:
        """The same with latents of the selected tokens alone."""
        shared = self.reader.needed[sources[0].key].shared
        key = (*(source.key for source in sources), *key)
        if key not in self.codes:
            self.codes[key] = SelectedCode(whole, selected, shared)
        return self.codes[key]

    def _places(self, source: _Source, tokens: Measured) -> Measured:
        """The same tokens as places in the rows that the source has read."""
        if not source.own or self.other is None:
            return tokens
        return aligned(self.rows, self.other, tokens)


def _seen(
    sides: Sequence[ModelSide], code: PairCode | None, selected: torch.Tensor
) -> tuple[Side, Side | None, Side | None]:
    """The sides of a batch and their difference, with what SAEs of a pair say where it has any."""
    if code is None:
        return sides[0], None, None
    if not code.saes:
        return sides[0], sides[1], DifferenceSide(code)
    left = PairSide(sides[0], "left", code, selected)
    return left, PairSide(sides[1], "right", code, selected), DifferenceSide(code)


def at_depth(stream: Stream, layers: int | None) -> Stream:
    """The stream with its filter's site, where that is a fraction of depth, as a block."""
    site = stream.where.site
    if site is None or not layers:
        return stream
    return replace(stream, where=replace(stream.where, site=site.at(layers)))


def paths_at_depth(paths: Sequence[GradientPath], layers: int | None) -> tuple[GradientPath, ...]:
    """The paths with a site that is a fraction of depth as a block."""
    return tuple(replace(one, site=one.site.at(layers)) if layers else one for one in paths)


def _filter_site(stream: Stream) -> Site:
    if stream.where.site is None:
        raise ValueError("a filter of tokens needs the site where it looks")
    return stream.where.site


def _check_vocabulary(source: _Source, tokens: Sequence[Tokens]) -> None:
    size = source.model.facts.vocabulary
    largest = max((max(prompt.ids) for prompt in tokens if prompt.ids), default=0)
    if size is not None and largest >= size:
        raise ModelError(
            f"views.{source.view}: token {largest} is beyond the model's vocabulary of {size}. "
            "Both sides of a pair read the same tokens: choose models that share a tokenizer."
        )


def _check_finite(source: _Source, forward: Forward) -> None:
    for site, values in forward.activations.sites.items():
        # A sum is finite only if everything in it is; one reduction instead of a mask.
        if torch.isfinite(values.float().abs().sum()):
            continue
        for (_, part), x in zip(parts(forward.rows), forward.documents(site), strict=True):
            if not torch.isfinite(x).all():
                raise ModelError(
                    f"views.{source.view}: the activations at {site} are not finite for "
                    f"document {part.tokens.example} ({part.tokens.text[:60]!r}). Try "
                    'dtype = "float32"; if they stay so, the weights are broken.'
                )
