"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_OBSERVERS = {
    "jsonl": ("one line of JSON for each event, in the folder of the run", "jsonl:Jsonl", ""),
    "wandb": ("records as metrics of a run on Weights & Biases", "wandb_run:Wandb", "wandb"),
    "trackio": (
        "records as metrics of a Trackio run, local-first",
        "trackio_run:Trackio",
        "trackio",
    ),
    "mlflow": ("records as metrics of an MLflow run", "mlflow_run:Mlflow", "mlflow"),
}
"""By name: a summary, the class, and the extra that it needs. Its options are called as it is, with
`Options` behind, and are in the module `options`."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The observers."""
    return tuple(_component(name, *given) for name, given in _OBSERVERS.items())


def _component(name: str, summary: str, load: str, extra: str) -> Component:
    made = load.partition(":")[2]
    return Component(
        "observer",
        name,
        summary,
        f"{__package__}.{load}",
        f"{__package__}.options:{made}Options",
        extra=f"sae-harness[{extra}]" if extra else "",
        samples=f"{__package__}.samples:{name}",
    )
