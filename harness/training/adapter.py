"""The base inside a model with an adapter: the same weights with the adapter switched off."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from harness.errors import InvalidRun, UsageError, listed


def bare(model: Any) -> Any:
    """transformers' own model, out of peft's model around it where there is one."""
    peft = sys.modules.get("peft")  # who has an adapter has imported it
    if peft is None or not isinstance(model, peft.PeftModel):
        return model
    if any(getattr(one, "is_prompt_learning", False) for one in model.peft_config.values()):
        raise UsageError(
            "model: its adapter is learned tokens before the prompt (prompt or prefix tuning), so "
            "it does not read the tokens that its base reads. Allowed: LoRA and other adapters of "
            "weights. Train one of those, or leave the callback out."
        )
    return model.get_base_model()


def adapted(model: nn.Module) -> list[Any]:
    """The modules to which an adapter adds something; nested ones too."""
    return [module for module in model.modules() if _is_adapted(module)]


def _is_adapted(module: nn.Module) -> bool:
    # transformers' models have methods of both names; in a layer of peft one is a property.
    switch = getattr(module, "enable_adapters", None)
    return callable(switch) and isinstance(getattr(module, "disable_adapters", None), bool)


@contextmanager
def switched_off(layers: Sequence[Any]) -> Iterator[None]:
    """A block in which the adapter of these layers adds nothing.

    What parameters train is for the caller to restore: peft freezes those of an adapter that is
    off, and thaws more than it froze.
    """
    on = [layer for layer in layers if not layer.disable_adapters]
    try:
        for layer in on:
            layer.enable_adapters(False)
        yield
    finally:
        for layer in on:
            layer.enable_adapters(True)


def check_is_base(model: Any, layers: Sequence[Any]) -> None:
    """Raises where the model with its adapter off would not be its base.

    UsageError where the adapter lies in the weights, or where weights of the base train beside it.
    InvalidRun where a module with its adapter off gives other numbers than the module of the base
    inside it, for a few tokens, to the bit.
    """
    if any(getattr(layer, "merged", False) for layer in layers):
        raise UsageError(
            "model: its adapter is merged into the weights, so switching it off is no way back to "
            "the base to the bit. Allowed: an adapter beside the weights. Call unmerge_adapter() "
            "before the training, or give the base model as base = …."
        )
    inside = {id(p) for layer in layers for p in _of_adapter(layer)}
    others = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in inside]
    if others:
        raise UsageError(
            f"model: beside its adapter {len(others)} weights of the base train"
            f" ({listed(others, 3)}), so with the adapter off it is not the base. Allowed: "
            "training the adapter alone. Give the base model as base = …, a model of its own."
        )
    _check_layers(model, layers)


def _of_adapter(layer: Any) -> Iterator[nn.Parameter]:
    """The parameters of an adapter's layer that are not those of the module inside it."""
    base = {id(p) for p in _inside(layer).parameters()}
    yield from (p for p in layer.parameters() if id(p) not in base)


def _inside(layer: Any) -> nn.Module:
    """The module of the base that a layer of an adapter is put around."""
    found = layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer.original_module
    assert isinstance(found, nn.Module)
    return found


def _check_layers(model: Any, layers: Sequence[Any]) -> None:
    names = {id(module): name for name, module in model.named_modules()}
    wrong: list[str] = []

    def compare(layer: Any, args: Any, kwargs: Any, output: Any) -> None:
        expected = _inside(layer)(*args, **kwargs)
        if not torch.equal(output, expected):
            wrong.append(names.get(id(layer), "a module"))

    embedding = model.get_input_embeddings().weight
    ids = (torch.arange(1, 17, device=embedding.device) % embedding.shape[0]).view(2, 8)
    hooks = [layer.register_forward_hook(compare, with_kwargs=True) for layer in layers]
    try:
        with torch.no_grad(), switched_off(layers):
            model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    if wrong:
        raise InvalidRun(
            f"model: with its adapter off, {listed(wrong, 3)} still gives other numbers than the "
            "base. Allowed: adapters that peft can switch off. Give the base model as base = …."
        )
