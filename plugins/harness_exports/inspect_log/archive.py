"""The file of an Inspect log: JSON files in a zip, the same bytes for the same log."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from harness_exports.inspect_log.log import Log

_THE_SAME_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""
_UNIX = 3
"""The system that a zip says it was made on; else it would tell Windows from others."""


def archive(log: Log) -> bytes:
    """The log as an `.eval` file.

    | member | content |
    |---|---|
    | `_journal/start.json` | version, eval, plan: what is known when an evaluation begins |
    | `samples/ID_epoch_1.json` | a sample in full |
    | `summaries.json` | all samples without messages and outputs |
    | `header.json` | the log without its samples |

    Members are deflated: Inspect itself writes zstd, which Python's `zipfile` has from 3.14 on, and
    reads both.
    """
    header = log.header
    members: dict[str, Any] = {
        "_journal/start.json": {key: header[key] for key in ("version", "eval", "plan")},
        **{f"samples/{one['id']}_epoch_{one['epoch']}.json": one for one in log.samples},
        "summaries.json": log.summaries,
        "header.json": header,
    }
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, _THE_SAME_TIME)
            member.compress_type, member.create_system = zipfile.ZIP_DEFLATED, _UNIX
            member.external_attr = 0o644 << 16
            file.writestr(member, json.dumps(content, ensure_ascii=True, allow_nan=False))
    return held.getvalue()
