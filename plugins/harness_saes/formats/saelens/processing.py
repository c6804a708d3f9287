"""How the model was changed while an SAE was trained: TransformerLens processes what it loads.

Here a model is as its own files have it, so what the processing did to an SAE's activations is
done to its input, or said, or refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import ModelError, listed
from harness_saes.core.checks import flag, words, wrong

KEY = "model_from_pretrained_kwargs"
_SWITCHES = {
    "center_writing_weights": "the residual stream and what is added to it",
    "fold_ln": "the output of a norm",
    "fold_value_biases": "the heads' outputs",
    "refactor_factored_attn_matrices": "the heads' outputs",
    "center_unembed": "",
}
"""TransformerLens' switches, off unless they are set, and where each changes activations."""
_SILENT = words("""
    attn_implementation cache_dir default_padding_side default_prepend_bos device device_map dtype
    local_files_only low_cpu_mem_usage move_to_device n_devices token
    torch_dtype trust_remote_code use_cache
""")
"""What changes no activation, or only by rounding."""
_INSIDE = re.compile(r"(?:^|\.)(?:attn|mlp|ln\w*)\.(?!hook_(?:out|result)$)")
"""Hooks inside a module, before it writes: centred weights do not change them."""
_ROOT_MEAN_SQUARE = re.compile(
    r"gemma|llama|mistral|mixtral|qwen|deepseek|smollm|olmo-?2|phi-?[34]|\byi-|gpt-oss|granite",
    re.IGNORECASE,
)
"""Models with RMSNorm, which sees a mean: TransformerLens leaves their weights as they are."""

CENTRED = (
    f"trained on a model whose writing weights were centred ({KEY}: center_writing_weights), so it "
    "is given x minus its mean over d_model, as TransformerLens makes it; the mean of each token "
    "is added to its reconstruction."
)
UNCENTRED_OUTPUT = (
    f"what it writes was centred in training ({KEY}: center_writing_weights): its reconstruction "
    "lacks the mean over d_model of each token, which LayerNorm takes away."
)
LEFT = (
    f"its metadata say center_writing_weights ({KEY}), which TransformerLens leaves undone for "
    "models with RMSNorm, as this one is by its name: activations are used as they are."
)


@dataclass(frozen=True)
class Processing:
    """What the training's processing of the model means for an SAE's input."""

    centred: bool = False
    """Whether the SAE read activations without their mean over d_model."""
    notes: tuple[str, ...] = ()


def processing(
    data: Mapping[str, Any], hook: str | None, hook_out: str | None, model: str | None, where: str
) -> Processing:
    """What `model_from_pretrained_kwargs` of some metadata say of an SAE that reads at a hook.

    ModelError where the processing changed the activations at the hook in a way that cannot be
    had from a model that is not processed.
    """
    given = data.get(KEY)
    if given is None:
        return Processing()
    if not isinstance(given, Mapping):
        raise wrong(where, KEY, given, "an object, such as {}")
    on = {name for name in _SWITCHES if flag(given, name, False, f"{where}: {KEY}")}
    hooks = [one for one in (hook, hook_out) if one is not None]
    for one in hooks:
        _refuse(on, one, where)
    notes = []
    centred = "center_writing_weights" in on and _written(hook)
    outside = "center_writing_weights" in on and hook_out is not None and _written(hook_out)
    if (centred or outside) and _ROOT_MEAN_SQUARE.search(model or ""):
        centred = outside = False
        notes.append(LEFT)
    notes += [CENTRED] if centred else []
    notes += [UNCENTRED_OUTPUT] if outside else []
    others = {key: value for key, value in given.items() if key not in _SWITCHES.keys() | _SILENT}
    others = {key: value for key, value in others.items() if value not in (None, False, {}, [])}
    if others:
        notes.append(
            f"its model was loaded with {listed(others)} ({KEY}); here it is as the task gives it. "
            "If these change the model, give the one that they make."
        )
    return Processing(centred, tuple(notes))


def _written(hook: str | None) -> bool:
    """Whether a hook of TransformerLens lies on the residual stream, or on what is added to it."""
    return hook is None or not _INSIDE.search(hook)


def _refuse(on: set[str], hook: str, where: str) -> None:
    """Refuses activations that only the processed model has."""
    wrong_here = set()
    if hook.endswith((".attn.hook_z", ".attn.hook_v")):
        wrong_here = on & {"fold_value_biases", "refactor_factored_attn_matrices"}
    elif ".ln" in hook or hook.startswith("ln"):
        wrong_here = on & {"fold_ln"}
    for name in sorted(wrong_here):
        raise ModelError(
            f"{where}: {KEY}: {name} is true, which changed {_SWITCHES[name]}, where this SAE "
            f"reads or writes ({hook}). Allowed: false there. Use an SAE of a model that was not "
            "processed, or of another site."
        )
