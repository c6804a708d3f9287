"""Centered kernel alignment: whether both sides lay their tokens out alike, up to a rotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents
from harness_metrics.options import CkaOptions

LINEAR, DEBIASED = (f"cka.{name}@1" for name in ("linear", "debiased"))
PROBES = 512
"""Random pairs of vectors with which each document's moments are sketched for the interval."""
AT_ONCE = 1024
"""Tokens that are sketched at a time: 30 MB."""
FEWEST = 4
"""Tokens from which the debiased estimate exists."""
_WHY = "one side does not vary, or no token was measured"
_FEW = f"{_WHY}; or there are fewer than {FEWEST} tokens, or too few for a side's own HSIC"
_SAME = {"kind": "identical", "value": 1.0}
_UNDEFINED = {LINEAR: _WHY, DEBIASED: _FEW}
Moments = Mapping[str, Float64[np.ndarray, "..."]]


class Cka:
    """Compares how two sides lay out the same tokens, whatever the rotation and the scale.

    With X, Y: Float[Tensor, "tokens d"] both sides' activations at the site, their columns centered
    over the selected tokens,

    | value | formula |
    |---|---|
    | `cka.linear` | `‖XᵀY‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F)` |
    | `cka.debiased` | `H(X, Y) / √(H(X, X) H(Y, Y))`, H the unbiased estimate of HSIC |

    Both are made of sums: Σ x, Σ x yᵀ, and for H also Σ ‖x‖² y, Σ ‖x‖²‖y‖² and their like, which
    give `H = [tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1 / ((n−1)(n−2)) − 2·1ᵀK̃L̃1 / (n−2)] / (n(n−3))`: K̃ and L̃ are the
    Gram matrices XXᵀ and YYᵀ with an empty diagonal. Three matrices `[d, d]` in float64 are kept
    for each site. `linear` of n tokens is too large by about d/n of them; `debiased` treats tokens
    as independent, and may leave [0, 1] by chance.

    The interval is by documents: each document's moments are sketched by uᵀXᵀYv with 512 fixed
    random pairs of signs u, v, and a draw moves the number by what its sketch differs from that of
    the data, to first order. Where the sides have nothing in common (a value near 0) that is too
    narrow: the first order vanishes there.

    Unit: ratio, 0 to 1. Symmetric. 1 where both sides are the same model, and for any rotation of
    it. Undefined where a side does not vary.

    Source: Kornblith et al. 2019, section 3; Song et al. 2012, equation 5, for H; Nguyen et al.
    2021 for its use in CKA.
    """

    def __init__(self, options: CkaOptions, target: Target) -> None:
        self._site = target.site
        self.values = tuple(
            MetricValue(f"cka.{name}@1", "ratio", "tokens", _UNDEFINED[f"cka.{name}@1"], _SAME)
            for name in options.variants
        )

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """The moments of the batch, and of each document a sketch of them."""
        assert batch.right is not None, "cka is measured on pairs"
        x, y = (
            documents.wide(documents.selected(batch, one.x(self._site)))
            for one in (batch.left, batch.right)
        )
        sketch = _sketch(batch, x, y)
        return {
            "n": documents.counts(batch),
            "sketch": sketch,
            "total.n": documents.counts(batch).sum(0, keepdim=True),
            "total.sketch": sketch.sum(0, keepdim=True),
            **{f"total.{name}": moment[None] for name, moment in _moments(x, y).items()},
        }

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Both numbers of the data, moved by the sketch of each draw."""
        total = {
            name.removeprefix("total."): one[0]
            for name, one in sums.items()
            if name.startswith("total.")
        }
        linear = _linear(total)
        with np.errstate(divide="ignore", invalid="ignore"):
            change = _change(sums["sketch"], sums["n"], total["sketch"], total["n"])
        # A share of the plain number also for the debiased one, which may be 0.
        moved = linear * change
        found = {LINEAR: np.minimum(linear + moved, 1.0), DEBIASED: _debiased(total) + moved}
        return [found[value.id] for value in self.values]


def _moments(x: Float64[Tensor, "tokens d"], y: Float64[Tensor, "tokens d"]) -> dict[str, Tensor]:
    """Sums over tokens of which centered and debiased moments are made."""
    found: dict[str, Tensor] = {"x": x.sum(0), "y": y.sum(0)}
    sides = {"x": (x, x.square().sum(1)), "y": (y, y.square().sum(1))}
    for left, right in (("x", "y"), ("x", "x"), ("y", "y")):
        (one, its), (other, theirs) = sides[left], sides[right]
        found[left + right] = one.T @ other
        found[f"squares_{left}{right}"] = its @ theirs
        found[f"{left}_by_{right}"] = one.T @ theirs
        found[f"{right}_by_{left}"] = other.T @ its
    return found | {f"squares_{name}": its.sum() for name, (_, its) in sides.items()}


# ── The numbers ──────────────────────────────────────────────────────────────────────────────────


def _linear(total: Moments) -> float:
    """‖XᵀY‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) of centered columns; NaN where a side does not vary."""
    n = float(total["n"])
    if n < 1:
        return np.nan
    squares = []
    for name, left, right in (("xy", "x", "y"), ("xx", "x", "x"), ("yy", "y", "y")):
        centered = total[name] - np.outer(total[left], total[right]) / n
        squares.append(float(np.square(centered).sum()))
    cross, one, other = squares
    sizes = [float(np.square(total[name]).sum()) for name in ("xx", "yy")]
    varies = one > documents.SMALLEST * sizes[0] and other > documents.SMALLEST * sizes[1]
    return cross / np.sqrt(one * other) if varies else np.nan


def _debiased(total: Moments) -> float:
    """H(X, Y) / √(H(X, X) H(Y, Y)); NaN where one of the two below is not above 0."""
    if float(total["n"]) < FEWEST or np.isnan(_linear(total)):
        return np.nan
    own, other, cross = (_hsic(total, *names) for names in (("x", "x"), ("y", "y"), ("x", "y")))
    return cross / float(np.sqrt(own * other)) if own > 0 and other > 0 else np.nan


def _hsic(total: Moments, left: str, right: str) -> float:
    """The unbiased HSIC of linear kernels of two sides, from sums.

    With centered columns K1 = L1 = 0, and all but tr(KL) is made of the diagonals ‖x‖² and ‖y‖².
    H does not change when a side is shifted, so the columns may be centered first.
    """
    n = float(total["n"])
    x, y = total[left] / n, total[right] / n
    xx, yy = total[f"squares_{left}"], total[f"squares_{right}"]
    product = total[left + right]
    # Σ ‖x − x̄‖²‖y − ȳ‖², written out.
    both = (
        total[f"squares_{left}{right}"]
        - 2 * y @ total[f"{right}_by_{left}"]
        - 2 * x @ total[f"{left}_by_{right}"]
        + 4 * x @ product @ y
        + (y @ y) * xx
        + (x @ x) * yy
        - 3 * n * (x @ x) * (y @ y)
    )
    trace = np.square(product - n * np.outer(x, y)).sum() - both
    diagonals = (xx - n * x @ x) * (yy - n * y @ y)
    terms = trace + diagonals / ((n - 1) * (n - 2)) - 2 * both / (n - 2)
    return float(terms / (n * (n - 3)))


# ── The interval ─────────────────────────────────────────────────────────────────────────────────


def _sketch(
    batch: Batch, x: Float64[Tensor, "tokens d"], y: Float64[Tensor, "tokens d"]
) -> Float64[Tensor, "documents seven probes"]:
    """What `_sketched` gives, added up over the tokens of each document, a few at a time."""
    owner, count = documents.documents_of(batch), len(batch.documents)
    pieces = zip(x.split(AT_ONCE), y.split(AT_ONCE), owner.split(AT_ONCE), strict=True)
    parts = [documents.sums_by(_sketched(*sides), of, count) for *sides, of in pieces]
    return torch.stack(parts).sum(0)


def _sketched(
    x: Float64[Tensor, "tokens d"], y: Float64[Tensor, "tokens d"]
) -> Float64[Tensor, "tokens seven probes"]:
    """Of each token ux·vy, ux·vx, uy·vy, and ux, vx, uy, vy themselves, for every probe (u, v).

    The products with the signs are made in float32, in half the time: they say how wide an interval
    is, and the number itself is made of none of them.
    """
    probes = torch.cat(_probes(x.shape[1]), 1).to(x.device)
    ux, vx = (x.float() @ probes).to(x.dtype).split(PROBES, 1)
    uy, vy = (y.float() @ probes).to(y.dtype).split(PROBES, 1)
    return torch.stack([ux * vy, ux * vx, uy * vy, ux, vx, uy, vy], 1)


def _probes(d: int) -> tuple[Tensor, Tensor]:
    """Random signs, the same in every run: Float32 [d, probes], twice."""
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randint(0, 2, (2, d, PROBES), generator=generator).float() * 2 - 1
    return u, v


def _change(
    sketch: Float64[np.ndarray, "draws seven probes"],
    n: Float64[np.ndarray, " draws"],
    of_all: Float64[np.ndarray, "seven probes"],
    n_of_all: float,
) -> Float64[np.ndarray, " draws"]:
    """How far each draw's CKA is from that of all, relative to it, to first order.

    `log ‖A‖²` of a draw's moments A moves by `2 ⟨A₀, A − A₀⟩ / ‖A₀‖²`, A₀ those of all; inner
    products of matrices are means over probes of the products of their sketches.
    """
    draws, data = _centered(sketch, n), _centered(of_all[None], np.array([n_of_all]))
    inner = (draws * data).sum(2) / np.square(data).sum(2) - 1
    change: np.ndarray = 2 * inner[:, 0] - inner[:, 1] - inner[:, 2]
    return change


def _centered(
    sketch: Float64[np.ndarray, "draws seven probes"], n: Float64[np.ndarray, " draws"]
) -> Float64[np.ndarray, "draws three probes"]:
    """uᵀAv of the centered moments A of (x, y), (x, x) and (y, y), over n tokens each."""
    mean = sketch / n[:, None, None]
    ux, vx, uy, vy = (mean[:, i] for i in (3, 4, 5, 6))
    return mean[:, :3] - np.stack([ux * vy, ux * vx, uy * vy], 1)
