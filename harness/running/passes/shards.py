"""The documents of a rendering: rendered, in shards of so many tokens, in batches of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.contract import Example, Model, Tokens
from harness.errors import ModelError
from harness.planning import batches as cut
from harness.planning.batches import BLOCK as BLOCK
from harness.planning.queries import same_query
from harness.planning.steps import Rendering
from harness.running.reading.rows import Row, first_difference, one_row, packed
from harness.running.sameness import Sameness
from harness.running.session import Session
from harness.task.data import word

EVERYTHING = ""
"""The category of data without categories."""


@dataclass(frozen=True)
class Document:
    """One row of the data: the left side's prompt, and the right side's where it has its own."""

    left: Tokens
    right: Tokens | None
    category: str


@dataclass(frozen=True)
class Told:
    """Which documents came before, by a hash of their category and of what they hold.

    It grows with every document, by about 150 bytes; so what few have is kept apart.
    """

    first: dict[bytes, str]
    """The id of the first that held this."""
    copies: dict[bytes, int]
    """How many came after it, where there were any."""


Shard = Sequence[Document]
"""Documents in the order of the data, after which the states of a pass are saved."""


@dataclass(frozen=True)
class RowBatch:
    """Rows of one category that the models read together."""

    left: Sequence[Row]
    right: Sequence[Row] | None
    category: str


def shards(documents: Iterable[Document], most: int) -> Iterator[Shard]:
    """Documents in order, in shards that end with the document that reaches so many tokens."""
    return cut.shards(documents, _length, most)


def _length(document: Document) -> int:
    return len(document.left.ids)


def documents(
    session: Session, which: Rendering, others: Sequence[str], limit: int | None
) -> Iterator[Document]:
    """The documents of a rendering, up to the one in which the budget of tokens is spent.

    `others` are the views that read the token ids of `which.view`. Raises ModelError where the
    tokenizer of one of them gives other ids, and InvalidRun at the end where different rows have
    all become one prompt.
    """
    seen = {view: Sameness(view, which.data) for view in which.views}
    yield from _documents(session, which, others, limit, seen)
    for one in seen.values():
        one.check()


def _documents(
    session: Session,
    which: Rendering,
    others: Sequence[str],
    limit: int | None,
    seen: Mapping[str, Sameness],
) -> Iterator[Document]:
    by, budget = session.task.spec.data[which.data].by, which.budget
    told = Told({}, {})
    tokens = 0
    spans = which.right is not None
    chunks = session.prompts.chunks(
        which.views, which.data, limit, query=spans, places=which.places
    )
    for number, written in enumerate(chunks):
        prompts = written.sides[0]
        own: Sequence[Tokens | None] = [None] * len(prompts)
        if which.right is not None:
            own = written.sides[1]
        if number == 0:
            _check_tokenizers(session, which.view, others, written.rows, prompts)
        for example, left, right in zip(written.rows, prompts, own, strict=True):
            tokens += len(left.ids)
            seen[which.view].see(example, left)
            if which.right and right is not None:
                seen[which.right].see(example, right)
            category = EVERYTHING if by is None else word(example.fields[by], example.name)
            if right is None:
                document = Document(left, None, category)
            else:
                document = Document(*same_query(left, right), category)
            yield _counted(document, told)
            if budget is not None and tokens >= budget:
                return


def _counted(document: Document, told: Told) -> Document:
    """A document with the number of those before it in its category that have the same ids.

    A copy takes the id of the first, so that every draw of a bootstrap weighs them alike. `told`
    is kept up here.
    """
    both = [(side.ids, side.span) for side in (document.left, document.right) if side is not None]
    what = hashlib.blake2b(repr((document.category, both)).encode(), digest_size=16).digest()
    if what not in told.first:
        told.first[what] = document.left.example
        return document
    first, copies = told.first[what], told.copies.get(what, 0) + 1
    told.copies[what] = copies
    left = replace(document.left, example=first, copies=copies)
    right = document.right and replace(document.right, example=first, copies=copies)
    return replace(document, left=left, right=right)


def batches(shard: Shard, pack: int | None, size: int) -> Iterator[RowBatch]:
    """Batches of at most `size` rows, each of one category.

    Without `pack`, a row is a document, and documents of like length stand together: that is less
    padding, and no number depends on it. With it, a row has several documents of the left side,
    `pack` tokens at most.
    """
    for category, mine in cut.by_category(shard, lambda document: document.category):
        if pack is not None:
            for rows in cut.parts(packed([document.left for document in mine], pack), size):
                yield RowBatch(rows, None, category)
            continue
        for some in cut.alike(mine, _length, size):
            right = [one_row(document.right) for document in some if document.right is not None]
            yield RowBatch([one_row(document.left) for document in some], right or None, category)


def _check_tokenizers(
    session: Session,
    view: str,
    others: Sequence[str],
    examples: Sequence[Example],
    prompts: Sequence[Tokens],
) -> None:
    """Raises ModelError where a token id does not mean the same to another view's model.

    The text of each row is compared, and its whole prompt, in which a template may write special
    tokens that the other tokenizer does not have.
    """
    left = session.view_model(view)
    for other in others:
        right = session.view_model(other)
        if right is left:
            continue
        for example, prompt in zip(examples, prompts, strict=True):
            for what, text in (("text", example.text), ("prompt", prompt.text)):
                mine = left.encode(text, special=False)
                theirs = right.encode(text, special=False)
                if mine == theirs:
                    continue
                at = first_difference(mine, theirs)
                there, here = _token(right, theirs, at), _token(left, mine, at)
                raise ModelError(
                    f"views.{other}: its tokenizer is not that of views.{view}. Document "
                    f"{example.id}, token {at} of its {what}: {there} there, {here} here. Both "
                    "sides of a pair read the same ids. Choose models that share a tokenizer, or "
                    "set same_tokenizer = false in the pair if the ids mean the same all the same."
                )


def _token(model: Model, ids: Sequence[int], at: int) -> str:
    """A token by its number, and by its text where it has one: special ones decode to none."""
    if at >= len(ids):
        return "none"
    text = model.decode(ids[at : at + 1])
    return f"{ids[at]} ({text!r})" if text else f"{ids[at]} (a special token)"
