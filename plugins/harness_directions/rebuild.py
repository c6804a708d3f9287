"""From chosen features to a direction: the fit, its two records, and its table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from harness.contract import (
    JSON,
    Axes,
    Direction,
    Found,
    Inputs,
    Record,
    Sae,
    Undefined,
)
from harness.errors import ModelError, Problem, TaskError
from harness_directions import nnls
from harness_directions.options import RandomFeatures, SaeFeatures
from harness_directions.places import decoder_site, same_place

Options = SaeFeatures | RandomFeatures


def target_of(options: Options, inputs: Inputs) -> Direction | Undefined:
    """The direction to rebuild, after checking that this SAE's decoder rows can.

    Raises TaskError for a target of several vectors, ModelError for an SAE of another site or
    width.
    """
    target = inputs.directions[options.target]
    if isinstance(target, Undefined):
        return Undefined(f"the target {options.target!r} is undefined: {target.reason}")
    if len(target.vectors) != 1:
        raise TaskError(
            [
                Problem(
                    "target",
                    f"{options.target!r} has {len(target.vectors)} vectors. "
                    "Allowed: a direction of one vector. Choose another target",
                )
            ]
        )
    site = decoder_site(options.sae, inputs)
    if site is not None and not same_place(site, target.site):
        raise ModelError(
            f"sae {options.sae!r}: its decoder rows live at {site}, but the target "
            f"{options.target!r} at {target.site}. Allowed: an SAE and a target of the same site. "
            f"Find the target at {site}, or take an SAE of {target.site}"
        )
    return target


def decoder_rows(
    name: str, sae: Sae, features: Sequence[int], width: int
) -> Float[np.ndarray, "k d"]:
    """Decoder rows in float64 on the CPU. Raises ModelError where they have another width."""
    rows = sae.rows(torch.tensor(list(features), dtype=torch.int64))
    if rows.shape[-1] != width:
        raise ModelError(
            f"sae {name!r}: its decoder rows have {rows.shape[-1]} numbers, but the direction has "
            f"{width}. Allowed: an SAE of the same model and site. Check the SAE's path"
        )
    array: np.ndarray = rows.detach().cpu().double().numpy()
    return array


def rebuilt(
    options: Options, target: Direction, features: Sequence[int], inputs: Inputs
) -> tuple[Direction | Undefined, nnls.Fit | None]:
    """The target rebuilt from decoder rows, with its fit; Undefined where every weight is 0."""
    goal = target.vectors[0]
    rows = decoder_rows(options.sae, inputs.saes[options.sae], features, goal.shape[-1])
    try:
        fit = nnls.fit(rows, goal)
    except RuntimeError as error:
        return Undefined(f"the non-negative fit did not converge ({error})"), None
    if fit.cosine is None:
        return Undefined(
            f"no non-negative combination of the {len(features)} features points towards the "
            f"target {options.target!r}: every weight is 0"
        ), fit
    direction = Direction(
        site=target.site,
        vectors=fit.vector[None],
        reference_norm=float(np.linalg.norm(goal)),
        sae=options.sae,
        features=tuple(int(feature) for feature in features),
        weights=tuple(float(weight) for weight in fit.weights),
    )
    return direction, fit


def found(
    options: Options,
    direction: Direction | Undefined,
    fit: nnls.Fit | None,
    *,
    prompts: int,
    where: Axes,
    axes: Axes | None = None,
    more: tuple[Record, ...] = (),
) -> Found:
    """The direction with `direction.nmse@1` and `direction.cosine@1`, on the axes `where`.

    NMSE = ‖r − r_k‖²/‖r‖² in [0, 1] and cos(r, r_k) in (0, 1], both ratios. Both are undefined
    where features could not be chosen; the cosine also where every weight is 0 (NMSE is 1 there).
    """
    why = direction.reason if isinstance(direction, Undefined) else None

    def record(name: str, value: float | None) -> Record:
        return Record(
            id=f"direction.{name}@1",
            value=value,
            n=prompts,
            n_of="prompts",
            unit="ratio",
            options={"fit": options.fit},
            ci_why="a property of these two vectors; no interval is computed for it",
            undefined=why if value is None else None,
            axes={**where, "k": options.k},
        )

    nmse, cosine = (fit.nmse, fit.cosine) if fit else (None, None)
    records = (record("nmse", nmse), record("cosine", cosine))
    return Found(direction, axes=axes or {}, records=(*records, *more))


def record_axes(options: Options, inputs: Inputs) -> dict[str, JSON]:
    """The axes that every record of a rebuilt direction has: view, SAE and, if known, site."""
    axes: dict[str, JSON] = {"view": options.view, "sae": options.sae}
    site = decoder_site(options.sae, inputs)
    return axes if site is None else {**axes, "site": str(site)}


def counted(name: str, value: int | None, why: str | None, *, prompts: int, where: Axes) -> Record:
    """A number of latents as a record."""
    return Record(
        id=name,
        value=value,
        n=prompts,
        n_of="prompts",
        unit="latents",
        ci_why="a count of latents on these prompts; no interval is computed for it",
        undefined=why,
        axes=where,
    )
