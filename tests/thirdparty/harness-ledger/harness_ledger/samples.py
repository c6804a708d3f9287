"""What the laws are tried on, by `harness plugins check` and by the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from harness.testing import check_export, small_run
from harness_ledger.ledger import Ledger
from harness_ledger.options import LedgerOptions


def samples(folder: Path) -> Iterator[partial[None]]:
    """With scores that are undefined, and without."""
    run = small_run(folder / "run")
    for undefined in (True, False):
        yield partial(check_export, Ledger(LedgerOptions(undefined=undefined)), run, read=read)


def read(files: Mapping[str, bytes]) -> dict[str, list[dict[str, object]]]:
    """By experiment, its lines; raises where a file is not as it should be."""
    of = json.loads(files["ledger.json"])["of"]
    return {
        name: [
            json.loads(line) for line in files[f"experiments/{file}"].decode("ascii").splitlines()
        ]
        for name, file in of.items()
    }
