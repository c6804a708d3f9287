"""LEACE: the least change after which no linear reader tells two sets of text apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from harness.contract import Batch, Direction, Found, Inputs, Outcome, Record, State, Undefined
from harness.contract.sites import parse_site
from harness_directions.concepts import moments
from harness_directions.concepts.moments import Moments
from harness_directions.concepts.options import LeaceOptions
from harness_directions.concepts.records import About, about, class_rows
from harness_directions.places import located
from harness_directions.states import Sums

_WHY = "needs the covariance of every draw of documents, which is not kept"


class Leace(Sums[LeaceOptions]):
    """Finds v = δ with the reader r = Σ⁻¹δ / (δᵀΣ⁻¹δ), for `concept_erasure`.

    δ = mean⁺ x − mean⁻ x, Σ the covariance of the tokens of both sets together (population form;
    its pseudo-inverse, since δ lies in its range), both float64 `[1, d_site]`; r·v = 1; the origin
    is the mean o of all tokens. x ← x − (r·(x − o)) v is the affine map that changes x least
    (E‖x' − x‖² is minimal) among those after which the label and x' have covariance 0, so that no
    linear reader beats the constant one. It equals the paper's
    x − W⁺ P W (x − o) with W = (Σ^½)⁺ and P the projection onto W·Cov(x, label), for a label of two
    values. With `shrinkage`, Σ is first αS + βI as below, which keeps the covariance with the
    label at 0 and gives up the minimum on these tokens for a better one on others:
    1 − α = (tr S)²·‖S₀‖²/n / (‖S‖²‖S₀‖² − tr(S S₀)²), β = (1 − α)·tr S/d, S₀ = I·tr S/d, S the
    plain covariance of n tokens, ‖·‖ Frobenius (α is held within [0, 1], the code's is not).

    | record | formula | range |
    |---|---|---|
    | `direction.norm@1` | ‖δ‖ | (0, ∞) |
    | `leace.readable@1` | R² of the label on r·x: π⁺π⁻ / rᵀSr | [0, 1] |
    | `leace.change@1` | E‖x' − x‖² / E‖x − o‖² = rᵀSr·‖δ‖² / tr S | [0, ∞) |
    | `leace.cosine@1` | cos(r, v); 1: nothing about it is oblique, it is a projection | (0, 1] |

    π: the shares of tokens of both sets. The null of R², without shrinkage, is its mean over
    permuted labels, rank S / (tokens − 1): with as many numbers per token as tokens all is
    readable, also labels that are drawn at random.
    Undefined: without tokens in either set, where the means are equal or not finite.
    Raises ModelError for a fraction of depth in a model of unknown depth.
    The original's code also mixes in an orthogonal projection where the trace of the covariance
    would grow; without shrinkage it cannot, and with it we leave the map as it is.
    Source: Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form" (arXiv
    2306.03819), theorem 4.3; code: EleutherAI/concept-erasure (MIT), `leace.py`; shrinkage: Bodnar,
    Gupta, Parolya 2014 (arXiv 1308.2608), as in its `shrinkage.py`.
    """

    def __init__(self, given: LeaceOptions) -> None:
        super().__init__(given)
        self.site = parse_site(given.site)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's activations and their products to the sums of its class."""
        return moments.update(state, batch, self.site, second=True)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The direction with its reader, its records, and a table of the two classes."""
        given = self.options
        site = located(self.site, inputs.facts.get(given.view))
        positive, negative = (moments.of(state, name) for name in ("positive", "negative"))
        rows = class_rows(
            {"positive": (given.positive, positive), "negative": (given.negative, negative)}
        )
        said = about(given.view, site, given.tokens, positive, negative)
        said = About(said.axes, {**said.options, "shrinkage": given.shrinkage}, said.n)
        why = moments.apart(positive, negative, site)
        if why or positive is None or negative is None:
            records = tuple(_records(said, None, why or "", given.shrinkage))
            return Outcome(tables={"classes": rows}, directions=(Found(Undefined(why or ""),
                           records=records),))  # fmt: skip
        eraser = _Eraser(positive, negative, given.shrinkage)
        direction = Direction(
            site,
            eraser.vector[None],
            reference_norm=float(np.linalg.norm(eraser.vector)),
            origin=eraser.all.mean,
            readers=eraser.reader[None],
        )
        records = tuple(_records(said, eraser, None, given.shrinkage))
        return Outcome(tables={"classes": rows}, directions=(Found(direction, records=records),))


class _Eraser:
    """v, r and what they do to the tokens of both sets."""

    def __init__(self, positive: Moments, negative: Moments, shrinkage: bool) -> None:
        self.all = moments.together((positive, negative))
        self.vector = positive.mean - negative.mean
        plain = self.all.covariance
        values, vectors = np.linalg.eigh(plain)
        kept = values > self.all.floor
        self.rank = int(kept.sum())
        if shrinkage:
            alpha, beta = shrinking(plain, self.all.tokens)
            values, kept = alpha * values.clip(min=0) + beta, np.ones(len(values), bool)
        along = vectors.T[kept] @ self.vector
        solved = (along / values[kept]) @ vectors.T[kept]
        self.reader = solved / float(solved @ self.vector)
        self.read = float(self.reader @ plain @ self.reader)
        """rᵀSr, the variance of what is read."""
        self.share = positive.tokens / self.all.tokens
        self.trace = float(np.trace(plain))


def shrinking(plain: Float64[np.ndarray, "d d"], tokens: int) -> tuple[float, float]:
    """α and β of the shrunk covariance αS + βI."""
    width, trace = len(plain), float(np.trace(plain))
    if trace <= 0:
        return 1.0, 0.0
    target = trace**2 / width  # ‖S₀‖²; tr(S S₀) is the same
    apart = float((plain**2).sum()) * target - target**2
    away = 1.0 if apart <= 0 else min(1.0, trace**2 * target / tokens / apart)
    return 1 - away, away * trace / width


def _records(
    said: About, one: _Eraser | None, why: str | None, shrinkage: bool
) -> Iterator[Record]:
    length = readable = change = cosine = null = None
    if one is not None:
        length = float(np.linalg.norm(one.vector))
        readable = min(1.0, one.share * (1 - one.share) / one.read)
        change = one.read * length**2 / one.trace
        cosine = min(1.0, 1 / (length * float(np.linalg.norm(one.reader))))
        if not shrinkage:
            null = {
                "kind": "labels permuted",
                "value": min(1.0, one.rank / (one.all.tokens - 1)),
            }
    yield said.norm(length, why)
    yield said.record("leace.readable@1", readable, "share", why, _WHY, null=null)
    yield said.record("leace.change@1", change, "share", why, _WHY)
    yield said.record("leace.cosine@1", cosine, "cosine", why, _WHY)
