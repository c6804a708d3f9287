"""How a fine-tune moves the first tokens of text, whatever the text is about: the mean change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.contract import Batch, Inputs, Outcome, Record, State
from harness.contract.sites import parse_site
from harness_statistics.inputs import block
from harness_statistics.mean_difference.means import (
    Means,
    Place,
    balanced_signs,
    halves,
    permuted,
)
from harness_statistics.mean_difference.options import MeanDifferenceOptions as Options
from harness_statistics.records import number
from harness_statistics.sums import Summed, plus

_NORM, _RELATIVE = "mean_difference.norm@1", "mean_difference.relative@1"
_SHARE, _SPLIT = "mean_difference.share@1", "mean_difference.split_half@1"
_UNITS = {_NORM: "norm", _RELATIVE: "ratio", _SHARE: "share", _SPLIT: "cosine"}
"""The units of the records, by id."""
_PERMUTED, _INDEPENDENT = {"kind": "labels permuted"}, {"kind": "independent changes"}
_BIASED = "noise alone makes a mean longer; its null says how long"
_SHARED = "its draws share documents, so their spread is no interval"


class MeanDifference(Summed):
    """Averages x_right − x_left over documents, at each of the first positions.

    δ_p = mean over documents of x_right(p) − x_left(p), both models on the same tokens. A narrow
    fine-tune moves the first tokens of any text, and δ_p says what it was about: analyses
    `logit_lens` and `patchscope` read it. x: Float[Tensor, "tokens d_site"]; sums in float64, each
    token subtracted by itself, so that the same models give exactly 0.

    | record | formula | range | null |
    |---|---|---|---|
    | `mean_difference.norm@1` | ‖δ_p‖ | [0, ∞) | labels permuted |
    | `mean_difference.relative@1` | ‖δ_p‖ / s | [0, ∞) | labels permuted |
    | `mean_difference.share@1` | ‖δ_p‖² / mean ‖x_right − x_left‖² | [0, 1] | 1 / documents |
    | `mean_difference.split_half@1` | mean cosine of two halves' δ_p | [−1, 1] | 0 |

    Axes `pair`, `site` and `position`. s: the mean of ‖x_right‖ from the last of the positions on.
    Documents fall into `groups` by the hash of their id. *Labels permuted*: which model is the
    fine-tuned one is exchanged in half of the groups, drawn anew `draws` times, and δ_p computed
    as the mean of the groups' means; the null's `value` is the mean of the norms, and `p` is
    (1 + draws at least as long) / (1 + draws). Halves are drawn alike.

    Arrays, by `<pair>/<site>/<what>`: see `mean_difference.means`. Tokens are those that passed
    the filters of the pair.
    Undefined: at a position that no document has; a share where no token moved; halves where there
    are fewer than two groups, or one of them did not move.
    Source: Minder et al., arXiv 2510.13900, section 3, where the null is not; METHODS2 section 3.
    """

    def __init__(self, given: Options) -> None:
        self.options = given
        self.site = parse_site(given.site)
        self.places = torch.tensor(given.positions, dtype=torch.long)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the tokens of a batch that stand at the positions, and the norms of later ones."""
        if not len(batch.selected):
            return state
        assert batch.right is not None, "mean_difference reads a pair"
        position = batch.position[batch.selected]
        later = batch.selected[position >= self.places[-1]]
        which, at = (position[:, None] == self.places).nonzero(as_tuple=True)
        token = batch.selected[which]
        left = _rows(batch.left.x(self.site), token)
        right = batch.right.x(self.site)
        change = _rows(right, token) - left
        owner = batch.document[token]
        group = torch.tensor([self._group(id) for id in batch.documents])[owner]
        cells = self.options.groups, len(self.places)
        cell = group * cells[1] + at
        first = torch.tensor(batch.copies)[owner] == 0 if batch.copies else torch.ones_like(at) > 0
        return plus(
            state,
            {
                "count": np.bincount(cell, minlength=cells[0] * cells[1]).reshape(cells),
                "left": _summed(left, cell, cells),
                "change": _summed(change, cell, cells),
                "square": np.bincount(at, change.square().sum(1).cpu(), minlength=cells[1]),
                "documents": np.bincount(at[first], minlength=cells[1]),
                "norm": np.array([_norms(right, later)]),
                "norm_count": np.array([len(later)]),
            },
        )

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Makes the records of each position, and keeps the sums as arrays."""
        site = str(block(self.site, inputs))
        if "count" not in state:
            records = [
                _Where(self.options.pair, site, one).record(
                    id, None, "no document has a measured token"
                )
                for one in self.options.positions
                for id in _UNITS
            ]
            return Outcome(tuple(records))
        means = Means(positions=np.array(self.options.positions, dtype=np.int64), **state)
        records = [
            record
            for at in range(len(means.positions))
            for record in self._records(means, at, site, inputs.seed)
        ]
        return Outcome(tuple(records), arrays=means.arrays(Place(self.options.pair, site)))

    def _records(self, means: Means, at: int, site: str, seed: int) -> Iterator[Record]:
        tokens, documents = int(means.tokens[at]), int(means.documents[at])
        where = _Where(self.options.pair, site, int(means.positions[at]), tokens, documents)
        if not tokens:
            why = f"no document has a measured token at position {where.position}"
            yield from (where.record(id, None, why) for id in _UNITS)
            return
        size = float(np.linalg.norm(means.difference(at)))
        drawn, p = self._drawn(means, at, seed)
        for id, scale in ((_NORM, 1.0), (_RELATIVE, means.usual_norm())):
            if not scale:
                yield where.record(id, None, "no token there has a length to compare with")
                continue
            least = 1 / (1 + self.options.draws)
            tested = {"p": p, "least_p": least}
            null = None if drawn is None else {**_PERMUTED, "value": drawn / scale, **tested}
            yield where.record(id, size / scale, None, _BIASED, null)
        square = float(means.square[at])
        share = min(1.0, size**2 * tokens / square) if square else None
        alone = {**_INDEPENDENT, "value": 1 / documents} if documents else None
        yield where.record(_SHARE, share, None if square else "no token moved", _BIASED, alone)
        cosine, why_not = self._split(means, at, seed)
        yield where.record(_SPLIT, cosine, why_not, _SHARED, {**_INDEPENDENT, "value": 0.0})

    def _drawn(self, means: Means, at: int, seed: int) -> tuple[float | None, float | None]:
        """The mean norm with permuted labels, and the share of draws that are as long."""
        by_group = means.by_group(at)
        if len(by_group) < 2:
            return None, None
        signs = balanced_signs(len(by_group), self.options.draws, seed)
        drawn = np.linalg.norm(permuted(by_group, signs), axis=1)
        as_long = int((drawn >= np.linalg.norm(by_group.mean(0))).sum())
        return float(drawn.mean()), (1 + as_long) / (1 + len(drawn))

    def _split(self, means: Means, at: int, seed: int) -> tuple[float | None, str | None]:
        by_group = means.by_group(at)
        if len(by_group) < 2:
            return None, "two halves need two groups of documents with a token there"
        one, other = halves(by_group, balanced_signs(len(by_group), self.options.draws, seed))
        sizes = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        if not (sizes > 0).all():
            return None, "a half of the documents did not move"
        return float(((one * other).sum(1) / sizes).mean()), None

    def _group(self, document: str) -> int:
        """The group of a document: the same in every shard, process and version."""
        digest = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.options.groups


@dataclass(frozen=True)
class _Where:
    """What a record is of, and of how much."""

    pair: str
    site: str
    position: int
    tokens: int = 0
    documents: int = 0

    def record(
        self,
        id: str,
        value: float | None,
        why: str | None,
        ci_why: str = "",
        null: Mapping[str, Any] | None = None,
    ) -> Record:
        """A record here; undefined where `why` says so."""
        return number(
            id, value, why, ci_why=ci_why, n=self.tokens, n_of="tokens", unit=_UNITS[id],
            clusters=self.documents, null=null,
            axes={"pair": self.pair, "site": self.site, "position": self.position},
        )  # fmt: skip


def _rows(x: Tensor, token: Tensor) -> Tensor:
    """The activations of some tokens, float64."""
    rows = x.index_select(0, token.to(x.device)).detach()
    # Apple's GPU knows no float64.
    return (rows.cpu() if x.device.type == "mps" else rows).double()


def _summed(rows: Tensor, cell: Tensor, cells: tuple[int, int]) -> np.ndarray:
    """Σ of the rows of each cell, `[groups, positions, d]`."""
    total = rows.new_zeros(cells[0] * cells[1], rows.shape[1])
    total.index_add_(0, cell.to(rows.device), rows)
    return total.reshape(*cells, -1).cpu().numpy()


def _norms(x: Tensor, token: Tensor) -> float:
    """Σ ‖x‖ over some tokens."""
    each = torch.linalg.vector_norm(x.detach(), dim=1)
    return float(each.cpu().index_select(0, token.cpu()).double().sum())
