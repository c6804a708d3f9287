"""Reads activations in a forward that stops as soon as the last of them is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from torch import Tensor

from harness.contract import Site
from harness.errors import ModelError
from harness_transformers.places import Place, hooked


class _Enough(Exception):
    """Everything asked for was captured: what comes after in the forward is not needed."""


def capture(
    forward: Callable[[], Any], places: Mapping[Site, Place], *, to_the_end: bool
) -> tuple[dict[Site, Tensor], Any]:
    """Runs `forward` and keeps the tensors at `places`; its result too when it runs to the end.

    Hooks added now run after those of `Model.edited`, so an edited activation is seen edited.
    """
    wanted = set(places.values())
    kept: dict[Place, Tensor] = {}

    def keep(place: Place, x: Tensor | None) -> Tensor:
        if x is None:
            raise ModelError(f"site {place.path}: the module gave no activations this time.")
        # A copy: some blocks add in place to what a part of them returned.
        kept[place] = x.detach().clone()
        if len(kept) == len(wanted) and not to_the_end:
            raise _Enough
        return x

    result = None
    with hooked(place.hook(partial(keep, place)) for place in wanted), suppress(_Enough):
        result = forward()
    missing = wanted - kept.keys()
    if missing:
        raise ModelError(f"site {min(p.path for p in missing)}: did not run in this forward.")
    return {site: kept[place] for site, place in places.items()}, result
