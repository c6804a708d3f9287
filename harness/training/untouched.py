"""Leaves a model in training as it is, to the bit, whatever is read of it meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(models: Sequence[nn.Module]) -> Iterator[None]:
    """A block in which models are read, in the mode for evaluation, without gradients and without
    autocast. After it, also after an error, all is as it was: the random numbers of Python, numpy
    and torch on every device; of each module its mode, its buffers and its `forward`; of each
    parameter its value, its gradient and whether it has one.
    """
    with ExitStack() as stack:
        stack.enter_context(_randomness())
        for model in models:
            stack.enter_context(_modes(model))
            stack.enter_context(_parameters(model))
            stack.enter_context(_buffers(model))
            stack.enter_context(_without_autocast(model))
        for device in sorted({p.device.type for model in models for p in model.parameters()}):
            if device != "meta":
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.no_grad())
        for model in models:
            model.eval()
        yield


@contextmanager
def _randomness() -> Iterator[None]:
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    back: list[Callable[[], object]] = []
    # A device that was never used has no state, and is not woken for it.
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states = torch.cuda.get_rng_state_all()
        back.append(lambda: torch.cuda.set_rng_state_all(states))
    if torch.backends.mps.is_available():
        state = torch.mps.get_rng_state()
        back.append(lambda: torch.mps.set_rng_state(state))
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        for restore in back:
            restore()


@contextmanager
def _modes(model: nn.Module) -> Iterator[None]:
    """Each module's own mode: some are frozen while others train."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _parameters(model: nn.Module) -> Iterator[None]:
    """Which parameters train, and their gradients: peft freezes an adapter that is switched off."""
    kept = [
        (parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()
    ]
    try:
        yield
    finally:
        for parameter, trains, gradient in kept:
            parameter.requires_grad_(trains)
            parameter.grad = gradient


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    """Buffers, which some models write anew for the lengths that they read (rotary positions)."""
    kept = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        for module, name, buffer, values in kept:
            if not torch.equal(buffer, values):
                buffer.copy_(values)
            module._buffers[name] = buffer


@contextmanager
def _without_autocast(model: nn.Module) -> Iterator[None]:
    """Takes away what accelerate puts around `forward` for training in mixed precision.

    It would compute this model in another precision than its base, and than the checkpoint that is
    saved of it.
    """
    own: dict[str, Any] = vars(model)
    around = own.get("forward")
    if around is None or "_original_forward" not in own:
        yield
        return
    own["forward"] = own["_original_forward"]
    try:
        yield
    finally:
        own["forward"] = around
