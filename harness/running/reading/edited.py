"""Views whose model is edited while it reads: what an intervention does downstream."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.contract import (
    Activations,
    Arm,
    Direction,
    Intervention,
    InterventionOptions,
    Model,
    PairedIntervention,
    Receipt,
    Sae,
    SaeIntervention,
    Site,
    Tokens,
)
from harness.task.task import Entry


class EditedModel:
    """A model that reads under an intervention; in everything else the model itself.

    Where the intervention needs another view's activations of the same tokens, that view's model
    reads them first, up to the direction's site. `receipts` says what the edits did.
    """

    def __init__(
        self,
        model: Model,
        entry: Entry[InterventionOptions],
        direction: Direction,
        *,
        name: str,
        beside: Model | None = None,
        sae: Sae | None = None,
    ) -> None:
        self._model = model
        self._beside = beside
        self._direction = direction
        self._entry = entry
        self._name = name
        self._sae = sae
        self.receipts: list[Receipt] = []
        self.idle = False
        parts = [model, beside, sae]
        about = [
            str(entry.owner),
            entry.owner.plugin.version,
            entry.options.model_dump_json(),
            *(part.fingerprint for part in parts if part is not None),
        ]
        digest = hashlib.sha256(direction.vectors.astype("<f8").tobytes())
        digest.update(repr((about, str(direction.site), direction.features)).encode())
        self.fingerprint = digest.hexdigest()

    def __getattr__(self, name: str) -> Any:
        # Without this, a copy that is being made would look for its model for ever.
        if name == "_model":
            raise AttributeError(name)
        return getattr(self._model, name)

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """One forward over the batch, under the edits."""
        if not tokens:
            return self._model.activations(tokens, sites, logits=logits)
        arms = self._arms(tokens)
        rows = [replace(one, arm=i if len(arms) > 1 else 0) for i, one in enumerate(tokens)]
        with self._model.edited(arms) as receipts:
            found = self._model.activations(rows, sites, logits=logits)
        self.receipts += receipts
        self.idle = all(arm.idle for arm in arms)
        return found

    def _arms(self, tokens: Sequence[Tokens]) -> Sequence[Arm]:
        built: Any = self._entry.build()
        model, name, direction = self._model, self._name, self._direction
        if self._beside is not None:
            paired: PairedIntervention = built
            site = direction.site
            beside = self._beside.activations(tokens, [site])
            return paired.arms(name, direction, model.facts, model.dtype, beside.sites[site])
        if self._entry.options.on_sae:
            asked: SaeIntervention = built
            return [asked.arm(name, direction, model.facts, model.dtype, self._sae)]
        plain: Intervention = built
        return [plain.arm(name, direction, model.facts, model.dtype)]
