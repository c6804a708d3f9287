"""What a model reads at once: a prompt, or several documents one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Activations, Site, Stream, Tokens
from harness.errors import ModelError


@dataclass(frozen=True)
class Part:
    """A document in a row, which begins at token `begin` of it."""

    tokens: Tokens
    begin: int = 0


@dataclass(frozen=True)
class Row:
    """A row of a batch: `tokens` is what the model reads, `parts` are the documents in it."""

    tokens: Tokens
    parts: tuple[Part, ...]


def alone(tokens: Tokens) -> Row:
    """A document in a row of its own."""
    return Row(tokens, (Part(tokens),))


def packed(documents: Iterable[Tokens], length: int) -> list[Row]:
    """Documents in rows of at most `length` tokens, in order.

    A document is never cut: one that does not fit begins a new row, and one that is longer than
    `length` has a row of its own.
    """
    rows: list[Row] = []
    parts: list[Part] = []
    filled = 0

    def close() -> None:
        nonlocal parts, filled
        if parts:
            ids = tuple(token for part in parts for token in part.tokens.ids)
            first = parts[0].tokens
            rows.append(Row(Tokens(first.example, ids, (0, len(ids)), first.text), tuple(parts)))
        parts, filled = [], 0

    for document in documents:
        if filled + len(document.ids) > length:
            close()
        parts.append(Part(document, filled))
        filled += len(document.ids)
    close()
    return rows


@dataclass(frozen=True)
class Measured:
    """The tokens of some rows that a stream measures."""

    row: Int[Tensor, " tokens"]
    """For each token, its row of the batch."""
    offset: Int[Tensor, " tokens"]
    """For each token, its place in its row, padding not counted."""
    document: Int[Tensor, " tokens"]
    """For each token, the index of its document."""
    position: Int[Tensor, " tokens"]
    """For each token, its place in its document."""
    ids: Int[Tensor, " tokens"]

    def of(self, activations: Activations, site: Site) -> Float[Tensor, "tokens d_site"]:
        """What stands at a site for these tokens, wherever the padding is."""
        return self.at(activations, activations.sites[site])

    def at(self, activations: Activations, values: Tensor) -> Float[Tensor, "tokens d"]:
        """The rows of a padded [batch, pos, d] that belong to these tokens."""
        start = torch.tensor(activations.start, dtype=torch.long)
        column = start[self.row] + self.offset
        return values[self.row.to(values.device), column.to(values.device)]

    def keep(self, which: Tensor) -> Measured:
        """Some of the tokens, in the same order."""
        fields = (self.row, self.offset, self.document, self.position, self.ids)
        return Measured(*(field[which] for field in fields))


def measured(rows: Sequence[Row], stream: Stream, masked: frozenset[int]) -> Measured:
    """The tokens that count, by the policy of a stream.

    `last`: the last token of each document, whatever it is. `all`: every token of the span that
    is no BOS, EOS or padding and not at position 0, nor among the first `skip_first`: models
    without a BOS keep a sink of massive norm at the beginning, and one such token would dominate
    any ratio of sums.
    """
    found: list[tuple[int, int, int, int, int]] = []
    document = 0
    for number, row in enumerate(rows):
        for part in row.parts:
            ids = part.tokens.ids
            if stream.tokens == "last":
                kept = [len(ids) - 1] if ids else []
            else:
                start, end = part.tokens.span
                first = max(start, 1, stream.where.skip_first)
                kept = [i for i in range(first, end) if ids[i] not in masked]
            found += [(number, part.begin + i, document, i, ids[i]) for i in kept]
            document += 1
    columns = torch.tensor(found, dtype=torch.long).reshape(-1, 5).T
    return Measured(*columns)


def same_query(left: Tokens, right: Tokens) -> tuple[Tokens, Tokens]:
    """Two prompts of one query, with spans that are matched from their ends.

    A prompt without a context is all span: it loses what stands before the query, such as a BOS.
    The first token of a prompt is in neither span: it is a sink, whatever it is.
    """
    length = min(one.span[1] - one.span[0] for one in (left, right))
    begins = [one.span[0] or one.span[1] - length for one in (left, right)]
    first = max(0, *(1 - begin for begin in begins))
    sides = zip((left, right), begins, strict=True)
    one, other = (replace(s, span=(begin + first, s.span[1])) for s, begin in sides)
    return one, other


def check_aligned(left: Sequence[Row], right: Sequence[Row], where: str) -> None:
    """Refuses two renderings whose measured spans are not the same tokens.

    ModelError names the document and the first token that differs.
    """
    for one, other in zip(left, right, strict=True):
        for a, b in zip(one.parts, other.parts, strict=True):
            mine = a.tokens.ids[slice(*a.tokens.span)]
            theirs = b.tokens.ids[slice(*b.tokens.span)]
            if mine != theirs:
                at = next(
                    (i for i, (x, y) in enumerate(zip(mine, theirs, strict=False)) if x != y),
                    min(len(mine), len(theirs)),
                )
                raise ModelError(
                    f"{where}: the two sides do not render the same query. Document "
                    f"{a.tokens.example}: {len(mine)} tokens on the left, {len(theirs)} on the "
                    f"right, the first difference at token {at} of the span. Write both prompts "
                    "alike after the context."
                )


def aligned(left: Sequence[Row], right: Sequence[Row], policy: Measured) -> Measured:
    """The places, in the right side's rows, of tokens measured in the left side's rows."""
    shift = [
        b.tokens.span[0] - a.tokens.span[0] + b.begin - a.begin
        for one, other in zip(left, right, strict=True)
        for a, b in zip(one.parts, other.parts, strict=True)
    ]
    moved = torch.tensor(shift, dtype=torch.long)[policy.document]
    return Measured(policy.row, policy.offset + moved, policy.document, policy.position, policy.ids)
