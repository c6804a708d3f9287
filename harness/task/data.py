"""Loads the rows that a task works on, and gives each an identity."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from harness.contract import Example
from harness.errors import DataError, MachineError, listed, suggestion
from harness.store.files import whole
from harness.store.known_files import sha256_of
from harness.store.notes import CHANGED, dropped
from harness.task.rows import ending, rows_of
from harness.task.turns import clean, text_of, turns_of

if TYPE_CHECKING:
    from harness.task.data_spec import DataSpec
    from harness.task.rows import Row

BUFFER = 10_000
"""Rows among which the next one of a shuffled stream is drawn."""


Unread = Callable[[str, str], object]
"""Told of a row that is left out because it cannot be read: its place, and why."""


def load_data(
    name: str, spec: DataSpec, cache: Path, unread: Unread = lambda row, why: None
) -> list[Example]:
    """Reads all examples of `[data.NAME]`, in a fixed order; raises what `read_data` raises."""
    return list(read_data(name, spec, cache, unread))


def read_data(
    name: str, spec: DataSpec, cache: Path, unread: Unread = lambda row, why: None
) -> Iterator[Example]:
    """Reads the examples of `[data.NAME]` one at a time, in a fixed order.

    Where the task leaves bad rows out, those whose turns or columns are no such are told to
    `unread`; they count among the rows that are wanted. All rows are held in memory only where a
    seed shuffles a set that is not streamed. Downloads are kept in `cache`. Raises DataError for
    missing, empty or unreadable files, rows or columns that are not there, a download that does not
    hash to `sha256`, and, after the last row, for fewer rows than the task wants; MachineError
    where a download fails.
    """
    rows = _matching(name, enumerate(_rows(name, spec, cache), 1), spec)
    if spec.shuffle is not None and not spec.stream:
        drawn = list(rows)
        random.Random(spec.shuffle).shuffle(drawn)
        rows = iter(drawn)
    last = None if spec.most is None else spec.skip + spec.most
    count, first = 0, ""
    kept = False
    for number, row in islice(rows, spec.skip, last):
        count += 1
        try:
            example = _read(name, spec, row, number)
        except DataError as error:
            if spec.on_bad_rows != "skip":
                raise
            first = first or str(error)
            unread(f"row {number}", str(error))
            continue
        kept = True
        yield example
    if count and not kept:
        raise DataError(
            f"data.{name}: nothing is left of it: no row can be read. The first: {first}"
        )
    if not count:
        raise DataError(
            f"data.{name}: {_place(spec)} gives no rows. Check {_filters(spec)} and the file."
        )
    if spec.limit and spec.most and count < spec.most:
        raise DataError(
            f"data.{name}: {_place(spec)} has {count} rows, the task wants {spec.limit}. "
            "Lower the limit."
        )


def _read(name: str, spec: DataSpec, row: Row, number: int) -> Example:
    try:
        return _example(name, spec, row, number)
    except RecursionError:
        raise DataError(
            f"data.{name}: row {number} of {_place(spec)} is nested too deeply. Allowed: text, "
            "numbers, and lists of them. Mend the row, or leave it out."
        ) from None


def _filters(spec: DataSpec) -> str:
    """The keys that leave rows out, as a sentence names them."""
    used = [f"`{key}`" for key in ("where", "at_least", "below") if getattr(spec, key)]
    return ", ".join(used) or "`where`"


def _suffix(spec: DataSpec) -> str:
    """The ending of the file's name, without the query that follows it in an address."""
    from urllib.parse import urlsplit

    return ending(Path(spec.file or urlsplit(spec.url or "").path).name)


def _place(spec: DataSpec) -> str:
    return spec.file or spec.url or f"{spec.hub} ({spec.split})"


def _example(name: str, spec: DataSpec, row: Row, number: int) -> Example:
    where = f"data.{name}: row {number} of {_place(spec)}"
    if spec.column not in row:
        raise _no_column(where, row, spec.column)
    if spec.by is not None and spec.by not in row:
        raise _no_column(where, row, spec.by, ", which `by` names")
    value = row[spec.column]
    identity = _IDENTITY.encode([spec.column, value, row])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    place = f"row {number} of {_name_of(spec.file) if spec.file else _place(spec)}"
    fields, value = clean(dict(row)), clean(value)
    if spec.by is not None:
        word(fields[spec.by], f"{where}: column {spec.by!r}, which `by` names,")
    if isinstance(value, str):
        return Example(digest, value, fields, place=place)
    if turns := turns_of(value, where):
        return Example(digest, text_of(turns), fields, turns, place)
    raise DataError(
        f"{where}: column {spec.column!r} holds {type(value).__name__}. "
        "Allowed: text, or a list of turns with role and content."
    )


