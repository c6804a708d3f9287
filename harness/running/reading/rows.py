"""The rows that a model reads, and which of their tokens are measured.

A row is one prompt, or several documents one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Activations, Stream, Tokens
from harness.errors import ModelError


@dataclass(frozen=True)
class Part:
    """A document in a row; its first token is token `begin` of the row."""

    tokens: Tokens
    begin: int = 0


@dataclass(frozen=True)
class Row:
    """A row of a batch: the tokens that the model reads, and the documents that they are."""

    tokens: Tokens
    parts: tuple[Part, ...]


def one_row(tokens: Tokens) -> Row:
    """The row of a document that is read by itself."""
    return Row(tokens, (Part(tokens),))


def parts(rows: Sequence[Row]) -> Iterator[tuple[int, Part]]:
    """Every document of some rows, with the number of its row."""
    return ((number, part) for number, row in enumerate(rows) for part in row.parts)


def packed(documents: Iterable[Tokens], length: int) -> list[Row]:
    """Documents in rows of at most `length` tokens, in order.

    A document is never cut: one that does not fit begins a new row, and one that is longer than
    `length` has a row of its own.
    """
    rows: list[list[Part]] = []
    filled = 0
    for document in documents:
        if not rows or filled + len(document.ids) > length:
            rows.append([])
            filled = 0
        rows[-1].append(Part(document, filled))
        filled += len(document.ids)
    return [_row(parts) for parts in rows]


def _row(parts: Sequence[Part]) -> Row:
    ids = tuple(token for part in parts for token in part.tokens.ids)
    first = parts[0].tokens
    return Row(Tokens(first.example, ids, (0, len(ids)), first.text), tuple(parts))


@dataclass(frozen=True)
class Measured:
    """The tokens of some rows that a stream measures; every field has one number a token."""

    row: Int[Tensor, " tokens"]
    """For each token, its row of the batch."""
    offset: Int[Tensor, " tokens"]
    """For each token, its place in its row, padding not counted."""
    document: Int[Tensor, " tokens"]
    """For each token, the index of its document."""
    position: Int[Tensor, " tokens"]
    """For each token, its place in its document."""
    ids: Int[Tensor, " tokens"]

    def take(self, activations: Activations, values: Tensor) -> Float[Tensor, "tokens d"]:
        """What belongs to these tokens in `values` [batch, pos, d], padded as `activations` are."""
        start = torch.tensor(activations.start, dtype=torch.long)
        column = start[self.row] + self.offset
        return values[self.row.to(values.device), column.to(values.device)]

    def keep(self, which: Tensor) -> Measured:
        """The tokens that `which` picks, as a mask or as indices."""
        fields = (self.row, self.offset, self.document, self.position, self.ids)
        return Measured(*(field[which] for field in fields))


def measured(rows: Sequence[Row], stream: Stream, masked: frozenset[int]) -> Measured:
    """The tokens of some rows that a stream measures; `masked` are ids that none may have.

    `last`: the last token of each document, whatever it is; `closing`: all that stand behind what
    is asked, whatever they are. `all`: every token of the span that is no BOS, EOS, padding or end
    of a turn and not at position 0, nor among the first `skip_first`: models without a BOS keep a
    sink of massive norm at the beginning, and one such token would dominate any ratio of sums.
    `answer`: those of them that stand in the answer. `predicting`: each token whose next one is
    of the answer and no BOS, EOS, padding or end of a turn.

    Raises ModelError where the backend has not told where these stand.
    """
    found: list[tuple[int, int, int, int, int]] = []
    for document, (number, part) in enumerate(parts(rows)):
        ids = part.tokens.ids
        kept = _KEPT[stream.tokens](part.tokens, stream.where.skip_first, masked)
        found += [(number, part.begin + i, document, i, ids[i]) for i in kept]
    columns = torch.tensor(found, dtype=torch.long).reshape(-1, 5).T
    return Measured(*columns)


def _all(tokens: Tokens, skip: int, masked: frozenset[int]) -> Sequence[int]:
    start, end = tokens.span
    return [i for i in range(max(start, 1, skip), end) if tokens.ids[i] not in masked]


def _last(tokens: Tokens, skip: int, masked: frozenset[int]) -> Sequence[int]:
    return range(len(tokens.ids))[-1:]


def _closing(tokens: Tokens, skip: int, masked: frozenset[int]) -> Sequence[int]:
    _, start = _told(tokens, tokens.asked)
    return range(start, tokens.answered[0] if tokens.answered else tokens.span[1])


def _answer(tokens: Tokens, skip: int, masked: frozenset[int]) -> Sequence[int]:
    start, end = _told(tokens, tokens.answered)
    return [i for i in _all(tokens, skip, masked) if start <= i < end]


def _predicting(tokens: Tokens, skip: int, masked: frozenset[int]) -> Sequence[int]:
    start, end = _told(tokens, tokens.answered)
    return [i for i in range(max(start - 1, skip), end - 1) if tokens.ids[i + 1] not in masked]


_KEPT = {
    "all": _all,
    "last": _last,
    "closing": _closing,
    "answer": _answer,
    "predicting": _predicting,
}
"""By what a stream measures: the places of these tokens in a document."""


def _told(tokens: Tokens, place: tuple[int, int] | None) -> tuple[int, int]:
    if place is None:
        raise ModelError(
            f"Document {tokens.example}: its model's backend does not tell where in a prompt stands"
            ' what is asked and what is answered. Allowed: tokens = "all" or "last", or the backend'
            " transformers."
        )
    return place


def check_aligned(left: Sequence[Row], right: Sequence[Row], where: str) -> None:
    """Raises ModelError where two renderings do not have the same query, or not the same tokens of
    it in their spans.

    The error names the document and the first token that differs; `where` begins it.
    """
    for (_, a), (_, b) in zip(parts(left), parts(right), strict=True):
        named = f"Document {a.tokens.example}"
        begin = f"{where}: the two sides do not render the same query. {named}: "
        said, asked = a.tokens.query, b.tokens.query
        if said is not None and asked is not None and said != asked:
            at = first_difference(said, asked)
            raise ModelError(
                f"{begin}{_around(said, at)} on the left, {_around(asked, at)} on the right. Write"
                " both prompts alike after the context."
            )
        mine = a.tokens.ids[slice(*a.tokens.span)]
        theirs = b.tokens.ids[slice(*b.tokens.span)]
        if mine != theirs:
            at = first_difference(mine, theirs)
            raise ModelError(
                f"{begin}{len(mine)} tokens on the left, {len(theirs)} on the right, the first"
                f" difference at token {at} of the span. Write both prompts alike after the"
                " context."
            )


def _around(text: str, at: int) -> str:
    """A text around a character of it, short enough for a message."""
    shown = text[max(0, at - 20) : at + 20]
    return repr(f"{'…' * (at > 20)}{shown}{'…' * (at + 20 < len(text))}")


def first_difference(left: Sequence[object], right: Sequence[object]) -> int:
    """The first place where two sequences differ; the length of the shorter if it is a part."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(left), len(right)))


def aligned(left: Sequence[Row], right: Sequence[Row], tokens: Measured) -> Measured:
    """Tokens measured in the left side's rows, as places in the right side's rows."""
    shift = [
        b.tokens.span[0] - a.tokens.span[0] + b.begin - a.begin
        for (_, a), (_, b) in zip(parts(left), parts(right), strict=True)
    ]
    moved = torch.tensor(shift, dtype=torch.long)[tokens.document]
    return replace(tokens, offset=tokens.offset + moved)
