"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_EXECUTORS = {
    "local": ("processes of this machine, each with its own models", "local:Local", ""),
    "ray": ("actors on a Ray cluster, or on one that it starts here", "ray_cluster:Ray", "ray"),
    "slurm": ("arrays of SLURM jobs, through submitit", "slurm_jobs:Slurm", "slurm"),
}
"""By name: a summary, the class, and the extra that it needs. Its options are called as it is, with
`Options` behind, and are in the module `options`."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The executors."""
    return tuple(_component(name, *given) for name, given in _EXECUTORS.items())


def _component(name: str, summary: str, load: str, extra: str) -> Component:
    made = load.partition(":")[2]
    return Component(
        "executor",
        name,
        summary,
        f"{__package__}.{load}",
        f"{__package__}.options:{made}Options",
        extra=f"sae-harness[{extra}]" if extra else "",
        samples=f"{__package__}.samples:{name}",
    )
