"""Rows of data, and files that hold them."""

from __future__ import annotations

import io
import json
from typing import Any

from harness.contract import Example

ROWS = [{"text": f"row {n}", "label": n % 2, "other": "x"} for n in range(10)]
JSONL = "\n".join(map(json.dumps, ROWS)) + "\n"


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


def texts(examples: list[Example]) -> list[str]:
    return [example.text for example in examples]
