"""Reads activations in a forward that stops as soon as the last of them is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from harness.contract import Site
from harness.errors import ModelError
from harness_transformers.blocks import Place, hooked, input_of, output_of


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

    def keep(place: Place, x: Tensor | None) -> None:
        if x is None:
            raise ModelError(f"site {place.path}: the module gave no activations this time.")
        # A copy: some blocks add in place to what a part of them returned.
        kept[place] = x.detach().clone()
        if len(kept) == len(wanted) and not to_the_end:
            raise _Enough

    def hook(place: Place) -> Any:
        if place.side == "input":

            def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                keep(place, input_of(args, kwargs))

            return place.module.register_forward_pre_hook(before, with_kwargs=True)

        def after(_module: Any, _args: Any, output: Any) -> None:
            keep(place, output_of(output))

        return place.module.register_forward_hook(after)

    result = None
    with hooked(hook(place) for place in wanted):
        try:
            if wanted or to_the_end:
                result = forward()
        except _Enough:
            pass
    missing = wanted - kept.keys()
    if missing:
        raise ModelError(f"site {min(p.path for p in missing)}: did not run in this forward.")
    return {site: kept[place] for site, place in places.items()}, result
