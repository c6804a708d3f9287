"""Widths that a file tells by itself: the lengths of its biases."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import ModelError
from harness_saes.files.header import Stored


def length(found: Mapping[str, Stored], name: str, where: str) -> int:
    """The length of a vector; 1 where it is missing, of which the check of the layout tells.

    Raises ModelError where it is no vector.
    """
    if name not in found:
        return 1
    shape = found[name].shape
    if len(shape) != 1 or shape[0] < 1:
        raise ModelError(f"{where}: {name} is {list(shape)}. Expected a vector.")
    return shape[0]
