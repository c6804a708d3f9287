"""Streams that are read under edits: rows of several arms share one call of the model.

Each such stream has an arm: an intervention along a direction. A batch of rows is read once for
each arm, and as many arms stand in one call as a batch has room for. What the model had under an
arm is used up before the next call, so nothing grows with the number of arms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from harness.contract import (
    Activations,
    Arm,
    Batch,
    Model,
    Receipt,
    Sae,
    Site,
    Stream,
    StreamEdit,
    Tokens,
)
from harness.running.reading.reader import Reader, Wanted
from harness.running.reading.rows import Row


@dataclass(frozen=True)
class Under:
    """A view under the edit of a stream."""

    view: str
    edit: StreamEdit

    def __str__(self) -> str:
        """In words, for messages: `chat under ablation of candidates[position=-1]`."""
        axes = ",".join(f"{key}={value}" for key, value in self.edit.axes)
        what = f"{self.edit.direction}[{axes}]" if axes else self.edit.direction
        return f"{self.view} under {self.edit.method} of {what}"


def under(stream: Stream) -> Under:
    """What a stream with an edit reads under it: its view, or the right one of a pair."""
    assert stream.edit is not None
    return Under(stream.right or stream.view, stream.edit)


@dataclass(frozen=True)
class EditsDone:
    """What edits did while some rows were read."""

    receipts: tuple[Receipt, ...]
    idle: bool
    """Whether they change nothing on purpose."""
    gated: bool
    """Whether they act only where a condition holds."""


@dataclass(frozen=True)
class ArmedReader:
    """Reads the batches of streams with edits, which share their documents."""

    wanted: tuple[Wanted, ...]
    """The streams, each with an edit, and what their jobs need."""
    models: Mapping[str, Model]
    """By view, as they are without these edits."""
    saes: Mapping[str, Sae]
    sae_sites: Mapping[str, Site]
    arms: Mapping[Under, Arm]
    """The edits of each view and edit of the streams."""
    size: int
    """Rows of one call, at most, unless a single arm has more."""
    receipts: dict[Under, list[Receipt]] = field(default_factory=dict)
    """What the edits have done so far."""

    def read(
        self, rows: Sequence[Row], other: Sequence[Row] | None = None
    ) -> Iterator[tuple[Stream, Batch]]:
        """Each stream with its batch of these rows. `other` is the right side's own rendering of
        the same documents, where it has one."""
        plain = {view: self._plain(view, rows) for view in self._compared}
        for (view, own), arms in self._groups.items():
            mine = other if own and other is not None else rows
            together = max(1, self.size // max(1, len(mine)))
            for start in range(0, len(arms), together):
                some = arms[start : start + together]
                for one, found in zip(some, self._forward(view, some, own, mine), strict=True):
                    yield from self._batches(one, own, found, plain, rows, other)

    def taken(self) -> dict[Under, EditsDone]:
        """What the edits did since the last call."""
        done = {
            one: EditsDone(tuple(receipts), self.arms[one].idle, self.arms[one].gated)
            for one, receipts in self.receipts.items()
        }
        self.receipts.clear()
        return done

    @cached_property
    def _groups(self) -> Mapping[tuple[str, bool], Sequence[Under]]:
        """By view, and whether it reads its own rendering: the arms under which it is read."""
        found: dict[tuple[str, bool], list[Under]] = {}
        for one, own in self._streams:
            found.setdefault((one.view, own), []).append(one)
        return found

    @cached_property
    def _streams(self) -> Mapping[tuple[Under, bool], Sequence[Wanted]]:
        """By arm, and whether it reads its view's own rendering: the streams."""
        found: dict[tuple[Under, bool], list[Wanted]] = {}
        for one in self.wanted:
            found.setdefault((under(one.stream), _own(one.stream)), []).append(one)
        return found

    @cached_property
    def _compared(self) -> Sequence[str]:
        """The views that are read as they are, beside a right side under an edit."""
        streams = [one.stream for one in self.wanted]
        return list(dict.fromkeys(one.view for one in streams if one.right is not None))

    def _needs(self, wanted: Sequence[Wanted]) -> tuple[list[Site], bool]:
        sites = {site for one in wanted for site in one.sites}
        return sorted(sites, key=str), any(one.logits for one in wanted)

    def _plain(self, view: str, rows: Sequence[Row]) -> Activations:
        mine = [w for w in self.wanted if w.stream.right is not None and w.stream.view == view]
        sites, logits = self._needs(mine)
        tokens = [row.tokens for row in rows]
        return self.models[view].activations(tokens, sites, logits=logits)

    def _forward(
        self, view: str, arms: Sequence[Under], own: bool, rows: Sequence[Row]
    ) -> Iterator[Activations]:
        """What a view has at some rows under each of some arms, from one call."""
        sites, logits = self._needs([w for one in arms for w in self._streams[one, own]])
        tokens = [replace(row.tokens, arm=arm) for arm in range(len(arms)) for row in rows]
        with self.models[view].edited([self.arms[one] for one in arms]) as receipts:
            found = self.models[view].activations(tokens, sites, logits=logits)
        for one, receipt in zip(arms, receipts, strict=True):
            self.receipts.setdefault(one, []).append(receipt)
        for arm in range(len(arms)):
            yield _part(found, slice(arm * len(rows), (arm + 1) * len(rows)))

    def _batches(
        self,
        one: Under,
        own: bool,
        found: Activations,
        plain: Mapping[str, Activations],
        rows: Sequence[Row],
        other: Sequence[Row] | None,
    ) -> Iterator[tuple[Stream, Batch]]:
        """The batches of all streams under one arm."""
        edited = str(one)
        known = {view: _read_already(self.models[view], acts) for view, acts in plain.items()}
        known[edited] = _read_already(self.models[one.view], found)
        stands = {_as_read(w.stream, edited): w for w in self._streams[one, own]}
        reader = Reader(
            tuple(replace(w, stream=stream) for stream, w in stands.items()),
            known,
            self.saes,
            self.sae_sites,
        )
        for stream, batch in reader.read(rows, other).items():
            yield stands[stream].stream, batch


class _ReadAlready:
    """A model that has read the rows at hand; in everything else the model itself."""

    def __init__(self, model: Model, found: Activations) -> None:
        self._model = model
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """What it has read."""
        return self._found


def _read_already(model: Model, found: Activations) -> Model:
    return cast(Model, _ReadAlready(model, found))


def _own(stream: Stream) -> bool:
    """Whether the edited view reads its own rendering of the documents."""
    return stream.right is not None and stream.align == "span"


def _as_read(stream: Stream, edited: str) -> Stream:
    """The stream with the name `edited` in the place of the view that is edited."""
    if stream.right is None:
        return replace(stream, edit=None, view=edited)
    return replace(stream, edit=None, right=edited)


def _part(found: Activations, rows: slice) -> Activations:
    """Some rows of what was read."""
    return Activations(
        {site: values[rows] for site, values in found.sites.items()},
        found.start[rows],
        None if found.logits is None else found.logits[rows],
    )