def word(value: object, where: str) -> str:
    """A value by which rows are sorted, as text; DataError where it is none, or a list."""
    if isinstance(value, (str, int, float)):
        return str(value)
    holds = "is empty" if value is None else f"holds a {type(value).__name__}"
    raise DataError(f"{where} {holds}. Allowed: text or a number in every row. Mend the row.")


def _identity(value: object) -> str:
    """What JSON cannot say, for an id. The text of an object may hold its address in memory."""
    text = str(value)
    return type(value).__qualname__ if f"{id(value):x}" in text.lower() else text


_IDENTITY = json.JSONEncoder(sort_keys=True, default=_identity)
"""Writes what a row is, for its id; made once, and not for each of many rows."""


@cache
def _name_of(file: str) -> str:
    return Path(file).name


def _no_column(where: str, row: Row, column: str, why: str = "") -> DataError:
    names = [*map(str, row)]
    has = f"It has: {listed(names)}.{suggestion(column, names)}"
    return DataError(f"{where} has no column {column!r}{why}. {has}")


def _matching(
    name: str, rows: Iterable[tuple[int, Row]], spec: DataSpec
) -> Iterator[tuple[int, Row]]:
    """The rows that the task wants, each with its number among all rows."""
    for number, row in rows:
        for key in ("where", "at_least", "below"):
            if missing := [column for column in getattr(spec, key) if column not in row]:
                raise _no_column(f"data.{name}.{key}: {_place(spec)}", row, missing[0])
        if (
            all(row[column] == value for column, value in spec.where.items())
            and all(_number(row[column]) >= least for column, least in spec.at_least.items())
            and all(_number(row[column]) < limit for column, limit in spec.below.items())
        ):
            yield number, row


def _number(value: object) -> float:
    """A number, also one that a file of text holds, as those of csv do; else NaN, which is neither
    above nor below anything."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _rows(name: str, spec: DataSpec, cache: Path) -> Iterator[Row]:
    if spec.hub is not None:
        return _hub(name, spec)
    file = Path(spec.file) if spec.file else _download(name, spec, cache)
    return rows_of(file, _suffix(spec), f"data.{name}")


def _hub(name: str, spec: DataSpec) -> Iterator[Row]:
    import datasets

    from harness.web import hub_error, patiently

    # The first rows of a large set need not bring the whole of it.
    streaming = spec.stream or (spec.shuffle is None and spec.most is not None)
    try:
        table = patiently(
            lambda: datasets.load_dataset(
                spec.hub, spec.config, split=spec.split, revision=spec.revision, streaming=streaming
            ),
            spec.hub or "",
        )
        if spec.stream and spec.shuffle is not None:
            table = table.shuffle(seed=spec.shuffle, buffer_size=BUFFER)
        for row in table:
            yield dict(row)
    except Exception as error:  # the library raises a dozen kinds for what is one thing to a person
        where = f"data.{name}: {spec.hub} ({spec.split}) cannot be loaded from the hub"
        if known := hub_error(error, where, spec.hub or "", DataError, dataset=True):
            raise known from error
        # A dataset that does not exist is a missing file to the library.
        ours = isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
        kind = MachineError if ours else DataError
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise kind(f"{where}: {first}. Check the id, or give a local file.") from error


def _download(name: str, spec: DataSpec, cache: Path) -> Path:
    """The file of an address, kept in `cache`; what is there counts only where it still fits."""
    from harness.web import Refused, Unreachable, Web

    assert spec.url is not None
    target = cache / f"{spec.sha256}{_suffix(spec)}"
    if target.exists():
        if sha256_of(target) == spec.sha256:
            return target
        dropped(target, 1, "download", CHANGED)
    where = f"data.{name}: {spec.url}"
    with whole(target) as partial:
        try:
            found = Web(timeout=60, retries=5).download(spec.url, partial)
        except Refused as error:
            raise DataError(
                f"{where} is not to be had: {str(error)[:200]}. Check the address."
            ) from error
        except Unreachable as error:
            raise MachineError(
                f"{where} cannot be fetched: it {error}, in {error.tries} tries. A rerun tries "
                "again."
            ) from error
        if found != spec.sha256:
            raise DataError(
                f"{where} hashes to {found}, the task says {spec.sha256}. "
                "The file has changed: check it before you trust it."
            )
    return target
