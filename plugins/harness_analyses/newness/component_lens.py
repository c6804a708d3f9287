"""What the components of a change say to the head of a model: a logit lens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from harness.contract import (
    Arrays,
    Axes,
    Differentiable,
    Example,
    Findings,
    Model,
    Outcome,
    Prompt,
    Record,
    Site,
    Tokens,
)
from harness_analyses.newness.options import ComponentLensOptions as Options

ID = "component_lens.top_probability@1"
SIGNS = {"+": 1.0, "-": -1.0}
_NULL = "random directions, read in the same way"
_AT_ONCE = 16
"""Directions that a model reads in one batch."""
_ONE = "one direction through one head: nothing was drawn"


@dataclass(frozen=True)
class _Read:
    """Components of one variant of the statistic, with the axes of their numbers."""

    axes: Axes
    vectors: Float64[np.ndarray, "components d"]
    length: float


class ComponentLens:
    """Reads components of what an SAE leaves of a change with a model's last norm and head.

    For each component v, a unit vector `[d_model]`, and each sign s: the model is given s·a·v in
    the place of its last block's output, a the root mean square length of the right side's
    activations; `p = softmax(W_U · Norm(s·a·v))` over the vocabulary. With RMSNorm the length
    hardly matters. `component_lens.top_probability@1` is the largest p, by axes `pc` and `sign`.
    Its null is the same of `draws` random directions of that length: mean, and 95th percentile
    `q95`. A head says something of any direction; above q95 it says more than of chance.

    Table `tokens`: for each component and sign the `top` tokens with their p. Tokens are what a
    model could write, hence hostile. They mean little where the component acts far below the last
    block.

    Unit: share, 0 to 1. No intervals. Undefined where the statistic kept no components, or they are
    of another width than the model's.
    Source: nostalgebraist 2020 for the lens; METHODS 2, sections 3 and 5.
    """

    def __init__(self, options: Options) -> None:
        self.options = options

    def run(self, findings: Findings) -> Outcome:
        """The records and the table, for every variant of the statistic."""
        model = findings.tools.models.get(self.options.model)
        read = list(self._read(findings))
        if model is None or not read:
            why = f"statistics.{self.options.statistic} kept no components"
            return Outcome((self._record({}, None, why),))
        width = model.facts.d_model
        records: list[Record] = []
        rows: list[dict[str, Any]] = []
        for one in read:
            if one.vectors.shape[1] != width:
                why = (
                    f"the components have {one.vectors.shape[1]} numbers, and the head of "
                    f"{self.options.model} reads {width}"
                )
                records.append(self._record(one.axes, None, why))
                continue
            found, listed = self._through(model, one, findings.seed)
            records += found
            rows += listed
        return Outcome(tuple(records), {"tokens": rows} if rows else {})

    def _read(self, findings: Findings) -> Iterator[_Read]:
        for kept in findings.arrays:
            vectors = kept.values.get("components")
            if kept.statistic != self.options.statistic or vectors is None or not len(vectors):
                continue
            axes = _place(kept, findings)
            if (
                self.options.pair is None
                or axes.get("pair", self.options.pair) == self.options.pair
            ):
                wanted = np.asarray(vectors, np.float64)[: self.options.components]
                yield _Read(axes, wanted, float(np.asarray(kept.values["length"]).ravel()[0]))

    def _through(
        self, model: Model, one: _Read, seed: int
    ) -> tuple[list[Record], list[dict[str, Any]]]:
        draws = np.random.default_rng([seed % 2**64, one.vectors.shape[1]])
        chance = draws.standard_normal((self.options.draws, one.vectors.shape[1]))
        chance /= np.linalg.norm(chance, axis=1, keepdims=True)
        largest = [float(p.max()) for p in predicted(model, one.length * chance)]
        null = {
            "kind": _NULL,
            "value": float(np.mean(largest)),
            "q95": float(np.quantile(largest, 0.95)),
        }
        signed = [(pc, sign) for pc in range(len(one.vectors)) for sign in SIGNS]
        vectors = np.array([SIGNS[sign] * one.length * one.vectors[pc] for pc, sign in signed])
        records, rows = [], []
        for (pc, sign), p in zip(signed, predicted(model, vectors), strict=True):
            axes = {**one.axes, "pc": pc + 1, "sign": sign}
            records.append(self._record(axes, float(p.max()), None, null=null))
            for rank, token in enumerate(torch.argsort(-p, stable=True)[: self.options.top], 1):
                rows.append(
                    {
                        **axes,
                        "rank": rank,
                        "token": int(token),
                        "text": model.decode([int(token)]),
                        "probability": float(p[token]),
                    }
                )
        return records, rows

    def _record(self, axes: Axes, value: float | None, why: str | None, **rest: Any) -> Record:
        return Record(
            ID,
            value,
            n=0 if value is None else 1,
            n_of="directions",
            unit="share",
            options={"model": self.options.model, "draws": self.options.draws},
            ci_why=why or _ONE,
            undefined=why,
            axes=axes,
            **rest,
        )


def predicted(
    model: Model, vectors: Float64[np.ndarray, "n d_model"]
) -> Iterator[Float64[Tensor, " vocabulary"]]:
    """What a model predicts where its last block gives each of these vectors, in float64."""
    assert model.facts.layers is not None, "a loaded model knows its depth"
    last = Site("resid_post", model.facts.layers - 1)
    (prompt,) = model.render([Example("component lens", "a")], Prompt())
    for start in range(0, len(vectors), _AT_ONCE):
        some = torch.from_numpy(vectors[start : start + _AT_ONCE]).float()
        put = some[:, None].expand(-1, len(prompt.ids), -1)
        seen: list[Tensor] = []

        def keep(logits: Tensor, tokens: Tokens, seen: list[Tensor] = seen) -> Tensor:
            seen.append(logits[-1].detach().cpu().double().softmax(0))
            return logits[-1, 0]

        cast(Differentiable, model).gradients([prompt] * len(some), keep, [], put={last: put})
        yield from seen


def _place(kept: Arrays, findings: Findings) -> dict[str, Any]:
    """Where the components are of: the axes that the statistic's own records add to its sweep."""
    axes: dict[str, Any] = dict(kept.axes)
    records: Sequence[Record] = [
        record
        for record in findings.records
        if record.id.startswith("change_rest.share@")
        and record.axes.get("statistic", kept.statistic) == kept.statistic
        and all(record.axes.get(name) == value for name, value in axes.items())
    ]
    for name in ("pair", "site", "sae"):
        found = {record.axes.get(name) for record in records}
        if len(found) == 1 and None not in found:
            axes.setdefault(name, found.pop())
    return axes
