"""Follows a number of the predictions along paths between the activations of a pair's models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from harness.contract import (
    Differentiable,
    FollowedPath,
    GradientPath,
    Model,
    PathTail,
    Scalar,
    Site,
)
from harness.errors import ModelError
from harness.running.reading.rows import Measured, Row
from harness.running.reading.sides import Forward

WHOLE = ("float32", "float64")
"""Dtypes in which small gradients are not lost."""


@dataclass(frozen=True)
class End:
    """One side of a path: its view, the model, and what this has at the rows."""

    view: str
    model: Model
    forward: Forward


@dataclass(frozen=True)
class RowsTail:
    """What the upper layers of one side make of a path at some rows, one document each."""

    gradient: Float[Tensor, "row pos d_site"]
    start: tuple[int, ...]
    at_left: Float64[Tensor, " row"]
    at_right: Float64[Tensor, " row"]
    plain: Float64[Tensor, " row"]
    along: Float64[Tensor, " row"]

    def of(self, tokens: Measured) -> PathTail:
        """The same with the gradients of some tokens."""
        column = torch.tensor(self.start, dtype=torch.long)[tokens.row] + tokens.offset
        device = self.gradient.device
        gradient = self.gradient[tokens.row.to(device), column.to(device)]
        return PathTail(gradient, self.at_left, self.at_right, self.plain, self.along)


@dataclass(frozen=True)
class RowsPath:
    """A path at some rows, followed by the upper layers of both sides."""

    left: RowsTail
    right: RowsTail

    def of(self, tokens: Measured) -> FollowedPath:
        """What a stream that measures these tokens sees of it."""
        return FollowedPath(self.left.of(tokens), self.right.of(tokens))


def check_followed(end: End) -> None:
    """ModelError where a model cannot follow a path: without gradients, or in half precision."""
    if "gradients" not in end.model.facts.capabilities:
        raise ModelError(
            f"views.{end.view}: its model gives no gradients, and a path needs them. Allowed: a"
            " model whose backend offers gradients, not one in quantised weights. Name another"
        )
    if end.model.dtype not in WHOLE:
        raise ModelError(
            f"views.{end.view}: its model computes in {end.model.dtype}, in which small gradients"
            ' are lost. Allowed: float32. Write dtype = "float32" in its table of [models]'
        )


def follow(
    path: GradientPath, rows: Sequence[Row], left: End, right: End, scalar: Scalar
) -> RowsPath:
    """Follows a path at some rows.

    For each side's upper layers: one forward as they are, one with each end put in, and for each
    point of the path one forward and backward (which is that of the end where a point is one).
    ModelError where a gradient is not finite.
    """
    for end in (left, right):
        check_followed(end)
    return RowsPath(*(_tail(path, rows, (left, right), end, scalar) for end in (left, right)))


def _tail(
    path: GradientPath, rows: Sequence[Row], ends: tuple[End, End], own: End, scalar: Scalar
) -> RowsTail:
    site, model = path.site, cast(Differentiable, own.model)
    prompts = [row.tokens for row in rows]
    start = own.forward.activations.start
    here = _inside(rows, start, own.forward.activations.sites[site])
    left, right = (_laid(end.forward, site, rows, start, here) for end in ends)
    change = right - left
    values: dict[float, Tensor] = {}
    gradient = torch.zeros_like(left)
    for point in path.points:
        h = {0.0: left, 1.0: right}.get(point, left + point * change)
        found = model.gradients(prompts, scalar, [site], put={site: h})
        gradient += found.sites[site].detach().to(gradient) / len(path.points)
        values[point] = found.values
    plain = model.gradients(prompts, scalar, []).values
    for point, h in ((0.0, left), (1.0, right)):
        if point not in values:
            values[point] = model.gradients(prompts, scalar, [], put={site: h}).values
    at_left, at_right = values[0.0].double().cpu(), values[1.0].double().cpu()
    plain = plain.double().cpu()
    defined = torch.isfinite(at_left) & torch.isfinite(at_right) & torch.isfinite(plain)
    gradient[~defined.to(gradient.device)] = 0
    gradient[~here] = 0
    _check_finite(own.view, site, gradient, rows)
    along = (_wide(gradient) * _wide(change)).sum((1, 2)).cpu().double()
    nan = torch.full_like(along, torch.nan)
    kept = [torch.where(defined, one, nan) for one in (at_left, at_right, plain, along)]
    return RowsTail(gradient, start, *kept)


def _inside(rows: Sequence[Row], start: Sequence[int], h: Tensor) -> Bool[Tensor, "row pos"]:
    """The positions that hold tokens, not padding."""
    place = torch.arange(h.shape[1], device=h.device)
    begin = torch.tensor(list(start), device=h.device)[:, None]
    length = torch.tensor([len(row.tokens.ids) for row in rows], device=h.device)[:, None]
    return (place >= begin) & (place < begin + length)


def _laid(
    forward: Forward, site: Site, rows: Sequence[Row], start: Sequence[int], here: Tensor
) -> Float[Tensor, "row pos d_site"]:
    """What a model has at a site, laid out as another one lays its rows out; 0 at padding."""
    h, own = forward.activations.sites[site], forward.activations.start
    wide = h.to(here.device, torch.promote_types(h.dtype, torch.float32))
    if tuple(own) == tuple(start):
        return wide.masked_fill(~here[..., None], 0)
    out = torch.zeros_like(wide)
    for number, row in enumerate(rows):
        length = len(row.tokens.ids)
        source = wide[number, own[number] : own[number] + length]
        out[number, start[number] : start[number] + length] = source
    return out


def _wide(values: Tensor) -> Tensor:
    # Apple's GPU has no float64.
    return values if values.device.type == "mps" else values.double()


def _check_finite(view: str, site: Site, gradient: Tensor, rows: Sequence[Row]) -> None:
    if torch.isfinite(gradient.abs().sum()):
        return
    for row, values in zip(rows, gradient, strict=True):
        if not torch.isfinite(values).all():
            raise ModelError(
                f"views.{view}: the gradients at {site} are not finite for document"
                f" {row.tokens.example} ({row.tokens.text[:60]!r}). If its activations are, the"
                " number that is followed has no slope there: choose another scalar."
            )


def scalars_of(paths: Sequence[GradientPath], model: Model) -> Mapping[GradientPath, Scalar]:
    """The number of each path, in the tokens of the model that writes the prompts."""
    return {path: path.scalar.on(model) for path in paths}
