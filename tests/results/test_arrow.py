"""Tables are those that pyarrow makes of the rows itself, without what it imports for that."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings, strategies as st

from harness.results.arrow import table_of
from harness.results.write import strict_json

TEXTS = st.text(max_size=8) | st.sampled_from(["2020-01-01", "1", "null", "\x00", "é\u2028", ""])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9)
PLAIN = (TEXTS, FLOATS, INTS, st.booleans(), st.none(), FLOATS | st.integers(-(2**53), 2**53))


def columns(inner: st.SearchStrategy[Any]) -> list[st.SearchStrategy[Any]]:
    """What a column may hold: such values, lists of them, and tables of them, or nothing."""
    table = st.fixed_dictionaries({"a": inner}, optional={"b \n": inner})
    return [one | st.none() for one in (inner, st.lists(inner, max_size=3), table)]


COLUMNS = [one for plain in PLAIN for one in columns(plain)]
NAMES = st.sampled_from(["x", "k", "\u2028é", "a.b", " ", '"'])


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    kinds = draw(st.dictionaries(NAMES, st.sampled_from(COLUMNS), min_size=1, max_size=4))
    optional = draw(st.sets(st.sampled_from([*kinds]), max_size=2))
    always = {name: its for name, its in kinds.items() if name not in optional}
    rest = {name: its for name, its in kinds.items() if name in optional}
    return draw(st.lists(st.fixed_dictionaries(always, optional=rest), max_size=6))


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(rows=tables())
def test_a_table_is_that_of_from_pylist(rows: list[dict[str, Any]]) -> None:
    rows = strict_json(rows)
    expected = pyarrow.Table.from_pylist(rows)
    found = table_of(rows)
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.equals(expected)
    assert repr(found.to_pylist()) == repr(expected.to_pylist())  # -0.0 is 0.0 to `equals`


@pytest.mark.parametrize(
    "values",
    [[2**63], [-(2**70), 1], [1, True], ["a", 1], [[1], ["a"]], [{"a": 1}, [1]], [2**60, 0.5]],
)
def test_what_has_no_plain_type_is_left_to_pyarrow(values: list[Any]) -> None:
    rows = [{"x": one} for one in values]
    try:
        expected = pyarrow.Table.from_pylist(rows)
    except (pyarrow.ArrowException, OverflowError) as error:
        with pytest.raises(type(error)):
            table_of(rows)
    else:
        assert table_of(rows).equals(expected)


def test_long_rows_and_many_are_one_piece() -> None:
    rows = [{"n": n, "text": "x" * 10**5} for n in range(40)]  # blocks are a megabyte by default
    found = table_of(rows)
    assert found.equals(pyarrow.Table.from_pylist(rows))
    assert found["text"].num_chunks == 1


@pytest.mark.slow
def test_pandas_is_not_imported() -> None:
    code = """
import sys
from harness.results.arrow import table_of
import pyarrow.parquet
table = table_of([{"a": 1, "b": [0.5, None], "c": {"d": "x"}, "e": None, "f": True}])
pyarrow.parquet.write_table(table, pyarrow.BufferOutputStream())
assert table.num_rows == 1
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
