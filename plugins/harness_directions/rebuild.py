"""Rebuilds a target direction from chosen SAE features: the fit and its records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from harness.contract import (
    Axes,
    Batch,
    Direction,
    Found,
    Inputs,
    Record,
    State,
    Undefined,
)
from harness.errors import ModelError, Problem, TaskError
from harness_directions import latent_sums, nnls
from harness_directions.options import RandomFeaturesOptions, SaeFeaturesOptions
from harness_directions.places import decoder_rows, decoder_site
from harness_directions.states import Sums

Chosen = TypeVar("Chosen", SaeFeaturesOptions, RandomFeaturesOptions)


class Rebuilt(Sums[Chosen]):
    """A finder that rebuilds a target direction from decoder rows of features that it chooses."""

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's latents to the sums of its set of prompts."""
        return latent_sums.update(state, batch, self.options.sae)

    def target(self, inputs: Inputs) -> Direction | Undefined:
        """The direction to rebuild, after checking that this SAE's decoder rows can.

        Raises TaskError for a target of several vectors, ModelError for an SAE of another site.
        """
        options = self.options
        target = inputs.directions[options.target]
        if isinstance(target, Undefined):
            return Undefined(f"the target {options.target!r} is undefined: {target.reason}")
        if len(target.vectors) != 1:
            what = (
                f"{options.target!r} has {len(target.vectors)} vectors. "
                "Allowed: a direction of one vector. Choose another target"
            )
            raise TaskError([Problem("target", what)])
        site = decoder_site(options.sae, inputs)
        if site is not None and not site.same_place(target.site):
            raise ModelError(
                f"sae {options.sae!r}: its decoder rows live at {site}, but the target "
                f"{options.target!r} at {target.site}. Allowed: an SAE and a target of the same "
                f"site. Find the target at {site}, or take an SAE of {target.site}"
            )
        return target

    def rebuild(
        self, target: Direction, features: Sequence[int], inputs: Inputs
    ) -> tuple[Direction | Undefined, nnls.Fit | None]:
        """The target rebuilt from decoder rows, with its fit; Undefined where every weight is 0.

        Raises ModelError where the decoder rows have another width than the target.
        """
        options, goal = self.options, target.vectors[0]
        rows = decoder_rows(inputs.saes[options.sae], features)
        if rows.shape[-1] != goal.shape[-1]:
            raise ModelError(
                f"sae {options.sae!r}: its decoder rows have {rows.shape[-1]} numbers, but the "
                f"direction has {goal.shape[-1]}. Allowed: an SAE of the same model and site. "
                "Check the SAE's path"
            )
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
            features=tuple(features),
            weights=tuple(float(weight) for weight in fit.weights),
            origin=target.origin,
        )
        return direction, fit

    def axes(self, inputs: Inputs) -> Axes:
        """The axes that every record of a rebuilt direction has: view, SAE and, if known, site."""
        axes: Axes = {"view": self.options.view, "sae": self.options.sae}
        site = decoder_site(self.options.sae, inputs)
        return axes if site is None else {**axes, "site": str(site)}

    def found(
        self,
        direction: Direction | Undefined,
        fit: nnls.Fit | None,
        inputs: Inputs,
        *,
        prompts: int,
        axes: Axes | None = None,
        more: tuple[Record, ...] = (),
    ) -> Found:
        """The direction with `direction.nmse@1` and `direction.cosine@1`.

        NMSE = ‖r − r_k‖²/‖r‖² in [0, 1] and cos(r, r_k) in (0, 1], both ratios. Both are undefined
        where the direction is: no features could be chosen, or every weight is 0.
        """
        why = direction.reason if isinstance(direction, Undefined) else None
        nmse, cosine = (fit.nmse, fit.cosine) if fit and why is None else (None, None)
        records = tuple(
            Record(
                id=f"direction.{name}@1",
                value=value,
                n=prompts,
                n_of="prompts",
                unit="ratio",
                options={"fit": self.options.fit},
                ci_why="a property of these two vectors; no interval is computed for it",
                undefined=why if value is None else None,
                axes={**self.axes(inputs), "k": self.options.k},
            )
            for name, value in (("nmse", nmse), ("cosine", cosine))
        )
        return Found(direction, axes=axes or {}, records=records + more)

    def counted(
        self, name: str, value: int | None, why: str | None, inputs: Inputs, *, prompts: int
    ) -> Record:
        """A number of latents as a record, undefined with the reason `why` where it is None."""
        return Record(
            id=name,
            value=value,
            n=prompts,
            n_of="prompts",
            unit="latents",
            ci_why="a count of latents on these prompts; no interval is computed for it",
            undefined=why if value is None else None,
            axes=self.axes(inputs),
        )
