"""The principal components of differences between two sets of text, as RepE finds its readers."""

from __future__ import annotations

import numpy as np

from harness.contract import Batch, Inputs, Outcome, State
from harness.contract.sites import parse_site
from harness_directions.concepts import components, moments
from harness_directions.concepts.components import Decomposed, Directions
from harness_directions.concepts.moments import Moments
from harness_directions.concepts.options import ContrastPcaOptions
from harness_directions.concepts.records import about, class_rows
from harness_directions.places import located
from harness_directions.states import Sums


class ContrastPca(Sums[ContrastPcaOptions]):
    """Takes differences of tokens of both sets apart: eigenvectors v_i of E (x⁺ − x⁻)(x⁺ − x⁻)ᵀ.

    The mean is over all pairs of a token of the one set and one of the other, so it is
    C = Cov⁺ + Cov⁻ + δδᵀ, δ = mean⁺ x − mean⁻ x, from sums of both sets: float64 d x d, nothing is
    drawn. RepE takes as many pairs as there are texts, in random order of their sides, centres
    their differences and takes those apart; over its random sides that is C again, but for the
    factor 1 − 1/pairs and the noise of the draw. It is not the difference in means: where the sets
    vary more along another direction than they are apart, that comes first.

    Directions: for each `pc` = i the vector √λ_i·v_i, the root mean square of differences along
    v_i; for each `k` the first k; without an axis all of them, or the only one. v_i is signed by
    the labels: so that δ·v_i ≥ 0 (RepE's vote: so that in most pairs x⁺·v_i is the larger). The
    origin is mean⁻ x.

    | record, for each component | formula | range |
    |---|---|---|
    | `contrast_pca.explained@1` | λ_i / tr C | [0, 1] |
    | `contrast_pca.sigma@1` | √λ_i, in units of the activation | (0, ∞) |
    | `contrast_pca.mean_cosine@1` | cos(v_i, δ); 0: it does not tell the sets apart | [0, 1] |

    Undefined: without tokens in either set, where the means are equal (no end of a component is
    the positive one) or not finite, and for a component beyond the rank of C. Raises ModelError for
    more components than numbers per token, and for a fraction of depth in a model of unknown depth.
    For the same text under two prompts, `principal_components` of a pair takes its own differences.
    Source: Zou et al. 2023, "Representation Engineering" (arXiv 2310.01405), appendix C.1; code:
    andyzoujm/representation-engineering (MIT), `rep_readers.py` and `rep_reading_pipeline.py`.
    """

    def __init__(self, given: ContrastPcaOptions) -> None:
        super().__init__(given)
        self.site = parse_site(given.site)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's activations and their products to the sums of its class."""
        return moments.update(state, batch, self.site, second=True)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The directions, their records, and a table of the two classes."""
        given = self.options
        site = located(self.site, inputs.facts.get(given.view))
        positive, negative = (moments.of(state, name) for name in ("positive", "negative"))
        said = about(given.view, site, given.tokens, positive, negative)
        made = Directions("contrast_pca", site, said, given.variants(), given.components)
        why = moments.apart(positive, negative, site)
        parts = self._decomposed(positive, negative) if why is None else None
        rows = class_rows(
            {"positive": (given.positive, positive), "negative": (given.negative, negative)}
        )
        return Outcome(tables={"classes": rows}, directions=made.found(parts, why or ""))

    def _decomposed(self, positive: Moments | None, negative: Moments | None) -> Decomposed | None:
        if positive is None or negative is None:
            return None
        wanted, width = self.options.components, len(positive.mean)
        components.enough(wanted, width, self.site)
        delta = positive.mean - negative.mean
        matrix = positive.covariance + negative.covariance + np.outer(delta, delta)
        floor = positive.floor + negative.floor
        return components.decomposed(matrix, wanted, floor, delta, negative.mean)
