"""Describes features by the tokens of the contexts in which they are most active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness.contract import Arrays, Findings, Label, SaeFacts
from harness.errors import DataError
from harness.text import well_formed
from harness_labels.options import ContextsOptions


class Contexts:
    """Makes labels of the contexts that a statistic of the method `contexts` collected.

    The description is a list of the most characteristic tokens: those with the largest share of
    the feature's activation in its contexts, such as `" sorry" 61%, " cannot" 22%`. Each context
    has `tokens`, `values` (the latent on each), `mark` (the place of the strongest one), `value`,
    `document` (a hash) and `position`. A feature that was never active has no label.

    Raises DataError where the statistic kept nothing that fits the SAE.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, given: ContextsOptions) -> None:
        self.options = given

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """A label for each feature that was active."""
        arrays = self._arrays(sae, facts, findings)
        model = findings.tools.models[self.options.model]

        @lru_cache(maxsize=65536)
        def written(token: int) -> str:
            return well_formed(model.decode([token]))

        labels = []
        width = len(arrays["values"])
        for feature in (feature for feature in features if feature < width):
            slots = [s for s in range(arrays["values"].shape[1]) if arrays["values"][feature, s]]
            if slots:
                contexts = [_context(arrays, feature, slot, written) for slot in slots]
                text = _description(contexts, self.options.words)
                labels.append(Label(sae, feature, text, contexts=tuple(contexts)))
        return labels

    def _arrays(self, sae: str, facts: SaeFacts, findings: Findings) -> Mapping[str, np.ndarray]:
        name = self.options.statistic
        found = [one for one in findings.arrays if one.statistic == name and _whole(one, sae)]
        if len(found) != 1 or "activations" not in found[0].values:
            raise DataError(
                f"labels of {sae}: the statistic {name!r} kept {len(found)} sets of contexts for "
                "it. Allowed: one. Name a statistic of the method `contexts` on this SAE."
            )
        width = len(found[0].values["values"])
        if facts.d_sae is not None and width != facts.d_sae:
            raise DataError(
                f"labels of {sae}: the statistic {name!r} has contexts of {width} features, the "
                f"SAE has {facts.d_sae}. Name a statistic of the method `contexts` on this SAE."
            )
        return found[0].values


def _whole(arrays: Arrays, sae: str) -> bool:
    """Whether these are of all categories together, and of this SAE where a sweep has several."""
    return "domain" not in arrays.axes and arrays.axes.get("sae", sae) == sae


def _context(
    arrays: Mapping[str, np.ndarray], feature: int, slot: int, written: Any
) -> dict[str, Any]:
    ids: Int[np.ndarray, " window"] = arrays["ids"][feature, slot]
    active: Float[np.ndarray, " window"] = arrays["activations"][feature, slot]
    present = ids >= 0
    return {
        "tokens": [written(int(token)) for token in ids[present]],
        "values": [float(value) for value in active[present]],
        "mark": int(present[: int(arrays["centre"][0])].sum()),
        "value": float(arrays["values"][feature, slot]),
        "document": f"{int(arrays['documents'][feature, slot]):016x}",
        "position": int(arrays["positions"][feature, slot]),
    }


def _description(contexts: Sequence[Mapping[str, Any]], words: int) -> str:
    weight: dict[str, float] = {}
    for context in contexts:
        for token, value in zip(context["tokens"], context["values"], strict=True):
            weight[token] = weight.get(token, 0.0) + abs(value)
    total = sum(weight.values())
    ordered = sorted((token for token in weight if weight[token]), key=lambda t: (-weight[t], t))
    shares = {token: weight[token] / total for token in ordered[:words]}
    return ", ".join(f'"{token}" {share:.0%}' for token, share in shares.items() if share >= 0.005)
