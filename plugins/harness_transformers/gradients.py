"""One forward and one backward over a batch: a number of each row, and its gradients at places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Site, Tokens
from harness.contract.gradients import Scalar
from harness.errors import ModelError, PluginError
from harness_transformers.places import Place, hooked


@dataclass(frozen=True)
class Slopes:
    """What came out of one batch: by place, gradients and the activations that they are of."""

    values: Float[Tensor, " row"]
    gradients: Mapping[Place, Float[Tensor, "row pos width"]]
    activations: Mapping[Place, Float[Tensor, "row pos width"]]


def check_put(put: Mapping[Site, Tensor], rows: int, longest: int, name: str) -> None:
    """Refuses what is laid out for other prompts."""
    for site, h in put.items():
        if h.dim() != 3 or h.shape[:2] != (rows, longest):
            raise ModelError(
                f"{name}: {tuple(h.shape)} is put at {site}, and these prompts have {rows} rows of"
                f" {longest} positions. Allowed: a tensor laid out as Model.activations gives it"
                " for the same prompts."
            )


def slopes(
    forward: Callable[[], Any],
    rows: Sequence[Tokens],
    mask: Int[Tensor, "row pos"],
    scalar: Scalar,
    places: Sequence[Place],
    put: Mapping[Place, Tensor],
) -> Slopes:
    """Runs `forward`, a batch padded on the right, and differentiates the sum of its numbers.

    To each activation a tensor of zeros is added, and the gradient is that of the zeros. So nothing
    is cut off: the gradient at one place goes through all later ones. Rows do not meet in a causal
    model, hence the gradient of the sum is, row by row, that of the row's own number.
    """
    probes: dict[Place, Tensor] = {}
    kept: dict[Place, Tensor] = {}
    seen: set[Place] = set()

    def at(place: Place, x: Tensor | None) -> Tensor:
        if x is None:
            raise ModelError(f"site {place.path}: the module gave no activations this time.")
        seen.add(place)
        h = _fitting(place, put[place], x) if place in put else x
        if place not in wanted:
            return h
        probes[place] = torch.zeros_like(h, requires_grad=True)
        kept[place] = h.detach().clone()
        return h + probes[place]

    wanted = set(places)
    with (
        torch.set_grad_enabled(bool(wanted)),
        hooked(place.hook(partial(at, place)) for place in {*wanted, *put}),
    ):
        logits = forward().logits
        wide = logits if logits.dtype == torch.float64 else logits.float()
        numbers = [_number(scalar, wide[i, : len(row.ids)], row) for i, row in enumerate(rows)]
        total = torch.stack([one.double() for one in numbers])
    if missing := ({*wanted, *put}) - seen:
        raise ModelError(f"site {min(p.path for p in missing)}: did not run in this forward.")
    found = _gradients(total, probes, mask) if probes else {}
    return Slopes(total.detach().cpu(), found, kept)


def _gradients(
    total: Float[Tensor, " row"], probes: Mapping[Place, Tensor], mask: Int[Tensor, "row pos"]
) -> dict[Place, Tensor]:
    """The gradients of the sum, 0 at padding; 0 all over where nothing depends on a probe."""
    if not total.requires_grad:
        return {place: torch.zeros_like(probe) for place, probe in probes.items()}
    ones = torch.ones_like(total)
    grads = torch.autograd.grad(total, list(probes.values()), ones, allow_unused=True)
    return {
        place: torch.zeros_like(probe)
        if grad is None
        else grad.masked_fill(mask[..., None].to(grad.device) == 0, 0)
        for (place, probe), grad in zip(probes.items(), grads, strict=True)
    }


def _fitting(place: Place, h: Tensor, x: Tensor) -> Tensor:
    """What is put in the place of x, on its device and in its dtype."""
    if h.shape != x.shape:
        raise ModelError(
            f"site {place.path}: {tuple(h.shape)} is put where the model has {tuple(x.shape)}."
            " Allowed: a tensor laid out as Model.activations gives it for the same prompts."
        )
    return h.detach().to(device=x.device, dtype=x.dtype)


def _number(scalar: Scalar, logits: Float[Tensor, "pos vocab"], row: Tokens) -> Tensor:
    number = scalar(logits, row)
    if not isinstance(number, Tensor) or number.numel() != 1:
        raise PluginError(
            f"example {row.example}: the scalar made {number!r:.100} of the logits. Allowed: a"
            " tensor with one number."
        )
    return number.reshape(())
