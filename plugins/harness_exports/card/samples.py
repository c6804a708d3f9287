"""What the laws of `card` are tried on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from harness.testing import check_export, small_run
from harness_exports.card.export import DriftCard
from harness_exports.card.options import DriftCardOptions

Cases = Iterator[partial[None]]
_HEAD = re.compile(r"^# Drift card: .+$", re.MULTILINE)


def card(folder: Path) -> Cases:
    """In full, and as a part of a README."""
    run = small_run(folder / "run")
    for whole in (True, False):
        export = DriftCard(DriftCardOptions(task=whole, front_matter=whole))
        yield partial(check_export, export, run, read=read_card)


def read_card(files: Mapping[str, bytes]) -> None:
    """Reads a card: one heading of its own, and tables whose rows are alike. ValueError else."""
    for path, content in files.items():
        text = content.decode("utf-8")
        if len(_HEAD.findall(text)) != 1:
            raise ValueError(f"{path}: has not one heading")
        plain = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        for table in re.findall(r"(?:^\|.*\n)+", plain, re.MULTILINE):
            rows = table.strip().split("\n")
            widths = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows}
            if len(widths) != 1:
                raise ValueError(f"{path}: a table has rows of {sorted(widths)} bars")
