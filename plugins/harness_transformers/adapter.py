"""Merges a peft adapter into a model's weights, in float32, and checks that this is the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import ModelError, listed
from harness.text import for_terminal
from harness_transformers.failures import refusing, words
from harness_transformers.files import (
    ADAPTER,
    count_parameters,
    not_floating,
    read_json,
    stored_types,
    tensor_shapes,
)

WEIGHTS = "adapter_model.safetensors"
MERGE = 2
"""Raised when the same adapter comes to give other numbers: what was remembered is then left."""
_SAME = 1e-3
"""How far a merged layer may be from the unmerged one, as a share of its largest output.

Rounding in float32 stays below 1e-5; a layer that was merged wrongly is off by its whole change.
"""
_MISFIT = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\((.+?)\) from checkpoint,"
    r" the shape in current model is torch\.Size\((.+?)\)"
)


def merged(hf: Any, folder: Path, where: str) -> Any:
    """The model with the adapter of `folder` merged; ModelError where that is not the same model.

    Weights that several modules share become several, so that each gets its own change.
    """
    settings = read_json(folder / ADAPTER, where)
    if not (folder / WEIGHTS).is_file():
        raise ModelError(
            f"{where}: {folder} has no {WEIGHTS}. Adapters are read from safetensors only;"
            " save it with save_pretrained to convert it."
        )
    count_parameters([folder / WEIGHTS], where)
    # The model is never cast as a whole: some numbers stay float32 in every dtype.
    dtypes, dtype = {name: p.dtype for name, p in hf.named_parameters()}, hf.dtype
    _resize(hf, folder, where)
    wrapped = _wrapped(hf, folder, settings, where)
    for base in _adapted(wrapped):
        base.float()  # so that the sum is rounded once, at the end
    _untie(wrapped)
    _give_biases(wrapped)
    with refusing(
        lambda error: ModelError(
            f"{where}: peft cannot merge it into weights ({words(error)}). Allowed: LoRA and its"
            " kin, as far as their effect is a change of weights. Mend its files, or merge it"
            " yourself, save the model, and give that folder as path."
        )
    ):
        expected = _outputs(wrapped)
        hf = wrapped.merge_and_unload(safe_merge=False)
    _check(hf, expected, where)
    _tell_untied(hf)
    for name, parameter in hf.named_parameters():
        parameter.data = parameter.data.to(dtypes.get(name, dtype))
    return hf


def _wrapped(hf: Any, folder: Path, settings: Mapping[str, Any], where: str) -> Any:
    """The model with the adapter beside its weights, as peft runs it."""
    # peft is slow to import, and only adapters need it.
    from peft import PeftConfig, PeftModel
    from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

    def refusal(error: Exception) -> ModelError:
        keys = ("target_modules", "base_model_name_or_path")
        modules, model = (for_terminal(str(settings.get(key)), 200) for key in keys)
        return ModelError(
            f"{where}: it does not fit the model ({_misfit(error)}). It asks for the modules"
            f" {modules} of {model}. Allowed: an adapter of this model, as peft saves it. Use the"
            " model that it was trained on, or copy its files again."
        )

    with refusing(refusal):
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        wrapped = PeftModel(hf, config)
        if not hasattr(wrapped, "merge_and_unload"):
            raise ModelError(
                f"{where}: a {settings.get('peft_type')} adapter cannot be merged into weights."
                " Allowed: LoRA and its kin. Merge it yourself, save the model, and give that"
                " folder as path."
            )
        weights = load_peft_weights(str(folder), device="cpu")
        result = set_peft_model_state_dict(wrapped, dict(weights))
    own = f".{wrapped.active_adapter}"
    floating = {n.replace(own, "") for n, p in wrapped.named_parameters() if p.is_floating_point()}
    if odd := not_floating(stored_types([folder / WEIGHTS]), floating):
        raise ModelError(
            f"{where}: {len(odd)} of its weights are stored as whole numbers or truth values"
            f" ({listed(odd, 2)}). Allowed: floating point. Copy its files again, or convert them."
        )
    wrong = [key for key in result.missing_keys if f".{wrapped.active_adapter}." in key]
    # After a resize of the vocabulary peft saves a trained embedding twice, once by this name.
    wrong += [
        key
        for key in result.unexpected_keys
        if ".modules_to_save." not in key or key.replace(".modules_to_save.", ".") not in weights
    ]
    if wrong:
        raise ModelError(
            f"{where}: {len(wrong)} of its weights do not fit the model's modules"
            f" ({listed(wrong, 2)}). Use the model that it was trained on."
        )
    return wrapped.eval()


def unknown_keys(folder: Path, where: str) -> Iterator[str]:
    """A warning of keys that the installed peft does not know: it leaves them out.

    A newer peft may have written them, and with another meaning of the weights.
    """
    from dataclasses import fields

    from peft import __version__
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    settings = read_json(folder / ADAPTER, where)
    kind = PEFT_TYPE_TO_CONFIG_MAPPING.get(settings.get("peft_type"))
    known = {field.name for field in fields(kind)} if kind is not None else set(settings)
    if odd := [key for key, value in settings.items() if key not in known and value]:
        yield (
            f"its {ADAPTER} has keys that peft {__version__} does not know ({listed(odd, 3)}). They"
            " are left out. If a newer peft has written it, install that one."
        )


def _misfit(error: BaseException) -> str:
    """Which tensor has which size, where that is what is wrong; else what peft says of it."""
    found = _MISFIT.search(str(error))
    if not found:
        return words(error)
    return f"its tensor {found[1]} is {found[2]}, in the model {found[3]}"


def _resize(hf: Any, folder: Path, where: str) -> None:
    """Gives the model as many tokens as it had when the adapter was trained.

    That is sound where the adapter brings the whole of each embedding; new rows would otherwise
    hold random numbers.
    """
    shapes = tensor_shapes([folder / WEIGHTS])
    both = hf.get_input_embeddings(), hf.get_output_embeddings()
    ends = [end for end in both if end is not None]
    rows = ends[0].weight.shape[0]
    names = [name for name, module in hf.named_modules() if any(module is end for end in ends)]
    brought: dict[str, int] = {}
    shared = False
    for name in names:
        for form in ("weight", "base_layer.weight"):
            shape = shapes.get(f"base_model.model.{name}.{form}", (rows,))
            if shape[0] != rows:
                brought[name] = shape[0]
                shared |= form == "base_layer.weight" and ends[0].weight is ends[-1].weight
    if not brought:
        return
    lack = [] if shared else [name for name in names if name not in brought]
    if len(set(brought.values())) == 1 and not lack:
        hf.resize_token_embeddings(next(iter(brought.values())), mean_resizing=False)
        return
    have = " and ".join(f"{name} with {count} rows" for name, count in brought.items())
    raise ModelError(
        f"{where}: it was trained after the vocabulary had been resized: it holds {have}, the model"
        f" has {rows}" + (f", and it does not hold {listed(lack)}" if lack else "") + "."
        " Allowed: an adapter that holds both embeddings whole, or one of as many rows as the"
        " model. Resize the model as in the training (resize_token_embeddings, save_pretrained)"
        " and give that folder as path."
    )


def _layers(wrapped: Any) -> Iterator[tuple[str, Any]]:
    """The modules that the adapter changes, by their path in the model; outermost ones only."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    outer = "\0"
    for name, module in wrapped.get_base_model().named_modules():
        if isinstance(module, BaseTunerLayer) and not name.startswith(outer):
            outer = f"{name}."
            yield name, module


