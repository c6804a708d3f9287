"""What a worker in another process is made of, as text; and the same task made of it there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.planning.plan import Plan
from harness.registry import Registry
from harness.running.code import versions_of
from harness.store.cache import Cache
from harness.store.keys import key_of
from harness.task.file import Source, plain
from harness.task.resolve import resolve
from harness.task.task import Task
from harness.task.trust import TrustThese

MAKER = "harness.running.spread.worker:make"


def outfit_text(
    planned: Plan, registry: Registry, downloads: Path, cache: Cache | None = None
) -> str:
    """All that a worker needs to know of a run, as JSON; `cache` is that of its head."""
    task = planned.task
    return json.dumps(
        {
            "maker": MAKER,
            "task": plain(task.resolved),
            "source": str(task.source.file.absolute()),
            "disabled": sorted(registry.disabled),
            # The head runs the code that a task names only where somebody trusts it.
            "trusted": sorted(one.code.sha256 for one in task.local if one.code is not None),
            "versions": versions_of(task.owners()),
            "plan": signature(planned),
            "downloads": str(downloads.absolute()),
            "cache": [str(cache.folder), cache.limit] if cache else None,
        }
    )


def fresh_task(about: Mapping[str, Any], registry: Registry) -> Task:
    """The task of an outfit, read and resolved in this process. TaskError as ever."""
    source = Source(Path(about["source"]), about["task"])
    return resolve(source, registry, TrustThese(hashes=frozenset(about["trusted"])))


def signature(planned: Plan) -> str:
    """A hash of the jobs and the arms of a plan: steps name them by their numbers."""
    passes = (planned.preflight, *planned.passes)
    jobs = [[repr(job.identity(planned.task)) for job in work.jobs] for work in passes]
    return key_of(jobs, [repr(one) for one in planned.generations])
