"""Tensors that modules read and write: where a hook goes, and what a module did in a forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

Side = Literal["input", "output"]


@dataclass(frozen=True)
class Place:
    """A tensor that a module reads or writes: where a hook goes."""

    path: str
    module: nn.Module = field(compare=False, hash=False, repr=False)
    side: Side
    flat: nn.Module | None = field(default=None, compare=False, hash=False, repr=False)
    """Where the tensor has the positions of all rows one after the other: a module around it that
    is given them apart, Float[Tensor, "row pos width"]."""

    def hook(self, see: Callable[[Tensor | None], Tensor]) -> Any:
        """Gives `see` the hidden states here, None without any; what it returns goes on."""
        if self.flat is not None:
            return self._hook_flat(self.flat, see)
        return self._hook(see)

    def _hook_flat(self, around: nn.Module, see: Callable[[Tensor | None], Tensor]) -> Any:
        """Gives `see` the rows apart, and puts them one after the other again."""
        shapes: list[torch.Size] = []

        def enters(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = input_of(args, kwargs)
            shapes[:] = [] if x is None else [x.shape]

        def see_rows(x: Tensor | None) -> Tensor:
            if x is None or not shapes:
                return see(None)
            rows = x.view(*shapes[0][:2], x.shape[-1])
            y = see(rows)
            return x if y is rows else y.reshape(x.shape)

        both = ExitStack()
        both.enter_context(around.register_forward_pre_hook(enters, with_kwargs=True))
        both.enter_context(self._hook(see_rows))
        return both

    def _hook(self, see: Callable[[Tensor | None], Tensor]) -> Any:

        def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            x = input_of(args, kwargs)
            y = see(x)
            if y is x:
                return None
            if args and args[0] is x:
                return (y, *args[1:]), kwargs
            return args, {k: y if v is x else v for k, v in kwargs.items()}

        def after(_module: Any, _args: Any, output: Any) -> Any:
            x = output_of(output)
            y = see(x)
            if y is x:
                return None
            if isinstance(output, tuple):
                return (y, *output[1:])
            return [y, *output[1:]] if isinstance(output, list) else y

        if self.side == "input":
            return self.module.register_forward_pre_hook(before, with_kwargs=True)
        return self.module.register_forward_hook(after)


@dataclass(eq=False)
class Call:
    """What a module did in the probe: its first tensor in and out."""

    path: str
    module: nn.Module
    input: Tensor | None
    output: Tensor | None


def input_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The hidden states among the arguments of a module."""
    for value in (args[0] if args else None, kwargs.get("hidden_states"), *kwargs.values()):
        if isinstance(value, Tensor) and value.is_floating_point():
            return value
    return None


def output_of(output: Any) -> Tensor | None:
    """The hidden states in what a module returned: a tensor, or the first one of a tuple."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, Tensor) and output.is_floating_point() else None


@contextmanager
def hooked(handles: Iterable[Any]) -> Iterator[None]:
    """Hooks for as long as the block runs, however it ends."""
    with ExitStack() as held:
        for handle in handles:
            held.enter_context(handle)
        yield


def runs_on(module: Any) -> torch.device:
    """The device on which a module computes, also where its weights lie elsewhere meanwhile."""
    moved = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    return module.weight.device if moved is None else torch.device(moved)
