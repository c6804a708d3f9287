"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.contract import Findings, SaeFacts
from harness.testing import check_labels
from harness_labels.label_file import File
from harness_labels.options import FileOptions

ROWS = (
    "feature,description,cluster,url\n"
    "3,farms and what lives on them,animals,https://example.org/3\n"
    '5,"a comma, and ""quotes""",,\n'
    "7,,punctuation,\n"
)


def file(folder: Path) -> Iterator[partial[None]]:
    """A table with text, a cluster, or both; feature 9 is not in it."""
    table = folder / "labels.csv"
    table.write_text(ROWS, encoding="utf-8")
    source = File(FileOptions(path=str(table)))
    found = Findings(tables={"shift.features": [{"sae": "mid", "feature": 3}]})
    yield partial(check_labels, source, SaeFacts(d_sae=16), (3, 9, 7, 5), found, sae="mid")
