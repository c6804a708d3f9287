"""Views whose model is edited while it reads: what an intervention does downstream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from harness.contract import (
    Activations,
    Arm,
    Differentiable,
    Gradients,
    Model,
    Receipt,
    Scalar,
    Site,
    Tokens,
)
from harness.running.interventions import DirectedIntervention
from harness.store.keys import key_of

if TYPE_CHECKING:
    from torch import Tensor


class EditedModel:
    """A model that reads under an intervention; in everything else the model itself.

    Where the intervention needs another view's activations of the same tokens, that view's model
    `beside` reads each batch first, up to the direction's site. After each batch, `receipts` has
    grown by what the edits did in it; `idle` says whether the last batch's edits change nothing on
    purpose, `gated` whether they act only where a condition holds.
    """

    def __init__(
        self,
        model: Model,
        intervention: DirectedIntervention,
        *,
        name: str,
        beside: Model | None = None,
    ) -> None:
        self._model = model
        self._intervention = intervention
        self._name = name
        self._beside = beside
        self.receipts: list[Receipt] = []
        self.idle = self.gated = False
        read = [one.fingerprint for one in (model, beside) if one is not None]
        self.fingerprint = key_of(intervention.fingerprint, read)

    def __getattr__(self, name: str) -> Any:
        # While an object is copied it has no fields yet, and looking for `_model` would never end.
        if name == "_model":
            raise AttributeError(name)
        return getattr(self._model, name)

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """One forward over the batch, under the edits."""
        if not tokens:
            return self._model.activations(tokens, sites, logits=logits)
        with self._edited(tokens) as rows:
            return self._model.activations(rows, sites, logits=logits)

    def gradients(
        self,
        tokens: Sequence[Tokens],
        scalar: Scalar,
        sites: Sequence[Site],
        *,
        put: Mapping[Site, Tensor] | None = None,
    ) -> Gradients:
        """One forward and one backward over the batch, under the edits and through them."""
        model = cast(Differentiable, self._model)
        if not tokens:
            return model.gradients(tokens, scalar, sites, put=put)
        with self._edited(tokens) as rows:
            return model.gradients(rows, scalar, sites, put=put)

    @contextmanager
    def _edited(self, tokens: Sequence[Tokens]) -> Iterator[Sequence[Tokens]]:
        """The prompts with their arms, for as long as the edits act; then `receipts` has grown."""
        arms = self._arms(tokens)
        with self._model.edited(arms) as receipts:
            yield [replace(one, arm=i if len(arms) > 1 else 0) for i, one in enumerate(tokens)]
        self.receipts += receipts
        self.idle = all(arm.idle for arm in arms)
        self.gated = all(arm.gated for arm in arms)

    def _arms(self, tokens: Sequence[Tokens]) -> Sequence[Arm]:
        """One arm for each row where the edits differ by token, otherwise one for all rows."""
        if self._beside is None:
            return [self._intervention.arm(self._name, self._model)]
        site = self._intervention.direction.site
        beside = self._beside.activations(tokens, [site]).sites[site]
        return self._intervention.arms_beside(self._name, self._model, beside)
