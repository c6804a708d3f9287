"""Where the numbers of a run come from: all that must be the same to get them once more."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from harness.registry import Plugin, Registry
from harness.running.session import Session
from harness.task.task import Task
from harness.version import __version__

PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "scipy",
    "pluggy",
    "safetensors",
    "peft",
    "sae-lens",
    "datasets",
    "lm-eval",
)

COMPUTING = ("numpy", "torch", "transformers")
"""Those with which models and SAEs are computed."""


def provenance(session: Session, registry: Registry, command: str) -> dict[str, Any]:
    """Versions, hashes, seed, devices, usage and command of a run, as plain values.

    Models and SAEs are those that were loaded, data sets those that were read to their end.
    """
    task = session.task
    used = {owned.plugin for owned in task.owners()}
    return {
        "harness": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: installed(name) for name in PACKAGES},
        "plugins": {
            plugin.name: {"distribution": plugin.distribution, "version": plugin.version}
            for plugin in sorted(used, key=lambda plugin: plugin.name)
        },
        # Plugins in files of their own: also those that this task names and does not use.
        **({"local_code": local} if (local := _local_code(task.local)) else {}),
        "components": [f"{owned.component.kind}: {owned}" for owned in task.owners()],
        "disabled": sorted(registry.disabled),
        "models": {
            name: {
                "fingerprint": model.fingerprint,
                "dtype": model.dtype,
                "device": model.device,
                **({"date": date} if (date := getattr(model, "date", None)) else {}),
                **({"masked": dict(one)} if (one := getattr(model, "masked", None)) else {}),
                **getattr(model, "origin", {}),
                **({"thoughts": asdict(of)} if (of := getattr(model, "thoughts", None)) else {}),
            }
            for name, model in session.models.items()
        },
        **({"template_arguments": arguments} if (arguments := _arguments(session)) else {}),
        "saes": {
            name: {
                "fingerprint": sae.fingerprint,
                # Where its features can be looked up.
                **({"neuronpedia": id} if (id := sae.facts.neuronpedia) else {}),
            }
            for name, sae in session.saes.items()
        },
        "data": dict(session.data.digests()),
        # By data set and view, the rows of which no prompt could be made.
        **({"left_out": left_out} if (left_out := session.prompts.left_out.counts()) else {}),
        "seed": task.spec.seed,
        "usage": session.usage.report(),
        # What other runs had made, under a key of all that it depends on.
        **({"from_cache": dict(session.taken)} if session.taken else {}),
        **({"executor": spread} if (spread := _spread(task, session)) else {}),
        # Which keys of a person's configuration file decided something of this run.
        **({"settings": task.settings.plain()} if task.settings else {}),
        "command": command,
        "git": _git(task.source.file.resolve().parent),
    }


def _spread(task: Task, session: Session) -> dict[str, Any]:
    """The executor, and how many parts each of its workers computed; nothing where none did."""
    if task.executor is None or not session.workers:
        return {}
    options = task.executor.options.model_dump(mode="json", exclude_none=True)
    workers = {name: session.workers[name] for name in sorted(session.workers)}
    return {"component": str(task.executor.owner), "options": options, "workers": workers}


def _local_code(plugins: Sequence[Plugin]) -> dict[str, Any]:
    """By name, each plugin in a file of its own: the file, its hash, and what it provides."""
    return {
        plugin.name: {
            "path": str(plugin.code.file),
            "sha256": plugin.code.sha256,
            "components": [f"{one.kind}: {one.name}" for one in plugin.components],
        }
        for plugin in plugins
        if plugin.code is not None
    }


def _arguments(session: Session) -> dict[str, Any]:
    """By view, what its chat template was given beside the conversation, where it was."""
    given = {name: view.prompt.template_arguments for name, view in session.task.spec.views.items()}
    return {name: dict(arguments) for name, arguments in given.items() if arguments}


def installed(name: str) -> str | None:
    """The version of a package, None where it is not there."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    # `found.version` parses the whole text, which has the package's README: 8 ms for each.
    head, _, _ = (found.read_text("METADATA") or "").partition("\n\n")
    lines = (line.partition(":") for line in head.splitlines())
    said = next((text.strip() for key, _, text in lines if key == "Version"), None)
    return said or found.version


def _git(folder: Path) -> str | None:
    """The revision of the repository that the task lies in, with `-dirty` after it where changes
    are not committed; None where there is none."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def command_line() -> str:
    """The command of this process, quoted for a shell."""
    import shlex

    return shlex.join(["harness", *sys.argv[1:]])
