"""What names an exported thing for good: hashes and a time that follow from the run alone."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime

from harness.contract import Results
from harness_exports.arms.subjects import portable


def run_hash(results: Results) -> str:
    """A hash of what a run is and what it found: the same for the same numbers of the same task,
    wherever and however fast it ran."""
    whole = {
        "task": portable(results.task),
        "models": results.provenance.get("models"),
        "records": [[r.id, r.options, r.axes, r.value, r.n, r.ci] for r in results.records],
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()


def made_id(*parts: object) -> uuid.UUID:
    """A UUID that follows from these parts. It has the form of version 4, which readers ask for."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def made_at(results: Results, given: str | None) -> datetime:
    """When the run was made: what the caller says, else when its first claim or family was written;
    results keep no other time. Without either, the beginning of 1970."""
    written = [one.written for one in results.claims] + [one.written for one in results.families]
    told = [given] if given else sorted(filter(None, written))
    for text in told:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            continue
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return datetime(1970, 1, 1, tzinfo=UTC)
