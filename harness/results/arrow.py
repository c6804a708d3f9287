"""Rows of plain JSON as a table of Arrow, for which pandas is not imported.

Whatever pyarrow makes of Python's objects, it imports pandas first: a third of a second, in every
run. Its reader of JSON does not, so that rows go through it, under the types that
`Table.from_pylist` would have found. Rows of which these types are no plain ones go that way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

_INT64 = 2**63
_EXACT = 2**53
"""Integers up to here are floating point numbers, too."""
_BLOCK = 2**31
"""Bytes that the reader takes at once: less than this."""


def table_of(rows: Sequence[Mapping[str, Any]]) -> pyarrow.Table:
    """What `Table.from_pylist` makes of rows without NaN and infinity: the columns are those of the
    first row."""
    import pyarrow
    from pyarrow import json as reader

    names = list(rows[0]) if rows else []
    types = [_column_type([row.get(name) for row in rows]) for name in names]
    known = [one for one in types if one is not None]
    if not names or len(known) < len(names):
        return pyarrow.Table.from_pylist(list(rows))
    text = "\n".join(map(json.dumps, rows)).encode("ascii")
    if len(text) >= _BLOCK:
        return pyarrow.Table.from_pylist(list(rows))
    return reader.read_json(
        pyarrow.BufferReader(text),
        reader.ReadOptions(use_threads=False, block_size=len(text)),
        reader.ParseOptions(
            explicit_schema=pyarrow.schema(zip(names, known, strict=True)),
            unexpected_field_behavior="ignore",
        ),
    )


def _column_type(values: Sequence[Any]) -> pyarrow.DataType | None:
    """The type of a column; None where it is no plain one."""
    import pyarrow

    return pyarrow.null() if all(one is None for one in values) else _type_of(values)


def _type_of(values: Iterable[Any]) -> pyarrow.DataType | None:
    """The type of values, of which there are some; None where it is no plain one. Lists and tables
    of nothing are not: the reader miscounts what is in them."""
    import pyarrow

    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        return pyarrow.bool_()
    if kinds == {str}:
        return pyarrow.string()
    if kinds == {int}:
        fit = min(present) >= -_INT64 and max(present) < _INT64
        return pyarrow.int64() if fit else None
    if kinds and kinds <= {int, float}:
        whole = [value for value in present if type(value) is int]
        return pyarrow.float64() if all(abs(one) <= _EXACT for one in whole) else None
    if kinds == {list}:
        inner = _type_of(chain.from_iterable(present))
        return None if inner is None else pyarrow.list_(inner)
    if kinds == {dict}:
        fields = {
            name: _type_of([value.get(name) for value in present])
            for name in dict.fromkeys(chain.from_iterable(present))
        }
        known = [(name, one) for name, one in fields.items() if one is not None]
        return pyarrow.struct(known) if known and len(known) == len(fields) else None
    return None
