"""Holds a model in training against its base, every few steps: a callback for trainers.

    from harness.training import DriftCallback

    drift = DriftCallback("probe.jsonl", saes={"mid": "saes/layer_12"}, every=50,
                          stop_unless=["cosine.raw[sae=mid] >= 0.9"])
    trainer = Trainer(model, args, callbacks=[drift], …)

`DriftCallback` is for transformers' `Trainer` and for the trainers of TRL. `Drift` is what it is
made of, for a training loop of one's own. Importing this imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.training.callback import DriftCallback as DriftCallback
    from harness.training.drift import Drift as Drift

__all__ = ["Drift", "DriftCallback"]


def __getattr__(name: str) -> Any:
    """`DriftCallback` and `Drift`, imported when they are first asked for."""
    if name == "DriftCallback":
        from harness.training.callback import DriftCallback

        return DriftCallback
    if name == "Drift":
        from harness.training.drift import Drift

        return Drift
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
