"""Runs a wheel in an environment of its own: the first command, a task by its name, a plugin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))

from installed import Installed, build_wheel  # noqa: E402

STRANGER = ROOT / "tests" / "thirdparty" / "acme-harness"
SMALL = ("--limit", "8", "--set", "experiments.induce=false",
         "--set", "directions.random.draws=1", "--set", "directions.random_features.draws=1",
         "--set", "directions.chat_features.sweep.k=[32]",
         "--set", "directions.base_features.sweep.k=[32]")  # fmt: skip


def first_command(made: Installed, folder: Path) -> Iterator[str]:
    """What the README does first, from anywhere: a line for each step that went well."""
    yield made.run("harness", "--version", cwd=folder).stdout.strip()
    listed = made.run("harness", "tasks", cwd=folder).stdout
    names = [line.split()[0] for line in listed.splitlines() if line and not line[0].isspace()]
    assert "refusal" in names, listed
    yield f"{len(names)} lines of tasks"
    found = made.run("harness", "check", "refusal", cwd=folder)
    yield found.stdout.strip() or "checked"
    made.run("harness", "eval", "refusal", "--out", "run", *SMALL, cwd=folder)
    results = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["status"] == "complete"
    assert (folder / "run" / "report.html").stat().st_size > 10_000
    yield f"harness eval refusal: {len(results['records'])} numbers"


def plugin(made: Installed, folder: Path) -> str:
    """A stranger's package beside ours keeps the laws."""
    made.install(build_wheel(STRANGER, folder / "acme"))
    checked = made.run("harness", "plugins", "check", "acme_harness", cwd=folder).stdout
    assert "FAILED" not in checked
    assert "passed" in checked
    return checked.strip().splitlines()[-1]
