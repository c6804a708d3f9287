"""What a number has SAEs encode, so that a plan can count it before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Encodes:
    """What an SAE encodes of each selected token of a stream."""

    sides: tuple[Literal["left", "right"], ...] = ("left", "right")
    """The sides whose latents are read (`Side.latents`, `Side.reconstruction`); a stream of one
    view has the left one. They are made once for all who read them. Empty for what uses nothing but
    the rows of the decoder."""
    anew: int = 0
    """How many activations of its own it lets the SAE encode (`Side.encode`), for each selected
    token, where all that it needs is defined: each call works anew."""
