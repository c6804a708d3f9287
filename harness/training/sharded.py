"""Several processes that train one model: who measures, and what each of them then does."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed, nn

from harness.errors import UsageError


def check_whole(model: nn.Module) -> None:
    """Raises UsageError for a model of which each process holds a part: one cannot read alone."""
    whose = ""
    for module in model.modules():
        if type(module).__name__ in ("FullyShardedDataParallel", "FSDPModule"):
            whose = "FSDP"
    for parameter in model.parameters():
        if hasattr(parameter, "ds_id"):
            whose = "DeepSpeed ZeRO-3"
        elif hasattr(parameter, "device_mesh"):
            whose = "FSDP or tensor parallelism"
    if whose:
        raise UsageError(
            f"model: its weights are split over processes by {whose}, so no process can read it "
            "alone. Allowed: one process, several with a whole model each (DDP), ZeRO 1 and 2. "
            'Compare its checkpoints afterwards: [pairs.NAME] from = "run/checkpoint-*".'
        )


def agreed(stop: bool) -> bool:
    """Whether the main process wants to stop, told to all; each must call this at the same step.

    A process that stopped alone would leave the others waiting for it.
    """
    if not _several():
        return stop
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    told = torch.tensor([int(stop)], device=device)
    distributed.broadcast(told, src=0)
    return bool(told.item())


def _several() -> bool:
    available: Any = distributed.is_available() and distributed.is_initialized()
    return bool(available) and distributed.get_world_size() > 1
