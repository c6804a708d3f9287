"""Options of `gguf`. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.contract import ExportOptions


class ControlVectorsOptions(ExportOptions):
    """Options of `gguf`."""

    scale: Literal["as_found", "unit"] = "as_found"
    """`as_found` keeps the length that a direction was found with, so that strength 1 in llama.cpp
    is `addition` with coefficient 1; `unit` makes it 1, so that the strength is the length."""
    model_hint: str | None = Field(None, min_length=1, max_length=200)
    """What the file says it is for, such as `gemma2`. llama.cpp does not read it. Without it, the
    model that the direction was found in."""
    directions: tuple[str, ...] = ()
    """Which directions of the task are exported; without any, all."""
