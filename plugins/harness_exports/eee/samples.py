"""What the laws of `eee` are tried on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from harness.testing import check_export, small_run
from harness_exports.eee.export import EveryEvalEver
from harness_exports.eee.options import EveryEvalEverOptions

Cases = Iterator[partial[None]]


def eee(folder: Path) -> Cases:
    """With scores under an intervention, and, as by default, without."""
    run = small_run(folder / "run")
    for edited in (True, False):
        export = EveryEvalEver(EveryEvalEverOptions(edited=edited))
        yield partial(check_export, export, run, read=read_records)


def read_records(files: Mapping[str, bytes]) -> None:
    """Reads aggregates with their samples. ValueError where they do not hang together."""
    for path, content in files.items():
        if not path.endswith(".json"):
            continue
        whole = json.loads(content)
        if whole["schema_version"] != "0.3.0" or not whole["evaluation_results"]:
            raise ValueError(f"{path}: is no record of version 0.3.0")
        if told := whole.get("detailed_evaluation_results"):
            rows = files[told["file_path"]]
            lines = [json.loads(line) for line in rows.decode().split("\n") if line]
            same = {row["evaluation_id"] for row in lines} == {whole["evaluation_id"]}
            hashed = hashlib.sha256(rows).hexdigest() == told["checksum"]
            if not (same and hashed and len(lines) == told["total_rows"]):
                raise ValueError(f"{path}: its samples are not those that it names")
