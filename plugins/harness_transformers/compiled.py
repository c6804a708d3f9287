"""Steps of static shapes, compiled by torch, where a task asks for them and they can be."""

from __future__ import annotations

import torch

from harness_transformers.failures import words


class Compiled:
    """Whether a model's steps are compiled; once that failed, it runs as it is, and a note says
    why.

    Compiled are steps of completions without edits, on a CUDA device: a cache of a fixed size and
    rows that stay in their batch let every step be one graph. Hooks cannot be in such a graph.
    """

    def __init__(self, asked: bool, device: torch.device, name: str) -> None:
        self._asked = asked
        self._name = name
        self._why: str | None = None
        if device.type != "cuda":
            self._why = f"it runs on {device.type}, and steps are compiled on CUDA devices alone"

    def tried(self, *, edited: bool) -> bool:
        """Whether the next batch is to be compiled."""
        return self._asked and self._why is None and not edited

    def failed(self, error: BaseException) -> None:
        """From here on the model runs as it is, because of this."""
        self._why = f"torch could not compile it ({words(error)})"

    def note(self) -> str | None:
        """Why steps that were to be compiled are not; None where they are, or nobody asked."""
        if not self._asked or self._why is None:
            return None
        return f"compile: its steps run uncompiled: {self._why}."
