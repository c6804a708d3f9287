"""What the laws of `inspect` are tried on."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from harness.testing import check_export, small_run
from harness_exports.inspect_log.export import InspectLogs
from harness_exports.inspect_log.options import InspectLogsOptions

Cases = Iterator[partial[None]]


def inspect(folder: Path) -> Cases:
    """With arms under an intervention, and without."""
    run = small_run(folder / "run")
    for edited in (True, False):
        export = InspectLogs(InspectLogsOptions(edited=edited))
        yield partial(check_export, export, run, read=read_logs)


def read_logs(files: Mapping[str, bytes]) -> None:
    """Reads logs as far as that goes without inspect_ai. ValueError for what is none."""
    for path, content in files.items():
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            header = json.loads(file.read("header.json"))
            samples = [name for name in file.namelist() if name.startswith("samples/")]
            for name in samples:
                json.loads(file.read(name))
            summaries = json.loads(file.read("summaries.json"))
        scores = [one["name"] for one in header["results"]["scores"]]
        if (
            header["version"] != 2
            or len(samples) != len(summaries)
            or len(set(scores)) != len(scores)
        ):
            raise ValueError(f"{path}: is no log of version 2")
