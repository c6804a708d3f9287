"""Blocks below the first edit run once for each prompt; from there on once for each arm of it.

The rows of a forward are multiplied where the first edit acts: what the model hands to the blocks
from there on, and what a block there hands on, is given the rows that stand behind the edits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from harness_transformers.places import Side, hooked


@dataclass(frozen=True)
class Depth:
    """Where in a model rows are multiplied: before a block, or behind it."""

    block: int
    side: Side

    @property
    def shared(self) -> int:
        """How many blocks run once for each prompt."""
        return self.block + (self.side == "output")

    def __lt__(self, other: Depth) -> bool:
        return self.shared < other.shared


@dataclass(frozen=True, eq=False)
class Fan:
    """The rows of a forward, multiplied at a depth."""

    depth: Depth
    of: Int[Tensor, " row"]
    """For each row behind the depth, its row before it."""
    prompts: int
    """How many rows there are before it."""

    @contextmanager
    def attached(self, blocks: Sequence[nn.Module]) -> Iterator[None]:
        """Multiplies the rows of every forward, as long as the block runs. Hooks of edits see all
        rows."""
        grown = _Grown(self.of, self.prompts)

        def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return grown(args), grown(kwargs)

        def after(_module: Any, _args: Any, output: Any) -> Any:
            return grown(output)

        def handles() -> Iterator[Any]:
            for block in blocks[self.depth.shared :]:
                yield block.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
            if self.depth.side == "output":
                yield blocks[self.depth.block].register_forward_hook(after, prepend=True)

        with hooked(handles()):
            yield


class _Grown:
    """Values with the rows that stand behind the edits, each tensor multiplied once.

    Tensors whose first axis is that of prompts are multiplied. Others have those rows already, or
    are the same for all rows. What has no second axis is no tensor of rows.
    """

    def __init__(self, of: Tensor, prompts: int) -> None:
        self._of = of
        self._prompts = prompts
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if value.dim() < 2 or value.shape[0] != self._prompts:
                return value
            if id(value) not in self._known:
                rows = value.index_select(0, self._of.to(value.device))
                self._known[id(value)] = (value, rows)
            return self._known[id(value)][1]
        if type(value) in (tuple, list):
            return type(value)(map(self, value))
        if type(value) is dict:
            return {key: self(one) for key, one in value.items()}
        return value


def fan(
    depth: Depth | None, prompt_of: Sequence[int], width: int, device: torch.device
) -> Fan | None:
    """How the rows of a batch, each with its prompt, are multiplied; None where that saves nothing.

    Nor are they where a number of prompts might be mistaken for a number of positions.
    """
    prompts = len(set(prompt_of))
    if depth is None or not depth.shared or prompts == len(prompt_of) or prompts == width:
        return None
    return Fan(depth, torch.tensor(prompt_of, device=device), prompts)
