"""What a trainer has saved in a folder: an adapter or a whole model, and at which step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contract import Checkpoint
from harness.errors import ModelError
from harness_transformers.files import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    INDEX,
    SINGLE,
    read_json,
    require_adapter,
    require_weights,
)

STATE = "trainer_state.json"
_PLACES = (
    "path", "gguf", "sha256", "made_with", "revision", "subfolder", "adapter", "adapter_revision",
)  # fmt: skip
"""Options that say which weights; a whole checkpoint has its own."""
_SHARDS = ("pytorch_model_fsdp_*", "global_step*", "zero_to_fp32.py", "*.distcp", "__*_*.distcp")
"""What trainers leave that save each process's part of the weights."""


def checkpoint(base: Mapping[str, Any], folder: Path, place: str, tokenizer: bool) -> Checkpoint:
    """A checkpoint of the model that has the options `base`; reads no weight.

    `place` is what a task writes for the tokenizer of the base, and `tokenizer` whether the folder
    has one of its own. ModelError for a folder that holds none, or the half of one.
    """
    where = f"checkpoint {folder}"
    own = {key: value for key, value in base.items() if key not in _PLACES}
    if (folder / "config.json").is_file() and not (folder / ADAPTER).is_file():
        _not_in_pieces(folder, where)
        if not any((folder / name).exists() for name in (SINGLE, INDEX)):
            raise ModelError(f"{where}: has no weights ({SINGLE}). {_HALF}")
        require_weights(folder, where)
        spoken = {} if tokenizer or "tokenizer" in own else {"tokenizer": place}
        return Checkpoint({**own, **spoken, "path": str(folder)}, _step(folder, where))
    if (folder / ADAPTER).is_file():
        if not (folder / ADAPTER_WEIGHTS).is_file():
            raise ModelError(f"{where}: has no weights ({ADAPTER_WEIGHTS}). {_HALF}")
        require_adapter(folder, where)
        if "adapter" in base:
            raise ModelError(
                f"{where}: holds an adapter, and the base has one already ({base['adapter']})."
                " Allowed: one adapter on a model. Merge the base's, save it, and name that model."
            )
        if "quantization" in base:
            raise ModelError(
                f"{where}: holds an adapter, and its base is quantised ({base['quantization']})."
                " Allowed: an adapter on plain weights. Leave quantization out of the base's table."
            )
        return Checkpoint({**base, "adapter": str(folder)}, _step(folder, where))
    _not_in_pieces(folder, where)
    raise ModelError(
        f"{where}: is no checkpoint: it has neither config.json nor {ADAPTER}. Allowed: folders"
        " with a model or a peft adapter. Write a pattern that other folders do not fit."
    )


_HALF = (
    "Is it still being saved, or was that cut off? Allowed: whole checkpoints. Wait for it, or"
    " remove the folder."
)


def _not_in_pieces(folder: Path, where: str) -> None:
    whole = any((folder / name).exists() for name in (SINGLE, INDEX, ADAPTER_WEIGHTS))
    if whole or not any(next(folder.glob(form), None) for form in _SHARDS):
        return
    raise ModelError(
        f"{where}: its weights are in pieces, one for each process of the training. Allowed: whole"
        " models in safetensors. Put them together: `accelerate merge-weights` for FSDP,"
        " `zero_to_fp32.py` in the folder for DeepSpeed, with safetensors as the form."
    )


def _step(folder: Path, where: str) -> int | None:
    """What the trainer says of itself; None where it left no word."""
    if not (folder / STATE).is_file():
        return None
    step = read_json(folder / STATE, where).get("global_step")
    return step if type(step) is int and 0 <= step < 2**63 else None  # an axis holds no more
