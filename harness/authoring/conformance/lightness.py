"""What a plugin imports before any weight is read, seen from a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

from harness.authoring.conformance.law import NotTried
from harness.authoring.conformance.probe import DECLARING
from harness.registry import Plugin

_SECONDS = 60


@dataclass(frozen=True)
class Imports:
    """Heavy packages by what imports them: the declaration, or an options module."""

    heavy: dict[str, list[str]] = field(default_factory=dict)
    error: str = ""
    """Why nobody knows."""
    allowed: str = ""
    """What is imported where that is allowed: in a file of a task's own, which is light or slow as
    its author likes."""

    def by(self, module: str = DECLARING) -> list[str]:
        """The heavy packages that a module imports. AssertionError where nobody knows, NotTried
        where it may import what it likes."""
        if self.allowed:
            raise NotTried(self.allowed)
        assert not self.error, self.error
        return self.heavy[module]


def imports_of(plugin: Plugin) -> Imports:
    """Imports a plugin and its options in a process that has imported nothing yet.

    A plugin in a file of its own has told what it imports when it was admitted.
    """
    modules = sorted({one.options.partition(":")[0] for one in plugin.components})
    if plugin.code is not None:
        return Imports({name: [] for name in (DECLARING, *modules)}, allowed=plugin.reason)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "harness.authoring.conformance.probe", plugin.name, *modules],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Imports(error=f"importing it takes more than {_SECONDS} s")
    try:
        return Imports(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        last = done.stderr.strip().splitlines()[-1:] or [
            f"the process ended with {done.returncode}"
        ]
        return Imports(error=f"in a process of its own it cannot be imported: {last[0]}")
