"""Batches that notice it when somebody writes into what they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from harness.contract import Batch, Latents, PathTail, Side, Site


def watched(batch: Batch) -> tuple[Batch, Callable[[], list[str]]]:
    """The same batch to hand out, and what then names the parts of it that were changed."""
    left = WatchedSide(batch.left)
    right = None if batch.right is None else WatchedSide(batch.right)
    document, selected = batch.document.clone(), batch.selected.clone()
    numbers = [
        n for one in batch.paths.values() for t in (one.left, one.right) for n in _numbers(t)
    ]
    followed = [number.clone() for number in numbers]

    def changed() -> list[str]:
        kept = {
            "document": torch.equal(document, batch.document),
            "selected": torch.equal(selected, batch.selected),
            "left": left.unchanged(),
            "right": right is None or right.unchanged(),
            "paths": all(_same(*pair) for pair in zip(numbers, followed, strict=True)),
        }
        return [name for name, same in kept.items() if not same]

    return replace(batch, left=left, right=right), changed


def _numbers(tail: PathTail) -> tuple[Tensor, ...]:
    return tail.gradient, tail.at_left, tail.at_right, tail.plain, tail.along


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


class WatchedSide:
    """A side that remembers what it gave."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._given: list[tuple[Tensor, Tensor]] = []

    def unchanged(self) -> bool:
        """Whether every tensor that was given is as it was."""
        return all(torch.equal(tensor, before) for tensor, before in self._given)

    def x(self, site: Site) -> Tensor:
        """Activations at a site."""
        return self._remember(self._side.x(site))

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens."""
        latents = self._side.latents(sae, site)
        for tensor in (latents.offsets, latents.indices, latents.values):
            self._remember(tensor)
        return latents

    def reconstruction(self, sae: str, site: Site | None = None) -> Tensor:
        """x̂ of the selected tokens."""
        return self._remember(self._side.reconstruction(sae, site))

    def logits(self) -> Tensor:
        """Next-token logits."""
        return self._remember(self._side.logits())

    def encode(self, sae: str, x: Tensor) -> Latents:
        """Latents of other activations."""
        return self._side.encode(sae, x)

    def decode(self, sae: str, latents: Latents) -> Tensor:
        """x̂ of other latents."""
        return self._side.decode(sae, latents)

    def _remember(self, tensor: Tensor) -> Tensor:
        self._given.append((tensor, tensor.clone()))
        return tensor
