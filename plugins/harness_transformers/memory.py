"""Memory of keys and values that is used again, instead of being given back and asked for anew."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Memory:
    """Buffers that caches have done with, for those that follow.

    The system gives out fresh memory a page at a time, when it is first written to; for the keys
    and values of a large batch, which move whenever they outgrow their buffers, that took a tenth
    of the time of completions on a CPU. On an accelerator torch does the same as this by itself.
    """

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        """Each of one axis: all that there is of it."""
        self.tokens = 0
        """How many tokens the rows of a batch may come to. What is new has room for them: memory
        that is never written to is never given out, so room costs nothing."""

    def take(self, shape: tuple[int, ...], most: tuple[int, ...], like: Tensor) -> Tensor:
        """A buffer of a shape, its numbers whatever they are. Where none that is free is large
        enough, a new one takes the place of the smallest, with room for the shape `most`."""
        need = math.prod(shape)
        inference = torch.is_inference_mode_enabled()  # what is made in it is only written to in it
        fits = [
            one
            for one in self._free
            if len(one) >= need and one.dtype == like.dtype and one.is_inference() == inference
        ]
        if fits:
            taken = min(reversed(fits), key=len)  # of alike ones the last: most of it was used
            self._free = [one for one in self._free if one is not taken]
            return taken[:need].view(shape)
        if self._free:
            smallest = min(self._free, key=len)
            self._free = [one for one in self._free if one is not smallest]
        return like.new_empty(max(need, math.prod(most)))[:need].view(shape)

    def give(self, buffer: Tensor) -> None:
        """Takes a buffer back, or what is left of one; nobody looks at it any more."""
        self._free.append(buffer.new_empty(0).set_(buffer.untyped_storage()))

    def clear(self) -> None:
        """Gives everything back to the system."""
        self._free.clear()