def _adapted(wrapped: Any) -> Iterator[nn.Module]:
    """What the adapter changes: the model's own modules."""
    for _, layer in _layers(wrapped):
        base = layer.get_base_layer()
        if isinstance(base, nn.Module):
            yield base


def _untie(wrapped: Any) -> None:
    """Gives each adapted module weights of its own.

    peft adds a module's change to its weight. Where that is also another module's (tied
    embeddings, replicated layers), the other would be changed along.
    """
    owners = Counter(
        id(p) for m in wrapped.modules() for p in m.parameters(recurse=False) if p is not None
    )
    for base in _adapted(wrapped):
        for name, parameter in list(base.named_parameters(recurse=False)):
            if owners[id(parameter)] > 1:
                owners[id(parameter)] -= 1
                own = nn.Parameter(parameter.detach().clone(), requires_grad=False)
                setattr(base, name, own)


def _tell_untied(hf: Any) -> None:
    """Lets the configuration say that the embeddings are two, where they are."""
    ends = hf.get_input_embeddings(), hf.get_output_embeddings()
    weights = [getattr(end, "weight", None) for end in ends]
    if weights[1] is not None and weights[0] is not weights[1]:
        for config in (hf.config, hf.config.get_text_config()):
            config.tie_word_embeddings = False


def _give_biases(wrapped: Any) -> None:
    """Lets a layer without a bias take the bias of its adapter (lora_bias)."""
    for _, layer in _layers(wrapped):
        base = layer.get_base_layer()
        if any(getattr(layer, "lora_bias", {}).values()) and getattr(base, "bias", 0) is None:
            base.bias = nn.Parameter(torch.zeros(base.weight.shape[0]), requires_grad=False)


@torch.no_grad()
def _outputs(wrapped: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Inputs and outputs of the adapted layers as peft runs them, unmerged."""
    found = {}
    random = torch.Generator().manual_seed(0)
    for name, layer in _layers(wrapped):
        base = layer.get_base_layer()
        if isinstance(base, nn.Embedding):
            x = torch.arange(8).view(2, 4) * (base.num_embeddings - 1) // 7
        else:
            width = _width(base)
            if width is None:
                continue
            x = torch.randn(2, 4, width, generator=random)
        # peft wraps a module whose tokens are trained twice: its own name is the outer one's.
        found[name.removesuffix(".token_adapter")] = x, layer(x)
    return found


def _width(base: Any) -> int | None:
    """How many numbers per token a linear layer reads; None for other modules."""
    if isinstance(base, nn.Linear):
        return base.in_features
    return int(base.nx) if type(base).__name__ == "Conv1D" else None


@torch.no_grad()
def _check(hf: Any, expected: Mapping[str, tuple[Tensor, Tensor]], where: str) -> None:
    for name, (x, unmerged) in expected.items():
        off = (hf.get_submodule(name)(x) - unmerged).abs().max()
        if not off <= _SAME * unmerged.abs().max():
            raise ModelError(
                f"{where}: merged, {name} gives other numbers than with the adapter beside its"
                f" weights, by up to {off:.2g}. Allowed: adapters that peft can merge exactly."
                " Merge it yourself, save the model, and give that folder as path."
            )
