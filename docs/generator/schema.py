"""The JSON Schema of task files, with the options of the built-in components."""

from __future__ import annotations

import json

from generator.installed import built_in
from harness.task.schema import task_schema


def page() -> str:
    """What `harness schema` prints where no other plugin is installed."""
    return json.dumps(task_schema(built_in()), indent=2) + "\n"
