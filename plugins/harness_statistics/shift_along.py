"""How far a fine-tune moves text along a direction, such as a persona vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from harness.contract import Batch, Inputs, Outcome, Record, State, Undefined
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError
from harness.results.replicates import group_rows, replicated
from harness_statistics.inputs import block, components
from harness_statistics.options import ShiftAlongOptions
from harness_statistics.records import drawn
from harness_statistics.sums import plus

_PROJECTION, _DISTANCE, _SHARE = (
    f"shift_along.{name}@1" for name in ("projection", "distance", "share")
)
_UNITS = {_PROJECTION: "activation", _DISTANCE: "ratio", _SHARE: "share"}
_NULLS = {_PROJECTION: ("identical", 0.0), _DISTANCE: ("identical", 0.0)}


class ShiftAlong:
    """Measures Δ·v̂, Δ = mean over documents of x_right − x_left, v̂ = v/‖v‖ the direction.

    Each document counts the same: the mean over its tokens first. With `tokens = "last"`, v a
    persona vector and a pair of base and fine-tune this is the *finetuning shift*: how far the last
    token before the answer has moved towards the trait. x: Float[Tensor, "tokens d_site"]; sums in
    float64, each token subtracted by itself, so the same models give exactly 0.

    | record | formula | range | null |
    |---|---|---|---|
    | `shift_along.projection@1` | Δ·v̂, in units of the activation | (−∞, ∞) | 0 |
    | `shift_along.distance@1` | Δ·v / ‖v‖² | (−∞, ∞) | 0 |
    | `shift_along.share@1` | (Δ·v̂)² / ‖Δ‖² | [0, 1] | 1/d, a random direction |

    At distance 1 the fine-tune has gone as far as from the mean of the negative data to that of the
    positive ones, where v is their difference. Axes `pair`, `site` and `along`. Intervals: by
    documents, with v as it is; share's is of a number that cannot be below 0.
    Undefined: without tokens, where the direction is undefined, and the share where Δ is 0.
    Raises ModelError for a direction at another site, TaskError for one of several vectors.
    Source: Chen et al. 2025, "Persona Vectors" (arXiv 2507.21509), section 4, finetuning shift,
    which is not divided by ‖v‖; the share is ours.
    """

    def __init__(self, given: ShiftAlongOptions) -> None:
        self.options = given
        self.site = parse_site(given.site)

    def start(self, inputs: Inputs) -> State:
        """The seed that documents are grouped by; every sum is zero."""
        return {"seed": np.array([inputs.seed % 2**63], np.int64)}

    def update(self, state: State, batch: Batch) -> State:
        """Adds each document's mean change, to all and to its group of documents."""
        if not len(batch.selected):
            return state
        assert batch.right is not None, "shift_along reads a pair"
        rows = [side.x(self.site).detach() for side in (batch.left, batch.right)]
        rows = [
            (x.cpu() if x.device.type == "mps" else x)[batch.selected.to(x.device)].double()
            for x in rows
        ]
        change = rows[1] - rows[0].to(rows[1].device)
        owner = batch.document[batch.selected]
        document, place, count = torch.unique(owner, return_inverse=True, return_counts=True)
        total = change.new_zeros(len(document), change.shape[1])
        means = total.index_add_(0, place.to(change.device), change).cpu() / count[:, None]
        names = [batch.documents[int(i)] for i in document]
        rows_of = group_rows(names, int(state["seed"][0]))
        sizes = np.bincount(owner.numpy(), minlength=len(batch.documents))
        sums = {
            "change": rows_of @ means.numpy(),
            "weight": rows_of.sum(1),
            "documents": np.array([len(document)]),
            "clusters": np.array([batch.clusters(sizes)]),
        }
        return {**plus(_sums(state), sums), "seed": state["seed"]}

    def merge(self, left: State, right: State) -> State:
        """The sums of both."""
        return {**plus(_sums(left), _sums(right)), "seed": left["seed"]}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The records; there is no table."""
        given, site = self.options, block(self.site, inputs)
        found = components(inputs, given.direction, site, "the change is measured")
        if not isinstance(found, Undefined) and len(found.vectors) != 1:
            what = (
                f"{given.direction!r} has {len(found.vectors)} vectors. Allowed: a direction of "
                "one vector. Choose another, or one of its components by itself"
            )
            raise TaskError([Problem("direction", what)])
        why, moved = None, None
        if isinstance(found, Undefined):
            why = f"the direction {given.direction!r} is undefined: {found.reason}"
        elif "change" not in state:
            why = f"the pair {given.pair!r} has no token to measure"
        else:
            moved = _Moved.of(state, found.vectors[0])
        values = {} if moved is None else moved.values()
        documents = int(state["documents"][0]) if "documents" in state else 0
        clusters = int(state["clusters"][0]) if "clusters" in state else 0
        return Outcome(
            tuple(
                self._record(id, values.get(id), why, documents, clusters, str(site), moved)
                for id in _UNITS
            )
        )

    def _record(
        self,
        id: str,
        replicates: Float[np.ndarray, " replicates"] | None,
        why: str | None,
        documents: int,
        clusters: int,
        site: str,
        moved: _Moved | None,
    ) -> Record:
        null = None if id not in _NULLS else dict(zip(("kind", "value"), _NULLS[id], strict=True))
        if id == _SHARE and moved is not None:
            null = {"kind": "a random direction", "value": 1 / moved.width}
        given = self.options
        return drawn(
            id, replicates, why or "nothing moved on average", clusters=clusters, n=documents,
            n_of="documents", unit=_UNITS[id], options={"tokens": given.tokens}, null=null,
            axes={"pair": given.pair, "site": site, "along": given.direction},
        )  # fmt: skip


@dataclass(frozen=True)
class _Moved:
    """Δ·v̂ and ‖Δ‖ of every replicate of the documents; NaN where it has none."""

    along: Float[np.ndarray, " replicates"]
    size: Float[np.ndarray, " replicates"]
    length: float
    width: int

    @classmethod
    def of(cls, state: State, vector: Float[np.ndarray, " d"]) -> _Moved:
        length = float(np.linalg.norm(vector))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = replicated(state["change"]) / replicated(state["weight"])[:, None]
        along = mean @ (vector / length)
        return cls(along, np.linalg.norm(mean, axis=1), length, len(vector))

    def values(self) -> dict[str, Float[np.ndarray, " replicates"]]:
        """By id, the number of every replicate."""
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.minimum(1.0, (self.along / self.size) ** 2)
        return {_PROJECTION: self.along, _DISTANCE: self.along / self.length, _SHARE: share}


def _sums(state: State) -> State:
    return {name: array for name, array in state.items() if name != "seed"}
